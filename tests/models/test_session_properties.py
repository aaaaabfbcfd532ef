"""The rules of the protocol, over random sequences of messages and provider events."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ClientError, RagBrokenStream, RagTimeout
from app.models.answers import (
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Progress,
    Question,
    TextDelta,
    TextReplaced,
)
from app.models.effects import CancelQuery, Close, Effect, Send, StartQuery
from app.models.messages import CLIENT_TYPES, ClientMessage, parse, read
from app.models.session import SessionState
from app.models.talk import LINE_CHARS
from tests.models.judges import judge_by_signs
from tests.rules import Frame, Rules, text_of
from tests.service import make_settings

TEXTS = st.sampled_from(
    [
        "",
        " ",
        "talk",
        "more talk",
        "what?",
        "why?",
        "what is the? ...",
        "what is the? ... of it",
        "of it",
        "天气",
        "天气怎么样?",
        "a\0b",
    ]
)
MAYBE = st.one_of(st.none(), st.booleans())

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "cancel", "guest", "x" * 129])

MESSAGES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("asr_chunk"), "text": TEXTS, "is_final": MAYBE},
        optional={
            "segment_id": st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["a", "b"])),
            "end_of_turn": MAYBE,
            "session_id": st.sampled_from(["one", "two"]),
            "confidence": st.one_of(st.none(), st.floats(0, 1)),
            "speaker": st.sampled_from(["anna", "ben", None]),
        },
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("control"),
            "action": st.sampled_from(["pause", "resume", "cancel", "reset", "instant_query"]),
        },
        optional={"text": st.one_of(st.none(), TEXTS), "session_id": st.sampled_from(["one", "two"])},
    ),
    st.fixed_dictionaries(
        {"type": st.just("configure")},
        optional={
            "on_new_question": st.sampled_from(["queue", "interrupt", "ignore"]),
            "auto_detect": MAYBE,
            "speakers": st.sampled_from([None, [], ["anna"]]),
            "inputs": st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        },
    ),
    st.just({"type": "keepalive", "session_id": "two"}),
    # Any value in any field: a message is taken with what can be used of it, or refused, and nothing else.
    st.fixed_dictionaries(
        {"type": st.sampled_from(CLIENT_TYPES)},
        optional=dict.fromkeys(
            sorted({name for kind in get_args(ClientMessage) for name in kind.model_fields} - {"type"}),
            st.recursive(SCALARS, lambda part: st.lists(part, max_size=2) | st.dictionaries(st.text(max_size=2), part)),
        ),
    ),
    st.dictionaries(st.text(max_size=4), st.one_of(st.none(), st.integers(), st.text(max_size=4)), max_size=3),
)
EVENTS: st.SearchStrategy[AnswerEvent | RagTimeout | RagBrokenStream] = st.one_of(
    st.builds(TextDelta, st.sampled_from(["", "one ", " two\n", "三"])),
    st.builds(TextReplaced, st.sampled_from(["", "instead"])),
    st.builds(Progress, st.just("step")),
    st.builds(ConversationNamed, st.sampled_from(["conversation", None])),
    st.builds(AnswerEnd, incomplete=st.booleans()),
    st.just(RagTimeout("late", "stall")),
    st.just(RagBrokenStream("cut")),
)
# An event goes to the running query or, with "late", to one that has ended.
# "moved": the session goes on from what was written down of it, on a machine with another clock.
STEPS = st.lists(st.one_of(MESSAGES, EVENTS, st.tuples(st.just("late"), EVENTS), st.just("moved")), max_size=40)


TALK_CHARS = 200
# Both are whole in binary: no moment moves by a rounding.
STEP = 0.703125
OTHER_CLOCK = 1024.0


class Harness:
    """Carries out effects as the conversation does, without tasks."""

    def __init__(self, mode: str, speculate: bool) -> None:
        values = {"on_new_question": mode, "speculate": speculate, "talk_chars": TALK_CHARS}
        self._settings = make_settings(**values)
        self.session = self._new_session()
        self.rules = Rules()
        self.frames: list[Frame] = []
        self.running: str | None = None
        self.started: list[str] = []
        self.asked: list[Question] = []
        self.given: dict[str, str] = {}
        self.now = 0.0
        self.carry_out(self.session.connect(0.0))

    def _new_session(self) -> SessionState:
        return SessionState("start", self._settings, judge=judge_by_signs)

    def move(self) -> None:
        written = json.loads(json.dumps(self.session.snapshot(self.now)))
        self.now += OTHER_CLOCK
        self.session = self._new_session()
        self.session.restore(written, self.now)

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(frame):
                    sent = json.loads(frame.to_json())
                    self.rules.check(sent)
                    self.frames.append(sent)
                    if sent["type"] == "answer" and sent["final"]:
                        self.running = None
                case StartQuery(query_id, question):
                    assert sum(len(said.text) + LINE_CHARS for said in question.talk) <= TALK_CHARS
                    assert question.text not in [said.text for said in question.talk]
                    assert self.running is None, "two queries at once"
                    self.running = query_id
                    self.started.append(query_id)
                    self.asked.append(question)
                case CancelQuery(query_id):
                    assert self.running in (None, query_id)  # None: it came to its end unseen
                    self.running = None
                case Close():
                    raise AssertionError("no step here closes")

    def message(self, message: dict[str, Any]) -> None:
        before = self.rules.replies
        try:
            heard, details = read(json.dumps(message))
            effects = self.session.receive(heard, self.now, details)
        except ClientError as error:
            effects = self.session.refuse(error, self.now)
        self.carry_out(effects)
        assert self.rules.replies == before + 1

    def event(self, query_id: str, event: Any) -> None:
        if isinstance(event, RagTimeout | RagBrokenStream):
            self.carry_out(self.session.answer_failed(query_id, event, self.now))
            self.running = None if self.running == query_id else self.running
            return
        if query_id == self.running:
            if isinstance(event, TextDelta):
                self.given[query_id] = self.given.get(query_id, "") + event.text
            elif isinstance(event, TextReplaced):
                self.given[query_id] = event.text
        self.carry_out(self.session.answer_event(query_id, event, self.now))
        if isinstance(event, AnswerEnd) and self.running == query_id:
            self.running = None


def follow(harness: Harness, step: Any) -> None:
    """One step of `STEPS`."""
    harness.now += STEP
    if (due := harness.session.deadline()) is not None and due <= harness.now:
        harness.carry_out(harness.session.tick(harness.now))
    if isinstance(step, dict):
        harness.message(step)
    elif step == "moved":
        harness.move()
    elif isinstance(step, tuple):
        for query_id in harness.started:
            if query_id != harness.running:
                frames = len(harness.frames)
                harness.event(query_id, step[1])
                assert len(harness.frames) == frames, "a frame of a query that has ended"
    elif harness.running is not None:
        harness.event(harness.running, step)


@given(steps=STEPS, mode=st.sampled_from(["queue", "interrupt", "ignore"]), speculate=st.booleans())
def test_no_sequence_of_messages_and_events_breaks_a_rule(steps: list[Any], mode: str, speculate: bool) -> None:
    harness = Harness(mode, speculate)
    for step in steps:
        follow(harness, step)
    for query_id, text in harness.given.items():
        shown = [frame for frame in harness.frames if frame.get("query_id") == query_id]
        if shown and not any("error" in frame and frame.get("content") for frame in shown):
            assert text_of(shown, query_id) == text


@given(
    steps=STEPS,
    moves=st.sets(st.integers(0, 40)),
    mode=st.sampled_from(["queue", "interrupt"]),
    speculate=st.booleans(),
)
def test_a_session_that_was_read_back_goes_on_as_the_one_that_was_written_down(
    steps: list[Any], moves: set[int], mode: str, speculate: bool
) -> None:
    stays, moves_on = Harness(mode, speculate), Harness(mode, speculate)
    for number, step in enumerate(steps):
        if number in moves:
            moves_on.move()
        if step != "moved":
            follow(stays, step)
            follow(moves_on, step)
    assert moves_on.frames == stays.frames
    assert moves_on.asked == stays.asked
    due, moved_due = stays.session.deadline(), moves_on.session.deadline()
    assert moved_due - moves_on.now == pytest.approx(due - stays.now)


@given(
    raw=st.one_of(
        st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps)
    )
)
def test_any_text_frame_is_a_message_or_a_coded_error(raw: str) -> None:
    try:
        outcome: str = parse(raw).type
    except ClientError as error:
        outcome = error.code
    assert outcome in {"keepalive", "INVALID_JSON", "INVALID_MESSAGE", "UNSUPPORTED_TYPE", "UNKNOWN_ACTION"}
