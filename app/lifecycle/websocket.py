"""uvicorn's WebSocket: whole text frames read and written the short way, and no client more than its turn."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from websockets.frames import Frame, Opcode, apply_mask  # type: ignore[attr-defined]  # in C, where there is a compiler
from websockets.http11 import Request
from websockets.streams import StreamReader

from app.codes import CloseCode, ErrorCode
from app.lifecycle.edge import LINGER_SECONDS, REFUSED_SECONDS
from app.lifecycle.handshake import Handshake, Welcoming
from app.lifecycle.turns import turns_of
from app.sessions.direct import EXTENSION
from app.sessions.limits import TokenBucket

# Pongs and other small answers that a client has not read, beyond the frames that the session counts, in bytes.
MAX_UNSENT_BYTES = 1024 * 1024
# What is read of a client between two looks at everybody else: bytes at a time, and frames altogether.
SLICE_BYTES = 512
TURN_FRAMES = 64
# How many messages of one client are dealt with at once, and what is looked at of those that wait, in bytes.
DIRECT_MESSAGES = 8
DIRECT_BYTES = 16 * 1024
# What waits for its turn, in bytes; asyncio reads 256 KiB at most before it can be told to stop.
MAX_UNREAD_BYTES = 1024 * 1024


# A pong to one of uvicorn's pings: four bytes, behind a mask of four (RFC 6455, 5.2).
_PONG = b"\x8a\x84"
_PONG_BYTES = 10

# Where websockets' parser stands when it has no part of a frame.
_BEFORE_A_FRAME = StreamReader.at_eof.__code__


class Socket(Welcoming):
    """uvicorn's WebSocket, for clients that read nothing, or send much that is no message.

    It says goodbye all the same, and waits for nobody for ever. What is read in one turn of the event loop is bounded,
    fragments and control frames count as messages do, and who was refused is neither heard nor answered.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unread = bytearray()
        self._frames = 0
        self._is_turn_due = False
        self._is_parsing = True
        """The parser may hold a part of a message."""
        self._limit: TokenBucket | None = None
        self._hear: Callable[[Sequence[str]], int] | None = None
        self._turns = turns_of(self.loop)

    # The short way

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]  # any object, by ASGI

    def welcome(self, handshake: Handshake, *connection: Any) -> None:
        super().welcome(handshake, *connection)
        self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]

    def listen(self, hear: Callable[[Sequence[str]], int] | None) -> None:
        self._hear = hear

    def asked(self) -> None:
        self._turns.take()

    def write(self, texts: Sequence[str]) -> bool:
        if not self.writable.is_set() or self.close_sent or self.disconnected or self.transport.is_closing():
            return False
        self.transport.write(frame_of(texts[0]) if len(texts) == 1 else b"".join(map(frame_of, texts)))
        return True

    def _heard(self, data: bytes) -> int:
        """How many bytes of this are whole messages that the session has dealt with at once."""
        # Reading is paused while a message waits for ASGI: those behind it come the same way.
        if self._hear is None or self.read_paused or self.close_sent or data[:1] != b"\x81":
            return 0
        if self._is_parsing and not self._is_between_messages():
            return 0
        payload, end = message_in(data, 0, self.config.ws_max_size)
        if payload is not None and end == len(data):  # as nearly all that is read
            try:
                return end if self._hear((payload.decode(),)) else 0
            except UnicodeDecodeError:
                return 0
        texts: list[str] = []
        ends = [0]
        while len(texts) < DIRECT_MESSAGES and ends[-1] < len(data):
            payload, end = message_in(data, ends[-1], self.config.ws_max_size)
            if payload is None:
                break
            try:
                texts.append(payload.decode())
            except UnicodeDecodeError:
                break
            ends.append(end)
        return ends[self._hear(texts)] if texts else 0

    def _has_ponged(self, data: bytes) -> bool:
        """Whether this is the pong that is waited for, whole and alone: of who is silent, nothing else comes."""
        expected = self.pending_ping_payload
        if data[:2] != _PONG or expected is None or self.close_sent or not self._is_between_messages():
            return False
        if apply_mask(data[6:], data[2:6]) != expected:
            return False
        super().handle_pong(Frame(Opcode.PONG, expected))
        return True

    def send_keepalive_ping(self) -> None:
        self.ping_timer = None
        if self.close_sent or self.transport.is_closing():
            return
        self.pending_ping_payload = payload = random.getrandbits(32).to_bytes(4, "big")
        self.ping_sent_at = self.loop.time()
        self.transport.write(b"\x89\x04" + payload)
        if self.ping_timeout is not None:
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
        else:
            self.schedule_ping()

    def _is_between_messages(self) -> bool:
        if self._is_parsing:
            if self.conn.current_size is not None:
                return False  # a part of a message has come
            waits: Any = self.conn.parser
            while (deeper := waits.gi_yieldfrom) is not None:
                waits = deeper
            self._is_parsing = waits.gi_code is not _BEFORE_A_FRAME
        return not self._is_parsing

    # Reading

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.handshake_initiated and not self.handshake_complete:
            # What answers a frame would stand before the answer to the handshake, and nothing can be closed by a frame.
            self._unread += data
            self.transport.pause_reading()
            return
        if len(data) == _PONG_BYTES and not self._unread and self._has_ponged(data):
            return
        if self._turns.is_taken and not self._unread and not self.read_paused:
            self._unread += data
            self._is_turn_due = True
            self._turns.wait(self._take_turn)
            return
        heard = 0
        if not self._unread:
            heard = self._heard(data)
            if heard == len(data):
                return
            if not heard and len(data) <= SLICE_BYTES:
                self._parse(data)
                return
        self._unread += data[heard:]
        if len(self._unread) > MAX_UNREAD_BYTES:  # it was told goodbye, and goes on
            self.transport.abort()
        elif heard:
            self._wait_for_turn()
        elif not self.read_paused and not self._is_turn_due:
            self._take_turn()

    def _take_turn(self) -> None:
        """Read what is there, until the service has a message to deal with, or others have waited long enough."""
        self._is_turn_due = self.read_paused = False
        self._frames = 0
        if self.transport.is_closing():
            return
        heard = self._heard(bytes(self._unread[:DIRECT_BYTES]))
        del self._unread[:heard]
        while not heard and self._unread and not self.read_paused and self._frames < TURN_FRAMES:
            if self.transport.is_closing():
                return
            piece = bytes(self._unread[:SLICE_BYTES])
            del self._unread[:SLICE_BYTES]
            self._parse(piece)
        if self.read_paused or self.transport.is_closing():
            return
        if self._unread:
            self.transport.pause_reading()
            self._wait_for_turn()
        else:
            self.transport.resume_reading()

    def _parse(self, data: bytes) -> None:
        self._is_parsing = True
        super().data_received(data)

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
        was_asked = self.pending_ping_payload is not None
        super().handle_pong(event)
        if not was_asked or self.pending_ping_payload is not None:
            self._count(is_message=False)

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

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.conn.parser.close()

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.close":
            self.writable.set()
        was_answered = self.handshake_complete
        await super().send(message)
        if self._unread and (self.close_sent or not was_answered):
            self._wait_for_turn()

    def shutdown(self) -> None:
        if self.transport.is_closing():
            self.stop_keepalive()  # goodbye was said: uvicorn would say it again, which breaks the end of the process
        else:
            super().shutdown()

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.scope["extensions"].pop(EXTENSION, None)  # it leads back here, as does the parser
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
