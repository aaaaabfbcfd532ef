"""What a session does with providers and clients that misbehave."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

import pytest
from starlette.types import Message
from websockets.server import ServerProtocol

from app.codes import CloseCode
from app.config import Settings
from app.errors import RagUnavailable
from app.lifecycle.websocket import Socket
from app.models.lifetime import Ending
from app.models.session import SessionState
from app.models.verdicts import Verdict
from app.observability.observer import Observer, Observers
from app.observability.session_metrics import SessionMetrics
from app.services.question_detector import judge
from app.services.rag import AnswerEnd, AnswerEvent, Hear, Offers, Question, TextDelta
from app.sessions.connection import Connection
from app.sessions.frames import FrameLog
from app.sessions.limits import QueryLimits, Quota, Slots, TokenBucket
from app.sessions.live import LiveSession
from app.sessions.presence import Presence
from tests.client import PATIENCE
from tests.conftest import Serve
from tests.rules import text_of
from tests.service import make_settings

LONG_CHARS = 100_000


class Provider:
    """Does what the text of the question says; there is one, and tests look at it."""

    offers = Offers()

    def __init__(self) -> None:
        self.running = 0
        self.most_running = 0
        self.yielded = 0
        self.closed = asyncio.Event()
        self.let_go = asyncio.Event()

    async def query(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            yield TextDelta("Text.")
            match question.text:
                case "raise?":
                    raise ValueError("a bug with a secret")
                case "fail?":
                    raise RagUnavailable("away")
                case "forget?":
                    return
                case "flood?":
                    while True:
                        self.yielded += 1
                        yield TextDelta("x" * 100_000)
                case "cling?":
                    await _cling_to(self.let_go)
                case "long?":
                    yield TextDelta("word " * (LONG_CHARS // 5))
                case "surrogate?":
                    yield TextDelta("\ud800")
                case "vanish?":
                    raise asyncio.CancelledError
                case "usage?":
                    yield AnswerEnd(usage={"price": object()})
                case "trail?":
                    yield AnswerEnd()
                    yield TextDelta("never heard")
            yield AnswerEnd()
        finally:
            self.running -= 1
            self.closed.set()


async def _cling_to(event: asyncio.Event) -> None:
    """Wait for the event, whatever is cancelled."""
    while not event.is_set():
        try:
            await event.wait()
        except asyncio.CancelledError:
            continue


class NotEvenAGenerator:
    offers = Offers()

    def query(self, question: Question) -> Any:
        raise TypeError("wrong from the start")


provider = Provider()


def open_provider(_: object) -> Provider:
    global provider
    provider = Provider()
    return provider


def open_broken_provider(_: object) -> NotEvenAGenerator:
    return NotEvenAGenerator()


@pytest.fixture
async def rag(start: Serve) -> Any:
    return await start(
        rag_provider="tests.sessions.test_live:open_provider", context_max_chars=1, messages_per_second=1000
    )


@pytest.fixture
async def forgetful(start: Serve) -> Any:
    """A service that ends a session with its connection."""
    return await start(rag_provider="tests.sessions.test_live:open_provider", resume_seconds=0)


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ("raise?", "RAG_FAILED"),
        ("fail?", "RAG_UNAVAILABLE"),
        ("forget?", "RAG_BROKEN_STREAM"),
        ("vanish?", "RAG_FAILED"),
    ],
)
async def test_a_provider_that_breaks_ends_its_answer_and_nothing_else(
    rag: Any, caplog: pytest.LogCaptureFixture, question: str, code: str
) -> None:
    async with rag.connect() as client:
        frames = await client.ask(question)
        assert frames[-2]["error"]["code"] == code
        assert frames[-2]["incomplete"] is True
        assert "secret" not in str(frames)
        assert text_of(await client.ask("well?")) == "Text."
    if question == "raise?":
        assert any(record.exc_info for record in caplog.records)


async def test_a_usage_that_cannot_be_told_is_left_out_with_a_word_in_the_log(
    rag: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with rag.connect() as client:
        frames = await client.ask("usage?")
    assert frames[-2]["usage"] is None
    assert "error" not in frames[-2]
    assert "the usage of an answer is left out" in caplog.text


@pytest.mark.parametrize("call", ["attended", "sent", "started", "cancelled"])
async def test_an_observer_that_raises_is_logged_and_concerns_nobody_else(
    rag: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("a bug of an observer")

    monkeypatch.setattr(SessionMetrics, call, fail)
    async with rag.connect() as client:
        await client.control("instant_query", text="cling?")
        await client.until(type="answer")
        await client.control("cancel")
        await client.settle()
        provider.let_go.set()
        assert text_of(await client.ask("well?")) == "Text."
    failures = [record for record in caplog.records if record.name == "app.observability.observer"]
    assert {record.getMessage() for record in failures} == {"an observer failed: SessionMetrics"}
    assert all(record.exc_info for record in failures)


def test_an_observer_that_raises_keeps_nothing_from_the_others() -> None:
    class Broken:
        def __getattr__(self, call: str) -> Any:
            raise LookupError(call)

    told: list[str] = []

    class Sound:
        def __getattr__(self, call: str) -> Any:
            return lambda *_: told.append(call)

    frame: Any = None
    observers = Observers([cast(Observer, Broken()), cast(Observer, Sound())])
    observers.attended()
    observers.sent(frame)
    observers.started(frame)
    observers.cancelled(frame)
    assert told == ["attended", "sent", "started", "cancelled"]


async def test_half_a_character_of_a_provider_is_not_lost(rag: Any) -> None:
    async with rag.connect() as client:
        assert text_of(await client.ask("surrogate?")) == "Text.\ud800"


async def test_nothing_after_the_end_of_an_answer_is_heard(rag: Any) -> None:
    async with rag.connect() as client:
        assert text_of(await client.ask("trail?")) == "Text."
        await asyncio.wait_for(provider.closed.wait(), PATIENCE)


async def test_a_provider_that_cannot_even_begin_is_a_failed_answer(start: Serve) -> None:
    service = await start(rag_provider="tests.sessions.test_live:open_broken_provider")
    async with service.connect() as client:
        assert (await client.ask("well?"))[-2]["error"]["code"] == "RAG_FAILED"
        assert (await client.ask("and well?"))[-2]["error"]["code"] == "RAG_FAILED"


async def test_a_query_that_does_not_end_holds_up_the_next_one_but_not_the_client(rag: Any) -> None:
    async with rag.connect() as client:
        await client.say("cling?")
        await client.until(content="Text.")
        await client.control("cancel")
        await client.until(stage="idle")
        await client.say("well?")
        await client.until(stage="querying_rag")
        await client.settle()
        provider.let_go.set()
        await client.until(stage="idle")
    assert provider.most_running == 1


async def test_a_client_that_does_not_read_holds_its_provider_back_and_may_still_cancel(rag: Any) -> None:
    async with rag.connect(max_queue=1, close_timeout=1) as client:
        await client.say("flood?")
        await client.until(stage="querying_rag")
        while (before := provider.yielded) == 0 or await _still_yields(before):
            pass
        await client.control("cancel")
        await asyncio.wait_for(provider.closed.wait(), PATIENCE)
        frames = await client.until(stage="idle")
        assert frames[-2]["stage"] == "interrupting"


async def test_a_connection_that_breaks_under_a_send_ends_the_query_and_is_told_once(
    forgetful: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.outcomes")
    async with forgetful.connect(max_queue=1) as client:
        await client.say("flood?")
        await client.until(content="x" * 400)
        client.socket.transport.abort()
        await asyncio.wait_for(provider.closed.wait(), PATIENCE)
    outcomes = [vars(record)["reason"] for record in caplog.records if hasattr(record, "outcome")]
    assert outcomes == ["disconnected"]


class Teller:
    """Has what comes after its first text heard; there is one, and tests tell it what to say."""

    offers = Offers()

    def __init__(self) -> None:
        self.hear: Hear | None = None
        self.rest: asyncio.Queue[AnswerEvent] = asyncio.Queue()

    async def query(self, question: Question, hear: Hear | None = None) -> AsyncGenerator[AnswerEvent, None]:
        self.hear = hear
        yield TextDelta("First. ")
        while True:
            event = await self.rest.get()
            yield event
            if isinstance(event, AnswerEnd):
                return

    def tells(self, text: str) -> bool:
        assert self.hear is not None
        return self.hear(text)


teller = Teller()


def open_teller(_: object) -> Teller:
    global teller
    teller = Teller()
    return teller


@pytest.fixture
async def telling(start: Serve) -> Any:
    return await start(rag_provider="tests.sessions.test_live:open_teller", answer_chunk_chars=400)


async def test_a_text_that_is_heard_leaves_in_its_place(telling: Any) -> None:
    async with telling.connect() as client:
        await client.say("well?")
        await client.until(content="First. ")
        assert teller.tells("Second. ")
        teller.rest.put_nowait(TextDelta("Third. "))
        await client.until(content="Third. ")
        assert teller.tells("Fourth.")
        assert not teller.tells("x" * 401)  # is to be cut
        assert not teller.tells("")
        teller.rest.put_nowait(AnswerEnd())
        await client.until(stage="idle")
        frames = [frame for frame in client.frames if frame["type"] == "answer"]
    assert [frame["content"] for frame in frames] == ["First. ", "Second. ", "Third. ", "Fourth.", ""]
    assert [frame["stream_index"] for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame["seq"] for frame in client.frames] == list(range(1, len(client.frames) + 1))


async def test_nobody_hears_a_query_that_was_cancelled(telling: Any) -> None:
    async with telling.connect() as client:
        await client.say("well?")
        await client.until(content="First. ")
        former = teller.hear
        await client.control("cancel")
        await client.until(stage="idle")
        assert not teller.tells("Second. ")
        await client.say("and well?")
        await client.until(content="First. ")
        assert former is not None
        assert not former("of the former one")
        assert teller.tells("Second. ")
        frames = await client.until(content="Second. ")
    assert "former" not in str(frames)


async def test_nobody_hears_while_no_client_is_there(telling: Any) -> None:
    async with telling.connect() as client:
        await client.say("well?")
        await client.until(content="First. ")
        client.socket.transport.abort()
        while teller.tells("more "):  # noqa: ASYNC110  # until the service knows it: nobody tells the test
            await asyncio.sleep(0)


@pytest.mark.no_cover  # many times the same lines
async def test_a_client_that_does_not_read_is_told_no_more(telling: Any) -> None:
    async with telling.connect(max_queue=1) as client:
        await client.say("well?")
        await client.until(content="First. ")
        told = 0
        while teller.tells("x" * 400):
            told += 1
        assert told  # then what the network took is full
        teller.rest.put_nowait(AnswerEnd())
        texts = [frame["content"] for frame in await client.until(stage="idle") if frame["type"] == "answer"]
    assert texts == ["x" * 400] * told + [""]


LEFT = {"type": "websocket.disconnect", "code": 1000}
"""What a socket yields when its client has left for good, as ASGI has it."""


def make_session(settings: Settings, rag: Provider) -> LiveSession:
    return LiveSession(
        "s",
        SessionState("s", settings, judge=judge),
        rag,
        settings,
        FrameLog(2000, 1_000_000),
        Presence(),
        QueryLimits(TokenBucket(rate=99, burst=99), Quota(), Slots(99)),
    )


def said(text: str) -> Message:
    return {"type": "websocket.receive", "text": text}


async def attend(
    settings: Settings, send: Callable[[str], Awaitable[None]], receive: Callable[[], Awaitable[Message]]
) -> tuple[LiveSession, Connection]:
    """Serve one client over a socket made of two functions, until it is closed."""
    live = make_session(settings, Provider())

    async def send_frame(message: Message) -> None:
        await send(message["text"])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(live.live())
        await live.has_begun
        connection = await live.attend(live.begin(None), receive, send_frame)
        live.end()
    return live, connection


async def test_a_long_text_is_passed_on_in_turns() -> None:
    turn = 0
    turns: list[int] = []
    is_over = asyncio.Event()

    async def send(text: str) -> None:
        frame = json.loads(text)
        if frame["type"] == "answer":
            turns.append(turn)
            if frame["final"]:
                is_over.set()

    async def other() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    messages = iter(['{"type": "asr_chunk", "text": "long?", "is_final": true}'])

    async def receive() -> Message:
        if (message := next(messages, None)) is not None:
            return said(message)
        await is_over.wait()
        return LEFT

    task = asyncio.create_task(other())
    async with asyncio.timeout(PATIENCE):
        await attend(make_settings(unread_frames=10), send, receive)
    task.cancel()
    assert len(turns) > LONG_CHARS // make_settings().answer_chunk_chars
    assert max(map(turns.count, set(turns))) <= 3  # not one turn for many frames


async def test_nothing_is_asked_after_goodbye_though_a_wait_ends_meanwhile() -> None:
    """The socket is slow to take the last frame, and just then a question that may go on is due."""
    frames: list[dict[str, Any]] = []
    is_due = asyncio.Event()

    async def send(text: str) -> None:
        frames.append(json.loads(text))
        if frames[-1].get("stage") == "closed":
            asyncio.get_running_loop().call_later(0.05, is_due.set)
            await is_due.wait()

    messages = iter(
        [
            '{"type": "asr_chunk", "text": "can you tell me", "is_final": true}',
            '{"type": "control", "action": "stop"}',
        ]
    )

    async def receive() -> Message:
        return said(next(messages))

    _, connection = await attend(make_settings(wait_min_ms=1, wait_max_ms=1), send, receive)
    assert connection.close_code == 1000
    assert frames[-1]["stage"] == "closed"


@pytest.mark.parametrize("is_asking", [True, False])
async def test_a_socket_that_takes_nothing_is_given_up(is_asking: bool) -> None:
    """While an answer runs its client may still talk: then the unread frames are counted, else the seconds."""
    settings = make_settings(send_seconds=0.1 if not is_asking else 60, unread_frames=20)
    sent: list[str] = []

    async def send(text: str) -> None:
        if len(sent) >= 3:
            await asyncio.Event().wait()
        sent.append(text)

    async def receive() -> Message:
        await asyncio.sleep(0)
        if is_asking and len(sent) == 2:
            return said('{"type": "control", "action": "instant_query", "text": "cling?"}')
        return said('{"type": "keepalive"}')

    live, connection = await attend(settings, send, receive)
    assert (connection.close_code, connection.close_reason) == (1013, "SLOW_CONSUMER")
    assert connection.unread >= (20 if is_asking else 1)
    assert any("SLOW_CONSUMER" in frame for frame in live.log.frames)


async def end_as_a_message_comes(end: Callable[[LiveSession], None]) -> tuple[list[dict[str, Any]], Provider]:
    """The end and a question come in one turn of the event loop: the frames that were made, and who was asked."""
    rag = Provider()
    live = make_session(make_settings(send_seconds=1), rag)
    messages: asyncio.Queue[Message] = asyncio.Queue()
    is_greeted = asyncio.Event()

    async def send(_: Message) -> None:
        is_greeted.set()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        tasks.create_task(live.live())
        await live.has_begun
        tasks.create_task(live.attend(live.begin(None), messages.get, send))
        await is_greeted.wait()
        messages.put_nowait(said('{"type": "asr_chunk", "text": "well?", "is_final": true}'))
        end(live)
    return [json.loads(frame) for frame in live.log.frames], rag


async def test_a_question_that_comes_with_the_end_of_its_session_is_not_asked() -> None:
    frames, rag = await end_as_a_message_comes(LiveSession.end)
    assert rag.most_running == 0
    assert [frame["seq"] for frame in frames] == [1, 2]


async def test_a_session_that_winds_down_says_nothing_after_its_goodbye() -> None:
    ending = Ending("draining", CloseCode.RESTART, 0)
    frames, _ = await end_as_a_message_comes(lambda live: live.wind_down(ending))
    assert [frame["seq"] for frame in frames] == [1, 2, 3]
    assert frames[-1]["stage"] == "closed"


async def _still_yields(before: int) -> bool:
    for _ in range(200):
        await asyncio.sleep(0)
    return provider.yielded > before


async def test_a_client_that_only_talks_is_held_back_too(rag: Any) -> None:
    async with rag.connect(max_queue=1, close_timeout=1) as client:
        await client.say("flood?")
        await client.until(stage="querying_rag")
        for _ in range(500):
            await client.send("keepalive")
        await client.control("cancel")
        await client.until(stage="idle")
        client.assert_every_message_answered_once()


async def test_one_record_tells_how_each_query_went(rag: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app.outcomes")
    async with rag.connect(close_timeout=1) as client:
        await client.ask("well?")
        await client.ask("fail?")
        await client.say("cling?")
        await client.until(content="Text.")
        await client.control("cancel")
        await client.until(stage="idle")
        provider.let_go.set()
        await client.say("flood?")
        await client.until(stage="querying_rag")
    await asyncio.wait_for(_closed_again(), PATIENCE)
    outcomes = [vars(record) for record in caplog.records if hasattr(record, "outcome")]
    assert [(record["outcome"], record["reason"]) for record in outcomes] == [
        ("answered", None),
        ("failed", "RAG_UNAVAILABLE"),
        ("interrupted", "cancelled"),
        ("interrupted", "disconnected"),
    ]
    assert all(record["query_id"] and record["total_ms"] >= 0 for record in outcomes)
    assert "well?" not in caplog.text


async def _closed_again() -> None:
    while provider.running:
        provider.closed.clear()
        await provider.closed.wait()


async def test_a_bug_is_an_internal_error_and_the_session_goes_on(
    rag: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detector is a collaborator that can be replaced: here by one that raises."""

    def broken(text: str, language: str | None) -> Verdict:
        if text.startswith("bug"):
            raise ZeroDivisionError("a secret")
        return Verdict(False, True, 1, "statement", "", "en")

    monkeypatch.setattr("app.sessions.opening.judge", broken)
    async with rag.connect() as client:
        await client.say("bug")
        ack, error = await client.until(type="error")
        assert ack["received_type"] == "asr_chunk"
        assert error["code"] == "INTERNAL_ERROR"
        assert "secret" not in str(error)
        await client.say("talk")
        await client.until(stage="waiting_for_question")
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("seconds", [0, 60])
async def test_what_has_ended_leaves_nothing_for_the_collector(start: Serve, seconds: int) -> None:
    service = await start(resume_seconds=seconds)
    gone: asyncio.Queue[type] = asyncio.Queue()
    kinds = (Socket, ServerProtocol, LiveSession, Connection)
    gc.collect()
    gc.disable()
    try:
        async with service.connect() as client:
            if not seconds:
                await client.ask("What is RAG?")
            for each in gc.get_objects():
                if isinstance(each, kinds):
                    weakref.finalize(each, gone.put_nowait, type(each))
            del each
        async with asyncio.timeout(PATIENCE):
            assert {await gone.get() for _ in kinds} == {*kinds}
    finally:
        gc.enable()
