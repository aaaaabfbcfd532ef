"""What comes over one connection, cut anywhere: the same as uncut, and the same as httpx's own transport reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.lines import MAX_UNREAD_BYTES, PIECE_BYTES, Line, message_of


class Wire(asyncio.Transport):
    """The network below a line, in the hand of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = self.is_paused = False

    def write(self, data: Any) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


def asked() -> tuple[Line, Wire]:
    line, wire = Line(), Wire()
    line.connection_made(wire)
    line.send(b"")
    return line, wire


async def collected(line: Line) -> bytes:
    body = b""
    while piece := await line.read(None):
        body += piece
    return body


Read = tuple[int, list[tuple[bytes, bytes]], bytes] | str


async def ours(pieces: Iterable[bytes]) -> tuple[Read, bool]:
    """What is read when the response comes so, then the end; and whether the line would serve again without that."""
    line, wire = asked()
    for piece in pieces:
        if not wire.is_aborted:
            line.data_received(piece)
    may_stay = not wire.is_aborted
    line.eof_received()
    try:
        await line.head(None)
        return (line.status, named(line.headers), await collected(line)), may_stay
    except httpx.TransportError as error:
        return "broken in the body" if isinstance(error, httpx.ReadError) else "broken before the head", may_stay


async def httpxs(data: bytes) -> Read:
    backend = httpcore.AsyncMockBackend([data] if data else [])
    async with httpcore.AsyncConnectionPool(network_backend=backend) as pool:
        try:
            async with pool.stream("GET", "http://127.0.0.1/") as response:
                try:
                    return response.status, named(response.headers), await response.aread()
                except httpcore.RemoteProtocolError:
                    return "broken in the body"
        except httpcore.RemoteProtocolError:
            return "broken before the head"


def named(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers]


bodies = st.lists(st.binary(min_size=1, max_size=30), max_size=4)
plain = st.text("abcXYZ019 ,;=/-", max_size=12).map(lambda text: text.strip().encode())
blank = st.sampled_from([b"", b" ", b" \t"])
extras = st.lists(st.tuples(st.sampled_from([b"X-A", b"set-cookie", b"Via"]), plain), max_size=3)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    head = draw(
        st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"])
    )
    head += draw(st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 404 \r\n"]))
    head += b"".join(b"%b:%b\r\n" % (name, draw(blank) + value + draw(blank)) for name, value in draw(extras))
    parts = draw(bodies)
    match draw(st.sampled_from(["length", "chunks", "close", "none"])):
        case "length":
            body = b"".join(parts)
            return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        case "chunks" if b"1.0" not in head:
            extension, trailer = draw(st.sampled_from([(b"", b""), (b";a=b", b"X-T: u\r\n")]))
            chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailer + b"\r\n"
        case "none":
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        case _:
            return head + b"Connection: close\r\n\r\n" + b"".join(parts)


@given(responses(), st.data())
def test_a_response_cut_anywhere_is_the_same_as_uncut(response: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(response)), "where it is cut")

    async def compare() -> None:
        uncut = await ours([response])
        assert await ours([response[:at], response[at:]] if 0 < at < len(response) else [response]) == uncut
        assert await ours(response[at : at + 1] for at in range(len(response))) == uncut

    asyncio.run(compare())


@given(responses(), st.data())
def test_a_response_that_ends_anywhere_is_what_httpx_makes_of_it(response: bytes, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(response)), "how much comes")

    async def compare() -> None:
        for came in (response, response[:end]):
            assert (await ours([came] if came else []))[0] == await httpxs(came)

    asyncio.run(compare())


async def test_what_nobody_reads_is_not_taken_from_the_network() -> None:
    line, wire = asked()
    line.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    line.data_received(b"x" * MAX_UNREAD_BYTES)
    assert not wire.is_paused
    line.data_received(b"x")
    assert wire.is_paused
    assert len(await line.read(None)) == PIECE_BYTES
    assert not wire.is_paused


async def test_a_line_given_back_unread_listens_again() -> None:
    line, wire = asked()
    body = b"x" * (MAX_UNREAD_BYTES + 1)
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert wire.is_paused
    assert line.finish()
    assert not wire.is_paused
    line.send(b"")
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert await collected(line) == b"ok"


async def test_who_was_interrupted_reads_on() -> None:
    line, _ = asked()
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await line.read(None)
    line.data_received(b"abcd")
    assert await collected(line) == b"abcd"


@pytest.mark.parametrize("part", ["method", "name", "value"])
@pytest.mark.parametrize("odd", ["\r\nX-Injected: yes", "\nX-Injected: yes", "\rx", "\0"])
async def test_no_line_break_is_sent_within_a_head(part: str, odd: str) -> None:
    method = "GET" + odd if part == "method" else "GET"
    header = {"name": (f"X{odd}", "a"), "value": ("X", f"a{odd}"), "method": ("X", "a")}[part]
    request = httpx.Request(method, "http://127.0.0.1/", headers=[header])
    with pytest.raises(httpx.LocalProtocolError):
        await message_of(request)


async def test_a_body_of_unknown_length_is_not_sent() -> None:
    async def parts() -> Any:
        yield b"x"

    with pytest.raises(httpx.LocalProtocolError):
        await message_of(httpx.Request("POST", "http://127.0.0.1/", content=parts()))


async def test_a_body_is_heard_only_while_its_reader_waits() -> None:
    line, _ = asked()
    heard: list[bytes] = []

    def hear(data: bytes) -> bool:
        heard.append(data)
        return data != b"left"

    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n")
    await line.head(None)
    line.listen(hear)
    line.data_received(b"nobody waits ")
    assert await line.read(None) == b"nobody waits "
    reading = asyncio.ensure_future(line.read(None))
    await asyncio.sleep(0)
    line.data_received(b"taken ")
    line.data_received(b"left")
    line.data_received(b" behind")  # the reader has not run yet
    assert await reading == b"left behind"
    reading = asyncio.ensure_future(line.read(None))
    await asyncio.sleep(0)
    line.data_received(b"!")  # with the end
    assert await reading == b"!"
    assert await line.read(None) == b""
    assert heard == [b"taken ", b"left"]


async def test_the_next_request_of_a_line_is_heard_by_nobody_before() -> None:
    line, _ = asked()
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await line.head(None)
    line.listen(lambda _: True)
    assert line.finish()
    line.send(b"")
    line.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    await line.head(None)
    reading = asyncio.ensure_future(line.read(None))
    await asyncio.sleep(0)
    line.data_received(b"a")
    assert await reading == b"a"
