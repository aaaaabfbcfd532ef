"""The short way between a socket and its session (`sessions/direct.py`) is the plain one, only sooner."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Opcode

from app.lifecycle.websocket import Socket
from tests.conftest import Serve
from tests.service import Service, make_settings, serve
from tests.standin.dify import StandInDify
from tests.wire.test_edge import connect_raw
from tests.wire.test_protocol import *  # noqa: F403  # all of it once more, where there is no short way

if os.environ.get("WHOLE_MATRIX") != "1":  # what becomes of a message that was heard is the same by either way
    del test_bad_input_gets_one_coded_error_and_no_ack  # noqa: F821
    del test_a_field_that_only_weighs_the_words_never_costs_them  # noqa: F821
    del test_a_setting_that_cannot_be_used_costs_no_other  # noqa: F821

# Other tests reach the same lines.
pytestmark = [pytest.mark.no_cover, pytest.mark.slow]


@pytest.fixture
async def start(dify: StandInDify) -> AsyncIterator[Serve]:
    """Start the service behind uvicorn's own WebSocket, as `uvicorn app.main:app` does."""
    async with AsyncExitStack() as stack:

        async def start(**values: Any) -> Service:
            upstream = {"dify_api_key": dify.api_key, "dify_base_url": dify.base_url}
            settings = make_settings(**{**upstream, **values})
            return await stack.enter_async_context(serve(settings, ws=WebSocketsSansIOProtocol))

        yield start


def messages(count: int) -> list[tuple[str, bytes]]:
    """Of all sizes that a frame can say in its own way, with what is no message between them."""
    sizes = [0, 60, 125, 126, 600, 5_000, 66_000]
    return [(f"m{n}", b'{"type":"keepalive","id":"m%d","note":"%b"}' % (n, b"x" * sizes[n % 7])) for n in range(count)]


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_cut_anywhere_is_heard_whole_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    settings = make_settings(messages_per_second=10_000, max_message_bytes=80_000)
    async with serve(settings) as service, connect_raw(service) as raw:
        wire = bytearray()
        for _, message in messages(60):
            if chance.random() < 0.2:
                wire += raw.frame(Opcode.PING, b"?")
            if chance.random() < 0.2:
                wire += raw.frame(Opcode.TEXT, message[:20], fin=False) + raw.frame(Opcode.CONT, message[20:])
            else:
                wire += raw.frame(Opcode.TEXT, message)
        while wire:
            size = chance.choice([1, 2, 5, 9, 80, 700, 30_000])
            raw.writer.write(bytes(wire[:size]))
            await raw.writer.drain()
            await asyncio.sleep(0)
            del wire[:size]
        heard = b""
        while b'"id":"m59"' not in heard:
            heard += await raw.reader.read(65_536)
    ids = [part[: part.index(b'"')].decode() for part in heard.split(b'"id":"')[1:]]
    assert ids == [name for name, _ in messages(60)]


async def test_a_text_that_is_no_utf8_closes_the_socket_as_ever() -> None:
    async with serve(make_settings()) as service, connect_raw(service) as raw:
        raw.writer.write(raw.frame(Opcode.TEXT, b"\xff"))
        heard = await raw.reader.read()
    assert (1007).to_bytes(2, "big") in heard


async def test_what_has_piled_up_goes_the_short_way_too() -> None:
    queued: list[object] = []

    class Watched(Socket):
        async def receive(self) -> ASGIReceiveEvent:
            message = await super().receive()
            queued.append(message.get("text"))
            return message

    async with serve(make_settings(messages_per_second=10_000), ws=Watched) as service, connect_raw(service) as raw:
        wire = b"".join(raw.frame(Opcode.TEXT, b'{"type":"keepalive","note":"%d"}' % n) for n in range(40))
        raw.writer.write(wire + raw.frame(Opcode.TEXT, b'{"type":"configure"}'))
        await raw.writer.drain()
        heard = b""
        while b'"received_type":"configure"' not in heard:
            heard += await raw.reader.read(65_536)
    assert heard.count(b'"received_type":"keepalive"') == 40
    assert not any(queued)
