"""uvicorn's HTTP, bounded before anybody is known: what a head may hold, and how long it may take."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Literal, Protocol

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

from app.config import Settings
from app.lifecycle.handshake import Welcoming, handshake_in
from app.observability.metrics import Metrics

# What a client may send before anybody knows who it is, in bytes.
MAX_HEAD_BYTES = 64 * 1024
# By which status, as which reason it is counted.
REFUSALS = {400: "malformed", 408: "too_slow", 414: "too_large", 431: "too_large"}
# How long a client that was refused may take to read why, in seconds.
REFUSED_SECONDS = 2.0
# How long what is left for a client that does not read is kept after the end of its connection, in seconds.
LINGER_SECONDS = 10.0


class Runtime(Protocol):
    """What of the lifespan's state is used here."""

    settings: Settings
    metrics: Metrics


class Http(H11Protocol):
    """uvicorn's HTTP over h11, for clients that send without end, or nothing, or do not read.

    h11 bounds the head of a request; httptools keeps it whole, however long: 60 MB of header lines cost 1.6 GB there
    and 3 MB here, and a handshake costs no more.
    """

    _is_begun = False
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
        is_first, self._is_begun = not self._is_begun, True
        if is_first and self._has_welcomed(data):
            return
        if self._waiting is None and self.conn.their_state is h11.IDLE:  # another request on a connection kept alive
            self._wait_for_head()
        super().data_received(data)
        if self._waiting is not None and self.conn.their_state is not h11.IDLE:
            self._waiting.cancel()
            self._waiting = None

    def _has_welcomed(self, data: bytes) -> bool:
        """Whether this was a handshake that could go the short way."""
        # Who is asked for extensions has to choose among them.
        kind: Any = self.ws_protocol_class
        if self.config.ws_per_message_deflate or not issubclass(kind, Welcoming):
            return False
        handshake = handshake_in(data)
        if handshake is None:
            return False
        self._cancel_timers()
        self.connections.discard(self)
        socket = kind(self.config, self.server_state, self.app_state)
        scheme: Literal["ws", "wss"] = "wss" if self.scheme == "https" else "ws"
        socket.welcome(handshake, self.transport, self.server, self.client, scheme)
        self.transport.set_protocol(socket)
        return True

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
            socket: Any = self.transport.get_protocol()
            if not isinstance(socket, Welcoming):
                return
            if socket.conn.handshake_exc is not None:
                # What h11 takes and websockets does not, which would keep the connection without a word.
                self.connections.discard(socket)
                self.connections.add(self)
                self.transport.set_protocol(self)
                self._refuse(400)
            elif early := self.conn.trailing_data[0]:
                socket.data_received(early)  # came in one piece with the handshake: uvicorn would lose it

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
