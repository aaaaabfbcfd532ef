"""The short ways of a chunk lead where the long one does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

import pytest

from app.models.answers import AnswerEnd, TextDelta
from app.models.effects import Effect, Send
from app.models.messages import AsrChunk, ClientMessage, Details, read
from app.models.session import SessionState
from tests.models.judges import judge_by_signs
from tests.service import make_settings

LIMIT = 600
TALKS = 8
STEPS = 60
FINALS = [0.2, 0.6]  # how many, and how often they are repeated
# Each may go on with the one before it, or begin anew.
TEXTS = [
    "what",
    "what is",
    "what is the",
    "what is it?",
    "what is it? And",
    "talk",
    "talk of",
    "天气",
    "天气怎么样",
    "why? ...",
]
ODD = ["", "\0", "\u200b", "why?" + "x" * LIMIT]
SECONDS = [0.0, 0.1, 0.7, 2.0, 6.0]


FURTHER: list[tuple[str, list[Any], float]] = [
    ("id", ["one", "x" * 129], 0.1),
    ("segment_id", ["a", "b"], 0.3),
    ("speaker", ["anna", "ben"], 0.2),
    ("session_id", ["s1", "s2"], 0.05),
    ("end_of_turn", [True, False], 0.1),
]


def a_message(random: Random, finals: float) -> dict[str, Any]:
    if random.random() < 0.06:
        return {"type": "control", "action": random.choice(["pause", "resume", "resume", "cancel", "reset"])}
    chunk: dict[str, Any] = {"type": "asr_chunk", "text": random.choice(TEXTS if random.random() < 0.9 else ODD)}
    if random.random() < finals:
        chunk["is_final"] = random.random() < 0.7
    for name, values, chance in FURTHER:
        if random.random() < chance:
            chunk[name] = random.choice(values)
    return chunk


def once_more(random: Random, raw: str) -> str:
    """What recognisers do; some say it a little differently."""
    message = json.loads(raw)
    if message["type"] == "asr_chunk" and random.random() < 0.3:
        name, values, _ = random.choice(FURTHER)
        message[name] = random.choice(values)
    return json.dumps(message)


def receive_shortly(
    session: SessionState, message: ClientMessage, now: float, details: Details | None = None
) -> Sequence[Effect | str]:
    if details is None and isinstance(message, AsrChunk) and (frames := session.hear(message, now)):
        return frames
    return session.receive(message, now, details)


def told(effects: Sequence[Effect | str]) -> list[Any]:
    return [each.frame.to_json() if isinstance(each, Send) else each for each in effects]


def answered(session: SessionState, now: float) -> list[Effect]:
    if session.query is None:
        return []
    name = session.query.query_id
    return [*session.answer_event(name, TextDelta("Text."), now), *session.answer_event(name, AnswerEnd(), now)]


Take = Callable[[SessionState, Callable[..., Sequence[Effect | str]]], Sequence[Effect | str]]


def a_step(random: Random, now: float, said: list[str], finals: float = 0.2) -> Take:
    if random.random() < 0.05:
        return lambda session, _: session.tick(now)
    if random.random() < 0.05:
        return lambda session, _: answered(session, now)
    is_said_before = said and random.random() < finals
    raw = once_more(random, random.choice(said[-3:])) if is_said_before else json.dumps(a_message(random, finals))
    said.append(raw)

    def say(_: SessionState, receive: Callable[..., Sequence[Effect | str]]) -> Sequence[Effect | str]:
        message, details = read(raw)
        return receive(message, now, details)

    return say


@pytest.mark.no_cover  # many times the same lines
@pytest.mark.parametrize("speculate", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_short_way_of_a_message_leads_where_the_long_one_does(seed: int, speculate: bool) -> None:
    random = Random(seed)
    settings = make_settings(segment_max_chars=LIMIT, speculate=speculate)
    for talk in range(TALKS):
        short, long = (SessionState("s1", settings, judge=judge_by_signs) for _ in range(2))
        now, said = 0.0, list[str]()
        assert told(short.connect(now)) == told(long.connect(now))
        for _ in range(STEPS):
            take = a_step(random, now, said, FINALS[talk % len(FINALS)])
            assert told(take(short, partial(receive_shortly, short))) == told(take(long, long.receive))
            assert short.deadline() == long.deadline()
            assert short.snapshot(now) == long.snapshot(now)
            now += random.choice(SECONDS)


def test_who_goes_on_speaking_takes_the_short_way() -> None:
    session = SessionState("s1", make_settings(), judge=judge_by_signs)
    session.receive(AsrChunk(text="what"), 0.0)
    assert session.hear(AsrChunk(text="what is", id="7"), 0.1)


@pytest.mark.parametrize("segment_id", [None, "7"])
def test_a_final_that_is_repeated_takes_the_short_way(segment_id: str | None) -> None:
    session = SessionState("s1", make_settings(), judge=judge_by_signs)
    final = AsrChunk(text="talk of lamps", is_final=True, segment_id=segment_id)
    assert not session.hear(final, 0.0)
    session.receive(final, 0.0)
    assert len(session.hear(final, 0.1)) == 2


def test_a_final_longer_than_is_kept_here_goes_the_long_way() -> None:
    elsewhere = SessionState("s1", make_settings(), judge=judge_by_signs)
    final = AsrChunk(text="x" * (LIMIT + 1), is_final=True)
    elsewhere.receive(final, 0.0)
    session = SessionState("s1", make_settings(segment_max_chars=LIMIT), judge=judge_by_signs)
    session.restore(elsewhere.snapshot(0.0), 0.0)
    assert not session.hear(final, 0.1)
