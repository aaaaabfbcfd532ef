"""Reads the body of a response as it comes; of compression one layer is undone, a step at a time."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable

import httpx

from app.services.transport import BODY, DirectBody

# What is inflated before others get their turn: a few kB can become gigabytes.
STEP_BYTES = 16 * 1024
# How a gzip file begins. Several may stand one behind the other (RFC 1952, 2.2), where a proxy flushes so.
GZIP = b"\x1f"


def _inflater(wbits: int = zlib.MAX_WBITS + 32) -> zlib._Decompress:
    return zlib.decompressobj(wbits)  # with 32 it finds out whether gzip or zlib


def _has_header(data: bytes) -> bool:
    """Whether it begins as RFC 1950 says of `deflate`; what some servers send has no header (RFC 9110, 8.4.1.2)."""
    return data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0


class Body:
    """The body of one response. Who was interrupted while reading it may read on.

    Nothing compressed is asked for, but some proxies compress all the same. Raises `httpx.HTTPError` for what cannot
    be read.
    """

    def __init__(self, stream: AsyncIterable[bytes], encoding: str, direct: DirectBody | None = None) -> None:
        self._direct = direct
        self._stream = stream
        named = encoding.lower().split(",") if encoding else []
        self._codings = [coding for name in named if (coding := name.strip()) not in {"", "identity"}]
        self._head = b"" if self._codings == ["deflate"] else None
        if self._codings:
            self._inflater = _inflater()

    @classmethod
    def of(cls, response: httpx.Response) -> Body:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        direct: DirectBody | None = response.extensions.get(BODY)
        return cls(direct or response.stream, response.headers.get("content-encoding", ""), direct)

    def chunks(self) -> AsyncIterator[bytes]:
        # Mostly without a layer of our own: this is where every token passes.
        return self._inflated() if self._codings else aiter(self._stream)

    def listen(self, hear: Callable[[bytes], bool] | None) -> None:
        """From now on `hear` may take what comes (`Line.listen`), where that is what was meant."""
        if self._direct is not None and not self._codings:
            self._direct.listen(hear)

    async def read(self, limit: int) -> bytes:
        """Return the whole body, if it has at most `limit` bytes."""
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise httpx.DecodingError(f"the body has more than {limit} bytes")
        return bytes(body)

    async def _inflated(self) -> AsyncIterator[bytes]:
        if len(self._codings) > 1 or self._codings[0] not in {"gzip", "x-gzip", "deflate"}:
            raise httpx.DecodingError(f"the body is encoded in a way that is not read: {', '.join(self._codings)[:80]}")
        try:
            async for piece in self._pieces(self._inflater.unconsumed_tail or self._inflater.unused_data):
                yield piece
            async for chunk in self._stream:
                async for piece in self._pieces(chunk):
                    yield piece
        except zlib.error as error:
            raise httpx.DecodingError("the body is not compressed as it says") from error

    async def _pieces(self, data: bytes) -> AsyncIterator[bytes]:
        if self._head is not None:
            data = self._head + data
            self._head = data if len(data) < 2 else None
            if self._head is not None:
                return
            if not _has_header(data):
                self._inflater = _inflater(-zlib.MAX_WBITS)
        while True:
            if self._inflater.eof:
                if not data.startswith(GZIP):
                    return
                self._inflater = _inflater()
            piece = self._inflater.decompress(data, STEP_BYTES)
            data = self._inflater.unconsumed_tail or self._inflater.unused_data
            if piece:
                yield piece
            if piece or self._inflater.eof:
                await asyncio.sleep(0)
            if not data and len(piece) < STEP_BYTES:
                return
