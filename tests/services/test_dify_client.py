"""The Dify client over real sockets against a stand-in, and over scripted responses for odd statuses."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from app.config import Settings
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
    Feedback,
    Progress,
    Question,
    TextDelta,
    TextReplaced,
)
from app.services import dify_client, streams, upstream
from app.services.deadlines import SECOND_EVENT_SECONDS
from app.services.dify_client import MOST_RATINGS, OF_THE_MODEL, DifyClient, open_dify
from app.services.large_json import PIECE_BYTES
from app.services.lines import MAX_HEAD_BYTES, MAX_HEADERS
from app.services.streams import THINKING
from tests.client import PATIENCE
from tests.service import ROOT, make_settings
from tests.standin import events
from tests.standin.dify import StandInDify
from tests.standin.exchange import Exchange, Script, Step, StopHabits
from tests.standin.scripts import (
    PING,
    agent_answer,
    answer,
    bare_error,
    blocking,
    chatflow,
    chatflow_failed,
    chatflow_paused,
    close_before_head,
    cut,
    error_event,
    hang,
    keep_open,
    new_agent_answer,
    pings_forever,
    raw,
    replaced_answer,
    reset,
    reset_before_head,
    send,
    slow_head,
    status,
    think_answer,
    trickle,
    wait,
)

KEY = "app-stand-in"
SELF_SIGNED = ROOT / "tests" / "standin" / "self_signed.pem"
NEVER = 60.0
"""A deadline that no test reaches."""
WHAT = Question("What is RAG?", "someone")

message = events.message


@pytest.fixture(autouse=True)
def _no_proxy_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def dify() -> AsyncIterator[StandInDify]:
    async with StandInDify(api_key=KEY) as dify:
        yield dify


def settings_for(base_url: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "dify_api_key": KEY,
        "dify_base_url": base_url,
        "dify_connect_timeout": NEVER,
        "dify_timeout": NEVER,
        "dify_stall_timeout": NEVER,
        "dify_total_timeout": NEVER,
    }
    return make_settings(**(values | changes))


@asynccontextmanager
async def client_of(dify: StandInDify | str, **changes: Any) -> AsyncIterator[DifyClient]:
    """A client whose whole life is bounded, so that a hanging test fails."""
    base_url = dify if isinstance(dify, str) else dify.base_url
    async with asyncio.timeout(PATIENCE), open_dify(settings_for(base_url, **changes)) as client:
        yield client


@dataclass
class Heard:
    events: list[AnswerEvent] = field(default_factory=list)
    error: RagError | None = None

    @property
    def text(self) -> str:
        text = ""
        for event in self.events:
            match event:
                case TextDelta():
                    text += event.text
                case TextReplaced():
                    text = event.text
        return text

    @property
    def end(self) -> AnswerEnd:
        assert self.error is None
        assert isinstance(self.events[-1], AnswerEnd)
        return self.events[-1]

    @property
    def notes(self) -> list[str]:
        return [event.note for event in self.events if isinstance(event, Progress)]


async def hear(client: DifyClient, question: Question = WHAT) -> Heard:
    heard = Heard()
    try:
        async for event in client.query(question):
            heard.events.append(event)
    except RagError as error:
        heard.error = error
    return heard


async def hear_once(dify: StandInDify | str, question: Question = WHAT, **changes: Any) -> Heard:
    async with client_of(dify, **changes) as client:
        return await hear(client, question)


async def hear_until_text(stream: AsyncIterator[AnswerEvent]) -> str:
    async for event in stream:
        if isinstance(event, TextDelta):
            return event.text
    raise AssertionError("no text came")


def interrupted(client: DifyClient, question: Question = WHAT) -> asyncio.Task[None]:
    """Ask, and hang up at the first text, as a conversation does."""

    async def ask() -> None:
        async with aclosing(client.query(question)) as stream:
            await hear_until_text(stream)

    return asyncio.create_task(ask())


@dataclass
class Noted:
    """What a running exchange was called, for tests that compare."""

    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def step(self) -> Step:
        async def step(exchange: Exchange) -> None:
            self.exchanges.append(exchange)

        return step

    @property
    def task_ids(self) -> list[str]:
        return [exchange.ids.task_id for exchange in self.exchanges]


# --- Asking ---


async def test_asks_as_the_contract_says(dify: StandInDify) -> None:
    await hear_once(dify, Question("What is RAG?", "ws-user-s1", inputs={"lang": "en"}, context="before"))

    (request,) = dify.requests
    assert request.body == {
        "query": "What is RAG?",
        "inputs": {"lang": "en"},
        "user": "ws-user-s1",
        "response_mode": "streaming",
        "conversation_id": "",
        "auto_generate_name": False,
    }
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["Content-Type"] == "application/json"


async def test_a_trailing_slash_of_the_base_url_does_no_harm(dify: StandInDify) -> None:
    heard = await hear_once(f"{dify.base_url}/")

    assert heard.text == "Stand-in answer."


async def test_any_text_can_be_asked(dify: StandInDify) -> None:
    question = "水📚\u2028\"\\\x00\n'?" * 1000
    await hear_once(dify, Question(question, "someone"))

    assert dify.requests[0].query == question


async def test_goes_on_with_the_conversation_it_was_given(dify: StandInDify) -> None:
    async with client_of(dify) as client:
        first = await hear(client)
        second = await hear(client, Question("And then?", "someone", first.end.conversation_id))

    assert dify.requests[1].conversation_id == first.end.conversation_id != ""
    assert second.end.conversation_id == first.end.conversation_id
    assert dify.stops == []


async def test_names_the_conversation_before_there_is_text(dify: StandInDify) -> None:
    go = asyncio.Event()
    dify.will([send(PING, events.workflow_started()), wait(go), chatflow("Hi", ping=False)])
    async with client_of(dify) as client, aclosing(client.query(WHAT)) as stream:
        first = await anext(stream)
        go.set()
        rest = [event async for event in stream]

    assert isinstance(first, ConversationNamed)
    assert isinstance(rest[-1], AnswerEnd)
    assert rest[-1].conversation_id == first.conversation_id
    assert not any(isinstance(event, ConversationNamed) for event in rest)


async def test_a_conversation_that_is_gone_is_renewed_once(dify: StandInDify) -> None:
    async with client_of(dify, dify_max_retries=0) as client:
        first = await hear(client)
        dify.forget_conversations()
        second = await hear(client, Question("And then?", "someone", first.end.conversation_id))

    assert [bool(request.conversation_id) for request in dify.requests] == [False, True, False]
    assert second.text == "Stand-in answer."
    assert second.end.conversation_id not in (None, first.end.conversation_id)


async def test_the_renewal_is_not_repeated(dify: StandInDify) -> None:
    dify.will(answer("Hi", conversation_id="c"), status(404), status(404))
    async with client_of(dify) as client:
        await hear(client)
        heard = await hear(client, Question("And then?", "someone", "c"))

    assert isinstance(heard.error, RagRejected)
    assert len(dify.requests) == 3


async def test_without_a_key_nothing_is_asked(dify: StandInDify) -> None:
    heard = await hear_once(dify, dify_api_key=None)

    assert isinstance(heard.error, RagNotConfigured)
    assert dify.requests == dify.calls == []


# --- What is answered ---


@pytest.mark.parametrize(
    ("script", "text", "notes"),
    [
        (answer("", "The", " K2", "\n\n", "- it\u2028", ""), "The K2\n\n- it\u2028", []),
        (answer("今天", "📚", style="classic"), "今天📚", []),
        ([trickle(1), answer("今天", "📚")], "今天📚", []),
        ([trickle(3, 1, 20), chatflow("今天", "📚")], "今天📚", ["Retrieval", "LLM"]),
        (agent_answer("It ", "rains."), "It rains.", []),
        (new_agent_answer("It ", "rains."), "It rains.", []),
        (new_agent_answer("It ", "rain", whole="It rains."), "It rains.", []),
        (think_answer("Hm.", "Yes", "."), "Yes.", [THINKING]),
        (replaced_answer("No", "Yes", "!"), "Yes!", []),
        ([send(message("See ")), answer(send(events.message_file(answer="here.")))], "See here.", []),
        (chatflow("Hi"), "Hi", ["Retrieval", "LLM"]),
        (chatflow("Hi", order="finished_first"), "Hi", ["Retrieval", "LLM"]),
        (chatflow("Hi", order="only_end", nodes=["Look"]), "Hi", ["Look"]),
        (chatflow("Hi", order="only_finished", nodes=["Look"]), "Hi", ["Look"]),
        (send(PING, events.workflow_started(), events.message_end(), events.workflow_finished("Hi")), "Hi", []),
        ([send(PING), answer("From an annotation.")], "From an annotation.", []),
        ([chatflow("Hi", order="end_first"), send(events.tts_message_end())], "Hi", ["Retrieval", "LLM"]),
        (answer("a", send(events.unknown(), events.reasoning_chunk("x")), "b"), "ab", [THINKING]),
        (answer(), "", []),
    ],
    ids=[
        "chat", "classic", "byte by byte", "awkward pieces", "agent", "new agent", "new agent corrects", "think",
        "replace", "text as file", "chatflow", "old order", "only message_end", "only workflow_finished",
        "only in the outputs", "annotation", "tts", "unknown", "empty",
    ],
)  # fmt: skip
async def test_every_kind_of_answer_is_heard(dify: StandInDify, script: Script, text: str, notes: list[str]) -> None:
    dify.will(script)
    heard = await hear_once(dify)

    assert heard.text == text
    assert heard.notes == notes
    assert heard.end.usage == events.USAGE or heard.end.usage is None
    assert dify.stops == []


async def test_thoughts_are_kept_if_told_to(dify: StandInDify) -> None:
    dify.will(think_answer("Hm.", "Yes."))
    heard = await hear_once(dify, dify_think="keep")

    assert heard.text == "<think>\nHm.\n</think>\n\nYes."
    assert heard.notes == []


async def test_sources_and_usage_come_with_the_end(dify: StandInDify) -> None:
    dify.will(answer("Hi", sources=[events.citation(1, "a.pdf"), events.citation(2, "b.md")]))
    heard = await hear_once(dify)

    assert [(source.position, source.title) for source in heard.end.sources] == [(1, "a.pdf"), (2, "b.md")]
    assert heard.end.usage == events.USAGE


async def test_text_comes_out_while_the_answer_is_being_written(dify: StandInDify) -> None:
    go = asyncio.Event()
    dify.will(answer("One", wait(go), " two"))
    async with client_of(dify) as client, aclosing(client.query(WHAT)) as stream:
        assert await hear_until_text(stream) == "One"
        go.set()
        assert await hear_until_text(stream) == " two"


@pytest.mark.no_cover  # many times the same lines
@pytest.mark.slow
async def test_answers_run_side_by_side(dify: StandInDify) -> None:
    go = asyncio.Event()
    dify.will(*[answer(wait(go), str(number)) for number in range(150)])
    async with client_of(dify) as client, asyncio.TaskGroup() as tasks:
        heard = [tasks.create_task(hear(client)) for _ in range(150)]
        await dify.until(lambda: dify.running == 150)
        go.set()

    assert {task.result().text for task in heard} == {str(number) for number in range(150)}
    assert dify.most_running == 150


async def test_a_line_of_megabytes_is_read(dify: StandInDify) -> None:
    dify.will(chatflow(send(events.node_finished("Look", outputs={"text": "x" * 3_000_000})), "Hi", nodes=["Look"]))
    heard = await hear_once(dify)

    assert heard.text == "Hi"


async def test_a_line_over_the_cap_that_is_not_shown_costs_no_answer(dify: StandInDify) -> None:
    large = events.node_finished("Look", outputs={"text": "x" * (streams.MAX_WHOLE_BYTES + 1_000_000)})
    dify.will(chatflow("One ", send(large), "two", nodes=["Look"]))
    heard = await hear_once(dify)

    assert heard.text == "One two"
    assert heard.end.usage == events.USAGE


async def test_text_over_the_cap_breaks_the_stream(dify: StandInDify) -> None:
    dify.will([send(message("Hi"), message("x" * (streams.MAX_TEXT_BYTES + 100_000))), hang()])
    heard = await hear_once(dify)

    assert isinstance(heard.error, RagBrokenStream)
    assert heard.text == "Hi"


@pytest.mark.no_cover  # many times the same lines
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["message", "message_replace", "json", "thought"])
async def test_while_a_long_text_is_read_others_have_their_turn(kind: str) -> None:
    text = "The kettle boils. " * 120_000
    shown = text
    if kind == "thought":
        kind, text, shown = "message", f"<think>{text}</think>Hi", "Hi"
    if kind == "json":
        reply = httpx.Response(200, json={"event": "message", "answer": text})
    else:
        body = events.stream({"event": kind, "answer": text}, events.message_end())
        reply = httpx.Response(200, headers=SSE, content=body)  # all in one read
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    heard = await hear_replies(Replies(reply))
    task.cancel()

    assert heard.text == shown
    assert turns > 2 * len(text) // PIECE_BYTES


@pytest.mark.parametrize(
    "tiny",
    [b"data: x\n\n", b":\n\n", events.block(events.complete(events.node_started("Look"), events.Ids()), "classic")],
)
async def test_thousands_of_small_events_in_one_read_leave_others_their_turn(tiny: bytes) -> None:
    count = 100_000 // len(tiny)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    heard = await hear_replies(Replies(httpx.Response(200, headers=SSE, content=tiny * count + HI)))
    task.cancel()

    assert heard.text == "Hi"
    assert turns > 20


@pytest.mark.no_cover  # many times the same lines
async def test_who_sends_faster_than_it_is_read_does_not_keep_others_waiting() -> None:
    chunks, turns = 100, [0]
    events_of_nothing = b'data: {"event":"node_finished"}\n\n' * 600
    turn = 0

    class Fast(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(chunks):
                turns.append(turn)
                yield events_of_nothing
            yield HI

    async def other() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    heard = await hear_replies(Replies(httpx.Response(200, headers=SSE, stream=Fast())))
    task.cancel()

    assert heard.text == "Hi"
    assert len(set(turns)) == len(turns)


@pytest.mark.parametrize("order", ["end_first", "finished_first"])
async def test_a_body_that_stays_open_after_its_end_delays_nothing(dify: StandInDify, order: Any) -> None:
    dify.will([chatflow("Hi", order=order), keep_open()], [answer("Ho"), pings_forever(0.01)])
    async with client_of(dify) as client:
        first, second = await hear(client), await hear(client)
        await dify.hung_up(2)

    assert (first.text, second.text) == ("Hi", "Ho")
    assert dify.stops == []


@pytest.mark.slow
@pytest.mark.parametrize("order", ["only_end", "only_finished"])
@pytest.mark.parametrize("then", [keep_open(), pings_forever(0.05)], ids=["silence", "pings"])
async def test_the_second_closing_event_is_waited_for_a_short_time(dify: StandInDify, order: Any, then: Step) -> None:
    dify.will([chatflow("Hi", order=order), then])
    async with asyncio.timeout(SECOND_EVENT_SECONDS * 3):
        heard = await hear_once(dify)

    assert heard.text == "Hi"
    assert heard.end.conversation_id
    assert dify.stops == []


@pytest.mark.parametrize("break_off", [cut(), reset()], ids=["cut", "reset"])
async def test_a_break_after_a_closing_event_is_none(dify: StandInDify, break_off: Step) -> None:
    dify.will([chatflow("Hi", order="only_end"), break_off])

    assert (await hear_once(dify)).end.conversation_id


# --- Blocking ---


async def test_asks_in_blocking_mode_if_told_to(dify: StandInDify) -> None:
    dify.will(answer("One two. 三。", sources=[events.citation(1, "a.pdf")]))
    heard = await hear_once(dify, dify_response_mode="blocking", answer_chunk_chars=5)

    assert dify.requests[0].body["response_mode"] == "blocking"
    assert [event.text for event in heard.events if isinstance(event, TextDelta)] == ["One ", "two. ", "三。"]
    assert isinstance(heard.events[0], ConversationNamed)
    assert heard.end.conversation_id == heard.events[0].conversation_id
    assert heard.end.sources[0].title == "a.pdf"
    assert heard.end.usage == events.USAGE
    assert dify.stops == []


async def test_json_is_read_though_a_stream_was_asked_for(dify: StandInDify) -> None:
    dify.will(blocking("Hi"))

    assert (await hear_once(dify)).text == "Hi"


@pytest.mark.parametrize(
    ("answer", "text"),
    [(rb"a \ud83d b", "a \ufffd b"), (rb"\ud83d\ude00", "😀"), (rb"a \ud83d", "a \ufffd"), (b"a \xff", "a \ufffd")],
)
async def test_a_blocking_answer_survives_a_character_that_is_none(answer: bytes, text: str) -> None:
    heard = await hear_replies(Replies(httpx.Response(200, headers=JSON, content=b'{"answer":"%b"}' % answer)))

    assert heard.error is None
    assert heard.text == text


async def test_an_error_is_known_by_its_code_though_its_message_holds_half_an_emoji() -> None:
    gone = rb'{"code":"not_found","message":"\ud83d"}'
    dify = Replies(httpx.Response(404, headers=JSON, content=gone))

    assert (await hear_replies(dify, Question("And?", "someone", "c"))).text == "Hi"


@pytest.mark.parametrize("content_type", ["text/event-stream", "Text/Event-Stream;charset=UTF-8"])
async def test_a_stream_is_read_though_json_was_asked_for(content_type: str) -> None:
    dify = Replies(httpx.Response(200, headers={"Content-Type": content_type}, content=HI))

    assert (await hear_replies(dify, dify_response_mode="blocking")).text == "Hi"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (raw(b'{"half":'), RagBrokenStream),
        (raw(b"[]"), RagBrokenStream),
        (raw(b"{}"), RagFailed),
        (raw(b'{"paused_nodes":["n"],"status":"paused"}'), RagFailed),
        (chatflow_failed(), RagFailed),
        (chatflow_failed("Half"), RagFailed),
        (status(400, {"code": "bad_request", "message": "Run failed: no", "status": 400}), RagRejected),
        (error_event(), RagFailed),
        (status(500), RagUnavailable),
        (close_before_head(), RagUnavailable),
    ],
    ids=[
        "cut JSON",
        "no object",
        "no answer",
        "paused",
        "failed",
        "failed after text",
        "other code",
        "model error",
        "500",
        "closed",
    ],
)
async def test_a_blocking_failure_has_its_code(dify: StandInDify, script: Script, error: type[RagError]) -> None:
    dify.will(script)
    heard = await hear_once(dify, dify_response_mode="blocking")

    assert type(heard.error) is error
    assert len(dify.requests) == 1
    assert dify.stops == []


async def test_a_blocking_workflow_that_waits_for_a_person_has_failed_after_its_text(dify: StandInDify) -> None:
    dify.will(chatflow_paused("Please wait. "), chatflow_paused())
    async with client_of(dify, dify_response_mode="blocking", answer_chunk_chars=7) as client:
        half, nothing = await hear(client), await hear(client)

    assert type(half.error) is type(nothing.error) is RagFailed
    assert isinstance(half.events[0], ConversationNamed)
    assert half.text == "Please wait. "
    assert nothing.text == ""
    assert not any(isinstance(event, AnswerEnd) for event in half.events)


async def test_a_blocking_answer_that_breaks_off_is_broken() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    async with raw_server(head + b'{"answer":"Hi') as server:
        heard = await hear_once(server.base_url, dify_response_mode="blocking")

    assert type(heard.error) is RagBrokenStream


async def test_a_blocking_answer_has_a_bound() -> None:
    body = b" " * (streams.MAX_TEXT_BYTES + 1)
    heard = await hear_replies(Replies(httpx.Response(200, headers=JSON, content=body)))

    assert type(heard.error) is RagBrokenStream


@pytest.mark.parametrize(
    ("changes", "phase"), [({"dify_timeout": 0.05}, "first_text"), ({"dify_total_timeout": 0.05}, "total")]
)
@pytest.mark.parametrize("head", [True, False], ids=["in the body", "before the head"])
async def test_a_blocking_answer_has_deadlines(changes: dict[str, Any], phase: str, head: bool) -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{" if head else b""
    async with raw_server(start, hangs=True) as server:
        heard = await hear_once(server.base_url, dify_response_mode="blocking", **changes)

    assert isinstance(heard.error, RagTimeout)
    assert heard.error.phase == phase


# --- Scripted responses ---

HI = events.stream(message("Hi"), events.message_end())
SSE = {"Content-Type": "text/event-stream; charset=utf-8"}
JSON = {"Content-Type": "application/json"}


class Replies:
    """Answers each request with the next of these, and any further one well."""

    def __init__(self, *replies: httpx.Response | Exception) -> None:
        self.requests: list[httpx.Request] = []
        self._replies = list(replies)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self._replies.pop(0) if self._replies else httpx.Response(200, headers=SSE, content=HI)
        if isinstance(reply, Exception):
            raise reply
        return reply


async def hear_replies(replies: Replies, question: Question = WHAT, **changes: Any) -> Heard:
    async with (
        asyncio.timeout(PATIENCE),
        httpx.AsyncClient(transport=httpx.MockTransport(replies)) as http,
        asyncio.TaskGroup() as tasks,
    ):
        return await hear(DifyClient(http, settings_for("https://dify.example/v1", **changes), tasks), question)


def refusal(status: int, code: str | None, *, retry_after: str | None = None) -> httpx.Response:
    """An error of Dify with a code, or an edge's page without one."""
    headers = {"Location": "https://elsewhere.example/"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    if code is None:
        return httpx.Response(status, html="<html>Sorry</html>", headers=headers)
    return httpx.Response(status, json={"code": code, "message": "No.", "status": status}, headers=headers)


STATUSES: list[tuple[int, str | None, type[RagError]]] = [
    (400, "invalid_param", RagRejected),
    (400, "bad_request", RagRejected),
    *((400, code, RagFailed) for code in sorted(OF_THE_MODEL)),
    (400, None, RagUnavailable),
    (401, "unauthorized", RagRejected),
    (401, None, RagUnavailable),
    (403, "forbidden", RagRejected),
    (403, None, RagUnavailable),
    (404, "not_found", RagRejected),
    (404, None, RagUnavailable),
    (413, "file_too_large", RagRejected),
    (415, "unsupported_media_type", RagRejected),
    (418, None, RagUnavailable),
    (451, None, RagUnavailable),
    (429, "rate_limit_error", RagRateLimited),
    (429, None, RagRateLimited),
    (500, "internal_server_error", RagUnavailable),
    (500, None, RagUnavailable),
    (501, None, RagUnavailable),
    (520, None, RagUnavailable),
    (524, None, RagUnavailable),
    (302, None, RagUnavailable),
    (202, "accepted", RagUnavailable),
    (204, None, RagUnavailable),
]


@pytest.mark.parametrize(("status", "code", "error"), STATUSES)
async def test_a_status_is_its_error_and_is_not_asked_again(
    status: int, code: str | None, error: type[RagError]
) -> None:
    dify = Replies(refusal(status, code, retry_after="0"))
    heard = await hear_replies(dify)

    assert type(heard.error) is error
    assert heard.events == []
    assert len(dify.requests) == 1


PASSING: list[tuple[int, str | None, type[RagError]]] = [
    (429, "too_many_requests", RagRateLimited),
    (408, None, RagUnavailable),
    (408, "request_timeout", RagUnavailable),
    (502, None, RagUnavailable),
    (503, None, RagUnavailable),
    (503, "internal_server_error", RagUnavailable),
    (504, None, RagUnavailable),
]


@pytest.mark.parametrize(("status", "code", "error"), PASSING)
async def test_a_passing_refusal_is_asked_again(status: int, code: str | None, error: type[RagError]) -> None:
    dify = Replies(refusal(status, code))
    heard = await hear_replies(dify)

    assert heard.text == "Hi"
    assert len(dify.requests) == 2
    assert dify.requests[0].content == dify.requests[1].content


@pytest.mark.parametrize(("status", "code", "error"), PASSING)
async def test_without_retries_a_passing_refusal_is_final(status: int, code: str | None, error: type[RagError]) -> None:
    dify = Replies(refusal(status, code))
    heard = await hear_replies(dify, dify_max_retries=0)

    assert type(heard.error) is error
    assert len(dify.requests) == 1


CROWDED = "Too many requests. Please try again later. The current maximum concurrent requests allowed is 1."


def crowded(message: str = CROWDED, code: str = "invalid_param", **headers: str) -> httpx.Response:
    """What two real versions say when the app has as many questions as it may have."""
    return httpx.Response(400, json={"code": code, "message": message, "status": 400}, headers=headers)


async def test_a_crowded_app_that_says_400_is_asked_again() -> None:
    dify = Replies(crowded())

    assert (await hear_replies(dify)).text == "Hi"
    assert len(dify.requests) == 2


async def test_an_app_that_stays_crowded_is_rate_limited() -> None:
    dify = Replies(*[crowded()] * 3)
    heard = await hear_replies(dify)

    assert type(heard.error) is RagRateLimited
    assert len(dify.requests) == 3


async def test_a_crowded_app_is_not_waited_for_beyond_the_deadline() -> None:
    dify = Replies(crowded(**{"Retry-After": "3600"}))
    heard = await hear_replies(dify)

    assert type(heard.error) is RagRateLimited
    assert len(dify.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [crowded("No: Too many requests"), crowded("x is required"), crowded(code="bad_request"), crowded(message="")],
    ids=["elsewhere in the message", "another message", "another code", "no message"],
)
async def test_any_other_400_is_a_refusal(reply: httpx.Response) -> None:
    dify = Replies(reply)
    heard = await hear_replies(dify)

    assert type(heard.error) is RagRejected
    assert len(dify.requests) == 1


async def test_the_place_of_a_question_that_ends_is_waited_for(dify: StandInDify) -> None:
    dify.concurrency_limit = 1
    dify.says_crowded_with = 400
    go = asyncio.Event()
    dify.will(answer("One", wait(go)))
    async with client_of(dify) as client:
        first = asyncio.create_task(hear(client))
        await dify.asked()
        second = asyncio.create_task(hear(client))
        await dify.asked(2)
        go.set()
        assert [(await task).text for task in (first, second)] == ["One", "Stand-in answer."]


async def test_the_last_of_several_failures_is_reported_and_its_cause_kept() -> None:
    dify = Replies(refusal(503, None), refusal(429, "too_many_requests"), httpx.ConnectError("refused"))
    heard = await hear_replies(dify)

    assert type(heard.error) is RagUnavailable
    assert isinstance(heard.error.__cause__, httpx.ConnectError)
    assert len(dify.requests) == 3


@pytest.mark.parametrize(
    ("failure", "error"),
    [(httpx.ConnectError("refused"), RagUnavailable), (httpx.ConnectTimeout("late"), RagTimeout)],
)
async def test_a_failed_connect_is_tried_again(failure: Exception, error: type[RagError]) -> None:
    again = Replies(failure)
    assert (await hear_replies(again)).text == "Hi"
    assert len(again.requests) == 2

    once = Replies(failure)
    heard = await hear_replies(once, dify_max_retries=0)
    assert type(heard.error) is error
    assert heard.error.phase == ("connect" if error is RagTimeout else None)
    assert heard.error.__cause__ is failure
    assert len(once.requests) == 1


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("garbage"),
        httpx.ReadTimeout("late"),
        httpx.ProxyError("no"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_question_whose_fate_is_unknown_is_not_asked_again(failure: Exception) -> None:
    dify = Replies(failure)
    heard = await hear_replies(dify)

    assert type(heard.error) is RagUnavailable
    assert heard.error.__cause__ is failure
    assert len(dify.requests) == 1


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(200, html="<html>Sign in</html>"), RagUnavailable),
        (httpx.Response(200, content=b""), RagUnavailable),
        (httpx.Response(200, text="Hi"), RagUnavailable),
        (httpx.Response(200, headers=SSE, content=b""), RagBrokenStream),
        (httpx.Response(200, headers=SSE, content=b"<html>Sign in</html>"), RagBrokenStream),
        (httpx.Response(200, headers=SSE, content=b"event: ping\n\n"), RagBrokenStream),
        (httpx.Response(200, headers=JSON, content=b""), RagBrokenStream),
    ],
    ids=["HTML", "empty", "text", "empty stream", "HTML as stream", "only a ping", "empty JSON"],
)
async def test_a_good_status_with_another_body_is_an_error(response: httpx.Response, error: type[RagError]) -> None:
    dify = Replies(response)
    heard = await hear_replies(dify)

    assert type(heard.error) is error
    assert len(dify.requests) == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (httpx.Response(403, content=b" \n<!DOCTYPE html><p>No.</p>"), RagUnavailable),
        (httpx.Response(403, text="No.", headers={"Content-Type": "Text/HTML; charset=utf-8"}), RagUnavailable),
        (httpx.Response(403, content=b"", headers={"Content-Type": "text/html"}), RagUnavailable),
        (httpx.Response(403, content=b"<?xml version='1.0'?><Error/>"), RagUnavailable),
        (httpx.Response(403, html="<p>" + "x" * upstream.MAX_ERROR_BYTES), RagUnavailable),
        (httpx.Response(403, text="No."), RagRejected),
        (httpx.Response(403, content=b""), RagRejected),
        (httpx.Response(403, json={"message": "<html>"}), RagRejected),
    ],
    ids=["no type", "no tags", "empty", "XML", "long", "text", "nothing", "JSON"],
)
async def test_a_page_is_a_proxys_and_no_refusal_of_dify(reply: httpx.Response, error: type[RagError]) -> None:
    dify = Replies(reply)

    assert type((await hear_replies(dify)).error) is error
    assert len(dify.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(404, text="404 page not found"),
        httpx.Response(404, json={"code": "app_not_found", "message": "No.", "status": 404}),
        httpx.Response(404, json=["not_found"]),
        httpx.Response(404, json={"code": 404}),
        httpx.Response(404, content=b'{"code":"not_found"' + b" " * upstream.MAX_ERROR_BYTES + b"}", headers=JSON),
        httpx.Response(400, json={"code": "not_found", "message": "No.", "status": 400}),
    ],
    ids=["text", "other code", "array", "number", "too long", "400"],
)
async def test_only_a_conversation_that_is_gone_is_renewed(reply: httpx.Response) -> None:
    dify = Replies(reply)
    heard = await hear_replies(dify, Question("And?", "someone", "c"))

    assert type(heard.error) is RagRejected
    assert len(dify.requests) == 1


async def test_a_gone_conversation_is_known_by_its_code_not_its_text() -> None:
    gone = {"code": "not_found", "message": "Conversation Not Exists. Did you mean ...", "status": 404}
    dify = Replies(httpx.Response(404, json=gone))
    heard = await hear_replies(dify, Question("And?", "someone", "c"))

    assert heard.text == "Hi"
    assert [json.loads(request.content)["conversation_id"] for request in dify.requests] == ["c", ""]


# --- Retry-After ---


async def test_retry_after_is_waited_for() -> None:
    started = time.monotonic()
    dify = Replies(refusal(503, None, retry_after="1"))

    assert (await hear_replies(dify)).text == "Hi"
    assert time.monotonic() - started >= 1


def in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize("value", ["3600", "9" * 400, in_an_hour()], ids=["seconds", "for ever", "date"])
@pytest.mark.parametrize(
    ("reply", "error"), [((429, "too_many_requests"), RagRateLimited), ((503, None), RagUnavailable)]
)
async def test_a_retry_after_beyond_the_deadline_fails_at_once(
    value: str, reply: tuple[int, str | None], error: type[RagError]
) -> None:
    dify = Replies(refusal(*reply, retry_after=value))
    heard = await hear_replies(dify)

    assert type(heard.error) is error
    assert len(dify.requests) == 1


@pytest.mark.parametrize(
    "value",
    ["0", "soon", "-5", "1e3", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 -0000", "Thu, 99 Foo 2099"],
)
async def test_a_retry_after_that_is_past_or_garbage_is_no_reason_to_wait(value: str) -> None:
    dify = Replies(refusal(503, None, retry_after=value))
    heard = await hear_replies(dify, dify_timeout=5)

    assert heard.text == "Hi"
    assert len(dify.requests) == 2


async def test_a_deadline_during_a_backoff_is_the_last_failure() -> None:
    dify = Replies(refusal(502, None), *[refusal(502, None, retry_after="100")] * 9)
    heard = await hear_replies(dify, dify_max_retries=10, dify_timeout=50)

    assert type(heard.error) is RagUnavailable
    assert len(dify.requests) == 2


# --- Connections ---


@dataclass
class RawServer:
    """A server of plain bytes: what no proper server would send."""

    base_url: str
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def raw_server(*replies: bytes, hangs: bool = False) -> AsyncIterator[RawServer]:
    """Answer each request with the next of `replies` (the last one again and again), then close or hang.

    A reply that names its `Keep-Alive` keeps the connection.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                server.requests.append(head)
                reply = replies[min(len(server.requests), len(replies)) - 1]
                writer.write(reply)
                await writer.drain()
                if hangs:
                    await reader.read()
                if b"Keep-Alive" not in reply:
                    break

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Known from the first moment: one that came at the very end is waited for too.
        tasks.append(asyncio.ensure_future(serve(reader, writer)))

    tasks: list[asyncio.Future[None]] = []
    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    server = RawServer(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1")
    try:
        yield server
    finally:
        listening.close()
        await asyncio.gather(*tasks)


def packed(data: bytes, layers: int = 1, content_type: str = "text/event-stream") -> bytes:
    """A response whose body is compressed so often."""
    for _ in range(layers):
        data = gzip.compress(data)
    named = ", ".join(["gzip"] * layers)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Encoding: {named}\r\n\r\n"
    return head.encode() + data


async def test_compression_is_not_asked_for_and_one_layer_is_undone_all_the_same() -> None:
    async with raw_server(packed(HI)) as server:
        heard = await hear_once(server.base_url)

    assert heard.text == "Hi"
    assert b"\r\naccept-encoding: identity\r\n" in server.requests[0].lower()


def bomb() -> bytes:
    return b'{"answer":"' + bytes(40 * 1024 * 1024)


@pytest.mark.no_cover  # many times the same lines
@pytest.mark.slow
# Made when they are needed: each worker collects all tests.
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (lambda: packed(HI, 2), RagBrokenStream),
        (lambda: packed(b"data: " + bomb()), RagBrokenStream),
        (lambda: packed(bomb(), content_type="application/json"), RagBrokenStream),
        (lambda: packed(bomb()).replace(b"200 OK", b"400 No", 1), RagRejected),
        (lambda: packed(b'{"code":"unauthorized"}', 2).replace(b"200 OK", b"401 No", 1), RagRejected),
    ],
    ids=["two layers", "bomb", "bomb in blocking mode", "bomb as an error", "two layers of an error"],
)
async def test_what_a_small_body_may_become_has_a_bound(reply: Callable[[], bytes], error: type[RagError]) -> None:
    async with raw_server(reply()) as server:
        heard = await hear_once(server.base_url)

    assert type(heard.error) is error


async def test_the_reply_to_a_stop_call_has_a_bound_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    one = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + events.stream(message("One"))
    async with raw_server(one, packed(bytes(1_000_000))) as server, client_of(server.base_url) as client:
        await interrupted(client)

    assert "the stop call failed: the body has more than" in caplog.text


async def test_no_cookie_is_kept() -> None:
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: of=another; Path=/\r\nContent-Type: text/event-stream\r\n\r\n"
    async with raw_server(head + events.stream(message("One"))) as server, client_of(server.base_url) as client:
        await interrupted(client)
        await hear(client)

    assert len(server.requests) >= 3
    assert b"cookie" not in b"".join(server.requests).lower()


@asynccontextmanager
async def bare_server(says: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Say this to whoever connects, then close; yields the address."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(says)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("script", [close_before_head(), reset_before_head()], ids=["closed", "reset"])
async def test_a_connection_that_breaks_before_the_head_is_not_asked_again(dify: StandInDify, script: Script) -> None:
    dify.will(script)
    heard = await hear_once(dify)

    assert type(heard.error) is RagUnavailable
    assert len(dify.requests) == 1
    assert dify.stops == []


async def pool_connections(client: DifyClient, dify: StandInDify, number: int = 1) -> None:
    """Leave this many connections behind that are kept alive."""
    go = asyncio.Event()
    dify.will(*[[slow_head(go), status(400)]] * number)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(number):
            tasks.create_task(hear(client))
        await dify.until(lambda: dify.running == number)
        go.set()
    assert len({request.connection for request in dify.requests}) == number


async def test_a_stale_pooled_connection_is_replaced_even_without_retries(dify: StandInDify) -> None:
    async with client_of(dify, dify_max_retries=0) as client:
        await pool_connections(client, dify)
        dify.drops_kept_alive = True
        heard = await hear(client)

    assert heard.text == "Stand-in answer."
    assert len(dify.dropped) == 1
    assert len(dify.requests) == 2


async def test_a_stale_pooled_connection_is_replaced_once(dify: StandInDify) -> None:
    async with client_of(dify) as client:
        await pool_connections(client, dify, 2)
        dify.drops_kept_alive = True
        heard = await hear(client)

    assert type(heard.error) is RagUnavailable
    assert len(dify.dropped) == 2
    assert len(dify.requests) == 2


async def test_connections_closed_while_idle_are_not_used(dify: StandInDify) -> None:
    async with client_of(dify, dify_max_retries=0) as client:
        await pool_connections(client, dify)
        assert await dify.close_idle_connections() == 1
        heard = await hear(client)

    assert heard.text == "Stand-in answer."
    assert dify.dropped == []


REFUSED = b"HTTP/1.1 400 Bad Request\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_kept_connection_that_breaks_in_the_head_is_not_asked_again() -> None:
    async with raw_server(REFUSED, b"HTTP/1.1 200 OK\r\nContent-Ty") as server, client_of(server.base_url) as client:
        await hear(client)
        heard = await hear(client)

    assert type(heard.error) is RagUnavailable
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Ty",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MAX_HEAD_BYTES + 20_000) + b"\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * (MAX_HEAD_BYTES + 20_000) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MAX_HEADERS + 100) + b"\r\n",
        b"\x00" * 100,
    ],
    ids=["other protocol", "half a head", "long header", "long status", "many headers", "zeros"],
)
async def test_a_head_that_cannot_be_read_is_unavailable(head: bytes) -> None:
    async with raw_server(head) as server:
        heard = await hear_once(server.base_url)

    assert type(heard.error) is RagUnavailable
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"x" * 9_000 + b"\r\n",
        b"X: " + b"x" * (MAX_HEAD_BYTES - 100) + b"\r\n",
        b"Set-Cookie: a=b\r\n" * 300,
        b"Set-Cookie: a=b\r\n" * (MAX_HEADERS - 10),
    ],
    ids=["9 kB", "nearly 64 kB", "300", "nearly 1,000"],
)
async def test_a_large_head_before_a_good_answer_is_read(head: bytes) -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + head + b"\r\n" + HI) as server:
        assert (await hear_once(server.base_url)).text == "Hi"


async def test_a_refused_connection_is_unavailable(dify: StandInDify) -> None:
    async with StandInDify() as gone:
        base_url = gone.base_url
    heard = await hear_once(base_url, dify_max_retries=1)

    assert type(heard.error) is RagUnavailable
    assert isinstance(heard.error.__cause__, httpx.ConnectError)
    assert "127.0.0.1" in str(heard.error)
    assert "cannot be reached" in str(heard.error)


async def test_a_host_that_does_not_exist_is_named() -> None:
    heard = await hear_once("http://nowhere.invalid/v1", dify_max_retries=0)

    assert type(heard.error) is RagUnavailable
    assert str(heard.error) == "no connection: the host name nowhere.invalid cannot be resolved"


async def test_a_certificate_that_nothing_trusts_is_refused_and_called_so() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(SELF_SIGNED)
    async with bare_server(b"", context) as address:
        heard = await hear_once(f"https://{address}/v1", dify_max_retries=0)

    assert type(heard.error) is RagUnavailable
    assert str(heard.error).startswith("no connection: the certificate of 127.0.0.1 is refused: self")


async def test_a_server_without_tls_is_called_so() -> None:
    async with bare_server(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        heard = await hear_once(f"https://{address}/v1", dify_max_retries=0)

    assert type(heard.error) is RagUnavailable
    assert str(heard.error).startswith("no connection: no TLS with 127.0.0.1: ")


@pytest.mark.no_cover  # many times the same lines
@pytest.mark.slow
async def test_connections_are_enough_for_all_running_queries_and_no_more(dify: StandInDify) -> None:
    most = 1 + dify_client.SPARE_CONNECTIONS
    dify.default = hang()
    async with (
        client_of(dify, max_running_queries=1, dify_connect_timeout=2, dify_max_retries=0) as client,
        asyncio.TaskGroup() as tasks,
    ):
        running = []
        for number in range(1, most + 1):  # one after the other: connecting may not take long here
            running.append(tasks.create_task(hear(client)))
            await dify.asked(number)
        heard = await hear(client)
        for task in running:
            task.cancel()

    assert type(heard.error) is RagUnavailable
    assert str(heard.error) == f"no connection: all {most} connections are in use"
    assert dify.most_running == most


@pytest.mark.slow
async def test_a_connection_that_becomes_free_is_taken_by_who_waits(dify: StandInDify) -> None:
    most, go_on = 1 + dify_client.SPARE_CONNECTIONS, asyncio.Event()
    dify.default = answer(wait(go_on), "Hi")
    async with client_of(dify, max_running_queries=1) as client:
        running = [asyncio.create_task(hear(client)) for _ in range(most)]
        await dify.asked(most)
        waiting = asyncio.create_task(hear(client))
        go_on.set()
        assert [(await task).text for task in [*running, waiting]] == ["Hi"] * (most + 1)

    assert len({request.connection for request in dify.requests}) == most


# --- Deadlines ---


@pytest.mark.parametrize("retries", [0, 1])
async def test_connecting_has_a_deadline_of_its_own(retries: int) -> None:
    async with raw_server(b"") as server:  # it waits for a request, not for a TLS handshake
        heard = await hear_once(
            server.base_url.replace("http:", "https:"), dify_connect_timeout=0.3, dify_max_retries=retries
        )

    assert isinstance(heard.error, RagTimeout)
    assert heard.error.phase == "connect"
    assert server.connections == retries + 1


async def test_a_slow_connect_is_still_under_the_deadline_of_the_query() -> None:
    async with raw_server(b"") as server:
        heard = await hear_once(server.base_url.replace("http:", "https:"), dify_timeout=0.05)

    assert isinstance(heard.error, RagTimeout)
    assert heard.error.phase == "first_text"


def nodes_forever(interval: float) -> Step:
    async def step(exchange: Exchange) -> None:
        for index in range(1_000_000):
            await exchange.send(events.node_started(f"Node {index}"))
            await exchange.send(events.node_finished(f"Node {index}"))
            await exchange.send(message(""))
            await asyncio.sleep(interval)

    return step


QUIET = [
    pytest.param(hang(), id="silence"),
    pytest.param(pings_forever(0.01), id="pings"),
    pytest.param([send(events.workflow_started()), nodes_forever(0.01)], id="nodes"),
]


@pytest.mark.slow
@pytest.mark.parametrize("quiet", [*QUIET, pytest.param(hang(head=False), id="no head")])
@pytest.mark.parametrize(
    ("changes", "phase"), [({"dify_timeout": 0.1}, "first_text"), ({"dify_total_timeout": 0.1}, "total")]
)
async def test_the_first_text_has_a_deadline_that_nothing_extends(
    dify: StandInDify, quiet: Script, changes: dict[str, Any], phase: str
) -> None:
    dify.will(quiet)
    heard = await hear_once(dify, **changes)

    assert isinstance(heard.error, RagTimeout)
    assert heard.error.phase == phase
    assert heard.text == ""


@pytest.mark.parametrize("quiet", QUIET)
async def test_a_stall_has_a_deadline_that_nothing_extends(dify: StandInDify, quiet: Script) -> None:
    dify.will([send(message("Hi")), quiet])
    async with client_of(dify, dify_stall_timeout=0.1) as client:
        heard = await hear(client)
        await dify.hung_up()
        await dify.stopped()

    assert isinstance(heard.error, RagTimeout)
    assert heard.error.phase == "stall"
    assert heard.text == "Hi"


async def test_an_answer_without_end_has_a_deadline_that_its_text_does_not_extend(dify: StandInDify) -> None:
    async def endless(exchange: Exchange) -> None:
        while True:
            await exchange.send(message("and "))
            await asyncio.sleep(0.01)

    dify.will(endless)
    heard = await hear_once(dify, dify_total_timeout=1, dify_stall_timeout=0.9)

    assert isinstance(heard.error, RagTimeout)
    assert heard.error.phase == "total"
    assert heard.text.startswith("and and ")


@pytest.mark.parametrize(
    "thought", [message("<think>Hm."), message("<thin"), events.reasoning_chunk("Hm.")], ids=["think", "tag", "chunk"]
)
async def test_a_thought_is_text_for_the_deadlines(dify: StandInDify, thought: events.Event) -> None:
    dify.will([send(thought), hang()])
    heard = await hear_once(dify, dify_stall_timeout=0.05)

    assert isinstance(heard.error, RagTimeout)
    assert heard.error.phase == "stall"


async def test_text_goes_on_beyond_the_deadline_of_the_first(dify: StandInDify) -> None:
    go = asyncio.Event()
    dify.will(answer("One", wait(go), " two"))
    async with client_of(dify, dify_timeout=3) as client, aclosing(client.query(WHAT)) as stream:
        assert await hear_until_text(stream) == "One"
        asyncio.get_running_loop().call_later(3.1, go.set)
        assert await hear_until_text(stream) == " two"


@pytest.mark.parametrize("last", [message("One"), events.node_started("Look")], ids=["after text", "after a note"])
async def test_a_client_that_takes_its_time_is_no_stall(dify: StandInDify, last: events.Event) -> None:
    stall, go, loop = 0.6, asyncio.Event(), asyncio.get_running_loop()
    dify.will([send(message("Zero ")), wait(go), send(last), wait(slow := asyncio.Event()), answer(" two")])
    async with client_of(dify, dify_stall_timeout=stall) as client, aclosing(client.query(WHAT)) as stream:
        await hear_until_text(stream)
        go.set()
        await anext(stream)
        taken = loop.create_future()
        loop.call_later(1.5 * stall, taken.set_result, None)
        await taken
        loop.call_later(0.1, slow.set)
        assert await hear_until_text(stream) == " two"


# --- Failures in the stream ---


@pytest.mark.parametrize("text", ["", "Partial"])
@pytest.mark.parametrize(
    "break_off",
    [
        cut(),
        reset(),
        send(b""),
        send(b"data: {nonsense}\n\n"),
        send(b'data: ["message"]\n\n'),
        send(b'data: {"event":"message","answer":"hal'),
        send(b"\xff\xfe\x00" * 9, b"\n\ndata: \xff\n\n"),
    ],
    ids=["cut", "reset", "end", "no JSON", "no object", "half a line", "garbage"],
)
async def test_a_stream_that_breaks_is_broken_after_its_text(dify: StandInDify, text: str, break_off: Step) -> None:
    dify.will([send(message(text)), break_off])
    heard = await hear_once(dify)

    assert type(heard.error) is RagBrokenStream
    assert heard.text == text
    assert len(dify.requests) == 1
    assert isinstance(heard.events[0], ConversationNamed)


@pytest.mark.parametrize("garbage", [b"data: nonsense\n\n", events.block({"event": "error", "message": "No."})])
async def test_text_that_came_in_the_same_read_as_a_failure_goes_out_first(garbage: bytes) -> None:
    body = events.stream(message("Par"), message("tial")) + garbage
    heard = await hear_replies(Replies(httpx.Response(200, headers=SSE, content=body)))

    assert heard.error is not None
    assert heard.events == [ConversationNamed(events.Ids().conversation_id), TextDelta("Partial")]


@pytest.mark.parametrize(
    "garbage", [b"data: ping\n\n", b"data: null\n\n", b"data: nonsense\n\n", b"event: ping\ndata: ping\n\n"]
)
async def test_events_that_cannot_be_read_cost_no_answer(dify: StandInDify, garbage: bytes) -> None:
    dify.will([send(garbage), answer("One", send(garbage), " two")])
    heard = await hear_once(dify)

    assert heard.text == "One two"
    assert isinstance(heard.end, AnswerEnd)
    assert dify.stops == []


@pytest.mark.slow
async def test_a_stream_of_nothing_that_can_be_read_is_broken_at_its_deadline(dify: StandInDify) -> None:
    dify.will([send(b"data: nonsense\n\n"), pings_forever(0.02)])
    heard = await hear_once(dify, dify_timeout=3)

    assert type(heard.error) is RagBrokenStream


async def test_chunks_that_are_none_end_the_answer() -> None:
    first = events.stream(message("Hi"))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(head + b"%x\r\n%b\r\n" % (len(first), first))
        await go.wait()
        writer.write(b"zz\r\nnonsense\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with client_of(base_url) as client, aclosing(client.query(WHAT)) as stream:
            assert await hear_until_text(stream) == "Hi"
            go.set()
            with pytest.raises(RagBrokenStream):
                await anext(stream)


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (error_event(), ""),
        (error_event(after=["Par", "tial"]), "Partial"),
        (bare_error(), ""),
        ([send(message("Partial")), bare_error()], "Partial"),
        (chatflow_failed(), ""),
        (chatflow_failed("Partial"), "Partial"),
        (chatflow_failed(with_error_event=False), ""),
        (chatflow_failed("Partial", with_error_event=False), "Partial"),
        ([chatflow_failed("Partial", with_error_event=False), hang()], "Partial"),
        (chatflow_failed(synthetic=True), ""),
        (
            [
                send(events.workflow_started(), message("Partial")),
                send(events.message_replace("Partial", "workflow_resumption_terminal"), events.message_end()),
                send(events.workflow_finished(status="failed", error="No.")),
            ],
            "Partial",
        ),
        (chatflow_paused(), ""),
        (chatflow_paused("Partial"), "Partial"),
        ([chatflow_paused("Partial"), hang()], "Partial"),
    ],
    ids=[
        "error", "error after text", "bare error", "bare error after text", "failed", "failed after text",
        "no error event", "no error event after text", "body stays open", "synthetic", "resumption", "paused",
        "paused after text", "paused, body open",
    ],
)  # fmt: skip
async def test_a_failure_that_dify_reports_comes_after_the_text(dify: StandInDify, script: Script, text: str) -> None:
    dify.will(script)
    heard = await hear_once(dify)

    assert type(heard.error) is RagFailed
    assert heard.text == text
    assert len(dify.requests) == 1
    assert dify.stops == []


async def test_a_failure_made_up_after_a_whole_answer_is_none(dify: StandInDify) -> None:
    failed = events.workflow_finished(status="failed", error="no terminal event")
    dify.will(
        [send(PING), answer("From an annotation."), send(failed)],
        [send(PING, events.workflow_started(), message("Hi"), events.message_end(), failed)],
    )
    async with client_of(dify) as client:
        assert [(await hear(client)).end.incomplete, (await hear(client)).end.incomplete] == [False, False]


async def test_an_answer_that_dify_itself_stopped_is_incomplete(dify: StandInDify) -> None:
    dify.will(
        [
            send(events.workflow_started(), message("First,"), events.message_end()),
            send(events.workflow_finished(status="stopped", error="Stopped by user.")),
        ]
    )
    heard = await hear_once(dify)

    assert heard.end.incomplete
    assert heard.text == "First,"


# --- Interrupts ---


@pytest.mark.parametrize(
    "kind", [answer("One", hang()), agent_answer("One", hang()), chatflow("One", hang())], ids=["chat", "agent", "flow"]
)
@pytest.mark.parametrize("cancels", [False, True], ids=["closed", "cancelled"])
async def test_an_interrupt_closes_the_stream_and_stops_the_run(dify: StandInDify, kind: Step, cancels: bool) -> None:
    noted = Noted()
    dify.will([noted.step, kind])
    heard_text = asyncio.Event()

    async def ask(client: DifyClient) -> None:
        async for event in client.query(Question("What?", "ws-user-s1")):
            if isinstance(event, TextDelta):
                heard_text.set()

    async with client_of(dify) as client:
        if cancels:
            query = asyncio.create_task(ask(client))
            await heard_text.wait()
            query.cancel()
            await asyncio.wait([query])
            assert query.cancelled()
        else:
            await interrupted(client, Question("What?", "ws-user-s1"))
        await dify.hung_up()
        await dify.stopped()

    assert [(stop.task_id, stop.user) for stop in dify.stops] == [(noted.task_ids[0], "ws-user-s1")]
    assert dify.calls[0].key == KEY
    assert dify.calls[0].body == {"user": "ws-user-s1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "script", [hang(head=False), hang(), [send(PING), hang()]], ids=["no head", "no event", "only a ping"]
)
@pytest.mark.parametrize("is_kept", [False, True], ids=["new connection", "kept connection"])
async def test_before_the_first_event_there_is_nothing_to_stop(
    dify: StandInDify, script: Script, is_kept: bool
) -> None:
    dify.will(*[answer("Hi")] * is_kept, script)
    async with client_of(dify) as client:
        if is_kept:
            await hear(client)
        query = asyncio.create_task(hear(client))
        await dify.asked(1 + is_kept)
        query.cancel()
        await asyncio.wait([query])
        await dify.hung_up()

    assert dify.stops == []


async def test_an_interrupt_during_a_backoff_asks_nothing_more(
    dify: StandInDify, caplog: pytest.LogCaptureFixture
) -> None:
    dify.will(status(503, headers={"Retry-After": "30"}))
    async with client_of(dify) as client:
        query = asyncio.create_task(hear(client))
        await dify.asked()
        await dify.idle()
        query.cancel()
        await asyncio.wait([query])

    assert query.cancelled()
    assert len(dify.requests) == 1
    assert dify.stops == []


async def test_an_interrupt_before_any_text_stops_the_run_too(dify: StandInDify) -> None:
    dify.will([send(PING, events.workflow_started(), events.node_started("LLM")), hang()])
    async with client_of(dify) as client:
        async with aclosing(client.query(WHAT)) as stream:
            await anext(stream)
        await dify.stopped()

    assert dify.stops[0].found


@pytest.mark.parametrize("kind", [answer("One", hang()), chatflow("One", hang())], ids=["chat", "flow"])
async def test_an_interrupted_stream_is_stopped_first_and_read_to_its_closing_event(
    dify: StandInDify, kind: Step
) -> None:
    dify.will(kind)
    async with client_of(dify) as client:
        await interrupted(client)
        await dify.idle()

    assert [stop.found for stop in dify.stops] == [True]  # it ran still, so its stream was open
    assert (dify.hang_ups, dify.cut_short) == (0, 1)


FLOW = chatflow("One", hang())
HABITS = [
    pytest.param(answer("One", hang()), StopHabits(delay=0.1), id="chat"),
    pytest.param(FLOW, StopHabits(delay=0.1), id="chatflow of 0.15"),
    pytest.param(FLOW, StopHabits(delay=0.1, flow_says_message_end=False), id="chatflow of 1.14"),
    pytest.param(FLOW, StopHabits(flow_says_message_end=False, flow_status="failed"), id="between two nodes"),
    pytest.param(FLOW, StopHabits(stays_open=asyncio.Event()), id="open chatflow"),
    pytest.param(answer("One", hang()), StopHabits(stays_open=asyncio.Event()), id="open chat"),
]


@pytest.mark.parametrize(("script", "habits"), HABITS)
async def test_what_was_said_before_an_interrupt_stays_in_the_memory_of_dify(
    dify: StandInDify,
    script: Script,
    habits: StopHabits,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dify_client, "LEAVE_SECONDS", NEVER)  # what is waited for is the closing event
    dify.on_stop = habits
    dify.will(answer("Hi", conversation_id="c"), script)
    async with client_of(dify) as client:
        await hear(client)
        await interrupted(client, Question("And?", "someone", "c"))
        assert (await hear(client, Question("And then?", "someone", "c"))).text == "Stand-in answer."

    assert dify.memory["c"] == ["Hi", "One", "Stand-in answer."]
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_interrupted_stream_that_goes_on_after_its_stop_is_closed_all_the_same(dify: StandInDify) -> None:
    dify.will([send(message("One")), deaf_and_talkative()])
    async with client_of(dify) as client:
        await interrupted(client)
        await dify.hung_up()

    assert len(dify.stops) == 1
    assert (dify.hang_ups, dify.cut_short) == (1, 0)


def deaf_and_talkative() -> Step:
    async def step(exchange: Exchange) -> None:
        exchange.is_deaf = True
        while True:
            await exchange.send(message("and "))
            await asyncio.sleep(0.01)

    return step


async def test_a_deadline_stops_the_run_and_reads_on_too(dify: StandInDify) -> None:
    dify.will(answer("One", hang()))
    async with client_of(dify, dify_stall_timeout=0.05) as client:
        heard = await hear(client)
        await dify.idle()

    assert isinstance(heard.error, RagTimeout)
    assert [stop.found for stop in dify.stops] == [True]
    assert dify.hang_ups == 0


@pytest.mark.parametrize("head", [False, True], ids=["before the head", "after the head"])
@pytest.mark.parametrize("conversation_id", [None, "c"])
async def test_a_question_interrupted_before_its_first_event_is_stopped_as_soon_as_it_has_a_task_id(
    dify: StandInDify, head: bool, conversation_id: str | None
) -> None:
    noted, go = Noted(), asyncio.Event()
    first = [send(PING), wait(go)] if head else [slow_head(go)]
    dify.will(answer("Hi", conversation_id="c"), [noted.step, *first, answer("One", hang())])
    async with client_of(dify) as client:
        await hear(client)
        query = asyncio.create_task(hear(client, Question("And?", "someone", conversation_id)))
        await dify.asked(2)
        query.cancel()
        await asyncio.wait([query])
        assert query.cancelled()
        go.set()
        await dify.stopped()
        await dify.idle()

    assert [(stop.task_id, stop.user, stop.found) for stop in dify.stops] == [(noted.task_ids[0], "someone", True)]
    assert dify.hang_ups == 0


@pytest.mark.parametrize(
    "script",
    [
        pings_forever(0.01),
        [slow_head(asyncio.Event()), answer("One")],
        status(400),
        status(200, html="<p>Hi</p>"),
        blocking("Hi"),
        close_before_head(),
        answer("One"),
    ],
    ids=["pings", "no head", "refused", "page", "JSON", "closed", "whole answer"],
)
async def test_whatever_comes_of_a_question_that_was_left_early_the_next_one_works(
    dify: StandInDify, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    go = asyncio.Event()
    dify.will(answer("Hi", conversation_id="c"), [slow_head(go), script])
    async with client_of(dify) as client:
        await hear(client)
        query = asyncio.create_task(hear(client, Question("And?", "someone", "c")))
        await dify.asked(2)
        query.cancel()
        await asyncio.wait([query])
        go.set()
        assert (await hear(client, Question("And then?", "someone", "c"))).text == "Stand-in answer."

    assert dify.most_running_per_conversation["c"] == 1
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_question_that_never_left_is_given_up_at_once() -> None:
    async with raw_server(b"") as server, asyncio.timeout(dify_client.LEAVE_SECONDS):
        # It waits for a request, not for a TLS handshake.
        base_url = server.base_url.replace("http:", "https:")
        async with open_dify(settings_for(base_url)) as client:
            query = asyncio.create_task(hear(client))
            while not server.connections:  # noqa: ASYNC110 -- nobody tells of a connection
                await asyncio.sleep(0.01)
            query.cancel()
            await asyncio.wait([query])


@pytest.mark.parametrize(
    "script", [cut(), send(b"data: nonsense\n\n"), send(b"")], ids=["cut", "garbage", "end of body"]
)
async def test_a_run_whose_stream_was_lost_is_stopped(dify: StandInDify, script: Step) -> None:
    noted = Noted()
    dify.will([noted.step, send(message("Hi")), script])
    await hear_once(dify)

    assert [stop.task_id for stop in dify.stops] == noted.task_ids


async def test_the_next_question_of_a_conversation_waits_for_the_stop(dify: StandInDify) -> None:
    go = asyncio.Event()
    dify.stop_replies(after=go)
    dify.will(answer("One", hang(), conversation_id="c"))
    async with client_of(dify) as client:
        await interrupted(client)
        following = asyncio.create_task(hear(client, Question("And?", "someone", "c")))
        await dify.stopped()
        assert len(dify.requests) == 1
        go.set()
        assert (await following).text == "Stand-in answer."

    assert dify.most_running_per_conversation["c"] == 1


async def test_the_next_question_of_a_conversation_waits_for_the_closing_event(dify: StandInDify) -> None:
    go = asyncio.Event()

    async def ends_late(exchange: Exchange) -> None:
        exchange.is_deaf = True
        await exchange.send(message("One"))
        await wait(go)(exchange)
        await exchange.send(events.message_end())

    dify.will(answer("Hi", conversation_id="c"), ends_late)
    async with client_of(dify) as client:
        await hear(client)
        await interrupted(client, Question("And?", "someone", "c"))
        following = asyncio.create_task(hear(client, Question("And then?", "someone", "c")))
        await dify.stopped()
        assert len(dify.requests) == 2
        go.set()
        assert (await following).text == "Stand-in answer."

    assert dify.most_running_per_conversation["c"] == 1
    assert dify.hang_ups == 0


async def test_the_deadlines_of_a_question_begin_after_that_wait(dify: StandInDify) -> None:
    dify.will(answer("One", hang(deaf=True), conversation_id="c"))
    async with client_of(dify, dify_timeout=dify_client.LEAVE_SECONDS / 2) as client:
        await interrupted(client)
        assert (await hear(client, Question("And?", "someone", "c"))).text == "Stand-in answer."


@pytest.mark.slow
async def test_it_waits_no_longer_than_its_bound_for_a_stop_that_hangs(dify: StandInDify) -> None:
    dify.stop_replies(hang(head=False))
    dify.will(answer("One", hang(), conversation_id="c"))
    async with client_of(dify) as client:
        await interrupted(client)
        waiting = asyncio.create_task(hear(client, Question("And?", "someone", "c")))
        other = asyncio.create_task(hear(client, Question("Other?", "someone")))
        await dify.asked(3)
        assert (await waiting).text == (await other).text == "Stand-in answer."

    assert [request.query for request in dify.requests] == ["What is RAG?", "Other?", "And?"]
    assert dify.requests[2].at - dify.stops[0].at < dify_client.STOP_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize(
    "task_id", ["..", "a/../b?c#d", "a\nb", "x" * 70_000], ids=["parent", "path", "control", "long"]
)
async def test_a_task_id_that_is_none_of_difys_is_not_asked_for(dify: StandInDify, task_id: str) -> None:
    event = {"event": "message", "conversation_id": "c", "task_id": task_id, "answer": "One"}
    dify.will([raw(f"data: {json.dumps(event)}\n\n".encode()), hang()])
    async with client_of(dify) as client:
        await interrupted(client)
        assert (await hear(client)).text == "Stand-in answer."
        await dify.hung_up()

    assert dify.calls == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [status(500), status(404, html="<html>"), reset_before_head(), close_before_head()],
    ids=["500", "404", "reset", "closed"],
)
async def test_a_stop_that_fails_does_not_matter(dify: StandInDify, script: Script) -> None:
    dify.stop_replies(script)
    dify.will(answer("One", hang(), conversation_id="c"))
    async with client_of(dify) as client:
        await interrupted(client)
        heard = await hear(client, Question("And?", "someone", "c"))

    assert heard.text == "Stand-in answer."
    assert len(dify.stops) == 1


async def test_interrupt_after_interrupt_waits_for_the_latest_stop(dify: StandInDify) -> None:
    dify.will(*[answer("One", hang(), conversation_id="c")] * 5)
    async with client_of(dify) as client:
        for _ in range(5):
            await interrupted(client, Question("And?", "someone", "c" if dify.requests else None))
        await dify.stopped(5)

    assert dify.most_running_per_conversation["c"] == 1
    assert len({stop.task_id for stop in dify.stops}) == 5


async def test_an_old_stop_that_ends_late_does_not_hide_a_newer_one(dify: StandInDify) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    dify.will(*[answer("One", hang(), conversation_id="c")] * 2)
    async with client_of(dify) as client:
        dify.stop_replies(after=first)
        await interrupted(client)
        await dify.stopped(1)
        dify.stop_replies(after=second)
        await interrupted(client, Question("And?", "someone", "c"))
        await dify.stopped(2)
        first.set()
        await hear(client)
        waiting = asyncio.create_task(hear(client, Question("And then?", "someone", "c")))
        await hear(client, Question("Other?", "someone"))
        second.set()
        assert (await waiting).text == "Stand-in answer."

    assert [request.query for request in dify.requests][-2:] == ["Other?", "And then?"]


async def test_closing_waits_for_a_stop_under_way(dify: StandInDify) -> None:
    dify.will(answer("One", hang()))
    async with client_of(dify) as client:
        await interrupted(client)

    assert len(dify.stops) == 1


@pytest.mark.slow
async def test_closing_does_not_wait_long_for_a_stop_that_hangs(dify: StandInDify) -> None:
    dify.stop_replies(hang(head=False))
    dify.will(answer("One", hang()))
    async with asyncio.timeout(dify_client.STOP_SECONDS * 2), client_of(dify) as client:
        await interrupted(client)

    assert len(dify.stops) == 1


async def test_cancelling_the_owner_ends_a_stop_under_way(dify: StandInDify) -> None:
    async def own() -> None:
        async with client_of(dify) as client:
            await interrupted(client)
            await dify.stopped()
            await asyncio.get_running_loop().create_future()

    dify.stop_replies(hang(head=False))
    dify.will(answer("One", hang()))
    owner = asyncio.create_task(own())
    await dify.stopped()
    owner.cancel()
    await asyncio.wait([owner])

    assert owner.cancelled()


# --- Proxies ---


@dataclass
class Proxy:
    """Writes down what it is asked for, and answers itself."""

    address: str
    heads: list[bytes] = field(default_factory=list)


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        recording.heads.append(head)
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + HI)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        recording = Proxy(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield recording


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""], ids=["address", "host and port"])
async def test_a_proxy_of_the_environment_is_used(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    monkeypatch.setenv(variable, f"{scheme}{proxy.address}")
    heard = await hear_once("http://dify.example/v1")

    assert heard.text == "Hi"
    assert proxy.heads[0].startswith(b"POST http://dify.example/v1/chat-messages HTTP/1.1\r\n")


async def test_a_proxy_gets_its_password_and_keeps_it(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HTTP_PROXY", f"http://someone:open-sesame@{proxy.address}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://someone:open-sesame@{proxy.address}")
    assert (await hear_once("http://dify.example/v1")).text == "Hi"
    refused = await hear_once("https://dify.example/v1", dify_max_retries=0)

    assert type(refused.error) is RagUnavailable
    assert b"proxy-authorization: basic " in proxy.heads[0].lower()
    assert proxy.heads[1].startswith(b"CONNECT dify.example:443 ")
    assert KEY.encode() not in proxy.heads[1]
    assert "open-sesame" not in caplog.text + chain_of(refused.error)


@pytest.mark.parametrize("value", ["127.0.0.1", "localhost, 127.0.0.1", "*"])
async def test_no_proxy_is_respected(
    dify: StandInDify, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
    monkeypatch.setenv("NO_PROXY", value)

    assert (await hear_once(dify)).text == "Stand-in answer."
    assert proxy.heads == []


async def test_a_proxy_for_another_scheme_is_not_used(
    dify: StandInDify, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")

    assert (await hear_once(dify)).text == "Stand-in answer."
    assert proxy.heads == []


async def test_a_proxy_that_is_gone_is_unavailable(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    async with StandInDify() as gone:
        monkeypatch.setenv("HTTP_PROXY", gone.base_url)
    heard = await hear_once("http://dify.example/v1", dify_max_retries=0)

    assert type(heard.error) is RagUnavailable
    assert str(heard.error).startswith("no connection: the proxy 127.0.0.1:")


# --- Secrets ---


def chain_of(error: BaseException | None) -> str:
    """Everything that a traceback of this error would say."""
    told = ""
    while error is not None:
        told += f"{error!r} {error} {error.args}\n"
        error = error.__cause__ or error.__context__
    return told


@pytest.mark.parametrize(
    "script",
    [
        status(401),
        status(404),
        status(500),
        status(502, html="<html>"),
        status(302, html="", headers={"Location": "https://elsewhere.example/"}),
        close_before_head(),
        reset_before_head(),
        cut(),
        reset(),
        hang(),
        error_event(after=["Hi"]),
        answer("Hi"),
        send(b"data: nonsense\n\n"),
    ],
    ids=[
        "401", "404", "500", "502", "302", "closed", "reset before the head", "cut", "reset", "silence", "error event",
        "answer", "garbage",
    ],
)  # fmt: skip
async def test_the_key_is_told_to_nobody_but_dify(caplog: pytest.LogCaptureFixture, script: Script) -> None:
    caplog.set_level(logging.DEBUG)
    async with StandInDify(api_key="app-open-sesame") as dify:
        dify.will(script)
        async with client_of(
            dify, dify_api_key="app-open-sesame", dify_max_retries=0, dify_timeout=1, dify_stall_timeout=1
        ) as client:
            heard = await hear(client)
            await interrupted(client)
            told = repr(client) + repr(vars(settings_for(dify.base_url, dify_api_key="app-open-sesame")))
    records = "".join(f"{vars(record)} {record.getMessage()}" for record in caplog.records)

    assert dify.requests[0].key == "app-open-sesame"
    assert "open-sesame" not in told + records + caplog.text + chain_of(heard.error)


async def test_what_was_asked_and_answered_is_not_logged_above_debug(
    dify: StandInDify, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    dify.will(answer("marzipan"), error_event(message="marzipan"), status(400, {"code": "x", "message": "marzipan"}))
    async with client_of(dify) as client:
        for _ in range(3):
            await hear(client, Question("marzipan?", "someone", inputs={"taste": "marzipan"}))

    assert "marzipan" not in caplog.text


async def test_what_is_said_last_of_an_answer_comes_last(dify: StandInDify) -> None:
    go = asyncio.Event()
    dify.replies("/messages/m1/feedbacks", [slow_head(go), status(200, {"result": "success"})])
    dify.replies("/messages/m2/feedbacks", status(200, {"result": "success"}))
    async with client_of(dify) as client:
        for name, rating in (("m1", "like"), ("m1", "dislike"), ("m1", None), ("m2", "like")):
            client.rate(Feedback(name, "ws-user-s1", rating, ""))  # type: ignore[arg-type]  # a literal
        await dify.until(lambda: len(dify.calls) == 2, "a feedback of each")
        go.set()
    told = [(call.path.split("/")[2], call.body["rating"]) for call in dify.calls]
    assert sorted(told[:2]) == [("m1", "like"), ("m2", "like")]
    assert told[2:] == [("m1", "dislike"), ("m1", None)]


async def test_feedback_takes_only_some_connections(dify: StandInDify, caplog: pytest.LogCaptureFixture) -> None:
    go = asyncio.Event()
    for number in range(MOST_RATINGS + 1):
        dify.replies(f"/messages/m{number}/feedbacks", [slow_head(go), status(200, {"result": "success"})])
    async with client_of(dify) as client:
        for number in range(MOST_RATINGS + 1):
            client.rate(Feedback(f"m{number}", "ws-user-s1", "like", ""))
        assert "a feedback is lost" in caplog.text
        await dify.until(lambda: len(dify.calls) == MOST_RATINGS, "feedback")
        go.set()
    assert len(dify.calls) == MOST_RATINGS
