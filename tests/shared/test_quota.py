"""What a tenant may have it has over all processes together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.client import PATIENCE, Client
from tests.conftest import Serve
from tests.redis import RedisServer
from tests.service import Service
from tests.sessions import test_live
from tests.shared.test_moving import lose
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, wait
from tests.wire.test_identity import bearer, tenants_file

pytestmark = pytest.mark.slow

ACME = bearer("token-a")
SOON = 1.5
"""Each says three times as often that it lives, and what it has; who is late with it is taken for dead meanwhile."""
Two = Callable[..., Awaitable[tuple[Service, Service]]]


@pytest.fixture
def two(start: Serve, tmp_path: Path) -> Two:
    """Two processes, and a tenant with these limits."""

    async def start_two(*, replica_dead_seconds: float = 60, **limits: int) -> tuple[Service, Service]:
        file = tenants_file(tmp_path, {"name": "acme", "token": "token-a", **limits})
        settings = {"auth_tokens_file": file, "queries_per_minute": 100_000}
        settings["replica_dead_seconds"] = replica_dead_seconds
        return await start(**settings), await start(**settings)

    return start_two


@asynccontextmanager
async def entering(service: Service) -> AsyncIterator[bool]:
    """Whether a client gets a session; within this it has it."""
    async with connect(service.ws_url, proxy=None, **ACME) as socket:
        frame = json.loads(await socket.recv())
        yield frame["type"] == "ack"
        if frame["type"] == "ack":
            await socket.send('{"type": "control", "action": "stop"}')
        await socket.wait_closed()
        assert socket.close_code == (1000 if frame["type"] == "ack" else 4429)


async def is_let_in(service: Service) -> bool:
    async with entering(service) as is_in:
        return is_in


async def wait_of(client: Client) -> int:
    """The milliseconds that a question is told to wait."""
    error = (await client.until(stage="idle"))[-2]["error"]
    assert error["code"] == "RATE_LIMITED"
    return int(error["retry_after_ms"])


async def test_sessions(two: Two) -> None:
    here, there = await two(max_sessions=2)
    async with here.connect(**ACME), there.connect(**ACME) as client:
        assert not await is_let_in(here)
        assert not await is_let_in(there)
        await client.control("stop")
        await client.close_code()
        assert await is_let_in(here)  # at once: that one has ended is told
        assert await is_let_in(there)


async def test_sessions_that_come_at_once(two: Two) -> None:
    here, there = await two(max_sessions=3)
    async with AsyncExitStack() as stack:
        comers = [stack.enter_async_context(entering(service)) for service in [here, there] * 4]
        assert sum(await asyncio.gather(*comers)) == 3


async def test_a_session_that_moves_is_counted_where_it_is(two: Two) -> None:
    here, there = await two(max_sessions=1)
    async with here.connect(**ACME) as client:
        await client.ask("What is RAG?")
        await lose(client)
        async with there.reconnect(client, token="token-a") as greeting:
            assert greeting["resumed"] is True
            assert not await is_let_in(here)
            await client.control("stop")
            await client.close_code()
        assert await is_let_in(here)


async def test_a_session_that_comes_back_while_what_it_had_asked_here_still_ends_is_counted_once(
    start: Serve, tmp_path: Path
) -> None:
    settings = {
        "auth_tokens_file": tenants_file(tmp_path, {"name": "acme", "token": "token-a", "max_sessions": 1}),
        "rag_provider": "tests.sessions.test_live:open_provider",
    }
    here = await start(**settings)
    provider = test_live.provider
    there = await start(**settings)
    async with here.connect(**ACME) as client:
        await client.control("instant_query", text="cling?")
        await client.until(content="Text.")
        await client.control("cancel")
        await client.until(stage="idle", reason="cancelled")
        await client.settle()
        await lose(client)
        async with there.reconnect(client, token="token-a"):
            await client.settle()
            await lose(client)
            async with here.reconnect(client, token="token-a") as greeting:
                assert greeting["resumed"] is True
                provider.let_go.set()
                await provider.closed.wait()
                await client.ask("What is RAG?")
                assert (await here.health())["sessions"] == 1
                await client.control("stop")
                await client.close_code()
        assert await is_let_in(there)


async def test_a_limit_that_is_new_counts_those_who_were_there_before(two: Two, tmp_path: Path) -> None:
    here, there = await two(replica_dead_seconds=SOON)
    async with here.connect(**ACME):  # and nobody comes here who would be asked for the new one
        tenants_file(tmp_path, {"name": "acme", "token": "token-a", "max_sessions": 1})
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(PATIENCE / 4):
            while await is_let_in(there):
                pass


async def test_questions_a_minute(two: Two) -> None:
    here, there = await two(queries_per_minute=3)
    async with here.connect(**ACME) as one, there.connect(**ACME) as other:
        for client, text in ((one, "What is RAG?"), (other, "What is RAG?"), (one, "What is an LLM?")):
            await client.ask(text)
        for client in (one, other):
            await client.say("What is a pump?")
            assert 0 < await wait_of(client) <= 20_000


async def test_the_questions_of_a_session_go_along_with_it(start: Serve) -> None:
    here, there = await start(queries_per_minute=2), await start(queries_per_minute=2)
    async with here.connect() as client:
        await client.ask("What is RAG?")
        await client.ask("What is an LLM?")
        await lose(client)
        async with there.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            await client.say("What is a pump?")
            assert await wait_of(client) > 0


async def test_questions_at_once_are_parted(two: Two, dify: StandInDify) -> None:
    here, there = await two(max_running_queries=2, replica_dead_seconds=SOON)
    async with there.connect(**ACME), here.connect(**ACME) as one, here.connect(**ACME) as other:
        finish = asyncio.Event()
        dify.will(answer("One.", wait(finish)))
        await one.say("What is RAG?")
        await one.until(content="One.")
        async with asyncio.timeout(PATIENCE):
            while not await is_queued(other):  # until each knows of the other
                pass
        finish.set()
        await other.until(stage="idle")
        await one.until(stage="idle")


async def is_queued(client: Client) -> bool:
    """Whether a question has to wait, which then goes on waiting; else it is answered."""
    await client.control("instant_query", text="What is an LLM?")
    while True:
        frame = await client.receive()
        if frame.get("note") == "queued":
            return True
        if frame.get("stage") == "idle":
            return False


async def test_without_redis_each_counts_alone(two: Two, redis: RedisServer) -> None:
    here, there = await two(max_sessions=1, queries_per_minute=1)
    async with here.connect(**ACME) as client:
        await client.ask("What is RAG?")
        redis.stop()
        async with there.connect(**ACME) as other:
            await other.ask("What is RAG?")
            assert not await is_let_in(there)
            await other.say("What is an LLM?")
            assert await wait_of(other) > 0
        redis.start()
