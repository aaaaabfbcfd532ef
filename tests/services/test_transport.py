"""The transport over real sockets, in both event loops, against a server that misbehaves."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from itertools import chain
from typing import Any

import httpx
import pytest
import uvloop

from app.services import pool as pools
from app.services.dialing import _reach, describe, in_turn
from app.services.lines import MAX_HEAD_BYTES, MAX_HEADERS
from app.services.transport import Exchange, StaleConnection, Transport, is_sent
from app.services.trust import trusted
from tests.client import PATIENCE
from tests.service import ROOT, free_port

pytestmark = pytest.mark.slow

SELF_SIGNED = ROOT / "tests" / "standin" / "self_signed.pem"


def in_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The service runs in uvloop where there is one, else in asyncio's loop."""

    @wraps(test)
    def run(*args: Any, loop: Callable[[], asyncio.AbstractEventLoop], **values: Any) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(test(*args, **values))

    signature = inspect.signature(test)
    loop = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), loop])  # type: ignore[attr-defined]
    loops = [asyncio.new_event_loop, uvloop.new_event_loop]
    both: Callable[..., None] = pytest.mark.parametrize("loop", loops, ids=["asyncio", "uvloop"])(run)
    return both


Reply = bytes | Callable[[], Iterator[bytes]]

# Instead of bytes: stays open, waits for the test, closes, or closes with a reset.
KEEP, WAIT, CLOSE, RESET = b"", b"<wait>", b"<close>", b"<reset>"


@dataclass
class Answering:
    """A server that answers each request with the next reply, the last one again and again, and then does `end`."""

    replies: tuple[Reply, ...]
    end: bytes = KEEP
    url: str = ""
    asked: int = 0
    accepted: int = 0
    sent: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    heads: list[bytes] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    change: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open.add(writer)
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                reply = self.replies[min(self.asked, len(self.replies) - 1)]
                self.asked += 1
                await self._told()
                for piece in chain([reply] if isinstance(reply, bytes) else reply(), [self.end]):
                    if piece == RESET:
                        with_reset = struct.pack("ii", 1, 0)
                        writer.transport.get_extra_info("socket").setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, with_reset
                        )
                    if piece in {CLOSE, RESET} or (piece == WAIT and await self._left(reader)):
                        return
                    if piece != WAIT:
                        writer.write(piece)
                        await writer.drain()
                        self.sent += len(piece)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            self.open.discard(writer)
            await self._told()

    async def _left(self, reader: asyncio.StreamReader) -> bool:
        """Wait for the test; return whether the client has left before."""
        waits = {asyncio.create_task(reader.read(1)), asyncio.create_task(self.go_on.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return not self.go_on.is_set()
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)

    async def _told(self) -> None:
        async with self.change:
            self.change.notify_all()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self.change:
            await self.change.wait_for(is_so)

    async def hung_up(self) -> None:
        await self.until(lambda: not self.open)


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(SELF_SIGNED)
    return context


@asynccontextmanager
async def answering(*replies: Reply, end: bytes = KEEP, tls: bool = False) -> AsyncIterator[Answering]:
    server = Answering(replies, end)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(server.serve(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=server_context() if tls else None)
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def client_of(server: Answering | str, connections: int = 100) -> AsyncIterator[httpx.AsyncClient]:
    url = server if isinstance(server, str) else server.url
    timeout = httpx.Timeout(None, connect=PATIENCE, pool=PATIENCE)
    async with asyncio.timeout(PATIENCE):
        async with httpx.AsyncClient(transport=Transport(url, connections), timeout=timeout) as client:
            yield client


def places(client: httpx.AsyncClient) -> int:
    assert isinstance(client._transport, Transport)
    return client._transport._pool.places


async def settled(is_so: Callable[[], bool]) -> None:
    """Wait for what takes turns of the loop and no time."""
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - nobody but the test wants to know
            await asyncio.sleep(0)


async def emptied(client: httpx.AsyncClient) -> None:
    await settled(lambda: not places(client))


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def without_end(head: bytes, unit: bytes) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        yield head
        piece = unit * (16 * 1024 // len(unit))
        for _ in range(4 * 1024):  # 64 MiB
            yield piece

    return pieces


Outcome = tuple[int, bytes] | type[httpx.TransportError]
BEFORE, WITHIN = httpx.RemoteProtocolError, httpx.ReadError
GOOD = (200, b"ok")

# What is sent, what the server does then, what comes of it, and whether the connection serves again.
CASES: dict[str, tuple[Reply, bytes, Outcome, bool]] = {
    "length": (OK, KEEP, GOOD, True),
    "chunks": (CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", KEEP, GOOD, True),
    "extensions and trailers": (CHUNKED + b"2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n", KEEP, GOOD, True),
    "to the close": (b"HTTP/1.1 200 OK\r\n\r\nok", CLOSE, GOOD, False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nok", CLOSE, GOOD, False),
    "HTTP/1.0 with a length": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", KEEP, GOOD, False),
    "says close": (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), KEEP, GOOD, False),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", KEEP, (204, b""), True),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", KEEP, (304, b""), True),
    "empty": (b"HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n", KEEP, (500, b""), True),
    "no reason": (OK.replace(b" OK", b""), KEEP, GOOD, True),
    "100 before": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, KEEP, GOOD, True),
    "103 before": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, KEEP, GOOD, True),
    "101": (b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nab", KEEP, (101, b""), False),
    "101 without more": (b"HTTP/1.1 101 S\r\n\r\n", KEEP, (101, b""), False),
    "9 kB in a header": (OK.replace(b"OK\r", b"OK\r\nX: " + b"x" * 9_000 + b"\r"), KEEP, GOOD, True),
    "300 headers": (OK.replace(b"OK\r", b"OK" + b"\r\nX: y" * 300 + b"\r"), KEEP, GOOD, True),
    "another response behind": (OK + OK, KEEP, GOOD, False),
    "nonsense behind": (OK + b"nonsense", KEEP, GOOD, False),
    "nothing": (KEEP, CLOSE, BEFORE, False),
    "a reset": (KEEP, RESET, BEFORE, False),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", CLOSE, BEFORE, False),
    "half a head, reset": (b"HTTP/1.1 200 OK\r\nContent-", RESET, BEFORE, False),
    "only 1xx": (b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE, BEFORE, False),
    "another protocol": (b"SSH-2.0-x\r\n\r\n", KEEP, BEFORE, False),
    "zeros": (b"\0" * 100, KEEP, BEFORE, False),
    "two lengths": (OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"), KEEP, BEFORE, False),
    "length and chunks": (CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n"), KEEP, BEFORE, False),
    "a length below zero": (OK.replace(b": 2", b": -2"), KEEP, BEFORE, False),
    "a header without a colon": (OK.replace(b": 2", b""), KEEP, BEFORE, False),
    "bare line feeds": (OK.replace(b"\r\n", b"\n"), KEEP, BEFORE, False),
    "too many headers": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MAX_HEADERS + 1) + b"\r\n", KEEP, BEFORE, False),
    "too long a head": (OK.replace(b"OK", b"O" * (MAX_HEAD_BYTES + 1)), KEEP, BEFORE, False),
    "a status line without end": (without_end(b"HTTP/1.1 200 ", b"x"), KEEP, BEFORE, False),
    "a header without end": (without_end(b"HTTP/1.1 200 OK\r\nX: ", b"x"), KEEP, BEFORE, False),
    "headers without end": (without_end(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), KEEP, BEFORE, False),
    "1xx without end": (without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), KEEP, BEFORE, False),
    "cut in the body": (OK[:-1], CLOSE, WITHIN, False),
    "reset in the body": (OK[:-1], RESET, WITHIN, False),
    "cut between chunks": (CHUNKED + b"2\r\nok\r\n", CLOSE, WITHIN, False),
    "a chunk of no size": (CHUNKED + b"2\r\nok\r\nzz\r\n", KEEP, WITHIN, False),
    "a trailer without end": (without_end(CHUNKED + b"0\r\nX: ", b"x"), KEEP, WITHIN, False),
    "trailers without end": (without_end(CHUNKED + b"0\r\n", b"X: y\r\n"), KEEP, WITHIN, False),
    "an extension without end": (without_end(CHUNKED + b"2;a=", b"x"), KEEP, WITHIN, False),
}


@pytest.mark.parametrize("name", CASES)
@in_both_loops
async def test_what_comes_of_each_response(name: str) -> None:
    reply, end, outcome, serves_again = CASES[name]
    async with answering(reply, OK, end=end) as server, client_of(server) as client:
        if isinstance(outcome, tuple):
            response = await client.get(server.url)
            assert (response.status_code, response.content) == outcome
        else:
            with pytest.raises(outcome) as failure:
                await client.get(server.url)
            assert type(failure.value) is outcome  # none of them is a stale connection
            assert "xxx" not in str(failure.value)  # nothing of what came
        if serves_again:
            assert places(client) == 1
        else:
            await emptied(client)
            await server.hung_up()
        if end == KEEP:
            again = await client.get(server.url)
            assert (again.status_code, again.content) == GOOD
            assert server.accepted == (1 if serves_again else 2)
        assert server.sent < 8 * 1024 * 1024


@in_both_loops
async def test_what_comes_on_an_idle_connection_is_no_answer_to_the_next_question() -> None:
    def unasked() -> Iterator[bytes]:
        yield OK
        yield WAIT
        yield OK.replace(b"ok", b"no")

    async with answering(unasked, OK) as server, client_of(server) as client:
        assert (await client.get(server.url)).content == b"ok"
        server.go_on.set()
        await server.hung_up()
        assert (await client.get(server.url)).content == b"ok"
        assert server.accepted == 2


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([CLOSE], StaleConnection),
        ([RESET], StaleConnection),
        ([b"HTTP/1.1 2", CLOSE], httpx.RemoteProtocolError),
        ([OK[:-1], CLOSE], httpx.ReadError),
    ],
    ids=["closed", "reset", "half a head", "half a body"],
)
@in_both_loops
async def test_only_a_kept_connection_that_brought_nothing_is_stale(
    pieces: list[bytes], error: type[Exception]
) -> None:
    async with answering(OK, lambda: iter(pieces)) as server, client_of(server) as client:
        await client.get(server.url)
        with pytest.raises(error) as failure:
            await client.get(server.url)
        assert type(failure.value) is error
        assert (server.asked, server.accepted) == (2, 1)  # nothing is asked twice
        await emptied(client)


def began(client: httpx.AsyncClient) -> Exchange:
    transport = client._transport
    assert isinstance(transport, Transport)
    exchange = transport.begin(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert exchange is not None
    return exchange


@in_both_loops
async def test_who_is_cancelled_while_waiting_for_a_reply_may_wait_again() -> None:
    async with answering(OK, lambda: iter([WAIT, OK])) as server, client_of(server) as client:
        await client.get(server.url)
        exchange = began(client)
        waiting = asyncio.create_task(exchange.reply())
        await server.until(lambda: server.asked == 2)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        server.go_on.set()
        assert await (await exchange.reply()).aread() == b"ok"
        exchange.close()
        await client.get(server.url)
        assert server.accepted == 1


@pytest.mark.parametrize("reply", [[WAIT], [OK[:-1], WAIT]], ids=["without a reply", "before its end"])
@in_both_loops
async def test_what_is_begun_and_closed_leaves_no_connection(reply: list[bytes]) -> None:
    async with answering(OK, lambda: iter(reply)) as server, client_of(server) as client:
        await client.get(server.url)
        exchange = began(client)
        await server.until(lambda: server.asked == 2)
        if len(reply) > 1:
            await exchange.reply()
        exchange.close()
        await emptied(client)
        await server.hung_up()


@in_both_loops
async def test_what_is_begun_on_a_connection_that_was_closed_is_known_as_stale() -> None:
    async with answering(OK, lambda: iter([CLOSE])) as server, client_of(server) as client:
        await client.get(server.url)
        with pytest.raises(StaleConnection):
            await began(client).reply()
        await emptied(client)


@in_both_loops
async def test_what_httpx_does_not_send_is_refused_before_a_connection_is_opened() -> None:
    async with answering(OK) as server, client_of(server) as client:
        for request in (
            client.build_request("GET", server.url, headers={"X": "a\r\nX-Injected: yes"}),
            client.build_request("GET", "http://127.0.0.2/"),
            client.build_request("GET", server.url.replace("http:", "https:")),
        ):
            with pytest.raises(httpx.LocalProtocolError):
                await client.send(request)
        assert server.accepted == 0


@in_both_loops
async def test_head_has_no_body_whatever_it_says() -> None:
    async with answering(OK.removesuffix(b"ok"), OK) as server, client_of(server) as client:
        assert (await client.head(server.url)).content == b""
        assert (await client.get(server.url)).content == b"ok"


@in_both_loops
async def test_read_timeouts_are_httpxs() -> None:
    def slow() -> Iterator[bytes]:
        yield OK[:-1]
        yield WAIT

    async with answering(lambda: iter([WAIT]), slow) as server, client_of(server) as client:
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                await client.get(server.url, timeout=httpx.Timeout(PATIENCE, read=0.02))
            await server.hung_up()
        await emptied(client)


# The pool


def held() -> Iterator[bytes]:
    yield OK[:-1]
    yield WAIT
    yield b"k"


@in_both_loops
async def test_who_waits_gets_in_order_the_very_connection_that_is_free() -> None:
    order: list[int] = []

    async def ask(number: int) -> None:
        await client.get(server.url)
        order.append(number)

    async with answering(held) as server, client_of(server, 1) as client, asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(ask(number))
        await server.until(lambda: server.asked == 1)
        server.go_on.set()
    assert order == [0, 1, 2, 3]
    assert server.accepted == 1


@pytest.mark.parametrize("way", ["given back", "lost"])
@pytest.mark.parametrize("turns", range(4))
@in_both_loops
async def test_a_turn_of_one_who_has_left_goes_to_the_next(way: str, turns: int) -> None:
    async with answering(held, OK) as server, client_of(server, 1) as client:
        async with client.stream("GET", server.url) as first:
            waiting = [asyncio.create_task(client.get(server.url)) for _ in range(3)]
            await asyncio.sleep(0)
            if way == "given back":
                server.go_on.set()
                await first.aread()
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting[0].cancel()  # it may have had its turn, and has not run since
        assert [(await task).content for task in waiting[1:]] == [b"ok", b"ok"]
        await asyncio.wait(waiting)
        assert places(client) == 1


@in_both_loops
async def test_who_waits_too_long_is_told_how_many_there_are() -> None:
    async with answering(held) as server, client_of(server, 1) as client, client.stream("GET", server.url):
        with pytest.raises(httpx.PoolTimeout, match=r"^all 1 connections are in use$"):
            await client.get(server.url, timeout=httpx.Timeout(None, pool=0.02))
        assert places(client) == 1


@in_both_loops
async def test_the_latest_idle_connection_is_used_and_the_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "IDLE_SECONDS", 0.05)
    async with answering(held, held, held, OK) as server, client_of(server) as client:
        asking = [asyncio.create_task(client.get(server.url)) for _ in range(3)]
        await server.until(lambda: server.asked == 3)
        server.go_on.set()
        await asyncio.wait(asking)
        assert places(client) == 3
        await client.get(server.url)
        assert server.accepted == 3
        await server.hung_up()
        await emptied(client)


@in_both_loops
async def test_one_closed_while_idle_is_forgotten() -> None:
    async with answering(OK) as server, client_of(server) as client:
        await client.get(server.url)
        for writer in server.open:
            writer.close()
        await emptied(client)
        assert (await client.get(server.url)).content == b"ok"


@in_both_loops
async def test_closing_the_client_closes_what_is_open() -> None:
    async with answering(OK, held) as server:
        async with client_of(server) as client:
            await client.get(server.url)
            request = client.build_request("GET", server.url)
            response = await client.send(request, stream=True)
        await server.hung_up()
        with pytest.raises(httpx.ReadError):
            await response.aread()


# Connecting


@in_both_loops
async def test_a_refused_connection_says_where() -> None:
    port = free_port()
    async with client_of(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(httpx.ConnectError, match=rf"^127\.0\.0\.1:{port} cannot be reached: Connection refused$"):
            await client.get(f"http://127.0.0.1:{port}/secret")
        assert not is_sent.get()
        assert places(client) == 0


@pytest.fixture
def _trusting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(SELF_SIGNED))
    trusted.cache_clear()
    yield
    trusted.cache_clear()


@pytest.mark.usefixtures("_trusting")
@in_both_loops
async def test_tls_with_a_certificate_that_is_trusted() -> None:
    async with answering(OK, tls=True) as server, client_of(server) as client:
        for _ in range(2):
            assert (await client.get(server.url)).content == b"ok"
        assert server.accepted == 1


@pytest.mark.usefixtures("_trusting")
@in_both_loops
async def test_a_certificate_for_another_name_is_refused() -> None:
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.2", 0, ssl=server_context())
    async with listening:
        url = f"https://127.0.0.2:{listening.sockets[0].getsockname()[1]}/"
        async with client_of(url) as client:
            with pytest.raises(httpx.ConnectError, match=r"^the certificate of 127\.0\.0\.2 is refused: IP address"):
                await client.get(url)
            assert places(client) == 0


@in_both_loops
async def test_a_server_that_hangs_up_in_the_handshake_has_no_tls() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listening:
        url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        async with client_of(url) as client:
            with pytest.raises(httpx.ConnectError, match=r"^no TLS with 127\.0\.0\.1: "):
                await client.get(url)


def address(sock: socket.socket) -> tuple[int, int, int, str, tuple[str, int]]:
    return socket.AF_INET, socket.SOCK_STREAM, 0, "", sock.getsockname()


@in_both_loops
async def test_the_next_address_is_tried_when_one_does_not_answer_or_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, socket.create_server(("127.0.0.1", 0)) as good:
        # With a full queue it drops what comes, as a route to nowhere does.
        full = [socket.socket() for _ in range(4)]
        for sock in full:
            sock.setblocking(False)
            sock.connect_ex(silent.getsockname())
        refusing = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", free_port()))
        async with asyncio.timeout(PATIENCE):
            for addresses in ([address(silent), address(good)], [refusing, address(good)]):
                with await _reach(addresses) as reached:
                    assert reached.getpeername() == good.getsockname()
                    assert reached.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        for sock in full:
            sock.close()
        with pytest.raises(OSError, match=r"^Connection refused$"):
            await _reach([refusing, refusing])


class Resolving(asyncio.SelectorEventLoop):
    """A loop with a resolver that is slow, and knows no name at first."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups = 0
        self.go_on = asyncio.Event()

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        if host != "dify.example":
            return await super().getaddrinfo(host, port, **options)
        self.lookups += 1
        await self.go_on.wait()
        if self.lookups == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "later")
        return await super().getaddrinfo("127.0.0.1", port, **options)


def test_a_name_is_looked_up_once_for_all_who_wait_and_again_when_that_failed() -> None:
    async def ask_together(loop: Resolving, server: Answering, client: httpx.AsyncClient) -> list[Any]:
        url = server.url.replace("127.0.0.1", "dify.example")
        loop.go_on.clear()
        asking = [asyncio.create_task(client.get(url)) for _ in range(20)]
        before = loop.lookups
        await settled(lambda: loop.lookups > before)
        asking.pop(0).cancel()  # who began it
        loop.go_on.set()
        return await asyncio.gather(*asking, return_exceptions=True)

    async def ask_twice() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Resolving)
        async with answering(OK) as server, client_of(server.url.replace("127.0.0.1", "dify.example")) as client:
            told = {str(error) for error in await ask_together(loop, server, client)}
            assert told == {"the host name dify.example cannot be resolved"}
            assert [response.content for response in await ask_together(loop, server, client)] == [b"ok"] * 19
            assert loop.lookups == 2

    with asyncio.Runner(loop_factory=Resolving) as runner:
        runner.run(ask_twice())


def test_families_take_turns_and_the_preferred_one_begins() -> None:
    six, four = (socket.AF_INET6, 1, 6, "", "six"), (socket.AF_INET, 1, 6, "", "four")
    assert in_turn([six, six, six, four]) == [six, four, six, six]
    assert in_turn([]) == []


def test_addresses_that_fail_in_different_ways_have_a_reason_too() -> None:
    reason = "Network is unreachable; Connection refused"
    assert describe("dify.example", 80, OSError(reason)) == f"dify.example:80 cannot be reached: {reason}"


# Cancelling, and all of it at once


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def steps() -> Iterator[bytes]:
    yield b"HTTP/1.1 100 Continue\r\n\r\n"
    yield OK[:20]
    yield OK[20:-1]
    yield OK[-1:]


@pytest.mark.usefixtures("_trusting")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@in_both_loops
async def test_cancelling_at_any_turn_of_the_loop_leaves_nothing(tls: bool) -> None:
    async with answering(steps, tls=tls) as server, client_of(server) as client:
        is_over, turns, files = False, 0, open_files()
        while not is_over:
            asking = asyncio.create_task(client.get(server.url))
            for _ in range(turns):
                await asyncio.sleep(0)
            is_over = asking.done()
            asking.cancel()
            await asyncio.wait([asking])
            if not is_over:
                await settled(lambda: not places(client) and open_files() == files)
            turns += 1
    assert turns > 5


@in_both_loops
async def test_an_attempt_that_is_left_leaves_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as good, socket.create_server(("127.0.0.1", 0)) as other:
        files, turns, is_over = open_files(), 0, False
        while not is_over:
            reaching = asyncio.create_task(_reach([address(good), address(other)]))
            for _ in range(turns):
                await asyncio.sleep(0)
            is_over = reaching.done()
            reaching.cancel()
            await asyncio.wait([reaching])
            if is_over:
                reaching.result().close()
            await settled(lambda: open_files() == files)
            turns += 1


@pytest.mark.no_cover  # other tests reach the same lines; here they are run many times
@in_both_loops
async def test_nothing_is_left_of_many_questions_with_faults_by_chance() -> None:
    chance = random.Random(7)
    good = [OK, CHUNKED + b"2\r\nok\r\n0\r\n\r\n", OK + OK]
    replies: list[Reply] = [*good * 4, CHUNKED + b"zz\r\n", CLOSE, RESET, lambda: iter([OK[:-1], CLOSE])]
    outcomes: set[str] = set()

    async def ask() -> None:
        try:
            async with client.stream("GET", server.url) as response:
                if chance.random() < 0.9:
                    await response.aread()
            outcomes.add("read")
        except httpx.TransportError as error:
            outcomes.add(type(error).__name__)

    async def ask_often() -> None:
        for _ in range(30):
            asking = asyncio.create_task(ask())
            if chance.random() < 0.2:
                for _ in range(chance.randrange(12)):
                    await asyncio.sleep(0)
                asking.cancel()
            await asyncio.wait([asking])

    async with answering(*(chance.choice(replies) for _ in range(3_000))) as server, client_of(server, 7) as client:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(25):
                tasks.create_task(ask_often())
        assert len(server.open) <= 7
        assert places(client) <= 7
        for writer in list(server.open):
            writer.close()
        await emptied(client)
    assert outcomes == {"read", "ReadError", "RemoteProtocolError", "StaleConnection"}


# Through a proxy


@pytest.mark.usefixtures("_trusting")
@in_both_loops
async def test_through_a_proxy_it_is_told_whose_fault_it_is() -> None:
    refusal, tunnel = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"
    cases: list[tuple[str, tuple[Reply, ...], str | None]] = [
        ("http://dify.example/", (OK,), None),
        ("https://dify.example/", (refusal,), r"^the proxy 127\.0\.0\.1:\d+ refuses: 403 Forbidden$"),
        ("https://dify.example/", (lambda: iter([tunnel, WAIT, OK]),), r"^no TLS with dify\.example: "),
    ]
    for url, replies, refused in cases:
        async with answering(*replies) as proxy:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ALL_PROXY", proxy.url)
                transport = Transport(url)
            async with asyncio.timeout(PATIENCE), httpx.AsyncClient(transport=transport) as client:
                if refused is None:
                    assert (await client.get(url)).content == b"ok"
                    assert is_sent.get()
                else:
                    with pytest.raises((httpx.ConnectError, httpx.ProxyError), match=refused):
                        await client.get(url)
    with pytest.raises(httpx.ConnectError, match=r"^the proxy 127\.0\.0\.1:\d+ cannot be reached: Connection refused$"):
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get(url)


@in_both_loops
async def test_a_proxy_has_as_many_connections_as_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://dify.example/"
    async with answering(held) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with client_of(url, 1) as client, client.stream("GET", url):
            with pytest.raises(httpx.PoolTimeout, match=r"^all 1 connections are in use$"):
                await client.get(url, timeout=httpx.Timeout(None, pool=0.02))
