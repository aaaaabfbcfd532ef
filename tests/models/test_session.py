"""The session alone: plain calls, no socket and no clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.codes import CloseCode
from app.errors import RagError, RagTimeout, RagUnavailable
from app.models.answers import AnswerEnd, AnswerEvent, ConversationNamed, Progress, TextDelta, TextReplaced
from app.models.effects import CancelQuery, Close, Effect, Send, StartQuery
from app.models.listening import Judge
from app.models.messages import AsrChunk, Configure, Control, FinalAnswer, parse
from app.models.pieces import AnswerPiece, MessageAck, StatusPiece
from app.models.session import SessionState
from app.models.transcript import REMEMBERED_IDS
from tests.models.judges import judge_by_signs, judge_by_words
from tests.service import make_settings


def new_session(judge: Judge = judge_by_signs, **settings: Any) -> SessionState:
    session = SessionState("s1", make_settings(**settings), judge=judge, key="c1")
    session.connect(0.0)
    return session


def final(text: str, **fields: Any) -> AsrChunk:
    return AsrChunk(text=text, is_final=True, **fields)


def asked(effects: list[Effect]) -> list[str]:
    return [effect.question.whole for effect in effects if isinstance(effect, StartQuery)]


def reasons(effects: list[Effect]) -> list[str | None]:
    return [
        effect.frame.reason for effect in effects if isinstance(effect, Send) and isinstance(effect.frame, StatusPiece)
    ]


def test_a_question_becomes_effects_in_the_order_of_the_protocol() -> None:
    ack, analyzing, querying, start = new_session().receive(final("RAG?"), now=1)
    assert ack == Send(MessageAck("s1", 3, "asr_chunk", is_final=True))
    assert isinstance(analyzing, Send)
    assert isinstance(querying, Send)
    assert [analyzing.frame.seq, querying.frame.seq] == [4, 5]
    assert isinstance(start, StartQuery)
    assert start.query_id == "c1-1"
    assert (start.question.text, start.question.user, start.question.conversation_id) == ("RAG?", "ws-user-s1", None)


def test_the_context_is_bounded_by_whole_segments_and_the_newest_stays_whole() -> None:
    session = new_session(context_max_chars=12)
    for text in ["aaaa", "bbbb", "cccc"]:  # "bbbb cccc ?" has 11 characters, with "aaaa" it has 16
        session.receive(final(text), now=1)
    assert asked(session.receive(final("?"), now=1)) == ["bbbb cccc ?"]
    session.receive(Control(action="cancel"), now=1)
    session.receive(final("before"), now=1)
    assert asked(session.receive(final("longer than twelve?"), now=1)) == ["longer than twelve?"]


def test_two_finals_are_only_joined_within_the_merge_time() -> None:
    judge = judge_by_words("what is it")
    for gap, expected in [(2.0, ["what is it"]), (2.1, [])]:
        session = new_session(judge)
        session.receive(final("what is"), now=10)
        assert asked(session.receive(final("it"), now=10 + gap)) == expected


def test_a_statement_after_a_question_does_not_ask_it_again() -> None:
    session = new_session()
    session.receive(Configure(on_new_question="queue"), now=1)
    session.receive(final("One?"), now=1)
    session.receive(final("Two?"), now=1)
    session.receive(Control(action="cancel"), now=1)
    assert asked(session.receive(final("thanks"), now=1)) == []


def test_a_corrected_segment_is_judged_in_its_place() -> None:
    session = new_session()
    session.receive(final("one", segment_id=1), now=1)
    session.receive(final("two", segment_id=2), now=1)
    assert asked(session.receive(final("one?", segment_id=1), now=1)) == ["one?"]


def test_a_correction_of_an_earlier_segment_is_not_the_last_final() -> None:
    session = new_session()
    session.receive(final("one", segment_id=1), now=1)
    session.receive(final("two", segment_id=2), now=1)
    session.receive(final("one, corrected", segment_id=1), now=1)
    assert asked(session.receive(Control(action="instant_query"), now=1)) == ["two"]


def test_only_the_latest_segments_are_remembered_after_they_were_asked() -> None:
    session = new_session()
    for number in range(REMEMBERED_IDS + 1):
        session.receive(Control(action="cancel"), now=1)
        session.receive(final("?", segment_id=number), now=1)
    session.receive(Control(action="cancel"), now=1)
    assert reasons(session.receive(final("?", segment_id=1), now=1)) == ["duplicate"]
    assert asked(session.receive(final("?", segment_id=0), now=1)) == ["?"]


def test_an_ignored_question_of_two_segments_leaves_the_buffer() -> None:
    session = new_session(judge_by_words("what comes first", "who is it"))
    session.receive(Configure(on_new_question="ignore"), now=1)
    session.receive(final("what comes first"), now=1)
    session.receive(final("kept"), now=1)
    session.receive(final("who"), now=5)
    assert reasons(session.receive(final("is it"), now=5)) == ["answer_in_progress"]
    session.receive(Control(action="cancel"), now=6)
    assert asked(session.receive(final("what comes first"), now=9)) == ["kept what comes first"]


def test_an_instant_query_puts_a_pending_question_back() -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    session.receive(final("Two?"), now=1)
    effects = session.receive(Control(action="instant_query", text="Three"), now=1)
    assert asked(effects) == ["Three"]
    assert asked(session.answer_event("c1-2", AnswerEnd(incomplete=True), now=2)) == []
    assert asked(session.receive(final("Four?"), now=3)) == ["Two? Four?"]


def test_an_interrupt_cancels_first_and_nothing_of_the_query_follows() -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    session.answer_event("c1-1", TextDelta("text"), now=1.5)
    effects = session.receive(Control(action="cancel"), now=2)
    assert [type(effect) for effect in effects] == [Send, CancelQuery, Send, Send]
    assert isinstance(effects[1], CancelQuery)
    assert (effects[1].timing.first_text_ms, effects[1].timing.total_ms) == (500, 1000)
    late: list[AnswerEvent] = [TextDelta("late"), Progress("late"), ConversationNamed("late"), AnswerEnd()]
    for event in late:
        assert session.answer_event("c1-1", event, now=3) == []
    assert session.answer_failed("c1-1", RagTimeout("late", "stall"), now=3) == []


def test_the_conversation_is_kept_though_its_first_answer_was_interrupted() -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    session.answer_event("c1-1", ConversationNamed("conversation"), now=1)
    session.receive(Control(action="cancel"), now=1)
    start = session.receive(final("Two?"), now=1)[-1]
    assert isinstance(start, StartQuery)
    assert start.question.conversation_id == "conversation"


def test_a_conversation_that_is_of_no_more_use_is_left() -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    session.answer_event("c1-1", AnswerEnd(conversation_id="conversation", incomplete=True), now=1)
    session.receive(final("Two?"), now=1)
    session.answer_event("c1-2", ConversationNamed(None), now=2)
    failed = wire(session.answer_failed("c1-2", RagTimeout("late", "first_text", is_silent=True), now=2)[0])
    assert failed["conversation_id"] is None
    start = session.receive(final("Three?"), now=3)[-1]
    assert isinstance(start, StartQuery)
    assert start.question.conversation_id is None


def test_the_end_may_rename_the_conversation() -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    session.answer_event("c1-1", TextDelta("text"), now=1)
    send = session.answer_event("c1-1", AnswerEnd(conversation_id="other"), now=1)[0]
    assert isinstance(send, Send)
    assert isinstance(send.frame, FinalAnswer)
    assert send.frame.conversation_id == "other"


def test_progress_is_told_only_before_the_first_text() -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    assert reasons(session.answer_event("c1-1", Progress("step"), now=1)) == ["progress"]
    session.answer_event("c1-1", TextDelta("text"), now=1)
    assert session.answer_event("c1-1", Progress("step"), now=1) == []


def test_what_has_no_text_makes_no_frame() -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    assert session.answer_event("c1-1", TextDelta(""), now=1) == []


def test_a_replacement_by_nothing_is_a_frame_but_no_first_text() -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    (send,) = session.answer_event("c1-1", TextReplaced(""), now=1)
    assert isinstance(send, Send)
    assert isinstance(send.frame, AnswerPiece)
    assert send.frame.replace is True
    send = session.answer_event("c1-1", AnswerEnd(), now=2)[0]
    assert isinstance(send, Send)
    assert isinstance(send.frame, FinalAnswer)
    assert send.frame.timing.first_text_ms is None
    assert send.frame.error is None


def test_a_failure_ends_the_query_and_the_pending_question_follows() -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    session.receive(final("Two?"), now=1)
    assert asked(session.answer_failed("c1-1", RagError("broken"), now=2)) == ["Two?"]


def wire(effect: Effect) -> dict[str, Any]:
    """The frame of this effect as a client reads it."""
    assert isinstance(effect, Send)
    frame = json.loads(effect.frame.to_json())
    assert isinstance(frame, dict)
    return frame


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RagError("broken"), {"code": "RAG_FAILED", "retryable": False}),
        (RagTimeout("late", "stall"), {"code": "RAG_TIMEOUT", "retryable": True, "phase": "stall"}),
        (
            RagUnavailable("down", retry_after_ms=1500),
            {"code": "RAG_UNAVAILABLE", "retryable": True, "retry_after_ms": 1500},
        ),
    ],
    ids=["plain", "with a phase", "with a time to wait"],
)
def test_a_failure_tells_what_is_known_and_nothing_else(error: RagError, told: dict[str, Any]) -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    assert wire(session.answer_failed("c1-1", error, now=2)[0])["error"] == told


def test_the_final_frame_names_a_provider_only_where_it_is_another_one() -> None:
    for provider, told in [("local", {"provider": "local"}), (None, {})]:
        session = new_session()
        session.receive(final("One?"), now=1)
        session.answer_event("c1-1", TextDelta("text"), now=1)
        frame = wire(session.answer_event("c1-1", AnswerEnd(provider=provider), now=2)[0])
        assert {name: frame[name] for name in frame if name == "provider"} == told


def test_stop_drops_the_pending_question_and_closes() -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    session.receive(final("Two?"), now=1)
    effects = session.receive(Control(action="stop"), now=2)
    assert effects[-1] == Close(CloseCode.STOPPED, "stopped")
    assert asked(effects) == []


def test_a_client_that_is_gone_gets_no_more_frames() -> None:
    session = new_session()
    session.receive(final("One?"), now=1)
    cancel = session.disconnect(now=2)
    assert cancel is not None
    assert cancel.reason == "disconnected"
    assert session.disconnect(now=2) is None


def test_a_session_that_was_only_configured_is_worth_coming_back_to() -> None:
    session = new_session()
    session.receive(parse('{"type": "keepalive"}'), now=1)
    assert session.is_blank
    session.receive(parse('{"type": "configure"}'), now=1)
    assert not session.is_blank
