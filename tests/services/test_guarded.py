"""The guarded provider: who is asked, who answers, and what is held while it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from app.errors import (
    RagBrokenStream,
    RagError,
    RagFailed,
    RagNotConfigured,
    RagRateLimited,
    RagRejected,
    RagTimeout,
    RagUnavailable,
)
from app.models.answers import (
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Progress,
    Question,
    Source,
    TextDelta,
    TextReplaced,
)
from app.services.breaker import Breaker
from app.services.guarded import GuardedProvider
from app.services.rag import Offers, RagProvider

WHAT = Question("What is RAG?", "someone", conversation_id="of-the-first", context="talk", inputs={"lang": "en"})
DOWN = RagUnavailable("down")
END = AnswerEnd()

Item = AnswerEvent | Exception | asyncio.Event


class Scripted:
    """A provider that does one list of things for each question; the last one again and again."""

    def __init__(self, *scripts: Sequence[Item]) -> None:
        self.scripts = scripts
        self.asked: list[Question] = []
        self.running = 0

    offers = Offers()

    async def query(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        self.asked.append(question)
        self.running += 1
        try:
            for item in self.scripts[min(len(self.asked), len(self.scripts)) - 1]:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, asyncio.Event):
                    await item.wait()
                else:
                    yield item
        finally:
            await asyncio.sleep(0)  # what closes a connection takes a turn of the loop
            self.running -= 1


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def guard(
    first: RagProvider, fallback: RagProvider | None = None, *, limit: int = 0, clock: Clock | None = None
) -> GuardedProvider:
    breaker = Breaker(limit, 30)
    return GuardedProvider(first, breaker, fallback, name="first", fallback_name="second", clock=clock or Clock())


async def hear(provider: RagProvider, question: Question = WHAT) -> tuple[list[AnswerEvent], Exception | None]:
    """What came, and what it ended with."""
    events: list[AnswerEvent] = []
    try:
        async with aclosing(provider.query(question)) as stream:
            async for event in stream:
                events.append(event)
    except Exception as error:
        return events, error
    return events, None


async def test_what_the_first_answers_passes_unchanged() -> None:
    answer: list[AnswerEvent] = [
        ConversationNamed("c"),
        Progress("step"),
        TextDelta("a"),
        TextReplaced("b"),
        AnswerEnd("c", (Source(position=1, title="t", source="s"),), {"total_tokens": 1}, True),
    ]
    first, second = Scripted(answer), Scripted([TextDelta("never"), END])
    assert await hear(guard(first, second)) == (answer, None)
    assert first.asked == [WHAT]
    assert second.asked == []


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        RagTimeout("late", "first_text"),
        RagBrokenStream("cut"),
        RagRejected("401"),
        RagFailed("a node failed"),
        RagRateLimited("429"),
        RagNotConfigured("no key"),
        ValueError("a bug of the provider"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_fails_before_the_first_text_the_fallback_answers(error: Exception) -> None:
    second = Scripted([Progress("looking"), TextDelta("text"), AnswerEnd(usage={"total_tokens": 1})])
    events, failure = await hear(guard(Scripted([Progress("step"), error]), second))
    assert failure is None
    assert events == [
        Progress("step"),
        Progress("looking"),
        TextDelta("text"),
        AnswerEnd(usage={"total_tokens": 1}, provider="second"),
    ]


@pytest.mark.parametrize("nothing", [[END], [TextDelta(""), END], [], [Progress("step")]], ids=repr)
async def test_an_answer_without_text_or_end_is_a_failure_too(nothing: list[AnswerEvent]) -> None:
    events, _ = await hear(guard(Scripted(nothing), Scripted([TextDelta("text"), END])))
    assert events[-2:] == [TextDelta("text"), AnswerEnd(provider="second")]
    _, failure = await hear(guard(Scripted(nothing)))
    assert isinstance(failure, RagFailed if END in nothing else RagBrokenStream)


@pytest.mark.parametrize(
    "answer",
    [[TextReplaced(""), END], [AnswerEnd(incomplete=True)]],
    ids=["replaced by nothing", "stopped by the provider"],
)
async def test_an_answer_may_be_empty_on_purpose(answer: list[AnswerEvent]) -> None:
    assert await hear(guard(Scripted(answer), Scripted([DOWN]))) == (answer, None)


@pytest.mark.parametrize("begin", [TextDelta("half"), TextReplaced("half")], ids=["text", "replacement"])
async def test_after_the_first_text_nobody_else_answers(begin: AnswerEvent) -> None:
    error, second = RagBrokenStream("cut"), Scripted([TextDelta("never"), END])
    assert await hear(guard(Scripted([begin, error]), second)) == ([begin], error)
    assert second.asked == []


async def test_the_conversation_of_the_first_survives_the_fallback() -> None:
    second = Scripted([ConversationNamed("other"), TextDelta("text"), AnswerEnd("other")])
    events, _ = await hear(guard(Scripted([ConversationNamed("c"), DOWN]), second))
    assert events == [ConversationNamed("c"), TextDelta("text"), AnswerEnd(provider="second")]
    (asked,) = second.asked
    assert (asked.text, asked.user, asked.context, asked.inputs) == (WHAT.text, WHAT.user, WHAT.context, WHAT.inputs)
    assert asked.conversation_id is None


async def test_a_conversation_named_by_an_empty_answer_is_known() -> None:
    events, failure = await hear(guard(Scripted([AnswerEnd("c")])))
    assert events == [ConversationNamed("c")]
    assert isinstance(failure, RagFailed)


@pytest.mark.parametrize("trouble", [RagFailed("nothing"), ValueError("a bug"), END], ids=repr)
async def test_when_both_fail_it_is_the_failure_of_the_first(trouble: Item, caplog: pytest.LogCaptureFixture) -> None:
    events, failure = await hear(guard(Scripted([DOWN]), Scripted([Progress("looking"), trouble])))
    assert events == [Progress("looking")]
    assert failure is DOWN
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "first does not answer: RAG_UNAVAILABLE: down"
    assert told[1].startswith("second does not answer")


async def test_a_fallback_that_fails_after_its_text_says_so_itself() -> None:
    error = RagBrokenStream("cut")
    assert await hear(guard(Scripted([DOWN]), Scripted([TextDelta("half"), error]))) == ([TextDelta("half")], error)


async def test_a_bug_of_a_provider_leaves_its_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    await hear(guard(Scripted([ValueError("a bug")]), Scripted([TextDelta("text"), END])))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


async def test_without_a_fallback_the_failure_is_the_answer() -> None:
    assert await hear(guard(Scripted([DOWN]))) == ([], DOWN)


# --- The breaker ---


async def test_an_open_breaker_asks_nobody_and_the_fallback_answers_at_once() -> None:
    first, second, clock = Scripted([DOWN]), Scripted([TextDelta("text"), END]), Clock()
    provider = guard(first, second, limit=2, clock=clock)
    for _ in range(5):
        events, _ = await hear(provider)
        assert events == [TextDelta("text"), AnswerEnd(provider="second")]
    assert len(first.asked) == 2
    assert provider.breaker.failures == {"unavailable": 2}


async def test_without_a_fallback_an_open_breaker_says_when_to_ask_again() -> None:
    first, clock = Scripted([DOWN], [TextDelta("text"), END]), Clock()
    provider = guard(first, limit=1, clock=clock)
    await hear(provider)
    clock.now += 12
    _, failure = await hear(provider)
    assert isinstance(failure, RagUnavailable)
    assert failure.retry_after_ms == 18_000
    assert len(first.asked) == 1
    clock.now += 18
    assert await hear(provider) == ([TextDelta("text"), END], None)
    assert await hear(provider) == ([TextDelta("text"), END], None)


@pytest.mark.parametrize("error", [RagRejected("401"), RagFailed("a node failed")], ids=repr)
async def test_a_refusal_does_not_open_the_breaker(error: RagError) -> None:
    first = Scripted([error])
    provider = guard(first, limit=1)
    await hear(provider)
    await hear(provider)
    assert len(first.asked) == 2


async def test_a_question_is_let_through_as_soon_as_the_one_before_it_has_text() -> None:
    clock, never = Clock(), asyncio.Event()
    first = Scripted([DOWN], [TextDelta("a"), never], [TextDelta("b"), END])
    provider = guard(first, limit=1, clock=clock)
    await hear(provider)
    clock.now += 30
    async with aclosing(provider.query(WHAT)) as probe:
        assert await anext(probe) == TextDelta("a")
        assert await hear(provider) == ([TextDelta("b"), END], None)


async def test_one_question_at_a_time_finds_out_and_one_that_is_cancelled_leaves_its_place() -> None:
    clock, never = Clock(), asyncio.Event()
    first = Scripted([DOWN], [Progress("step"), never], [TextDelta("text"), END])
    provider = guard(first, limit=1, clock=clock)
    await hear(provider)
    clock.now += 30
    has_step = asyncio.Event()

    async def find_out() -> None:
        async with aclosing(provider.query(WHAT)) as events:
            async for _ in events:
                has_step.set()

    probe = asyncio.create_task(find_out())
    await has_step.wait()
    _, refused = await hear(provider)
    assert isinstance(refused, RagUnavailable)
    probe.cancel()
    await asyncio.wait([probe])
    assert first.running == 0
    assert await hear(provider) == ([TextDelta("text"), END], None)


# --- Interrupts ---


@pytest.mark.parametrize("is_first", [True, False], ids=["the first", "the fallback"])
@pytest.mark.parametrize("cancels", [True, False], ids=["cancelled", "closed"])
async def test_an_interrupt_closes_what_runs_at_once(is_first: bool, cancels: bool) -> None:
    running, has_text = Scripted([TextDelta("text"), asyncio.Event()]), asyncio.Event()
    provider = guard(running) if is_first else guard(Scripted([DOWN]), running)

    async def ask() -> None:
        async with aclosing(provider.query(WHAT)) as events:
            async for _ in events:
                has_text.set()
                if not cancels:
                    return

    task = asyncio.create_task(ask())
    await has_text.wait()
    if cancels:
        task.cancel()
    await asyncio.wait([task])
    assert running.running == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert provider.breaker.is_closed


# --- What it says of itself ---


class Forgetful(Scripted):
    offers = Offers(is_stateless=True)


async def test_it_remembers_what_the_first_remembers() -> None:
    assert guard(Forgetful([END]), Scripted([END])).offers.is_stateless
    assert not guard(Scripted([END]), Forgetful([END])).offers.is_stateless


def test_a_misspelt_offer_is_an_error_of_types() -> None:
    with pytest.raises(TypeError):
        Offers(is_statless=True)  # type: ignore[call-arg]  # mypy tells when it would not be one
