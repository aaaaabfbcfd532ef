"""What one session keeps, and what one frame carries, has a bound, whatever people, recognisers and providers send."""

from __future__ import annotations

import gc
import json
import math
import os
import random
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest

from app.models.answers import AnswerEnd, AnswerEvent, Progress, Source, TextDelta, bounded_sources, bounded_usage
from app.models.effects import Effect, Send, StartQuery
from app.models.messages import AsrChunk, Control, FinalAnswer
from app.models.pieces import MessageAck, StatusPiece
from app.models.queries import MAX_ASKED_CHARS
from app.models.session import SessionState
from app.models.transcript import ending
from app.services.question_detector.judge import judge
from app.services.text_utils import split_event
from tests.models.test_session import asked, final, new_session
from tests.service import make_settings

# Other tests reach the same lines; to trace memory and lines at once takes minutes.
pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

MOST_BYTES_OF_A_FRAME = 256 * 1024
MOST_BYTES_OF_A_SESSION = 2_000_000  # docs/operations.md, "Memory"
MOST_BYTES_OF_A_TALK = 500_000


def frames(effects: list[Effect]) -> list[Any]:
    return [effect.frame for effect in effects if isinstance(effect, Send)]


@pytest.mark.parametrize(
    ("text", "limit", "rest"),
    [
        ("one two three", 13, "one two three"),
        ("one two three", 9, "two three"),
        ("one two three", 8, "three"),
        ("one two  three", 6, "three"),
        ("怎么暂停怎么暂停", 4, "怎么暂停"),
        ("a" * 100, 70, "a" * 70),
    ],
)
def test_a_text_that_is_too_long_is_cut_at_a_word(text: str, limit: int, rest: str) -> None:
    assert ending(text, limit) == rest


def test_of_a_long_chunk_the_last_words_are_kept_and_the_ack_says_so() -> None:
    session = new_session(segment_max_chars=600)
    effects = session.receive(final("word " * 1000 + "what is RAG?"), now=1)
    ack = frames(effects)[0]
    assert isinstance(ack, MessageAck)
    assert ack.details == {"text": "cut"}
    question = asked(effects)[0]
    assert question.startswith("word ")
    assert question.endswith("what is RAG?")
    assert len(question) <= 600
    partial = session.receive(AsrChunk(text="x" * 601), now=2)
    assert frames(partial)[0].details == {"text": "cut"}
    assert frames(session.receive(AsrChunk(text="x" * 600), now=3))[0].details is None


def test_a_typed_question_has_a_bound_too() -> None:
    effects = new_session().receive(Control(action="instant_query", text="why " * 10_000), now=1)
    assert frames(effects)[0].details == {"text": "cut"}
    assert len(asked(effects)[0]) <= MAX_ASKED_CHARS


def test_what_many_speakers_ask_at_once_has_a_bound() -> None:
    session = new_session()
    session.receive(final("First?", speaker="a"), now=1)
    for number in range(10):
        effects = session.receive(final("x" * 3_000 + f" {number}?", speaker=str(number)), now=2)
        waiting = frames(effects)[-1]
        assert isinstance(waiting, StatusPiece)
        assert len(waiting.question or "") <= MAX_ASKED_CHARS
    end: list[Effect] = []
    for number in range(1, 7):
        end += session.answer_event(f"c1-{number}", TextDelta("Yes."), 3)
        end += session.answer_event(f"c1-{number}", AnswerEnd(), 3)
    assert [question[-3:] for question in asked(end)] == [" 0?", " 1?", " 2?", " 3?", " 9?"]


def test_a_question_that_follows_another_for_ever_does_not_grow_for_ever() -> None:
    session = SessionState("s1", make_settings(), judge=new_session()._judge, key="c1", is_stateless=True)
    session.connect(0.0)
    for number in range(1, 20):
        effects = session.receive(final(f"and {number} {'x' * 2000}?"), now=number)
        assert len(asked(effects)[0]) <= MAX_ASKED_CHARS
        session.answer_event(f"c1-{number}", TextDelta("Yes."), number)
        session.answer_event(f"c1-{number}", AnswerEnd(), number)


HUGE = "\U0001f600\x01" * 100_000


@pytest.mark.parametrize("text", [HUGE, "\x01" * 100_000, "é" * 100_000])
def test_no_frame_is_larger_than_clients_read(text: str) -> None:
    session = new_session(answer_chunk_chars=32_000)
    sources = tuple(Source(position=n, title=text, source=text, snippet=text) for n in range(1, 200))
    effects = session.receive(final(text + "?"), now=1)
    events: list[AnswerEvent] = [
        Progress(text),
        *split_event(TextDelta(text), 32_000),
        AnswerEnd(sources=sources, usage={"text": text}),
    ]
    for event in events:
        effects += session.answer_event("c1-1", event, 2)
    made = frames(effects)
    assert max(len(frame.to_json().encode()) for frame in made) <= MOST_BYTES_OF_A_FRAME
    end = next(frame for frame in made if isinstance(frame, FinalAnswer))
    assert 0 < len(end.sources) < 50
    assert end.usage is None


def test_what_is_short_enough_stays_as_it_is() -> None:
    sources = (Source(position=1, title="A page", source="https://shop.example/", score=0.5, snippet="Words."),)
    assert bounded_sources(sources) == sources
    assert bounded_usage({"tokens": 3}) == {"tokens": 3}
    assert bounded_usage(None) is None


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"cost": math.nan, "total": math.inf}, {"cost": None, "total": None}),
        ({1: 2}, {"1": 2}),
        ({"cost": Decimal("0.10")}, {"cost": "0.10"}),
        ({"cost": object()}, None),
        ({"model": "\ud800"}, None),
    ],
)
@pytest.mark.parametrize("text", ["Two years.", "两年。", "\ud800"])
def test_an_odd_usage_of_a_provider_does_not_cost_the_answer(usage: dict[Any, Any], told: object, text: str) -> None:
    session = new_session()
    effects = session.receive(final("How long is the warranty?"), now=1)
    effects += session.answer_event("c1-1", TextDelta(text), 2)
    effects += session.answer_event("c1-1", AnswerEnd(usage=usage, conversation_id=text), 2)
    end = next(frame for frame in frames(effects) if isinstance(frame, FinalAnswer))
    assert json.loads(end.to_json())["usage"] == told
    assert end.error is None


@pytest.mark.parametrize(("text", "finals"), [("\U0001f600 𝔴" * 1_000, 60), ("\U0001f600", 2_500)])
def test_what_is_kept_of_the_talk_takes_no_more_memory_than_the_docs_say(text: str, finals: int) -> None:
    taken = []
    for limit in (0, 32_000):
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            session = SessionState("s1", make_settings(talk_chars=limit), judge=judge, key="c1")
            for number in range(finals):
                speaker = f"{number % 30} and more"
                session.receive(AsrChunk(text=f"{text} {number}", is_final=True, speaker=speaker), 3.0 * number)
                session.answer_event(f"c1-{number + 1}", AnswerEnd(), 3.0 * number)
            gc.collect()
            taken.append(tracemalloc.get_traced_memory()[0] - before)
        finally:
            tracemalloc.stop()
        del session
    assert taken[1] - taken[0] <= MOST_BYTES_OF_A_TALK


WIDE, LIGATURE = "\U0001f600 𝔴", "\ufdfa"  # the latter: 18 letters in one
WAYS = [(0.01, WIDE), (3.0, LIGATURE)]
if os.environ.get("WHOLE_MATRIX") == "1":
    WAYS += [(0.01, LIGATURE), (3.0, WIDE)]


@pytest.mark.parametrize(("pauses", "signs"), WAYS)
def test_a_session_takes_no_more_memory_than_the_docs_say(pauses: float, signs: str) -> None:
    """Every way to make it keep something: speakers, ids, partials, waiting questions, an answer that runs."""
    chance = random.Random(7)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        session = SessionState("s1", make_settings(), judge=judge, key="c1")
        session.connect(0.0)
        now = 0.0
        running = ""
        for number in range(150):
            now += pauses
            text = f"{number} " + signs * 4_000 + chance.choice([" what is RAG?", " so it is", "..."])
            chunk = AsrChunk(
                text=text,
                is_final=number % 3 > 0,
                segment_id=f"{number}-" + "i" * 120 if number % 2 else None,
                speaker=str(chance.randrange(40)),
            )
            effects = session.receive(chunk, now) + session.tick(now)
            running = next((each.query_id for each in effects if isinstance(each, StartQuery)), running)
            if number % 30 == 29:
                session.answer_event(running, TextDelta("x" * 1000), now)
                session.answer_event(running, AnswerEnd(), now)
            del effects, chunk, text
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken <= MOST_BYTES_OF_A_SESSION
