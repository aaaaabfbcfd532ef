"""One connection to a server: a request out, its response in as it comes, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any, cast

import httpx
from httptools import HttpParserError, HttpResponseParser

# Of one response the status line, the headers, what comes before (1xx) and behind the body, in bytes and in headers:
# gateways and single sign-on add cookies and policies beyond what most servers send.
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 1000
# What of a body waits for its reader before no more is taken from the network, and what is handed over at once: who
# reads a long body lets others have their turn.
MAX_UNREAD_BYTES = 128 * 1024
PIECE_BYTES = 16 * 1024

_TOO_MUCH = f"more than {MAX_HEAD_BYTES} bytes beside the body"


class _State(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    OVER = auto()


class _Odd(ValueError):
    """What the parser would take and this service does not."""


async def message_of(request: httpx.Request) -> bytes:
    """Return the request as it is sent. Raises `httpx.LocalProtocolError` for what would be read as something else."""
    body = await request.aread()
    if "transfer-encoding" in request.headers:
        raise httpx.LocalProtocolError("a body of unknown length is not sent")
    return message_with(request.method.encode("ascii"), request.url.raw_path, request.headers.raw, body)


def message_with(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """The same of the parts of a request, the length of the body among its headers."""
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    lines += [b"%b: %b" % header for header in headers]
    head = b"\r\n".join([*lines, b"", b""])
    # One line break behind each line and none within: a value with one would become a header of its own.
    if not head.count(b"\r") == head.count(b"\n") == len(lines) + 1 or b"\0" in head:
        raise httpx.LocalProtocolError("a line break or NUL in the head of a request")
    return head + body


class Line(asyncio.Protocol):
    """A connection: `send`, `head`, `read` to the end, `finish`, and again. Its errors are httpx's, without content.

    Who is cancelled in `read` may read on. `abort` ends it at once, at any time. What `listen` was given takes what
    comes of this body while its reader waits, in the callback that has read it, or leaves it to the reader.
    """

    def __init__(self) -> None:
        self.on_lost: Callable[[Line], None] | None = None
        self.is_lost = False
        self.is_reused = False
        self.idle_since = 0.0
        self.has_heard = False  # a byte of this response
        self.status = 0
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._loop = asyncio.get_running_loop()
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._state = _State.IDLE
        self._error = ""
        self._unread = bytearray()
        self._waiting: asyncio.Future[None] | None = None
        self._hear: Callable[[bytes], bool] | None = None
        self._is_paused = False

    # Asking

    @property
    def is_open(self) -> bool:
        """Whether it can take a request."""
        return self._state is _State.IDLE and not self._transport.is_closing()

    def send(self, message: bytes, *, has_body: bool = True) -> None:
        """Begin a request; `has_body`: the response to it may have one, as it may not to HEAD."""
        self._state = _State.HEAD
        self._may_have_body = has_body
        self.has_heard = self._is_kept = False
        self._bare = self._head_bytes = 0
        self.reason, self.headers, self._hear = b"", [], None
        if not self._transport.is_closing():  # uvloop's raises then
            self._transport.write(message)

    async def head(self, seconds: float | None) -> None:
        """Wait for status, reason and headers. Raises `httpx.RemoteProtocolError` or `httpx.ReadTimeout`."""
        while self._state is _State.HEAD:
            if self._error:
                raise httpx.RemoteProtocolError(self._error)
            await self._wait(seconds)

    async def read(self, seconds: float | None) -> bytes:
        """Return what of the body is there, b"" at the end. Raises `httpx.ReadError` or `httpx.ReadTimeout`."""
        while not self._unread:
            if self._state is _State.OVER:
                return b""
            if self._error:
                raise httpx.ReadError(self._error)
            await self._wait(seconds)
        if len(self._unread) <= PIECE_BYTES:
            piece = bytes(self._unread)
            self._unread.clear()
        else:
            piece = bytes(self._unread[:PIECE_BYTES])
            del self._unread[:PIECE_BYTES]
        if self._is_paused and len(self._unread) <= MAX_UNREAD_BYTES:
            self._resume()
        return piece

    def listen(self, hear: Callable[[bytes], bool] | None) -> None:
        """From now on `hear` is asked first, and says whether it took all. What it raises breaks the connection."""
        self._hear = hear

    def finish(self) -> bool:
        """End the exchange; return whether the line may serve again. What was not read is thrown away."""
        is_over = self._state is _State.OVER and self._is_kept
        if not is_over or self._transport.is_closing() or self._transport.get_write_buffer_size():
            self.abort()
            return False
        self._state = _State.IDLE
        self._unread.clear()
        self._hear = None  # it would keep its session
        self.is_reused = True
        if self._is_paused:
            self._resume()  # or nobody would see it close
        return True

    def abort(self) -> None:
        # Not close(), which waits for what is unsent, and under TLS for the other side.
        self._is_kept = False
        self._transport.abort()

    async def _wait(self, seconds: float | None) -> None:
        self._waiting = self._loop.create_future()
        try:
            if seconds is None:
                await self._waiting
            else:
                async with asyncio.timeout(seconds):
                    await self._waiting
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"nothing came for {seconds:g} s") from error
        finally:
            self._waiting = None

    def _resume(self) -> None:
        self._is_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._state is _State.IDLE or self._state is _State.OVER:
            self.abort()  # or the next question would get it
            return
        self.has_heard = True
        self._bare += len(data)
        try:
            self._parser.feed_data(data)
            if self._bare > MAX_HEAD_BYTES:
                raise _Odd(_TOO_MUCH)
        except (HttpParserError, _Odd) as error:
            odd = error.__context__ if isinstance(error.__context__, _Odd) else error
            self._fail(f"the response cannot be read: {odd}")
        if self._hear is None or not self._is_heard(self._hear):
            self._wake()
        if len(self._unread) > MAX_UNREAD_BYTES and not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        if self._state is _State.BODY and self._ends_with_line:
            self._state = _State.OVER
        self._fail("the server closed the connection")

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self._parser = None  # it holds methods of this object
        self._fail(getattr(error, "strerror", None) or "the connection is lost")
        if self.on_lost is not None:
            self.on_lost(self)

    def _fail(self, text: str) -> None:
        self._error = self._error or text  # after the end nobody asks
        self.abort()
        self._wake()

    def _is_heard(self, hear: Callable[[bytes], bool]) -> bool:
        # One that does not wait has something before this.
        if self._waiting is None or self._waiting.done() or self._state is not _State.BODY or self._error:
            return False
        if not 0 < len(self._unread) <= PIECE_BYTES or not hear(bytes(self._unread)):
            return False
        self._unread.clear()
        return True

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._state is not _State.HEAD:
            raise _Odd("another response behind the end")

    def on_status(self, reason: bytes) -> None:
        self._count(len(reason))
        self.reason = reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        if self._state is not _State.HEAD:
            return  # behind the body: of no use here
        self.headers.append((name, value.rstrip(b" \t")))
        if len(self.headers) > MAX_HEADERS:
            raise _Odd("too many headers")

    def on_headers_complete(self) -> None:
        parser = cast(Any, self._parser)
        self.status = parser.get_status_code()
        if 100 <= self.status < 200 and self.status != 101:
            return
        # Asked now: behind the end the parser has forgotten it.
        self._is_kept = parser.should_keep_alive() and self.status != 101 and self._may_have_body
        self._ends_with_line = not any(
            name == b"content-length" or (name == b"transfer-encoding" and value.lower().endswith(b"chunked"))
            for name, value in ((name.lower(), value) for name, value in self.headers)
        )
        self._bare = 0
        self._state = _State.BODY if self._may_have_body else _State.OVER

    def on_body(self, data: bytes) -> None:
        self._bare = 0
        if self._may_have_body:
            self._unread += data

    def on_message_complete(self) -> None:
        if self._state is _State.HEAD:
            self.reason, self.headers = b"", []  # 1xx: the response is still to come
        else:
            self._state = _State.OVER

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise _Odd(_TOO_MUCH)
