"""One query, without a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from app.errors import RagBrokenStream, RagError, RagFailed, RagUnavailable, TooManyQuestions
from app.services.rag import AnswerEnd, AnswerEvent, Offers, Progress, Question, TextDelta
from app.sessions.limits import QueryLimits, Quota, Slots, TokenBucket
from app.sessions.query import answer, failure_of
from tests.client import PATIENCE
from tests.sessions.holding import holding

QUESTION = Question(text="well?", user="u", conversation_id=None)
END = AnswerEnd()


class Provider:
    offers = Offers()

    def __init__(self, *events: AnswerEvent) -> None:
        self._events = events
        self.is_closed = False

    async def query(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        try:
            for event in self._events:
                yield event
        finally:
            self.is_closed = True


def limits_of(slots: Slots | None = None) -> QueryLimits:
    return QueryLimits(TokenBucket(rate=9, burst=9), Quota(), slots or Slots(9))


async def events_of(*events: AnswerEvent, limits: QueryLimits | None = None, most_chars: int = 10) -> list[AnswerEvent]:
    limits = limits or limits_of()
    told: list[AnswerEvent] = []

    async def take(event: AnswerEvent) -> None:
        told.append(event)

    await answer(QUESTION, Provider(*events), limits, most_chars, take)
    return told


async def test_an_answer_comes_as_it_is_and_ends_with_its_end() -> None:
    events: list[AnswerEvent] = [Progress("looks"), TextDelta("a text"), END]
    assert await events_of(*events, TextDelta("never heard")) == events


async def test_what_is_too_long_for_a_frame_comes_in_pieces() -> None:
    events = await events_of(TextDelta("one two three four"), END)
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(texts) == "one two three four"
    assert max(map(len, texts)) <= 10


async def test_an_answer_without_an_end_is_a_failure() -> None:
    with pytest.raises(RagBrokenStream):
        await events_of(TextDelta("a text"))


async def test_who_has_asked_too_often_is_told_when_to_ask_again() -> None:
    limits = QueryLimits(TokenBucket(rate=0.5, burst=1), Quota(), Slots(9))
    await events_of(END, limits=limits)
    with pytest.raises(TooManyQuestions) as refused:
        await events_of(END, limits=limits)
    assert 1000 < (refused.value.retry_after_ms or 0) <= 2000


async def test_who_finds_no_slot_is_told_and_waits_for_one() -> None:
    slots = Slots(1)
    told = asyncio.Event()

    async def ask() -> list[AnswerEvent]:
        events: list[AnswerEvent] = []

        async def take(event: AnswerEvent) -> None:
            events.append(event)
            told.set()

        await answer(QUESTION, Provider(END), limits_of(slots), 10, take)
        return events

    async with asyncio.timeout(PATIENCE):
        async with holding(slots):
            task = asyncio.create_task(ask())
            await told.wait()
        assert await task == [Progress("queued"), END]
    assert slots.running == 0


async def test_who_hears_no_more_closes_the_provider_and_frees_the_slot() -> None:
    provider, slots = Provider(TextDelta("a"), TextDelta("b"), END), Slots(1)

    async def take(event: AnswerEvent) -> None:
        assert slots.running == 1
        raise ConnectionError(event)

    with pytest.raises(ConnectionError, match="'a'"):
        await answer(QUESTION, provider, limits_of(slots), 10, take)
    assert provider.is_closed
    assert slots.running == 0


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (RagUnavailable("away"), RagUnavailable),
        (ValueError("a bug"), RagFailed),
        (asyncio.CancelledError(), RagFailed),
    ],
)
async def test_whatever_breaks_is_a_failure_of_the_question(error: BaseException, failure: type[RagError]) -> None:
    assert type(failure_of(error)) is failure


async def test_the_end_of_the_task_is_none() -> None:
    async def ask() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            failure_of(error)

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
