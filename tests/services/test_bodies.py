"""Bodies of responses, compressed or not, whoever interrupts the reading."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest

from app.services.bodies import STEP_BYTES, Body


class Pieces(httpx.AsyncByteStream):
    """A body that comes in these pieces and, as a network stream, may be read on by the next reader."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def body(pieces: Iterable[bytes], coding: str | None = None) -> Body:
    headers = {} if coding is None else {"Content-Encoding": coding}
    return Body.of(httpx.Response(200, headers=headers, stream=Pieces(pieces)))


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


TEXT = b"data: " + bytes(range(256)) * 300


@pytest.mark.parametrize("coding", [None, "", "identity", "Identity, "])
async def test_what_is_not_compressed_comes_as_it_is(coding: str | None) -> None:
    assert [chunk async for chunk in body([b"a", b"bc", b""], coding).chunks()] == [b"a", b"bc", b""]


@pytest.mark.parametrize(
    ("data", "coding"),
    [
        (gzip.compress(TEXT), "gzip"),
        (gzip.compress(TEXT), "X-GZIP"),
        (gzip.compress(TEXT), "identity, gzip"),
        (zlib.compress(TEXT), "deflate"),
        (zlib.compress(TEXT, wbits=-15), "deflate"),
        (gzip.compress(TEXT[:100]) + gzip.compress(b"") + gzip.compress(TEXT[100:]), "gzip"),
        (gzip.compress(TEXT) + bytes(9), "gzip"),
    ],
)
async def test_one_layer_of_compression_is_undone_wherever_it_is_cut(data: bytes, coding: str) -> None:
    for pieces in ([data], bytewise(data)):
        assert await body(pieces, coding).read(len(TEXT)) == TEXT


async def test_what_was_flushed_comes_at_once() -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    chunks = body([first, packer.compress(b"data: 2\n\n") + packer.flush()], "gzip").chunks()

    assert await anext(chunks) == b"data: 1\n\n"
    assert await anext(chunks) == b"data: 2\n\n"


@pytest.mark.parametrize(
    ("data", "coding"),
    [
        (gzip.compress(gzip.compress(TEXT)), "gzip, gzip"),
        (gzip.compress(gzip.compress(TEXT)), "gzip,identity,GZIP"),
        (TEXT, "br"),
        (TEXT, "zstd"),
        (TEXT, "gzip"),
        (gzip.compress(TEXT)[:20] + TEXT, "gzip"),
        (TEXT, "x" * 1000),
    ],
    ids=["two layers", "two layers and none", "br", "zstd", "no gzip", "broken gzip", "nonsense"],
)
async def test_what_cannot_be_read_is_an_error(data: bytes, coding: str) -> None:
    with pytest.raises(httpx.DecodingError) as refusal:
        await body([data], coding).read(10 * len(TEXT))
    assert len(str(refusal.value)) < 200


@pytest.mark.slow
async def test_a_body_has_a_bound_however_small_it_comes() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024), 9)
    tracemalloc.start()
    with pytest.raises(httpx.DecodingError, match="more than 1000000 bytes"):
        await body([bomb], "gzip").read(1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4_000_000


async def test_others_get_their_turn_after_each_step() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    steps = 0
    async for chunk in body([gzip.compress(bytes(100 * STEP_BYTES))], "gzip").chunks():
        steps += 1
        assert len(chunk) <= STEP_BYTES
        assert turns >= steps - 1
    task.cancel()
    assert steps == 100


async def test_who_was_interrupted_reads_on_without_a_loss() -> None:
    response = body([*bytewise(gzip.compress(TEXT)[:40]), gzip.compress(TEXT)[40:]], "gzip")
    told = b""
    while chunk := await anext(response.chunks(), None):
        told += chunk
    assert told == TEXT
