"""What comes before anybody is known, and below the messages: bounded, answered, and nobody else's burden."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.uri import parse_uri

from app.codes import CloseCode
from app.lifecycle.server import make_server
from app.main import build_app
from tests.client import PATIENCE
from tests.conftest import Serve
from tests.scrape import scrape
from tests.service import Service, browse, make_settings, serve

pytestmark = pytest.mark.slow

END = b"\r\n\r\n"

# Seconds for a head of a request that a busy machine does not need for a whole one.
HANDSHAKE = 5.0


@asynccontextmanager
async def plug(service: Service) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(service.http_url).port)
    try:
        async with asyncio.timeout(PATIENCE):
            yield reader, writer
    finally:
        writer.transport.abort()


def request(path: str = "/health", *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


def handshake(path: str = "/ws/realtime-asr", *lines: str) -> bytes:
    key = b64encode(bytes(16)).decode()
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
    return request(path, *upgrade, *lines)


async def status_of(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


async def pour(writer: asyncio.StreamWriter, start: bytes, more: bytes) -> int:
    """Send without end until the other side will have no more; return how many bytes that were."""
    sent = 0
    writer.write(start)
    try:
        while True:
            writer.write(more)
            sent += len(more)
            await writer.drain()
    except ConnectionError:
        return sent


@pytest.mark.parametrize(
    ("start_with", "more", "status"),
    [
        (b"GET /health HTTP/1.1\r\n", b"a:\r\n" * 1000, 431),
        (b"GET /health HTTP/1.1\r\nCookie: ", b"x" * 4000, 431),
        (b"GET /", b"x" * 4000, 414),
        (b"", b"x" * 4000, 414),
    ],
    ids=["lines", "line", "address", "method"],
)
async def test_a_head_without_end_is_refused_and_not_kept(
    start: Serve, start_with: bytes, more: bytes, status: int
) -> None:
    service = await start()
    async with plug(service) as (reader, writer):
        pouring = asyncio.create_task(pour(writer, start_with, more))
        assert await status_of(reader) == status
        await pouring
    assert (await scrape(service)).get("handshakes_refused_total", reason="too_large") == 1


@pytest.mark.parametrize("begun", [b"", b"GET /health HTTP/1.1\r\nHost: a\r\n"], ids=["silent", "half"])
async def test_a_head_that_does_not_come_is_not_waited_for(start: Serve, begun: bytes) -> None:
    service = await start(handshake_seconds=HANDSHAKE)
    async with plug(service) as (reader, writer):
        writer.write(begun)
        assert await status_of(reader) == 408
        await reader.read()
    assert (await scrape(service)).get("handshakes_refused_total", reason="too_slow") == 1


async def test_the_second_request_of_a_connection_is_not_waited_for_either(start: Serve) -> None:
    service = await start(handshake_seconds=HANDSHAKE)
    async with plug(service) as (reader, writer):
        writer.write(request("/nowhere"))
        assert await status_of(reader) == 404
        await reader.readuntil(b"}")
        writer.write(b"GET")
        assert await status_of(reader) == 408


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([f"Cookie: {'x' * 9000}"], 431),
        ([f"Sec-WebSocket-Protocol: bearer.{'x' * 9000}"], 431),
        ([f"X-{n}: y" for n in range(200)], 431),
    ],
    ids=["cookie", "subprotocol", "lines"],
)
async def test_a_large_handshake_is_answered(start: Serve, lines: list[str], status: int) -> None:
    service = await start()
    async with plug(service) as (reader, writer):
        writer.write(handshake("/ws/realtime-asr", *lines))
        assert await status_of(reader) == status
        await reader.read()
    assert (await scrape(service)).get("handshakes_refused_total", reason="too_large") == 1


async def test_a_large_address_of_a_handshake_is_answered(start: Serve) -> None:
    async with plug(await start()) as (reader, writer):
        writer.write(handshake(f"/ws/realtime-asr?token={'x' * 9000}"))
        assert await status_of(reader) == 414


@pytest.mark.parametrize(
    ("head", "instead"),
    [
        (END, b"\r\nCookie: a\x01b\r\n\r\n"),
        (END, b"\r\nContent-Length: 5\r\n\r\n"),
        (END, b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
    ids=["control character", "length", "chunks"],
)
async def test_a_handshake_that_is_http_and_no_more_is_answered(start: Serve, head: bytes, instead: bytes) -> None:
    service = await start()
    async with plug(service) as (reader, writer):
        writer.write(handshake().replace(head, instead))
        assert await status_of(reader) == 400
        await reader.read()
    assert (await scrape(service)).get("handshakes_refused_total", reason="malformed") == 1


async def test_nonsense_is_answered(start: Serve) -> None:
    service = await start()
    async with plug(service) as (reader, writer):
        writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        assert await status_of(reader) == 400
        await reader.read()
    assert (await scrape(service)).get("handshakes_refused_total", reason="malformed") == 1


async def test_a_body_that_cannot_be_read_is_answered_once(start: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    service = await start()
    async with plug(service) as (reader, writer):
        writer.write(b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n")
        assert await status_of(reader) == 400
        assert (await reader.read()).count(b"HTTP/1.1") == 0
    assert (await scrape(service)).get("handshakes_refused_total", reason="malformed") == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.no_cover  # many times the same lines
async def test_requests_one_behind_the_other_are_answered_in_order(start: Serve) -> None:
    async with plug(await start()) as (reader, writer):
        writer.write(request() * 500 + request("/nowhere", "Connection: close"))
        answers = (await reader.read()).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200"] * 500 + [b"404"]


async def test_a_body_without_end_is_not_listened_to(start: Serve) -> None:
    async with plug(await start()) as (reader, writer):
        head = b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n"
        pouring = asyncio.create_task(pour(writer, head, b"x" * 4000))
        assert await status_of(reader) == 405
        await pouring


async def test_who_does_not_read_what_was_asked_for_is_hung_up_on(start: Serve) -> None:
    async with plug(await start(send_seconds=0.1)) as (_, writer):
        await pour(writer, b"", request("/asyncapi.json") * 20)


# Whose pages may connect to a service that is open


async def connects(service: Service, host: str, *lines: str) -> int:
    async with plug(service) as (reader, writer):
        writer.write(handshake("/ws/realtime-asr", *lines).replace(b"Host: 127.0.0.1", b"Host: " + host.encode()))
        return await status_of(reader)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost:3000", 101),
        ("http://rag.example", 403),
    ],
)
async def test_an_open_service_is_closed_to_pages_of_other_people(start: Serve, origin: str, status: int) -> None:
    service = await start()
    assert await connects(service, "127.0.0.1", f"Origin: {origin}") == status
    assert await connects(service, "127.0.0.1") == 101


async def test_a_name_that_is_known_has_a_page_that_may_connect(start: Serve) -> None:
    service = await start(allowed_hosts="rag.example")
    assert await connects(service, "rag.example", "Origin: https://rag.example") == 101
    assert await connects(service, "127.0.0.1", "X-Forwarded-Host: rag.example", "Origin: https://rag.example") == 101
    assert await connects(service, "127.0.0.1", "Origin: https://rag.example") == 403


@pytest.mark.parametrize(
    ("proxies", "status"),
    [("192.0.2.1", 403), ("192.0.2.0/24, 127.0.0.1", 101), ("127.0.0.0/8", 101), ("192.0.2.1, *", 101)],
)
async def test_only_a_trusted_proxy_says_which_host_was_asked_for(start: Serve, proxies: str, status: int) -> None:
    service = await start(allowed_hosts="rag.example", forwarded_allow_ips=proxies)
    told = ("X-Forwarded-Host: rag.example", "Origin: https://rag.example")
    assert await connects(service, "127.0.0.1", *told) == status


@pytest.mark.parametrize(
    "path", ["/", "/health", "/health/ready", "/metrics", "/docs", "/docs/protocol", "/asyncapi.json", "/openapi.json"]
)
async def test_a_page_may_be_asked_for_its_head(start: Serve, path: str) -> None:
    service = await start()
    async with browse(service.http_url) as http:
        head, page = await http.head(path), await http.get(path)
    assert (head.status_code, head.headers["content-type"]) == (page.status_code, page.headers["content-type"])
    assert not head.content


@pytest.mark.parametrize("path", ["/", "/health", "/asyncapi.json", "/ws/realtime-asr"])
async def test_an_open_service_of_this_machine_is_not_read_under_a_foreign_name(start: Serve, path: str) -> None:
    service = await start(allowed_origins="https://shop.example")
    asked = handshake(path) if path.startswith("/ws") else request(path)
    known = ["127.0.0.1:99", "localhost", "[::1]:8000", "shop.example"]
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "@", *known]:
        async with plug(service) as (reader, writer):
            writer.write(asked.replace(b"Host: 127.0.0.1", b"Host: " + host.encode()))
            assert (await status_of(reader) == 421) is (host not in known), host


async def test_with_tokens_or_on_other_addresses_any_name_will_do(start: Serve) -> None:
    assert await connects(await start(jwt_secret="s" * 32), "any.example") == 101
    assert await connects(await start(host="0.0.0.0"), "any.example") == 101


# Below the messages


class Raw:
    """A WebSocket whose frames the test makes itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"), max_size=None)

    def frame(self, opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
        return Frame(opcode, data, fin).serialize(mask=True)


@asynccontextmanager
async def connect_raw(service: Service, path: str = "/ws/realtime-asr") -> AsyncIterator[Raw]:
    async with plug(service) as (reader, writer):
        writer.write(handshake(path))
        assert await status_of(reader) == 101
        await reader.readuntil(END)
        yield Raw(reader, writer)


async def test_who_answers_no_ping_is_closed_and_may_come_back() -> None:
    config = make_server(build_app(make_settings()), make_settings()).config
    assert (config.ws_ping_interval, config.ws_ping_timeout) == (20, 20)
    async with (
        serve(make_settings(), ws_ping_interval=0.3, ws_ping_timeout=0.3) as service,
        connect_raw(service) as raw,
    ):
        raw.writer.write(raw.frame(Opcode.TEXT, b'{"type":"configure"}'))
        heard = await raw.reader.read()
        goodbye = Close(CloseCode.FAILED, "keepalive ping timeout").serialize()
        assert heard.endswith(Frame(Opcode.CLOSE, goodbye).serialize(mask=False))
        while (await service.health())["parked"] != 1:
            pass  # nothing tells when


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ((), ()),
        ((Opcode.TEXT, b'{"type":', False), ()),
        ((), (Opcode.TEXT, b'{"type":"keepalive"}', True)),
    ],
    ids=["alone", "amid a message", "with a message"],
)
async def test_who_answers_pings_is_asked_again_and_stays(
    before: tuple[Opcode, bytes, bool], behind: tuple[Opcode, bytes, bool]
) -> None:
    def made(raw: Raw, frame: tuple[Opcode, bytes, bool]) -> bytes:
        return raw.frame(frame[0], frame[1], fin=frame[2]) if frame else b""

    async with serve(make_settings(), ws_ping_interval=0.01) as service, connect_raw(service) as raw:
        raw.writer.write(made(raw, before))
        for _ in range(5):
            await raw.reader.readuntil(b"\x89\x04")
            pong = raw.frame(Opcode.PONG, await raw.reader.readexactly(4))
            raw.writer.write(pong + made(raw, behind))


async def test_a_pong_to_no_ping_keeps_nobody() -> None:
    async with (
        serve(make_settings(), ws_ping_interval=0.01, ws_ping_timeout=0.3) as service,
        connect_raw(service) as raw,
    ):
        await raw.reader.readuntil(b"\x89\x04")
        payload = bytes(byte ^ 1 for byte in await raw.reader.readexactly(4))
        raw.writer.write(raw.frame(Opcode.PONG, payload))
        assert (await raw.reader.read()).endswith(b"keepalive ping timeout")


async def test_what_only_looks_like_a_pong_is_read_as_what_it_is() -> None:
    async with serve(make_settings(), ws_ping_interval=0.01) as service, connect_raw(service) as raw:
        await raw.reader.readuntil(b"\x89\x04")
        pong = b"\x8a\x84" + bytes(4) + await raw.reader.readexactly(4)
        head = b"\x81" + bytes((0x80 | len(pong),)) + bytes(4)  # of a text, which the pong is then
        raw.writer.write(raw.frame(Opcode.TEXT, b'{"type":"keepalive"}') + head)
        await raw.reader.readuntil(b'"received_type":"keepalive"')
        raw.writer.write(pong)
        assert (1007).to_bytes(2, "big") in await raw.reader.read()


@pytest.mark.no_cover  # many times the same lines
async def test_pings_whose_pongs_nobody_reads_have_a_bound(start: Serve) -> None:
    service = await start(messages_per_second=1_000_000)
    async with connect_raw(service) as raw:
        sent = await pour(raw.writer, b"", raw.frame(Opcode.PING, os.urandom(125)) * 100)
    assert sent < 64_000_000  # what the sockets hold, and a megabyte


@pytest.mark.parametrize("path", ["/ws/realtime-asr", "/ws/realtime-asr?token=wrong"], ids=["known", "refused"])
@pytest.mark.parametrize("code", [Opcode.CONT, Opcode.PING, Opcode.PONG], ids=["fragments", "pings", "pongs"])
async def test_fragments_and_control_frames_without_end_cost_the_connection(
    start: Serve, path: str, code: Opcode
) -> None:
    service = await start(jwt_secret="s" * 32) if "wrong" in path else await start()
    async with connect_raw(service, path) as raw:
        begin = raw.frame(Opcode.TEXT, fin=False) if code is Opcode.CONT else b""
        await pour(raw.writer, begin, raw.frame(code, fin=code is not Opcode.CONT) * 100)


async def test_who_was_refused_is_not_answered_any_more(start: Serve) -> None:
    service = await start(jwt_secret="s" * 32)
    async with connect_raw(service, "/ws/realtime-asr?token=wrong") as raw:
        raw.writer.write(raw.frame(Opcode.PING, b"are you there?") * 50)
        raw.writer.write(raw.frame(Opcode.CLOSE, (4401).to_bytes(2)))
        heard = await raw.reader.read()
    assert b"UNAUTHORIZED" in heard
    assert b"are you there?" not in heard


async def test_a_thousand_small_frames_at_once_do_not_keep_others_waiting(start: Serve) -> None:
    """They come in one piece, before what somebody else says; and yet they are not all answered first."""
    service = await start(messages_per_second=1_000_000)
    async with connect_raw(service) as raw, service.connect() as other:
        pings = 20_000
        raw.writer.write(raw.frame(Opcode.PING, b"ping") * pings)
        await other.settle()
        assert raw.reader._buffer.count(b"ping") < pings  # type: ignore[attr-defined]


@pytest.mark.no_cover  # many times the same lines
async def test_what_comes_in_one_piece_is_heard_in_order(start: Serve) -> None:
    service = await start(messages_per_second=10_000)
    async with connect_raw(service) as raw:
        for n in range(2000):
            message = b'{"type":"keepalive","id":"%d"}' % n
            raw.writer.write(raw.frame(Opcode.TEXT, message[:9], fin=False))
            raw.writer.write(raw.frame(Opcode.PING))
            raw.writer.write(raw.frame(Opcode.CONT, message[9:]))
        heard = b""
        while b'"id":"1999"' not in heard:
            heard += await raw.reader.read(65536)
    ids = [int(part[: part.index(b'"')]) for part in heard.split(b'"id":"')[1:]]
    assert ids == list(range(2000))
