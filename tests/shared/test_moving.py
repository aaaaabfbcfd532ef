"""A client that comes back to another process than before has its session there."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.codes import CloseCode
from tests.client import PATIENCE, Client
from tests.conftest import Serve
from tests.redis import RedisServer
from tests.rules import text_of
from tests.scrape import scrape
from tests.service import ROOT, Service
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, pause, wait
from tests.wire.test_identity import bearer, tenants_file

pytestmark = pytest.mark.slow


async def lose(client: Client) -> None:
    client.socket.transport.abort()
    with pytest.raises(ConnectionClosed):
        await client.socket.recv()


async def count(service: Service, name: str) -> Any:
    return (await scrape(service)).get(name)


async def redis_is(service: Service, *, up: bool) -> None:
    async with asyncio.timeout(PATIENCE):
        while await count(service, "redis_up") != up:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.02)  # to ask without a pause takes a processor


async def test_an_idle_session_moves_with_all_that_it_knows(start: Serve, dify: StandInDify) -> None:
    here, there = await start(), await start()
    async with here.connect() as client:
        await client.ask("What is RAG?")
        await client.send("configure", answer_language="de")
        await client.say("The pump is blue.")
        await client.settle()
        await lose(client)
        async with there.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            await client.ask("What does it cost?")
    assert dify.requests[-1].body["query"] == "The pump is blue. What does it cost?"
    assert dify.requests[-1].body["conversation_id"] != ""
    assert await count(there, "sessions_moved_total") == 1
    assert (await here.health())["sessions"] == 0


async def test_a_half_open_socket_at_the_former_process_is_closed(start: Serve) -> None:
    here, there = await start(), await start()
    async with here.connect() as client:
        await client.ask("What is RAG?")
        former = client.socket
        async with there.reconnect(client):
            with pytest.raises(ConnectionClosed):
                await former.recv()
            assert former.close_code == 4409
            await client.ask("What is an LLM?")


async def test_frames_that_were_missed_come_once(start: Serve) -> None:
    here, there = await start(), await start()
    async with here.connect() as client:
        await client.settle_in()
        read = len(client.frames)
        await client.ask("What is RAG?")
        missed = client.frames[read:]
        await lose(client)
        del client.frames[read:]
        client.rules = type(client.rules)()
        for frame in client.frames:
            client.rules.check(frame)
        async with there.reconnect(client) as greeting:
            assert await client.until(stage="idle") == missed
            assert greeting["newest_seq"] == missed[-1]["seq"]


async def test_a_running_answer_is_passed_on_from_where_it_runs(start: Serve, dify: StandInDify) -> None:
    here, there = await start(), await start()
    go_on, finish = asyncio.Event(), asyncio.Event()
    dify.will(answer("One ", wait(go_on), "two ", wait(finish), "three."))
    async with here.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        await lose(client)
        async with there.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            go_on.set()
            await client.until(content="two ")
            assert await count(there, "sessions_relayed_total") == 1
            # And lost there once more.
            await lose(client)
            async with there.reconnect(client):
                finish.set()
                await client.until(stage="idle")
                assert text_of(client.frames) == "One two three."
                await client.ask("What is an LLM?")


async def test_a_running_answer_is_found_by_a_redis_that_is_far_away(
    start: Serve, dify: StandInDify, redis: RedisServer
) -> None:
    finish = asyncio.Event()
    dify.will(answer("One ", wait(finish), "two."))
    async with redis.from_afar(0.1) as url:
        here, there = await start(redis_url=url), await start(redis_url=url)
        for service in (here, there):
            await redis_is(service, up=True)
        async with here.connect() as client:
            await client.say("What is RAG?")
            await client.until(content="One ")
            await lose(client)
            async with there.reconnect(client) as greeting:
                assert greeting["resumed"] is True
                finish.set()
                await client.until(stage="idle")
                assert text_of(client.frames) == "One two."
                await client.control("stop")
                await client.close_code()


async def test_everything_works_from_afar(start: Serve, dify: StandInDify) -> None:
    here, there = await start(), await start()
    never = asyncio.Event()
    dify.will(answer("One ", wait(never)), answer("Two ", wait(never)), answer("Three ", wait(never)), answer("Four."))
    async with here.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        await lose(client)
        async with there.reconnect(client):
            await client.control("cancel")
            await client.until(stage="idle", reason="cancelled")
            await client.control("instant_query", text="What is an LLM?")
            await client.until(content="Two ")
            await client.control("reset")
            await client.until(stage="listening", reason="reset")
            await client.send("configure", on_new_question="interrupt")
            await client.say("What is a pump?")
            await client.until(content="Three ")
            await client.say("What is a valve?")
            await client.until(stage="interrupting", reason="new_question")
            await client.until(stage="idle", reason="answered")
            await client.send("keepalive", session_id="another")
            await client.until(session_id="another", seq=1)
            await client.send_raw(b"binary")
            await client.until(code="INVALID_JSON")
            await client.control("stop")
            assert await client.close_code() == 1000
    assert (await here.health())["sessions"] == 0


async def test_a_client_that_leaves_from_afar_ends_its_session(
    start: Serve, dify: StandInDify, redis: RedisServer
) -> None:
    here, there = await start(), await start()
    dify.will(answer("One ", wait(asyncio.Event())))
    async with here.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        await lose(client)
        async with there.reconnect(client):
            await client.socket.close()
    await redis.until(lambda: not redis.records)
    assert (await here.health())["sessions"] == 0


async def test_a_client_that_leaves_before_it_is_let_in_is_waited_for_nowhere(
    start: Serve, dify: StandInDify, redis: RedisServer
) -> None:
    here, there = [await start(replica_dead_seconds=600) for _ in "ab"]  # they tell each other nothing meanwhile
    dify.will(answer("One ", wait(asyncio.Event())))
    async with here.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        await lose(client)
        redis.freeze()
        url = httpx.URL(f"{there.ws_url}?resume_token={client.token}&last_seq={client.frames[-1]['seq']}")
        _, writer = await asyncio.open_connection(url.host, url.port)
        head = f"GET {url.raw_path.decode()} HTTP/1.1\r\nHost: {url.host}\r\nUpgrade: websocket\r\n"
        head += "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        writer.write(head.encode())
        await redis_is(there, up=True)  # it has read that
        writer.transport.abort()
        await redis_is(there, up=True)
        redis.thaw()
        # The question, and that nothing comes of it: once more for each time that the reply took too long.
        await redis.until(lambda: is_let_go(letters(redis)))


def is_let_go(numbers: list[int]) -> bool:
    return len(numbers) == 2 and numbers[1] == 2 * numbers[0]


def letters(redis: RedisServer) -> list[int]:
    """How many each process has got, of those that have got any."""
    return sorted(redis.client.xinfo_stream(key)["entries-added"] for key in redis.client.scan_iter("rr:in:*"))


async def test_nothing_is_kept_for_ever(start: Serve, dify: StandInDify, redis: RedisServer) -> None:
    """Letters neither, to whomever: one to a process that has just ended is read by nobody."""
    here, there = await start(), await start()
    dify.will(answer("One ", wait(asyncio.Event())))
    async with here.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        await lose(client)
        async with there.reconnect(client):
            await client.control("cancel")
            await client.until(stage="idle", reason="cancelled")
            kept = {str(key): redis.client.pttl(key) for key in redis.client.scan_iter()}
            assert sum(":in:" in key for key in kept) == 2
            assert [key for key, left in kept.items() if left == -1] == []


@pytest.mark.no_cover  # many times the same lines
async def test_a_slow_client_from_afar_slows_the_answer(start: Serve, dify: StandInDify) -> None:
    here, there = await start(answer_chunk_chars=32_000), await start()
    go_on = asyncio.Event()
    pieces = [f"{number} " + "x" * 30_000 for number in range(500)]
    dify.will(answer("One ", wait(go_on), *pieces))
    async with here.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        await lose(client)
        async with there.reconnect(client):
            go_on.set()
            await client.until(type="answer")
            # Nobody reads now. What the sockets hold, here and there, is far less than the answer.
            await asyncio.sleep(0.3)
            assert dify.running == 1
            await client.until(stage="idle")
            assert text_of(client.frames) == "One " + "".join(pieces)


async def test_a_client_whose_process_is_taken_for_dead_does_not_wait_for_ever(
    start: Serve, dify: StandInDify, redis: RedisServer
) -> None:
    """As it happens to one that stood still for a moment: the owner gives it up, and has to say so when it is asked."""
    here = await start(replica_dead_seconds=0.6)
    known = set(redis.client.keys("rr:r:*"))
    there = await start(replica_dead_seconds=0.6)
    (life,) = set(redis.client.keys("rr:r:*")) - known
    go_on = asyncio.Event()
    dify.will(answer("One ", wait(go_on), "two."))
    async with here.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        await lose(client)
        async with there.reconnect(client):
            closed = asyncio.create_task(client.socket.wait_closed())
            async with asyncio.timeout(PATIENCE):
                while not closed.done():
                    redis.client.delete(life)
                    await asyncio.wait([closed], timeout=0.001)
            assert client.socket.close_code == CloseCode.RESTART
        go_on.set()
        # On a busy machine they are late with the signs that they live: a client comes back as often as it is told to.
        async with asyncio.timeout(PATIENCE):
            while client.frames[-1].get("stage") != "idle":
                async with there.reconnect(client) as greeting:
                    assert greeting["resumed"] is True
                    with suppress(ConnectionClosed):
                        await client.until(stage="idle")
        assert text_of(client.frames) == "One two."


async def test_a_token_opens_its_own_session_and_nothing_else(start: Serve) -> None:
    here, there = await start(), await start()
    async with here.connect() as client, here.connect() as other:
        await client.ask("What is RAG?")
        await other.ask("What is RAG?")
        former = client.token
        mixed = client.token.partition(".")[0] + "." + other.token.partition(".")[2]
        for token in (mixed, "", ".", "x" * 5000, client.token + "x", "rr:r:x"):
            async with there.reconnect(other, resume_token=token) as greeting:
                assert (greeting["resumed"], greeting["reason"]) == (False, "unknown_token")
        await lose(client)
        async with there.reconnect(client):
            await client.ask("What is an LLM?")
            await lose(client)
            async with here.reconnect(client, resume_token=former) as greeting:
                assert greeting["reason"] == "unknown_token"


async def test_a_frame_that_never_was_is_no_way_back(start: Serve) -> None:
    here, there = await start(), await start()
    async with here.connect() as client:
        await client.ask("What is RAG?")
        await lose(client)
        async with there.reconnect(client, last_seq=4711) as greeting:
            assert greeting["reason"] == "unknown_frame"


async def test_of_two_who_come_at_once_one_has_it(start: Serve) -> None:
    here, *others = [await start() for _ in range(3)]
    async with here.connect() as client:
        await client.ask("What is RAG?")
        await lose(client)
        token = client.token

        async def come(service: Service) -> str:
            async with service.connect() as other:
                other.token = token
                async with service.reconnect(other, last_seq=1, session_id="") as greeting:
                    return str(greeting["resumed"])

        came = await asyncio.gather(*(come(service) for service in others), return_exceptions=True)
    assert "True" in came
    sessions = [(await service.health())["sessions"] for service in (here, *others)]
    assert sum(sessions) <= 3


async def test_nothing_secret_is_kept_and_nothing_is_left(start: Serve, redis: RedisServer) -> None:
    here, there = await start(), await start()
    async with here.connect() as client:
        tokens = [client.token]
        await client.ask("What is RAG?")
        await lose(client)
        async with there.reconnect(client):
            tokens.append(client.token)
            await client.ask("What is an LLM?")
            content = redis.content
            assert "What is an LLM?" in content
            assert not any(token.partition(".")[2] in content for token in tokens)
            await client.control("stop")
            await client.close_code()
            await redis.until(lambda: not redis.records)
            assert "What is" not in redis.content


def let_in(redis: RedisServer, *more: str) -> str:
    """The URL of the user of the docs, who has these rules besides."""
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    rules = re.findall(r"^user realtime-rag on >a-long-password (.*)$", page, re.MULTILINE)[0].split()
    user = ("realtime-rag", "on", ">a-long-password", *rules, *more)
    redis.client.execute_command("ACL", "SETUSER", *user)  # type: ignore[no-untyped-call]
    return redis.url.replace("unix://", "unix://realtime-rag:a-long-password@")


async def test_a_redis_that_forbids_a_part_is_as_good_as_none_and_says_so_once(
    start: Serve, redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    here = await start(redis_url=let_in(redis, "-xtrim"))
    async with here.connect() as client:
        await client.ask("What is RAG?")
        await client.ask("What is an LLM?")
    assert await count(here, "redis_up") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "Redis" in line]
    assert ["Redis is away" in line for line in said] == [True]


async def test_the_user_of_the_docs_may_do_what_is_needed_and_no_more(
    start: Serve, redis: RedisServer, tmp_path: Path
) -> None:
    url = let_in(redis)
    limits = {"max_sessions": 2, "queries_per_minute": 60, "max_running_queries": 2}
    file = tenants_file(tmp_path, {"name": "acme", "token": "token-a", **limits})
    here, there = [await start(redis_url=url, auth_tokens_file=file) for _ in "ab"]
    async with here.connect(**bearer("token-a")) as client:
        await client.ask("What is RAG?")
        await lose(client)
        async with there.reconnect(client, token="token-a") as greeting:
            assert greeting["resumed"] is True
            await client.control("stop")
            await client.close_code()
    await redis.until(lambda: all("{of acme}" in key or "{all}" in key for key in redis.records))
    assert redis.client.acl_log() == []


async def test_a_client_that_cannot_be_looked_up_is_told_to_come_again(start: Serve, redis: RedisServer) -> None:
    here, there = await start(), await start()
    async with here.connect() as client:
        await client.ask("What is RAG?")
        await lose(client)
        redis.stop()
        await redis_is(there, up=False)
        with pytest.raises(InvalidStatus) as refused:
            async with there.reconnect(client):
                pass
        response = refused.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert (await there.health())["status"] == "healthy"
        async with here.reconnect(client) as greeting:  # it needs nobody
            assert greeting["resumed"] is True
        redis.start()


@pytest.mark.parametrize("comes_back_to", ["there", "elsewhere"])
async def test_a_session_whose_new_owner_never_heard_of_it_is_not_lost(
    start: Serve, redis: RedisServer, comes_back_to: str
) -> None:
    """Redis has given it away, and the reply came too late: who asked for it had given up."""
    here, there, elsewhere = await start(), await start(redis_patience_seconds=0.2), await start()
    async with here.connect() as client:
        await client.ask("What is RAG?")
        await lose(client)
        record = next(key for key in redis.records if not key.endswith(":log"))
        redis.client.hset(record, "sealed", "1")  # its owner is made to leave it
        redis.freeze()
        with pytest.raises(InvalidStatus, match="503"):
            async with there.reconnect(client):
                pass
        redis.thaw()
        await redis.until(lambda: redis.client.hget(record, "fence") == "2")
        await redis_is(there, up=True)
        async with (there if comes_back_to == "there" else elsewhere).reconnect(client) as greeting:
            assert greeting["resumed"] is True
            await client.ask("What is an LLM?")


async def test_sessions_go_on_without_redis_and_are_written_anew(start: Serve, redis: RedisServer) -> None:
    here, there = await start(), await start()
    async with here.connect() as client, here.connect() as silent:
        await client.ask("What is RAG?")
        await silent.ask("What is RAG?")
        redis.stop()
        await client.ask("What is an LLM?")
        redis.start()
        await redis.until(lambda: len(redis.records) == 4)
        await redis_is(there, up=True)
        await client.ask("What is a pump?")
        for each in (client, silent):
            await lose(each)
            async with there.reconnect(each) as greeting:
                assert greeting["resumed"] is True
                await each.ask("What is a valve?")


async def test_a_redis_that_stands_still_holds_nobody_up_for_long(start: Serve, redis: RedisServer) -> None:
    here = await start(redis_patience_seconds=0.2)
    async with here.connect() as client:
        await client.ask("What is RAG?")
        redis.freeze()
        await client.ask("What is an LLM?")
        async with here.connect() as other:
            await other.ask("What is RAG?")
        redis.thaw()
        await redis_is(here, up=True)
        await client.ask("What is a pump?")


async def test_a_connection_to_redis_that_is_lost_again_and_again_costs_nothing(
    start: Serve, dify: StandInDify, redis: RedisServer
) -> None:
    here, there = await start(), await start()
    async with here.connect() as client:
        for _ in range(5):
            dify.will(answer("One ", pause(0.03), "two ", pause(0.03), "three."))
            await client.say("What is RAG?", id="asked")
            await client.until(id="asked")
            redis.client.client_kill_filter(_type="normal", skipme=True)
            await client.until(stage="idle")
            await client.control("reset")  # the same words again
            assert text_of(client.frames, client.frames[-1]["query_id"]) == "One two three."
        await redis_is(there, up=True)
        await redis_is(here, up=True)
        await client.ask("What is RAG?")
        await lose(client)
        async with there.reconnect(client) as greeting:
            assert greeting["resumed"] is True


async def test_a_record_that_is_gone_is_written_anew(start: Serve, redis: RedisServer) -> None:
    here, there = await start(), await start()
    async with here.connect() as client:
        await client.ask("What is RAG?")
        redis.client.delete(*redis.records)
        await client.ask("What is an LLM?")
        assert await count(here, "sessions_rewritten_total") >= 1  # for each frame that was on its way
        await lose(client)
        async with there.reconnect(client) as greeting:
            assert greeting["resumed"] is True


async def test_a_redis_without_room_is_as_good_as_none(start: Serve, redis: RedisServer) -> None:
    here = await start()
    async with here.connect() as client:
        await client.ask("What is RAG?")
        redis.client.config_set("maxmemory", "1")
        await client.ask("What is an LLM?")
        await redis_is(here, up=False)
        redis.client.config_set("maxmemory", "0")
        await redis_is(here, up=True)
        await client.ask("What is a pump?")


@pytest.mark.parametrize("change", ["state", "log", "version", "questions"])
async def test_a_record_that_cannot_be_read_is_refused(start: Serve, redis: RedisServer, change: str) -> None:
    here, there = await start(), await start()
    async with here.connect() as client:
        await client.ask("What is RAG?")
        await lose(client)
        record = next(key for key in redis.records if not key.endswith(":log"))
        async with there.connect() as other:  # let the session be written down for good
            other.token = client.token
            # Its owner is made to leave it, and what it has left is spoilt before anybody comes.
            redis.client.hset(record, "sealed", "1")
            match change:
                case "state":
                    redis.client.hset(record, "state", "{")
                case "log":
                    redis.client.hincrby(record, "stop", 3)
                case "questions":
                    state = redis.client.hget(record, "state")
                    assert isinstance(state, str)
                    redis.client.hset(record, "state", json.dumps(json.loads(state) | {"questions": 10**400}))
                case "version":
                    state = redis.client.hget(record, "state")
                    assert isinstance(state, str)
                    redis.client.hset(record, "state", state.replace('"version":1', '"version":7'))
            async with there.reconnect(client) as greeting:
                assert (greeting["resumed"], greeting["reason"]) == (False, "unknown_token")
