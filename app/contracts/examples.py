"""One frame and more of every kind, as they go over the wire."""

from __future__ import annotations

from app.models.answers import Source
from app.models.messages import (
    Ack,
    Answer,
    AnswerFailure,
    AsrChunk,
    Configure,
    Control,
    Error,
    FinalAnswer,
    Frame,
    Keepalive,
    Status,
    Timing,
    Tuning,
    VerdictNote,
)

_SESSION = "5f2c"
_QUESTION = "How long is the warranty?"
_ASKS = VerdictNote(is_question=True, confidence=0.97, reason="question_mark", wait_ms=0, language="en")
_TELLS = VerdictNote(is_question=False, confidence=0.9, reason="statement", wait_ms=0, language="en")
_MANUAL = Source(position=1, title="Warranty", source="manual.md", score=0.82, snippet="Two years from purchase.")

_EXAMPLES: tuple[tuple[str, Frame], ...] = (
    ("A partial: the speaker goes on.", AsrChunk(text="how long is")),
    ("A final, which is judged.", AsrChunk(text=_QUESTION, is_final=True, segment_id="7", id="m-12")),
    (
        "With all that a recogniser may know.",
        AsrChunk(
            text=_QUESTION,
            is_final=True,
            end_of_turn=True,
            speaker="guest",
            language="en-GB",
            confidence=0.93,
            end_ms=4180,
        ),
    ),
    ("End the running answer.", Control(action="cancel", id="c-1")),
    ("Ask a typed question.", Control(action="instant_query", text="Opening hours on Sunday")),
    ("An answer was good.", Control(action="feedback", query_id="c1-1", rating="like", text="Just what I needed.")),
    ("Ask what was suggested.", Control(action="instant_query", query_id="c1-2")),
    (
        "A new question ends the running answer; variables for the backend.",
        Configure(on_new_question="interrupt", inputs={"customer": "4711"}),
    ),
    ("Push-to-talk, and only the guest asks.", Configure(auto_detect=False, speakers=["guest"])),
    ("Only questions that name the assistant.", Configure(names=["Dora"], address="named", ask_above=0.6)),
    ("Answers in German, and short ones.", Configure(answer_language="de", answer_style="short")),
    ("Waits less, for this session only.", Configure(tuning=Tuning(wait_max_ms=600, query_scope="aggregated"))),
    ("Show that the client is there.", Keepalive(id="k-1")),
    ("The first frame.", Ack(session_id=_SESSION, seq=1, message="connected", protocol="1")),
    ("A final was taken.", Ack(session_id=_SESSION, seq=4, received_type="asr_chunk", is_final=True, id="m-12")),
    (
        "Its words were taken, its confidence was not.",
        Ack(session_id=_SESSION, seq=4, received_type="asr_chunk", is_final=True, details={"confidence": "ignored"}),
    ),
    (
        "A question was noticed.",
        Status(
            session_id=_SESSION,
            seq=5,
            stage="analyzing",
            note="A question was heard.",
            question=_QUESTION,
            query_id="c1-1",
            verdict=_ASKS,
        ),
    ),
    (
        "Nothing is asked.",
        Status(
            session_id=_SESSION,
            seq=5,
            stage="waiting_for_question",
            note="No question so far.",
            reason="not_a_question",
            verdict=_TELLS,
        ),
    ),
    (
        "The backend is asked what was typed.",
        Status(
            session_id=_SESSION,
            seq=6,
            stage="querying_rag",
            note="Looking for an answer.",
            question="Opening hours on Sunday",
            mode="instant",
            query_id="c1-2",
        ),
    ),
    ("A piece of the answer.", Answer(session_id=_SESSION, seq=7, query_id="c1-1", stream_index=0, content="Two ")),
    (
        "All text so far is void.",
        Answer(session_id=_SESSION, seq=8, query_id="c1-1", stream_index=1, content="I cannot say.", replace=True),
    ),
    (
        "The answer is whole.",
        FinalAnswer(
            session_id=_SESSION,
            seq=9,
            query_id="c1-1",
            stream_index=2,
            content="",
            sources=(_MANUAL,),
            usage={"total_tokens": 96},
            timing=Timing(wait_ms=0, first_text_ms=412, total_ms=655),
            conversation_id="8d0e",
        ),
    ),
    (
        "There is none; its text is for people.",
        FinalAnswer(
            session_id=_SESSION,
            seq=7,
            query_id="c1-3",
            stream_index=0,
            content="The knowledge base took too long to answer. Please ask again.",
            timing=Timing(wait_ms=1200, first_text_ms=None, total_ms=30002),
            error=AnswerFailure(code="RAG_TIMEOUT", retryable=True, phase="first_text"),
        ),
    ),
    (
        "It broke off after it had begun.",
        FinalAnswer(
            session_id=_SESSION,
            seq=9,
            query_id="c1-4",
            stream_index=3,
            content="",
            timing=Timing(wait_ms=0, first_text_ms=380, total_ms=2100),
            error=AnswerFailure(code="RAG_BROKEN_STREAM", retryable=True),
            incomplete=True,
        ),
    ),
    (
        "A refused message.",
        Error(
            session_id=_SESSION,
            seq=6,
            code="UNKNOWN_ACTION",
            message="There is no action 'dance'.",
            details={"field": "action"},
            id="m-13",
        ),
    ),
)


def examples_of(model: type[Frame]) -> list[tuple[str, Frame]]:
    """What examples of this kind show, and the examples. A frame that has no choice is its own."""
    found = [(about, frame) for about, frame in _EXAMPLES if type(frame) is model]
    if not found and not any(field.is_required() for field in model.model_fields.values()):
        return [("As it is sent.", model())]
    return found
