"""The short way of a handshake is the long one, only sooner: what it takes, h11 and websockets take as the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from app.lifecycle.handshake import handshake_in
from app.lifecycle.server import Server, make_server
from app.lifecycle.websocket import Socket
from app.observability.logs import NO_NEWS
from app.sessions.direct import EXTENSION
from tests.service import Service, make_settings
from tests.wire.test_edge import END, handshake, plug

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
NEEDED = ["Host: a", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
WHOLE = [*NEEDED, f"Sec-WebSocket-Key: {KEY}"]

# As they send it, but for what they say of themselves.
CLIENTS = {
    "chromium": [
        "Host: localhost:8000",
        "Connection: Upgrade",
        "Pragma: no-cache",
        "Cache-Control: no-cache",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0",
        "Upgrade: websocket",
        "Origin: http://localhost:8000",
        "Sec-WebSocket-Version: 13",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-GB,en;q=0.9,zh-CN;q=0.8",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "Sec-WebSocket-Protocol: realtime-rag.v1, bearer.eyJh.eyJz.c2ln",
    ],
    "firefox": [
        "Host: localhost:8000",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Accept: */*",
        "Sec-WebSocket-Version: 13",
        "Origin: http://localhost:8000",
        "Sec-WebSocket-Extensions: permessage-deflate",
        f"Sec-WebSocket-Key: {KEY}",
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
    ],
    "nginx": [
        "Upgrade: WebSocket",
        "Connection: upgrade",
        "Host: rag.example",
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Host: rag.example",
        f"sec-websocket-key: {KEY}",
        "sec-websocket-version: 13",
        "cookie: name=J\u00fcrgen; empty=",
    ],
}


def head(lines: list[str], target: str = "/ws/realtime-asr") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def long_way(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], list[str], str] | None:
    """Target, headers, subprotocols and proof, as h11, uvicorn and websockets make them; None if one objects."""
    conn = h11.Connection(h11.SERVER)
    conn.receive_data(data)
    try:
        request = conn.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(request, h11.Request) or conn.trailing_data[0]:
        return None
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in request.headers)
    websocket = ServerProtocol()
    websocket.receive_data(request.method + b" " + request.target + b" HTTP/1.1\r\n" + lines + b"\r\n")
    for event in websocket.events_received():
        assert isinstance(event, Request)
        response = websocket.accept(event)
        if response.status_code == 101:
            offered = event.headers.get_all("Sec-WebSocket-Protocol")
            subprotocols = [token.strip() for header in offered for token in header.split(",")]
            headers = [(name.encode(), value.encode("latin-1")) for name, value in event.headers.raw_items()]
            return event.path.encode(), headers, subprotocols, response.headers["Sec-WebSocket-Accept"]
    return None


def short_way(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], list[str], str] | None:
    found = handshake_in(data)
    return None if found is None else (found.target, found.headers, found.subprotocols, found.accept)


@pytest.mark.parametrize("lines", CLIENTS.values(), ids=CLIENTS)
def test_what_clients_send_goes_the_short_way(lines: list[str]) -> None:
    data = head(lines, "/ws/realtime-asr?resume_token=a.b&last_seq=7")
    assert short_way(data) is not None
    assert short_way(data) == long_way(data)


ODD = [
    "Host: b",
    "Connection: keep-alive, Upgrade",
    "Connection: close",
    "Upgrade: h2c",
    "Content-Length: 0",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Sec-WebSocket-Version: 8",
    "Sec-WebSocket-Key: short",
    "Sec-WebSocket-Protocol: a, b",
    "Sec-WebSocket-Protocol: a,,b",
    "Sec-WebSocket-Protocol: a b",
    "Sec-WebSocket-Protocol: (a)",
    "Sec-WebSocket-Extensions: ;",
    "Origin: http://a",
    "Origin: http://b",
    "Cookie:",
    "Cookie:\t a b \t",
    "Cookie: \x01",
    "Cookie: \x7f",
    "Cookie: \xff",
    " folded: yes",
    "Bad name: x",
    ": x",
    "no colon",
    "",
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("place", [0, 3, 5])
def test_an_odd_line_is_read_as_ever_or_not_at_all(odd: str, place: int) -> None:
    data = head([*WHOLE[:place], odd, *WHOLE[place:]])
    assert short_way(data) in (None, long_way(data))


pieces = st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"\x0b", b"\x85", b"\xe9", b"GET", b","])


@given(
    lines=st.lists(st.sampled_from(ODD), max_size=3).flatmap(lambda more: st.permutations([*WHOLE, *more])),
    target=st.sampled_from(["/", "/ws?a=b", "/%e4", "*", "http://a/ws", "/\xe9", "/a b", ""]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2), pieces), max_size=2),
)
def test_what_goes_the_short_way_is_what_the_long_one_makes_of_it(
    lines: list[str], target: str, changes: list[tuple[int, int, bytes]]
) -> None:
    data = head(lines, target)
    for at, length, piece in changes:
        at %= len(data)
        data = data[:at] + piece + data[at + length :]
    assert short_way(data) in (None, long_way(data))


@pytest.mark.parametrize(
    "data",
    [
        head(WHOLE) + b"\x81\x80\0\0\0\0",
        head(WHOLE) * 2,
        head(WHOLE)[:-2],
        head([*WHOLE, f"Cookie: {'x' * 9000}"]),
        head([*WHOLE, *(f"X-{n}:" for n in range(200))]),
        head(WHOLE).replace(b"GET", b"POST"),
        head(WHOLE).replace(b"HTTP/1.1", b"HTTP/1.0"),
        *(head([line for line in WHOLE if line is not left_out]) for left_out in WHOLE),
    ],
)
def test_whatever_is_not_plainly_one_handshake_goes_the_long_way(data: bytes) -> None:
    assert short_way(data) is None


# Over a socket

TWICE = ("X-Twice: 1", "X-Twice: 2")  # what makes a handshake go the long way


@asynccontextmanager
async def serving(
    say: Sequence[dict[str, Any]], *, after: asyncio.Event | None = None
) -> AsyncIterator[tuple[Service, Server, list[Scope]]]:
    """A server whose application says this to every handshake, to the first `after` that, and waits for its end then.

    The scopes are what it was asked with.
    """
    settings = make_settings()
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            scopes.append({**scope, "extensions": {**scope["extensions"]}})
            await receive()
            if after is not None and len(scopes) == 1:
                await after.wait()
            for message in say:
                await send(message)
            while after is not None and (await receive())["type"] != "websocket.disconnect":
                pass
            return
        scope["state"]["runtime"] = SimpleNamespace(settings=settings)
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})

    server = make_server(app, settings)
    task = asyncio.create_task(server.serve())
    try:
        await server.is_listening.wait()
        yield Service(server.port), server, scopes
    finally:
        server.should_exit = True
        await task


ANSWERS: dict[str, list[dict[str, Any]]] = {
    "plain": [{"type": "websocket.accept"}],
    "subprotocol": [{"type": "websocket.accept", "subprotocol": "one"}],
    "another subprotocol": [{"type": "websocket.accept", "subprotocol": "three"}],
    "headers": [{"type": "websocket.accept", "headers": [(b"x-more", b"yes"), (b"set-cookie", b"a=b")]}],
    "refused": [{"type": "websocket.close"}],
    "denied": [
        {"type": "websocket.http.response.start", "status": 503, "headers": [(b"retry-after", b"5")]},
        {"type": "websocket.http.response.body", "body": b"later"},
    ],
    "nothing": [],
}


@pytest.mark.parametrize("say", ANSWERS.values(), ids=ANSWERS)
async def test_both_ways_ask_and_answer_the_same(say: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "uvicorn.error")
    if say and say[0]["type"] == "websocket.accept":
        say = [*say, {"type": "websocket.send", "text": "hello"}, {"type": "websocket.close", "code": 4000}]
    answers: list[list[bytes]] = []
    told: list[list[str]] = []
    async with serving(say) as (service, server, scopes):
        caplog.clear()
        for more in (TWICE[:1], TWICE):
            async with plug(service) as (reader, writer):
                lines = ["Sec-WebSocket-Protocol: one , two", "Sec-WebSocket-Extensions: permessage-deflate", *more]
                writer.write(handshake("/ws/%C3%A9?a=%20b", *lines))
                answer = [await reader.readuntil(END)]
                if b" 101 " in answer[0] and len(say) > 1:
                    answer += [await reader.readexactly(7 + 4)]
                answers.append([re.sub(rb"(?i)date: .*", b"date", each) for each in answer])
                await asyncio.gather(*server.server_state.tasks)
                told.append([re.sub(":\\d+", "", each) for each in caplog.messages if each not in NO_NEWS])
                caplog.clear()
    assert (answers[0], told[0]) == (answers[1], told[1])
    for scope in scopes:
        assert scope["extensions"].pop(EXTENSION)
        scope["client"] = ()
        scope["headers"] = [header for header in scope["headers"] if header[0] != b"x-twice"]
    assert scopes[0] == scopes[1]
    assert (scopes[0]["path"], scopes[0]["subprotocols"]) == ("/ws/\u00e9", ["one", "two"])


def masked(opcode: Opcode, data: bytes) -> bytes:
    return Frame(opcode, data).serialize(mask=True)


@pytest.mark.parametrize("is_apart", [True, False], ids=["apart", "in one piece"])
@pytest.mark.parametrize("more", [TWICE[:1], TWICE], ids=["short", "long"])
@pytest.mark.parametrize(
    ("early", "answer"),
    [
        (masked(Opcode.PING, b"early"), Frame(Opcode.PONG, b"early").serialize(mask=False)),
        (masked(Opcode.TEXT, b"\xff"), b"\x88\x02" + (1007).to_bytes(2)),
        (b"\xff" * 9, b"\x88"),
        (masked(Opcode.CLOSE, (1000).to_bytes(2)), b"\x88\x02" + (1000).to_bytes(2)),
    ],
    ids=["ping", "no UTF-8", "no frame", "goodbye"],
)
async def test_what_comes_before_a_handshake_is_answered_is_read_behind_it(
    more: Sequence[str], early: bytes, answer: bytes, is_apart: bool
) -> None:
    after = asyncio.Event()
    async with (
        serving([{"type": "websocket.accept"}], after=after) as (service, server, _),
        plug(service) as (reader, writer),
        plug(service) as (other_reader, other_writer),
    ):
        writer.write(handshake("/ws", *more) + (b"" if is_apart else early))
        while not server.server_state.tasks:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0)
        writer.write(early if is_apart else b"")
        other_writer.write(handshake("/ws"))
        await other_reader.readuntil(END)  # what was written before this has been read
        after.set()
        assert (await reader.readuntil(END)).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(len(answer)) == answer


async def test_the_end_of_the_process_does_not_trip_over_who_has_left_and_reads_nothing() -> None:
    after = asyncio.Event()
    after.set()
    async with (
        serving([{"type": "websocket.accept"}], after=after) as (service, server, _),
        plug(service) as (reader, writer),
    ):
        writer.write(handshake("/ws"))
        await reader.readuntil(END)
        (socket,) = server.server_state.connections
        assert isinstance(socket, Socket)
        assert socket.write(["x" * 20_000_000])  # more than is on its way between two sockets
        writer.write(masked(Opcode.CLOSE, (1000).to_bytes(2)))
        while not socket.transport.is_closing():  # noqa: ASYNC110  # no event
            await asyncio.sleep(0)
        server.should_exit = True
        assert (await reader.read()).endswith(b"\x88\x02" + (1000).to_bytes(2))
