"""What is written by template is what the model would write, whatever the text."""

from __future__ import annotations

from dataclasses import replace as changed
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from app.models.answers import Source
from app.models.messages import CLIENT_TYPES, AnswerFailure, FinalAnswer, Stage, Status, Timing
from app.models.pieces import INTERIM_ACK, AnswerPiece, MessageAck, StatusPiece, VerdictPiece, interim_ack, waiting

# Halves of surrogate pairs among them.
texts = st.text(alphabet=st.characters(exclude_categories=()))
ids = st.text(alphabet="az-AZ_09.:", min_size=1)
optional = st.sampled_from([None, True, False])


@given(content=texts, replace=optional, session_id=ids, number=st.integers(0, 10**9))
def test_a_piece_of_an_answer_is_written_as_its_model(
    content: str, replace: bool | None, session_id: str, number: int
) -> None:
    piece = AnswerPiece(session_id, number, f"q-{number}", number, content, replace)
    assert piece.to_json() == piece.model().to_json()


@given(
    kind=st.sampled_from(CLIENT_TYPES),
    is_final=optional,
    session_id=ids,
    message_id=st.none() | texts,
    details=st.none() | st.dictionaries(texts, st.sampled_from(["cut", "ignored", "rounded"])),
)
def test_the_ack_of_a_message_is_written_as_its_model(
    kind: str, is_final: bool | None, session_id: str, message_id: str | None, details: dict[str, str] | None
) -> None:
    ack = MessageAck(session_id, 7, kind, is_final, message_id, details)  # type: ignore[arg-type]
    assert ack.to_json() == ack.model().to_json()


@given(session_id=ids, reason=ids, note=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_status_that_says_why_nothing_is_asked_is_written_as_its_model(
    session_id: str, reason: str, note: str
) -> None:
    status = Status(session_id=session_id, seq=7, stage="waiting_for_question", reason=reason, note=note)
    assert waiting(session_id, 7, reason, note) == status.to_json()


verdicts = st.builds(
    VerdictPiece,
    st.booleans(),
    st.floats(0, 1).map(lambda sure: round(sure, 2)),
    texts,
    st.integers(0, 10**6),
    texts,
)


@given(
    status=st.builds(
        StatusPiece,
        session_id=ids,
        seq=st.integers(1, 10**9),
        stage=st.sampled_from(get_args(Stage)),
        note=st.none() | texts,
        reason=st.none() | texts,
        question=st.none() | texts,
        mode=st.sampled_from([None, "instant"]),
        query_id=st.none() | ids,
        verdict=st.none() | verdicts,
        dropped=st.none() | st.lists(texts, max_size=3).map(tuple),
        repeats=st.none() | ids,
    )
)
def test_a_status_is_written_as_its_model(status: StatusPiece) -> None:
    assert status.to_json() == status.model().to_json()


@given(session_id=ids, message_id=st.none() | texts)
def test_the_ack_of_an_interim_chunk_is_written_as_that_of_any_other(session_id: str, message_id: str | None) -> None:
    ack = changed(INTERIM_ACK, session_id=session_id, seq=7, id=message_id)
    assert interim_ack(session_id, 7, message_id) == ack.to_json()


numbers = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
usages = st.dictionaries(texts, st.recursive(st.none() | st.booleans() | numbers | texts, st.lists, max_leaves=4))


@given(
    content=st.just("") | texts,
    sources=st.lists(st.builds(Source, position=st.integers(1, 9), title=texts, source=texts), max_size=1),
    usage=st.none() | usages,
    first_text_ms=st.none() | st.integers(0, 10**6),
    conversation_id=st.none() | texts,
    trouble=st.fixed_dictionaries(
        {},
        optional={
            "replace": optional,
            "error": st.just(AnswerFailure(code="RAG_ERROR", retryable=True)),
            "incomplete": optional,
            "found": st.sampled_from([None, False]),
            "provider": texts,
        },
    ),
)
def test_the_end_of_an_answer_is_written_by_template_as_by_its_model(
    content: str,
    sources: list[Source],
    usage: dict[str, Any] | None,
    first_text_ms: int | None,
    conversation_id: str | None,
    trouble: dict[str, Any],
) -> None:
    final = FinalAnswer(
        session_id="a.b",
        seq=7,
        query_id="q-1",
        stream_index=2,
        content=content,
        sources=tuple(sources),
        usage=usage,
        timing=Timing(wait_ms=0, first_text_ms=first_text_ms, total_ms=900),
        conversation_id=conversation_id,
        **trouble,
    )
    assert final.to_json() == final._by_model()
