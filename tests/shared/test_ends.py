"""How a process ends whose sessions others may have: by a signal, by `kill -9`, and by standing still."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.client import PATIENCE, Client
from tests.lifecycle.test_process import Process, connect_line, forked, service_of
from tests.redis import RedisServer
from tests.rules import text_of
from tests.scrape import scrape
from tests.service import Service
from tests.shared.test_moving import letters, lose
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, hang, wait

pytestmark = pytest.mark.slow


class Two:
    """Two processes that share their sessions."""

    def __init__(self, processes: list[Process], services: list[Service]) -> None:
        self.first, self.second = processes
        self.here, self.there = services


@asynccontextmanager
async def two(redis: RedisServer, dify: StandInDify, folder: Path, **settings: str) -> AsyncIterator[Two]:
    environment = {
        "PORT": "0",
        "DIFY_API_KEY": dify.api_key,
        "DIFY_BASE_URL": dify.base_url,
        "REDIS_URL": redis.url,
        "REPLICA_DEAD_SECONDS": "0.6",
        **settings,
    }
    async with (
        forked("app", cwd=folder, **environment) as first,
        forked("app", cwd=folder, **environment) as second,
    ):
        processes = [first, second]
        yield Two(processes, [service_of(await connect_line(each)) for each in processes])


async def lost(client: Client) -> None:
    """Receive what still comes, until the socket is gone."""
    assert await client.close_code() in {1006, 1012, None}


async def test_a_process_that_drains_leaves_its_sessions_to_others(
    redis: RedisServer, dify: StandInDify, tmp_path: Path
) -> None:
    go_on = asyncio.Event()
    async with two(redis, dify, tmp_path) as both, both.here.connect() as idle, both.here.connect() as busy:
        await idle.ask("What is RAG?")
        dify.will(answer("One ", wait(go_on), "two."))
        await busy.say("What is an LLM?")
        await busy.until(content="One ")
        await busy.say("What is a pump?")
        await busy.until(stage="waiting_for_question")
        both.first.process.send_signal(signal.SIGTERM)
        assert await idle.close_code() == 1012
        assert "closed" not in [frame.get("stage") for frame in idle.frames]
        go_on.set()
        assert await busy.close_code() == 1012
        assert text_of(busy.frames) == "One two."
        assert await both.first.rest() == 0
        async with both.there.reconnect(idle) as greeting:
            assert greeting["resumed"] is True
            await idle.ask("What is a pump?")
        async with both.there.reconnect(busy) as greeting:
            assert greeting["resumed"] is True
            # What waited is asked here.
            await busy.until(stage="idle", reason="answered")
            assert dify.requests[-1].body["query"] == "What is a pump?"
        assert (await scrape(both.there)).get("sessions_moved_total") == 2


async def test_an_answer_that_lasts_longer_than_a_drain_has_one_end(
    redis: RedisServer, dify: StandInDify, tmp_path: Path
) -> None:
    dify.will(answer("One ", hang()))
    async with two(redis, dify, tmp_path, DRAIN_SECONDS="0.2") as both, both.here.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        both.first.process.send_signal(signal.SIGTERM)
        await lost(client)
        assert client.frames[-2]["error"]["code"] == "RAG_BROKEN_STREAM"
        await dify.stopped()
        async with both.there.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            await client.ask("What is an LLM?")


async def test_of_a_process_that_was_killed_nothing_is_lost_but_its_answers_end(
    redis: RedisServer, dify: StandInDify, tmp_path: Path
) -> None:
    async with two(redis, dify, tmp_path) as both, both.here.connect() as idle, both.here.connect() as busy:
        await idle.ask("What is RAG?")
        dify.will(answer("One ", hang()))
        await busy.say("What is an LLM?")
        await busy.until(content="One ")
        await busy.say("It is a pump.")
        await busy.settle()
        both.first.process.kill()
        await asyncio.gather(lost(idle), lost(busy))

        async def come_back(client: Client) -> None:
            async with both.there.reconnect(client) as greeting:
                assert greeting["resumed"] is True
                if client is busy:
                    frames = await client.until(stage="idle", reason="failed")
                    final = frames[-2]
                    assert (final["error"]["code"], final["incomplete"]) == ("RAG_BROKEN_STREAM", True)
                    assert final["error"]["retryable"] is True
                await client.ask("What does it cost?")

        await asyncio.gather(come_back(idle), come_back(busy))
        assert text_of(busy.frames, busy.frames[-1]["query_id"]) != ""
        assert [each.user for each in dify.stops] == [f"ws-user-{busy.rules.session_id}"]
        assert "It is a pump. What does it cost?" in [each.body["query"] for each in dify.requests]
        assert (await scrape(both.there)).get("sessions_seized_total") == 2


async def test_a_process_that_stood_still_says_nothing_for_a_session_that_is_another_s(
    redis: RedisServer, dify: StandInDify, tmp_path: Path
) -> None:
    go_on = asyncio.Event()
    async with two(redis, dify, tmp_path) as both, both.here.connect() as client:
        dify.will(answer("One ", wait(go_on), "two."))
        await client.say("What is RAG?")
        await client.until(content="One ")
        former = client.socket
        both.first.process.send_signal(signal.SIGSTOP)
        async with both.there.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            await client.until(stage="idle", reason="failed")
            go_on.set()
            both.first.process.send_signal(signal.SIGCONT)
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ConnectionClosed):
                    assert await former.recv() == ""  # no frame comes
            await client.ask("What is an LLM?")
        assert (await scrape(both.here)).get("sessions_fenced_total") == 1


async def test_a_session_that_comes_to_a_process_which_begins_to_end_goes_on_elsewhere(
    redis: RedisServer, dify: StandInDify, tmp_path: Path
) -> None:
    async with two(redis, dify, tmp_path, REPLICA_DEAD_SECONDS="60") as both, both.here.connect() as client:
        await client.ask("What is RAG?")
        await lose(client)
        both.first.process.send_signal(signal.SIGSTOP)

        async def come() -> None:
            with suppress(ConnectionClosed):  # before it is greeted
                async with both.there.reconnect(client):
                    await client.close_code()
            assert client.socket.close_code == 1012

        coming = asyncio.create_task(come())
        await redis.until(lambda: any(letters(redis)))
        both.second.process.send_signal(signal.SIGTERM)
        await both.second.read_until("draining")
        both.first.process.send_signal(signal.SIGCONT)
        await coming
        async with both.here.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            await client.ask("What is an LLM?")


async def test_a_client_from_afar_sees_the_end_of_its_answer_while_its_owner_drains(
    redis: RedisServer, dify: StandInDify, tmp_path: Path
) -> None:
    go_on = asyncio.Event()
    async with two(redis, dify, tmp_path, REPLICA_DEAD_SECONDS="60") as both, both.here.connect() as client:
        dify.will(answer("One ", wait(go_on), "two."))
        await client.say("What is RAG?")
        await client.until(content="One ")
        async with both.there.reconnect(client):
            await client.settle()
            both.first.process.send_signal(signal.SIGTERM)
            await both.first.read_until("draining")
            go_on.set()
            assert await client.close_code() == 1012
            assert text_of(client.frames) == "One two."
        async with both.there.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            await client.ask("What is an LLM?")


async def test_the_client_of_a_process_that_was_killed_comes_back_to_the_owner(
    redis: RedisServer, dify: StandInDify, tmp_path: Path
) -> None:
    go_on = asyncio.Event()
    async with two(redis, dify, tmp_path, REPLICA_DEAD_SECONDS="60") as both, both.here.connect() as client:
        dify.will(answer("One ", wait(go_on), "two."))
        await client.say("What is RAG?")
        await client.until(content="One ")
        async with both.there.reconnect(client):
            await client.settle()
            both.second.process.kill()
            await lost(client)
        async with both.here.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            go_on.set()
            await client.until(stage="idle", reason="answered")
            assert text_of(client.frames) == "One two."
