"""The reference client in a real browser, against a service that does what the test says."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import WSCloseCode, web
from playwright.async_api import Page, expect

from tests.client import PATIENCE
from tests.conftest import Serve
from tests.console.conftest import STATIC, OpenPage, fixture
from tests.test_docs import DOCS, blocks

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.no_cover, pytest.mark.slow]

Frame = dict[str, Any]
Act = Callable[[web.WebSocketResponse], Awaitable[None]]
CONNECTED = {"type": "ack", "session_id": "s", "seq": 1, "message": "connected", "protocol": "1"}


class Scripted:
    """Serves a blank page, the modules, and a socket with one act for each connection; then it only listens."""

    def __init__(self) -> None:
        self.acts: deque[Act] = deque()
        self.queries: list[dict[str, str]] = []
        self.offered: list[list[str]] = []
        self.received: asyncio.Queue[Frame] = asyncio.Queue()
        self.url = ""
        self.html = "<!doctype html><title>blank</title>"

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        self.queries.append(dict(request.query))
        self.offered.append([word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")])
        socket = web.WebSocketResponse(protocols=["realtime-rag.v1"], autoclose=False)
        await socket.prepare(request)
        if self.acts:
            await self.acts.popleft()(socket)
        else:
            await socket.send_json(CONNECTED)
        async for message in socket:
            self.received.put_nowait(message.json())
        return socket

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=self.html, content_type="text/html")

    async def nothing(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    async def next(self) -> Frame:
        async with asyncio.timeout(PATIENCE):
            return await self.received.get()


@fixture
async def scripted() -> AsyncIterator[Scripted]:
    scripted = Scripted()
    application = web.Application()
    application.router.add_get("/", scripted.page)
    application.router.add_get("/ws", scripted.socket)
    application.router.add_get("/favicon.ico", scripted.nothing)
    application.router.add_static("/", STATIC)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        scripted.url = f"127.0.0.1:{runner.addresses[0][1]}"
        yield scripted
    finally:
        await runner.cleanup()


BEGIN = """async ({ address, options }) => {
  const { RealtimeRag } = await import("/client.js");
  globalThis.rag = new RealtimeRag(address, options);
  globalThis.seen = [];
  for (const type of ["state", "ack", "status", "answer", "error", "given_up"])
    rag.addEventListener(type, ({ detail }) => seen.push(detail));
  globalThis.until = async (wanted) => {
    const fits = (each) => Object.entries(wanted).every(([name, value]) => each[name] === value);
    while (!seen.some(fits)) await new Promise((resolve) => setTimeout(resolve, 5));
    return seen.find(fits);
  };
  rag.connect();
}"""


@fixture
async def begin(scripted: Scripted, open_page: OpenPage) -> Callable[..., Awaitable[Page]]:
    async def begin(script: str = "", **options: Any) -> Page:
        page = (await open_page(f"http://{scripted.url}/", script=script)).page
        await page.evaluate(BEGIN, {"address": f"ws://{scripted.url}/ws", "options": options})
        return page

    return begin


Begin = Callable[..., Awaitable[Page]]


async def until(page: Page, **wanted: Any) -> Frame:
    async with asyncio.timeout(PATIENCE):
        found = await page.evaluate("(wanted) => until(wanted)", wanted)
    assert isinstance(found, dict)
    return found


def says(*frames: Frame, then_close: int | None = None) -> Act:
    async def act(socket: web.WebSocketResponse) -> None:
        for frame in frames:
            await socket.send_json(frame)
        if then_close is not None:
            await socket.close(code=then_close)

    return act


async def test_a_token_travels_as_a_subprotocol(scripted: Scripted, begin: Begin) -> None:
    page = await begin(token="a.b-c_d")
    await until(page, state="open")
    assert scripted.offered == [["realtime-rag.v1", "bearer.a.b-c_d"]]
    assert scripted.queries == [{}]


async def test_without_a_token_nothing_is_offered(scripted: Scripted, begin: Begin) -> None:
    await until(await begin(), state="open")
    assert scripted.offered == [[""]]


async def test_a_lost_session_is_taken_up_where_it_was(scripted: Scripted, begin: Begin) -> None:
    status = {"type": "status", "session_id": "s", "seq": 2, "stage": "listening"}
    scripted.acts += [
        says({**CONNECTED, "resume_token": "t1"}, status, then_close=WSCloseCode.SERVICE_RESTART),
        says({**CONNECTED, "seq": 2, "resumed": True, "resume_token": "t2"}, {**status, "seq": 3}, then_close=1013),
        says({**CONNECTED, "session_id": "new"}),
    ]
    page = await begin()
    await until(page, state="open", resumed=True)
    await until(page, type="ack", session_id="new")
    assert scripted.queries == [
        {},
        {"resume_token": "t1", "last_seq": "2", "session_id": "s"},
        {"resume_token": "t2", "last_seq": "3", "session_id": "s"},
    ]


@pytest.mark.parametrize("code", [1000, 1002, 4401, 4408, 4409])
async def test_some_ends_are_final(scripted: Scripted, begin: Begin, code: int) -> None:
    refusal = {"type": "error", "code": "UNAUTHORIZED", "message": "No.", "retryable": False}
    scripted.acts.append(says({**CONNECTED, "resume_token": "t1"}, refusal, then_close=code))
    page = await begin()
    await until(page, type="error", code="UNAUTHORIZED")
    assert await until(page, state="closed") == {"state": "closed", "code": code}
    await page.evaluate("seen.length = 0; rag.connect()")  # by hand it begins anew
    await until(page, state="open")
    assert scripted.queries == [{}, {}]


RESUMED = {**CONNECTED, "resumed": True, "resume_token": "t2"}


def acked(seq: int, id: str) -> Frame:
    return {"type": "ack", "session_id": "s", "seq": seq, "received_type": "asr_chunk", "is_final": True, "id": id}


async def go_on_when_lost(page: Page, script: str = "") -> None:
    """Run this as soon as the connection is lost, then come back without a wait."""
    await page.evaluate(
        f"""rag.addEventListener("state", ({{ detail }}) => {{
          if (detail.state !== "waiting") return;
          {script}
          rag.connect();
        }})"""
    )


def hears(scripted: Scripted, count: int, *, then: Act) -> Act:
    async def act(socket: web.WebSocketResponse) -> None:
        await socket.send_json({**CONNECTED, "resume_token": "t1"})
        for _ in range(count):
            scripted.received.put_nowait(await socket.receive_json())
        await then(socket)

    return act


# A real one stays in this state for as long as the browser likes.
CLOSING = """
globalThis.WebSocket = class extends WebSocket {
  get readyState() {
    return globalThis.is_closing ? WebSocket.CLOSING : super.readyState;
  }
  send(data) {
    if (globalThis.is_closing) console.error("WebSocket is already in CLOSING or CLOSED state.");
    else super.send(data);
  }
};
"""


async def test_what_is_said_while_the_connection_closes_is_held_for_the_next(scripted: Scripted, begin: Begin) -> None:
    is_said = asyncio.Event()

    async def close(socket: web.WebSocketResponse) -> None:
        await socket.send_json({**CONNECTED, "resume_token": "t1"})
        await is_said.wait()
        await socket.close(code=1013)

    scripted.acts += [close, says(RESUMED)]
    page = await begin(script=CLOSING)
    await until(page, state="open")
    held = await page.evaluate(
        """() => {
          const held = [];
          rag.addEventListener("held", ({ detail }) => held.push(detail.message));
          globalThis.is_closing = true;
          rag.control("pause");
          globalThis.is_closing = false;
          return held;
        }"""
    )
    is_said.set()
    assert [await scripted.next()] == held
    assert held == [{"type": "control", "action": "pause", "id": held[0]["id"]}]


async def test_every_message_has_an_id_of_its_own(scripted: Scripted, begin: Begin) -> None:
    ids = []
    for _ in range(2):
        page = await begin()
        await until(page, state="open")
        await page.evaluate(
            """rag.configure({ auto_detect: true }); rag.control("pause"); rag.chunk({ text: "how" });
            rag.chunk({ text: "how long", id: "mine" });"""
        )
        ids += [(await scripted.next())["id"] for _ in range(4)]
    assert ids.count("mine") == 2
    assert len(set(ids)) == 7


async def test_what_has_not_arrived_is_sent_again_when_it_is_known(scripted: Scripted, begin: Begin) -> None:
    known, newest = asyncio.Event(), asyncio.Event()

    async def lose(socket: web.WebSocketResponse) -> None:
        await socket.close(code=1013)

    async def resume(socket: web.WebSocketResponse) -> None:
        await socket.send_json({**RESUMED, "newest_seq": 3})
        await known.wait()
        await socket.send_json(acked(2, sent[0]["id"]))
        await newest.wait()
        await socket.send_json({"type": "status", "session_id": "s", "seq": 3, "stage": "waiting_for_question"})

    scripted.acts += [hears(scripted, 4, then=lose), resume]
    page = await begin()
    await go_on_when_lost(page, 'rag.chunk({ text: "three", is_final: true });')
    await page.evaluate(
        """rag.chunk({ text: "one", is_final: true }); rag.chunk({ text: "two", is_final: true, segment_id: 2 });
        rag.chunk({ text: "tw" }); rag.control("cancel");"""
    )
    sent = [await scripted.next() for _ in range(4)]
    known.set()
    await until(page, type="ack", id=sent[0]["id"])
    await page.evaluate('rag.control("pause")')
    assert scripted.received.empty()  # what came up to now may still be answered
    newest.set()
    again = [await scripted.next() for _ in range(4)]
    # The partial of the same speaker has been overtaken.
    assert again[:2] == [sent[1], sent[3]]
    assert [message.get("text", message.get("action")) for message in again] == ["two", "cancel", "three", "pause"]
    await page.evaluate('rag.control("resume")')
    assert (await scripted.next())["action"] == "resume"  # nothing is sent a third time


async def test_who_has_missed_nothing_sends_again_at_once(scripted: Scripted, begin: Begin) -> None:
    async def lose(socket: web.WebSocketResponse) -> None:
        await socket.close(code=1012)

    scripted.acts += [hears(scripted, 1, then=lose), says({**RESUMED, "newest_seq": 1})]
    page = await begin()
    await go_on_when_lost(page)
    await page.evaluate("rag.configure({ auto_detect: false })")
    sent = await scripted.next()
    assert await scripted.next() == sent
    assert sent.items() >= {"type": "configure", "auto_detect": False}.items()


@pytest.mark.parametrize("greeting", [{"resumed": False, "reason": "unknown_token"}, {}])
async def test_a_new_session_gets_the_settings_and_what_was_said(
    scripted: Scripted, begin: Begin, greeting: Frame
) -> None:
    async def lose(socket: web.WebSocketResponse) -> None:
        await socket.close(code=1012)

    scripted.acts += [hears(scripted, 2, then=lose), says({**CONNECTED, **greeting, "session_id": "new"})]
    page = await begin()
    await go_on_when_lost(
        page,
        """rag.configure({ auto_detect: false });
        rag.configure({ on_new_question: "ignore" });
        rag.chunk({ text: "how" });
        rag.chunk({ text: "how long", is_final: true });
        rag.chunk({ text: "is" });
        rag.control("cancel");
        rag.control("instant_query", { text: "Opening hours" });""",
    )
    await page.evaluate('rag.chunk({ text: "Hello.", is_final: true }); rag.control("pause");')
    hello, pause = [await scripted.next() for _ in range(2)]
    configure, *again = [await scripted.next() for _ in range(4)]
    assert configure | {"id": ""} == {
        "type": "configure",
        "auto_detect": False,
        "on_new_question": "ignore",
        "id": "",
    }
    assert again[0] == hello
    assert [message["text"] for message in again] == ["Hello.", "how long", "Opening hours"]
    given_up = await until(page, reason="new_session")
    assert given_up["messages"][0] == pause
    assert [message.get("text", message.get("action")) for message in given_up["messages"]] == ["pause", "is", "cancel"]


async def test_what_is_said_before_the_first_session_is_all_sent(scripted: Scripted, begin: Begin) -> None:
    greet = asyncio.Event()

    async def wait(socket: web.WebSocketResponse) -> None:
        await greet.wait()
        await socket.send_json(CONNECTED)

    scripted.acts.append(wait)
    page = await begin()
    await page.evaluate('rag.control("pause"); rag.configure({ auto_detect: false }); rag.chunk({ text: "how" });')
    greet.set()
    sent = [await scripted.next() for _ in range(3)]
    assert [message["type"] for message in sent] == ["configure", "control", "asr_chunk"]


async def test_what_is_kept_is_bounded_and_what_goes_is_told(scripted: Scripted, begin: Begin) -> None:
    greet = asyncio.Event()

    async def wait(socket: web.WebSocketResponse) -> None:
        await greet.wait()
        await socket.send_json(CONNECTED)

    scripted.acts.append(wait)
    page = await begin()
    await page.evaluate(
        """rag.chunk({ text: "guest", speaker: "guest" });
        for (let i = 0; i < 150; i++) {
          rag.chunk({ text: `${i}` });
          rag.chunk({ text: `${i}`, is_final: true });
        }"""
    )
    greet.set()
    texts = [(await scripted.next())["text"] for _ in range(100)]
    assert texts == [str(i) for i in range(50, 150)]
    given_up = await page.evaluate(
        "seen.filter(({ reason }) => reason === 'limit').flatMap(({ messages }) => messages)"
    )
    # A partial goes before anything else; of finals the oldest.
    assert [message["text"] for message in given_up if message.get("is_final")] == [str(i) for i in range(50)]
    assert next(message["text"] for message in given_up if not message.get("is_final")) == "guest"


async def test_what_nobody_has_answered_at_the_end_is_told(scripted: Scripted, begin: Begin) -> None:
    async def end(socket: web.WebSocketResponse) -> None:
        await socket.send_json(acked(2, "m-1"))
        await socket.close(code=4409)

    scripted.acts.append(hears(scripted, 2, then=end))
    page = await begin()
    await page.evaluate('for (const id of ["m-1", "m-2"]) rag.chunk({ text: id, is_final: true, id });')
    given_up = await until(page, reason="closed")
    assert [message["id"] for message in given_up["messages"]] == ["m-2"]


async def test_a_connection_that_owes_an_answer_is_given_up(scripted: Scripted, begin: Begin) -> None:
    page = await begin(keepalive_ms=30)
    assert (await scripted.next())["type"] == "keepalive"
    assert (await until(page, state="waiting"))["code"] == 1006


async def test_a_connection_without_a_greeting_is_given_up(scripted: Scripted, open_page: OpenPage) -> None:
    refusal = {"type": "error", "code": "INTERNAL_ERROR", "message": "No.", "retryable": False}
    scripted.acts.append(says(refusal))
    page = (await open_page(f"http://{scripted.url}/", locale="en-GB")).page  # a profile of its own, with its own clock
    await page.clock.install()
    await page.evaluate(BEGIN, {"address": f"ws://{scripted.url}/ws", "options": {}})
    await until(page, type="error")
    assert await page.evaluate("seen.map(({ state }) => state)") == ["connecting", None]
    await page.clock.fast_forward(10_000)
    assert (await until(page, state="waiting"))["code"] == 1006
    await until(page, state="open")


async def test_a_connection_that_does_not_open_is_given_up(scripted: Scripted, open_page: OpenPage) -> None:
    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    address = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    watched = await open_page(f"http://{scripted.url}/")
    watched.expected = "WebSocket connection to"
    await watched.page.evaluate(BEGIN, {"address": address, "options": {"greeting_ms": 50}})
    assert (await until(watched.page, state="waiting"))["code"] == 1006
    await watched.page.evaluate("rag.close()")
    watched.addresses[:] = [each for each in watched.addresses if each != address]
    server.close()
    for writer in held:
        writer.close()


WAKE = {
    "the network is there": "globalThis.dispatchEvent(new Event('online'))",
    "somebody looks": "document.dispatchEvent(new Event('visibilitychange'))",
}


@pytest.mark.parametrize("wake", WAKE.values(), ids=WAKE)
async def test_a_wait_ends_early_when_it_may_help(scripted: Scripted, begin: Begin, wake: str) -> None:
    lose, lost = asyncio.Event(), says(CONNECTED, then_close=1012)

    async def wait(socket: web.WebSocketResponse) -> None:
        await lose.wait()
        await lost(socket)

    scripted.acts.append(wait)
    page = await begin()
    await page.evaluate(
        f"""rag.addEventListener("state", ({{ detail }}) => {{
          if (detail.state !== "waiting") return;
          {wake};
          globalThis.then = seen.at(-1).state;
        }})"""
    )
    lose.set()
    await until(page, state="waiting")
    assert await page.evaluate("then") == "connecting"


async def test_nobody_connects_for_a_page_that_is_put_away(scripted: Scripted, begin: Begin) -> None:
    scripted.acts.append(says(CONNECTED, then_close=1012))
    page = await begin()
    await page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    await until(page, state="waiting")
    states = "seen.filter(({ state }) => state).length"
    assert (
        await page.evaluate(
            f"(() => {{ const before = {states}; {WAKE['somebody looks']}; return {states} - before; }})()"
        )
        == 0
    )


@pytest.mark.parametrize("wake", WAKE.values(), ids=WAKE)
async def test_a_connection_is_looked_after_when_it_may_have_died(scripted: Scripted, begin: Begin, wake: str) -> None:
    page = await begin(keepalive_ms=3_600_000)
    await until(page, state="open")
    await page.evaluate(wake)
    assert (await scripted.next())["type"] == "keepalive"


async def test_who_may_have_caused_the_end_waits_longer_each_time(scripted: Scripted, begin: Begin) -> None:
    codes = [1008, 1009, 1011, 1013, 1012, 1012]
    scripted.acts += [says(CONNECTED, then_close=code) for code in codes]
    page = await begin(script="Math.random = () => 1")
    await page.evaluate("rag.addEventListener('state', ({ detail }) => detail.state === 'waiting' && rag.connect())")
    await page.evaluate("rag.connect()")  # the first may have been lost before
    await until(page, state="waiting", code=1012)
    waits = await page.evaluate(
        "seen.filter(({ state }) => state === 'waiting').map(({ code, retry_ms }) => [code, retry_ms])"
    )
    assert [code for code, _ in waits[:5]] == codes[:5]
    assert [ms for _, ms in waits[1:5]] == [1000, 2000, 4000, 500]


async def test_a_message_that_is_too_large_is_not_sent_for_ever(scripted: Scripted, begin: Begin) -> None:
    async def refuse(socket: web.WebSocketResponse) -> None:
        await socket.close(code=1009)

    scripted.acts += [hears(scripted, 2, then=refuse), says({**RESUMED, "newest_seq": 1})]
    page = await begin()
    await page.evaluate(
        """rag.chunk({ text: "x".repeat(999), is_final: true }); rag.chunk({ text: "y", is_final: true });"""
    )
    large, small = [await scripted.next() for _ in range(2)]
    assert (await until(page, reason="too_large"))["messages"] == [large]
    assert await scripted.next() == small


STATUS = {"type": "status", "session_id": "s", "query_id": "q"}
ANSWER = {"type": "answer", "session_id": "s", "query_id": "q", "final": False}
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
  return Object.entries(sessionStorage).flat().join(" ");
}"""


async def test_a_reload_goes_on_where_the_page_was(scripted: Scripted, begin: Begin) -> None:
    async def answer(socket: web.WebSocketResponse) -> None:
        for seq, frame in enumerate(before, 2):
            await socket.send_json({**frame, "seq": seq})

    before: list[Frame] = [
        {"type": "status", "session_id": "s", "stage": "paused"},
        {**STATUS, "stage": "analyzing", "query_id": "p"},
        {**ANSWER, "query_id": "p", "stream_index": 0, "content": "Old.", "final": True},
        {**STATUS, "stage": "idle", "query_id": "p"},
        {**STATUS, "stage": "instant_query", "question": "How long?"},
        {**STATUS, "stage": "querying_rag"},
        {**ANSWER, "stream_index": 0, "content": "Three"},
        {**ANSWER, "stream_index": 1, "content": "Two ", "replace": True},
        {**ANSWER, "stream_index": 2, "content": "years"},
    ]
    scripted.acts += [
        hears(scripted, 2, then=answer),
        says({**RESUMED, "seq": 10, "newest_seq": 11}, {**ANSWER, "seq": 11, "stream_index": 3, "content": ", "}),
        says({**RESUMED, "seq": 11, "newest_seq": 11}, {**ANSWER, "seq": 12, "stream_index": 4, "content": "then."}),
    ]
    page = await begin(token="secret")
    await page.evaluate('rag.configure({ auto_detect: false }); rag.chunk({ text: "Hello.", is_final: true });')
    unanswered = [await scripted.next() for _ in range(2)]
    await until(page, stream_index=2)
    assert await page.evaluate("sessionStorage.length") == 0  # a copy of the tab takes nothing
    for content in ("Two years", "Two years, "):
        await page.reload()
        assert await page.evaluate("sessionStorage.length") == 1
        await page.evaluate(BEGIN, {"address": f"ws://{scripted.url}/ws", "options": {"token": "secret"}})
        assert await page.evaluate("sessionStorage.length") == 0
        shown = await page.evaluate(
            "seen.map((each) => [each.state ?? each.stage, each.content, each.replace, each.kept])"
        )
        assert shown[:5] == [
            ["connecting", None, None, None],
            ["paused", None, None, True],
            ["instant_query", None, None, True],
            ["querying_rag", None, None, True],
            [None, content, True, True],
        ]
        assert await page.evaluate("rag.settings") == {"auto_detect": False}
        assert [await scripted.next() for _ in range(2)] == unanswered
    await until(page, content="then.")
    assert [query.get("last_seq") for query in scripted.queries] == [None, "10", "11"]
    assert [query.get("resume_token") for query in scripted.queries] == [None, "t1", "t2"]


async def test_what_came_too_early_is_sent_once_more_when_it_may_be(scripted: Scripted, begin: Begin) -> None:
    async def refuse(socket: web.WebSocketResponse) -> None:
        await socket.send_json(CONNECTED)
        for _ in range(3):
            message = await socket.receive_json()
            scripted.received.put_nowait(message)
            refusal = {"type": "error", "session_id": "s", "code": "RATE_LIMITED", "message": "Too many messages."}
            await socket.send_json({**refusal, "seq": 2, "id": message["id"], "retryable": True, "retry_after_ms": 20})

    scripted.acts.append(refuse)
    page = await begin()
    await until(page, state="open")  # a partial is not kept for later
    await page.evaluate("rag.chunk({ text: 'so' }); rag.chunk({ text: 'So.', is_final: true }); rag.control('pause');")
    partial, final, pause = [await scripted.next() for _ in range(3)]
    assert [await scripted.next() for _ in range(2)] == [final, pause]
    assert not partial.get("is_final")
    assert await page.evaluate("seen.filter((each) => each.code === 'RATE_LIMITED').length") == 3


async def test_a_copy_of_a_tab_takes_nothing(scripted: Scripted, begin: Begin) -> None:
    scripted.acts.append(says({**CONNECTED, "resume_token": "t1"}))
    page = await begin()
    await until(page, state="open")
    async with page.expect_popup() as popup:
        await page.evaluate("window.open('/')")  # gets what the storage of this tab holds
    copy = await popup.value
    await copy.evaluate(BEGIN, {"address": f"ws://{scripted.url}/ws", "options": {}})
    await until(copy, state="open")
    assert scripted.queries == [{}, {}]


async def test_what_goes_on_is_kept_only_while_nobody_looks_and_holds_no_access_token(
    scripted: Scripted, open_page: OpenPage
) -> None:
    lose = asyncio.Event()

    async def wait(socket: web.WebSocketResponse) -> None:
        await says({**CONNECTED, "resume_token": "t1"})(socket)
        await lose.wait()
        await socket.close(code=1012)

    scripted.acts += [wait, says({**RESUMED, "newest_seq": 1})]
    page = (await open_page(f"http://{scripted.url}/")).page
    address = f"ws://{scripted.url}/ws?token=secret"
    await page.evaluate(BEGIN, {"address": address, "options": {"token": "secret"}})
    await until(page, state="open")
    kept = await page.evaluate(HIDE, True)
    assert '"resume_token":"t1"' in kept
    assert "secret" not in kept
    lose.set()  # a phone changes its network in a pocket, and the token with it
    await until(page, state="open", resumed=True)
    assert '"resume_token":"t2"' in await page.evaluate("Object.values(sessionStorage).join()")
    assert await page.evaluate(HIDE, False) == ""


async def test_what_is_over_is_not_kept(scripted: Scripted, begin: Begin) -> None:
    page = await begin()
    await until(page, state="open")
    await page.evaluate(HIDE, True)
    await page.evaluate("rag.close()")
    assert await page.evaluate(HIDE, True) == ""


async def test_a_reload_that_is_not_resumed_shows_an_old_answer_no_more(scripted: Scripted, begin: Begin) -> None:
    async def answer(socket: web.WebSocketResponse) -> None:
        await socket.send_json({**STATUS, "seq": 2, "stage": "analyzing"})

    scripted.acts += [hears(scripted, 1, then=answer), says({**CONNECTED, "resumed": False, "reason": "unknown_token"})]
    page = await begin()
    await page.evaluate('rag.control("pause")')
    await until(page, stage="analyzing")
    for shown in (1, 0):
        await page.reload()
        await page.evaluate(BEGIN, {"address": f"ws://{scripted.url}/ws", "options": {}})
        await until(page, state="open")
        assert await page.evaluate("seen.filter(({ kept }) => kept).length") == shown
        assert await page.evaluate("seen.filter(({ reason }) => reason === 'new_session').length") == shown


async def test_what_nobody_can_read_in_the_storage_is_in_the_way_only_once(scripted: Scripted, begin: Begin) -> None:
    page = await begin()
    await until(page, state="open")
    await page.evaluate(HIDE, True)
    await page.evaluate(
        """async () => {
          for (const place of Object.keys(sessionStorage)) sessionStorage[place] = "{";
          const { RealtimeRag } = await import("/client.js");
          try {
            new RealtimeRag(rag_address);
          } catch {}
        }""".replace("rag_address", f"'ws://{scripted.url}/ws'")
    )
    assert await page.evaluate("sessionStorage.length") == 0


async def test_a_page_without_a_storage_connects_all_the_same(scripted: Scripted, open_page: OpenPage) -> None:
    script = "Object.defineProperty(globalThis, 'sessionStorage', { get: () => { throw new Error('none'); } });"
    page = (await open_page(f"http://{scripted.url}/", script=script)).page
    await page.evaluate(BEGIN, {"address": f"ws://{scripted.url}/ws", "options": {}})
    await until(page, state="open")
    await page.reload()


async def test_leaving_ends_the_session(scripted: Scripted, begin: Begin) -> None:
    page = await begin()
    await until(page, state="open")
    await page.evaluate("rag.close()")
    assert await until(page, state="closed") == {"state": "closed", "code": 1000}


async def test_the_waits_grow_and_differ(begin: Begin) -> None:
    page = await begin()
    await until(page, state="open")
    waits = await page.evaluate(
        """async () => {
          const { RealtimeRag } = await import("/client.js");
          globalThis.WebSocket = class { constructor() { queueMicrotask(() => this.onclose({ code: 1006 })); } };
          const waits = [];
          globalThis.setTimeout = (next, ms) => void (ms !== 10_000 && waits.length < 18 && queueMicrotask(next));
          const rag = new RealtimeRag("ws://127.0.0.1/");
          let tries = 0;
          Math.random = () => tries++ % 2;
          rag.addEventListener("state", ({ detail }) => detail.retry_ms && waits.push(detail.retry_ms));
          rag.connect();
          await new Promise((resolve) => requestAnimationFrame(resolve));
          return waits;
        }"""
    )
    longest = [min(30_000, 500 * 2**i) for i in range(19)]
    assert waits == [each // 2 if i % 2 == 0 else each for i, each in enumerate(longest)]


async def test_the_page_of_the_docs_works(
    scripted: Scripted, start: Serve, open_page: OpenPage, from_docs: dict[str, Any]
) -> None:
    (page_of_docs,) = blocks("html")
    assert len(page_of_docs.splitlines()) <= 10
    assert "ws://127.0.0.1:8000/ws/realtime-asr" in page_of_docs
    service = await start(**from_docs)
    scripted.html = page_of_docs.replace("ws://127.0.0.1:8000/ws/realtime-asr", service.ws_url)
    watched = await open_page(f"http://{scripted.url}/")
    await watched.page.get_by_placeholder("Ask something").fill("How do I set the Dify key?")
    await watched.page.keyboard.press("Enter")
    await expect(watched.page.locator("#answer")).to_contain_text("DIFY_API_KEY=app-your-key")
    assert watched.addresses.count(service.ws_url) == 1
    watched.addresses.remove(service.ws_url)


async def test_the_script_of_the_docs_feeds_the_client(scripted: Scripted, open_page: OpenPage) -> None:
    (code,) = blocks("js")
    scripted.html = f"""<!doctype html>
        <script type="module">
          import {{ RealtimeRag }} from "./client.js";
          globalThis.rag = new RealtimeRag("ws://{scripted.url}/ws");
          globalThis.socket = {{}};
          rag.connect();
        </script>
        <script type="module">{code}</script>"""
    page = (await open_page(f"http://{scripted.url}/")).page
    await page.evaluate("socket.onmessage({ data: JSON.stringify({ text: 'how long is it' }) })")
    heard = await scripted.next()
    assert heard.items() >= {"type": "asr_chunk", "text": "how long is it", "is_final": True}.items()


async def test_the_lines_of_the_protocol_open_and_close_a_socket(scripted: Scripted, open_page: OpenPage) -> None:
    protocol = (DOCS / "protocol.md").read_text(encoding="utf-8")
    (opens,) = re.findall(r"`(new WebSocket\(.*?\))`", protocol)
    (closes,) = re.findall(r"`(socket\..*?\))`", protocol)
    page = (await open_page(f"http://{scripted.url}/")).page
    code = await page.evaluate(
        f"""async ([url, token]) => {{
          const socket = {opens};
          await new Promise((resolve) => (socket.onmessage = resolve));
          {closes};
          return (await new Promise((resolve) => (socket.onclose = resolve))).code;
        }}""",
        [f"ws://{scripted.url}/ws", "a-token"],
    )
    assert code == 1000
    assert scripted.offered == [["realtime-rag.v1", "bearer.a-token"]]
