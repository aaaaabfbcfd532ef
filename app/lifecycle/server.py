"""uvicorn, as this service needs it: bounded before anybody is known, and fair to those who are."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, apply_mask  # type: ignore[attr-defined]  # in C, where there is a compiler
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS, Request
from websockets.streams import StreamReader

from app.codes import CloseCode, ErrorCode
from app.config import Settings, reachable
from app.observability.metrics import Metrics
from app.sessions.direct import EXTENSION
from app.sessions.limits import TokenBucket

logger = logging.getLogger("app")

TRY = '{"type": "asr_chunk", "text": "What is this service for?", "is_final": true}'

# What a client may send before anybody knows who it is, in bytes.
MAX_HEAD_BYTES = 64 * 1024
# By which status, as which reason it is counted.
REFUSALS = {400: "malformed", 408: "too_slow", 414: "too_large", 431: "too_large"}
# How long a client that was refused may take to read why, in seconds.
REFUSED_SECONDS = 2.0
# How long what is left for a client that does not read is kept after the end of its connection, in seconds.
LINGER_SECONDS = 10.0
# The same when the process ends, unless uvicorn is told otherwise.
UNREAD_SECONDS = 2
# Pongs and other small answers that a client has not read, beyond the frames that the session counts, in bytes.
MAX_UNSENT_BYTES = 1024 * 1024
# What is read of a client between two looks at everybody else: bytes at a time, and frames altogether.
SLICE_BYTES = 512
TURN_FRAMES = 64
# How many messages of one client are dealt with at once.
DIRECT_MESSAGES = 8
# What waits for its turn, in bytes; asyncio reads 256 KiB at most before it can be told to stop.
MAX_UNREAD_BYTES = 1024 * 1024


# Where websockets' parser stands when it has no part of a frame.
_BEFORE_A_FRAME = StreamReader.at_eof.__code__


class Runtime(Protocol):
    """What of the lifespan's state is used here."""

    settings: Settings
    metrics: Metrics


class Http(H11Protocol):
    """uvicorn's HTTP over h11, for clients that send without end, or nothing, or do not read.

    h11 bounds the head of a request; httptools keeps it whole, however long: 60 MB of header lines cost 1.6 GB there
    and 3 MB here, and a handshake costs no more.
    """

    _is_refused = False
    _waiting: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    @property
    def _runtime(self) -> Runtime:
        runtime: Runtime = self.app_state["runtime"]
        return runtime

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._waiting is None and self.conn.their_state is h11.IDLE:  # another request on a connection kept alive
            self._wait_for_head()
        super().data_received(data)
        if self._waiting is not None and self.conn.their_state is not h11.IDLE:
            self._waiting.cancel()
            self._waiting = None

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        lines = [event.target, *(name + value for name, value in event.headers)]
        # What the WebSocket layer takes. It would hang up without a word.
        if len(event.target) > MAX_LINE_LENGTH - len(b"GET  HTTP/1.1"):
            self._refuse(414)
        elif len(event.headers) > MAX_NUM_HEADERS or max(map(len, lines)) > MAX_LINE_LENGTH - len(b": "):
            self._refuse(431)
        else:
            self._cancel_timers()
            super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        error = sys.exc_info()[1]
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if status == 431 and b"\n" not in self.conn.trailing_data[0]:
            status = 414
        self._refuse(status)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self.transport.close()  # nothing here reads a body, and this one may have no end

    def shutdown(self) -> None:
        if self._is_refused:
            self.transport.abort()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(self._runtime.settings.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        super().resume_writing()

    def _wait_for_head(self) -> None:
        self._waiting = self.loop.call_later(self._runtime.settings.handshake_seconds, self._refuse, 408)

    def _refuse(self, status: int) -> None:
        """Answer, and close when the client has had time to read it: closed at once, it would be reset."""
        self._cancel_timers()
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:  # its body cannot be read: it is heard no more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
                return
        self._runtime.metrics.refused.labels(REFUSALS[status]).inc()
        phrase = STATUS_PHRASES[status]
        head = b"HTTP/1.1 %d %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        self.transport.write(head % (status, phrase, len(phrase)) + phrase)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.pause_reading()
        self._is_refused = True
        self.loop.call_later(REFUSED_SECONDS, self.transport.abort)

    def _cancel_timers(self) -> None:
        for timer in (self._waiting, self._stuck):
            if timer is not None:
                timer.cancel()
        self._waiting = self._stuck = None


class Socket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, for clients that read nothing, or send much that is no message.

    It says goodbye all the same, and waits for nobody for ever. What is read in one turn of the event loop is bounded,
    fragments and control frames count as messages do, and who was refused is neither heard nor answered.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unread = bytearray()
        self._frames = 0
        self._is_turn_due = False
        self._limit: TokenBucket | None = None
        self._hear: Callable[[str], bool] | None = None

    # The short way

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]  # any object, by ASGI

    def listen(self, hear: Callable[[str], bool] | None) -> None:
        self._hear = hear

    def write(self, texts: Sequence[str]) -> bool:
        if not self.writable.is_set() or self.close_sent or self.disconnected or self.transport.is_closing():
            return False
        self.transport.write(b"".join(map(frame_of, texts)))
        return True

    def _heard(self, data: bytes) -> int:
        """How many bytes of this are whole messages that the session has dealt with at once."""
        if self._hear is None or self._unread or not self.queue.empty() or not self._is_between_messages():
            return 0
        start = 0
        for _ in range(DIRECT_MESSAGES):
            payload, end = message_in(data, start, self.config.ws_max_size)
            if payload is None or self._hear is None or self.close_sent:
                break
            try:
                text = payload.decode()
            except UnicodeDecodeError:
                break
            if not self._hear(text):
                break
            start = end
        return start

    def _is_between_messages(self) -> bool:
        if self.conn.current_size is not None:
            return False  # a part of a message has come
        waits: Any = self.conn.parser
        while (deeper := waits.gi_yieldfrom) is not None:
            waits = deeper
        return waits.gi_code is _BEFORE_A_FRAME

    # Reading

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if heard := self._heard(data):
            data = data[heard:]
            if not data:
                return
        if not self._unread and len(data) <= SLICE_BYTES:
            super().data_received(data)
            return
        self._unread += data
        if len(self._unread) > MAX_UNREAD_BYTES:  # it was told goodbye, and goes on
            self.transport.abort()
        elif not self.read_paused and not self._is_turn_due:
            self._take_turn()

    def _take_turn(self) -> None:
        """Read what is there, until the service has a message to deal with, or others have waited long enough."""
        self._is_turn_due = self.read_paused = False
        self._frames = 0
        while self._unread and not self.read_paused and self._frames < TURN_FRAMES:
            if self.transport.is_closing():
                return
            piece = bytes(self._unread[:SLICE_BYTES])
            del self._unread[:SLICE_BYTES]
            super().data_received(piece)
        if self.read_paused or self.transport.is_closing():
            return
        if self._unread:
            self.transport.pause_reading()
            self._wait_for_turn()
        else:
            self.transport.resume_reading()

    def _wait_for_turn(self) -> None:
        if not self._is_turn_due:
            self._is_turn_due = True
            self.loop.call_soon(self._take_turn)

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            if self._unread:
                self._wait_for_turn()  # not at once: who sends many small messages would be served alone
            else:
                self.read_paused = False
                self.transport.resume_reading()
        return message

    def handle_text(self, event: Frame) -> None:
        self._count(is_message=event.fin)
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        self._count(is_message=event.fin)
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        self._count(is_message=False)
        super().handle_cont(event)

    def handle_pong(self, event: Frame) -> None:
        self._count(is_message=False)
        super().handle_pong(event)

    def handle_ping(self) -> None:
        self._count(is_message=False)
        if self.close_sent:
            self.conn.data_to_send()  # the pong: who was told goodbye gets no more
        elif self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.transport.abort()
        else:
            super().handle_ping()

    def _count(self, *, is_message: bool) -> None:
        """A frame has come. The session counts messages itself; what is none of its own is counted here."""
        self._frames += 1
        if (is_message and not self.close_sent) or self.transport.is_closing():
            return
        if self._limit is None:
            rate = self.app_state["runtime"].settings.messages_per_second
            self._limit = TokenBucket(rate, burst=2 * rate)
        if self._limit.take(self.loop.time()):
            self._hang_up(CloseCode.FLOODED, ErrorCode.RATE_LIMITED)

    # Leaving

    def keepalive_timeout(self) -> None:
        self.pong_timer = self.pending_ping_payload = None
        self._hang_up(CloseCode.FAILED, "keepalive ping timeout")

    def _hang_up(self, code: int, reason: str) -> None:
        """Close now: who still reads learns why, and nobody else is waited for."""
        if not self.close_sent and not self.transport.get_write_buffer_size():
            self.conn.fail(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.transport.close()
            self.loop.call_later(REFUSED_SECONDS, self.transport.abort)
        else:
            self.transport.abort()

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)
        if self.close_sent and self._unread:
            self._wait_for_turn()

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)


def frame_of(text: str) -> bytes:
    """The text as one frame of a server (RFC 6455, 5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def message_in(data: bytes, start: int, most: int) -> tuple[bytes | None, int]:
    """What a client says at this place, and where it ends: None but for a whole text of at most `most` bytes."""
    if len(data) < start + 6 or data[start] != 0x81 or data[start + 1] < 0x80:
        return None, start
    size, start = data[start + 1] & 0x7F, start + 6
    if size == 126:
        size, start = int.from_bytes(data[start - 4 : start - 2], "big"), start + 2
    if size == 127 or len(data) < start + size or size > most:
        return None, start
    return apply_mask(data[start : start + size], data[start - 4 : start]), start + size


class Forwarded:
    """Believes a trusted proxy who has asked, and for which host (`X-Forwarded-Host`, which uvicorn does not read)."""

    def __init__(self, app: ASGIApp, trusted: str) -> None:
        self._app: Any = ProxyHeadersMiddleware(app, trusted)  # type: ignore[arg-type]  # Starlette's types are wider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            peer = scope.get("client")
            if peer is not None and peer[0] in self._app.trusted_hosts:
                hosts = [value for name, value in scope["headers"] if name == b"x-forwarded-host"]
                if len(hosts) == 1:
                    others = [(name, value) for name, value in scope["headers"] if name != b"host"]
                    scope["headers"] = [*others, (b"host", hosts[0])]
        await self._app(scope, receive, send)


class Server(uvicorn.Server):
    """uvicorn, which also says where the console and the WebSocket are once they can be reached."""

    def __init__(self, config: uvicorn.Config, ws_path: str) -> None:
        super().__init__(config)
        self._ws_path = ws_path
        self.is_listening = asyncio.Event()
        self.port = config.port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                self.port = announce(listener, self._ws_path)
        self.is_listening.set()


def announce(listener: socket.socket, ws_path: str) -> int:
    """Say where the console and the WebSocket are; return the port."""
    host, port = listener.getsockname()[:2]
    name = reachable(host)
    logger.info("Open http://%s:%d/ in a browser", name, port)
    url = f"ws://{name}:{port}{ws_path}"
    logger.info("Connect to %s and send %s", url, TRY, extra={"url": url})
    return int(port)


def forwarded(app: ASGIApp) -> Forwarded:
    """The application behind the proxies that `FORWARDED_ALLOW_IPS` trusts."""
    return Forwarded(app, os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1"))


def keep_what_is_loaded() -> None:
    """What is loaded by now stays: the collector need not look at it again, nor look that often."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


def make_server(app: ASGIApp, settings: Settings) -> Server:
    return Server(make_config(forwarded(app), settings), settings.ws_path)


def make_config(app: ASGIApp | str, settings: Settings, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        proxy_headers=False,  # `Forwarded` reads them
        host=settings.host,
        port=settings.port,
        workers=settings.workers,  # whatever WEB_CONCURRENCY says, which uvicorn would read
        lifespan="on",
        log_config=None,
        http=Http,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        ws=Socket,
        # Up to twice the limit a message still gets its coded error; beyond that the socket closes with 1009.
        ws_max_size=2 * settings.max_message_bytes,
        # Small frames do not shrink, and every connection would hold its compressor's memory.
        ws_per_message_deflate=False,
        server_header=False,
        **more,
    )
