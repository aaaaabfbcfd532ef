"""A lost connection loses nothing: the session waits, its answer goes on, and the client gets what it has missed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.client import PATIENCE, Client
from tests.conftest import Serve
from tests.rules import text_of
from tests.service import Service
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, hang, wait


async def lose(client: Client) -> None:
    """The network is gone, and nobody says so."""
    client.socket.transport.abort()
    with pytest.raises(ConnectionClosed):
        await client.socket.recv()


async def parked(service: Service) -> None:
    """Wait until the service has noticed the loss."""
    async with asyncio.timeout(PATIENCE):
        while not (await service.health())["parked"]:
            pass


async def test_an_answer_goes_on_while_nobody_is_connected(start: Serve, dify: StandInDify) -> None:
    service = await start()
    go_on = asyncio.Event()
    dify.will(answer("One ", wait(go_on), "two ", "three."))
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        before = client.last_seq
        await lose(client)
        await parked(service)
        go_on.set()
        await dify.idle()
        async with service.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            assert greeting["seq"] == before
            assert greeting["session_id"] == client.frames[0]["session_id"]
            missed = await client.until(stage="idle")
            assert greeting["newest_seq"] == missed[-1]["seq"]
            assert text_of(client.frames) == "One two three."
            assert text_of(await client.ask("What is an LLM?")) != ""


async def test_what_came_meanwhile_comes_first_and_then_what_is_live(start: Serve, dify: StandInDify) -> None:
    service = await start()
    first, then = asyncio.Event(), asyncio.Event()
    dify.will(answer("One ", wait(first), "two ", wait(then), "three."))
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        await lose(client)
        await parked(service)
        first.set()
        async with service.reconnect(client):
            await client.until(content="two ")
            then.set()
            await client.until(stage="idle")
    assert text_of(client.frames) == "One two three."


@pytest.mark.no_cover  # many times the same lines
@pytest.mark.slow
async def test_a_message_far_too_large_costs_the_connection_but_not_the_answer(start: Serve, dify: StandInDify) -> None:
    """The server closes by itself, while the answer is on its way to the same socket."""
    service = await start()
    go_on = asyncio.Event()
    texts = [f"{number} " for number in range(3000)]
    dify.will(answer("One ", wait(go_on), *texts))
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        go_on.set()
        for _ in range(5):
            await client.receive()
        await client.send_raw("x" * 200_000)
        assert await client.close_code() == 1009
        async with service.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            await client.until(stage="idle")
            assert text_of(client.frames) == "One " + "".join(texts)


async def test_what_has_arrived_is_known_once_the_newest_frame_has_come(start: Serve) -> None:
    service = await start()
    async with service.connect() as client:
        await client.say("The pump is blue.", id="m-1")
        await client.until(id="m-1")
        known = len(client.frames)
        await client.say("It is new.", id="m-2")
        await client.until(id="m-2")
        client.socket.transport.abort()
        # As if nothing had been read since.
        del client.frames[known:]
        client.rules.seq[client.rules.session_id or ""] = client.last_seq
        async with service.reconnect(client) as greeting:
            missed = await client.until(seq=greeting["newest_seq"])
            assert "m-2" in [frame.get("id") for frame in missed]


async def test_frames_that_were_sent_but_never_read_come_again(start: Serve) -> None:
    service = await start()
    async with service.connect() as client:
        read = list(client.frames)
        await client.ask("What is RAG?")
        lost = client.frames[len(read) :]
        await lose(client)
        del client.frames[len(read) :]
        client.rules = type(client.rules)()
        for frame in read:
            client.rules.check(frame)
        async with service.reconnect(client):
            assert await client.until(stage="idle") == lost


async def test_the_conversation_and_the_talk_are_still_known(start: Serve, dify: StandInDify) -> None:
    service = await start()
    async with service.connect() as client:
        await client.ask("What is RAG?")
        await client.say("The pump is blue.")
        await client.settle()
        await lose(client)
        async with service.reconnect(client):
            await client.ask("What does it cost?")
    assert dify.requests[-1].body["query"] == "The pump is blue. What does it cost?"
    assert dify.requests[-1].body["conversation_id"] != ""


async def test_a_second_holder_takes_over_and_the_first_is_told(start: Serve) -> None:
    service = await start()
    async with service.connect() as client:
        former = client.socket
        async with service.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            with pytest.raises(ConnectionClosed):
                await former.recv()
            assert former.close_code == 4409
            await client.ask("What is RAG?")


async def test_a_token_is_void_once_its_successor_is_used(start: Serve) -> None:
    service = await start()
    async with service.connect() as client:
        await client.settle_in()
        first = client.token
        await lose(client)
        async with service.reconnect(client) as greeting:
            second = greeting["resume_token"]
            assert second != first
            # Who has not said a word may never have got the new one.
            await lose(client)
        async with service.reconnect(client, resume_token=first) as greeting:
            assert greeting["resumed"] is True
            await client.settle()
            for void in (first, second):
                async with service.connect() as other:
                    other.token = void
                    async with service.reconnect(other) as refused:
                        assert (refused["resumed"], refused["reason"]) == (False, "unknown_token")


async def test_a_token_stays_good_however_many_greetings_get_lost(start: Serve) -> None:
    service = await start()
    async with service.connect() as client:
        await client.settle_in()
        held = client.token
        await lose(client)
        for _ in range(4):
            async with service.reconnect(client, resume_token=held) as greeting:
                assert greeting["resumed"] is True
                await lose(client)
        async with service.reconnect(client, resume_token=held) as greeting:
            await client.settle()
            async with service.connect() as other:
                other.token = held
                async with service.reconnect(other) as refused:
                    assert refused["reason"] == "unknown_token"
            await lose(client)
            async with service.reconnect(client) as greeting:
                assert greeting["resumed"] is True


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"resume_token": "made-up"}, "unknown_token"),
        ({"resume_token": ""}, "unknown_token"),
        ({"last_seq": 99}, "unknown_frame"),
        ({"last_seq": 10**15 - 1}, "unknown_frame"),
        ({"session_id": "never"}, "frames_lost"),
    ],
)
async def test_what_cannot_be_given_back_is_said(start: Serve, query: dict[str, Any], reason: str) -> None:
    service = await start()
    async with service.connect() as client:
        await client.settle_in()
        await lose(client)
        async with service.reconnect(client, **query) as greeting:
            assert (greeting["resumed"], greeting["reason"], greeting["seq"]) == (False, reason, 1)
            assert "newest_seq" not in greeting
            assert greeting["session_id"] != client.frames[0]["session_id"]
            await client.until(stage="listening")
            await client.ask("What is RAG?")


@pytest.mark.parametrize("last_seq", ["", "x", "-1", "1.5", "9" * 30, "٣"])
async def test_a_malformed_last_seq_counts_as_none(start: Serve, last_seq: str) -> None:
    service = await start()
    async with service.connect() as client:
        read, client.frames = client.frames, []
        client.rules = type(client.rules)()
        async with service.reconnect(client, last_seq=last_seq) as greeting:
            assert (greeting["resumed"], greeting["seq"]) == (True, 0)
            assert await client.until(stage="listening") == read


async def test_a_log_that_is_too_short_is_said_and_the_session_ends(start: Serve, dify: StandInDify) -> None:
    service = await start(resume_frames=3)
    dify.will(answer("One", "two", "three", "four", hang()))
    async with service.connect() as client:
        seq = client.last_seq
        await client.say("What is RAG?")
        await client.until(content="four")
        await lose(client)
        async with service.reconnect(client, last_seq=seq) as greeting:
            assert (greeting["resumed"], greeting["reason"]) == (False, "frames_lost")
        await dify.hung_up()


async def test_memory_of_a_session_without_a_client_is_bounded(start: Serve, dify: StandInDify) -> None:
    service = await start(resume_bytes=10_000)
    go_on = asyncio.Event()
    dify.will(answer("One", wait(go_on), *["x" * 400] * 100))
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One")
        await lose(client)
        await parked(service)
        go_on.set()
        await dify.idle()
        async with service.reconnect(client) as greeting:
            assert (greeting["resumed"], greeting["reason"]) == (False, "frames_lost")


async def test_a_session_nobody_comes_back_to_ends_and_stops_its_answer(start: Serve, dify: StandInDify) -> None:
    service = await start(resume_seconds=0.05)
    dify.will(answer("One", hang()))
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One")
        await lose(client)
        await dify.hung_up()
        await dify.stopped()
        async with service.reconnect(client) as greeting:
            assert (greeting["resumed"], greeting["reason"]) == (False, "unknown_token")


@pytest.mark.slow
async def test_who_comes_back_while_the_process_stands_still_is_not_too_late(start: Serve) -> None:
    service = await start(resume_seconds=2)
    async with service.connect() as client:
        await client.settle_in()
        await lose(client)
        await parked(service)
        # Between the knock at the door and the moment it is heard, much more time goes by than the session waits.
        asyncio.get_running_loop().call_soon(time.sleep, 3.1)
        async with service.reconnect(client) as greeting:
            assert greeting["resumed"] is True


@pytest.mark.parametrize("goodbye", ["stop", "close"])
async def test_who_says_goodbye_leaves_nothing_behind(start: Serve, goodbye: str) -> None:
    service = await start()
    async with service.connect() as client:
        if goodbye == "stop":
            await client.control("stop")
            assert await client.close_code() == 1000
        else:
            await client.socket.close()
        async with service.reconnect(client) as greeting:
            assert (greeting["resumed"], greeting["reason"]) == (False, "unknown_token")
            assert (await service.health())["sessions"] == 1


async def test_without_resume_no_token_is_given_and_the_answer_ends_with_the_connection(
    start: Serve, dify: StandInDify
) -> None:
    service = await start(resume_seconds=0)
    dify.will(answer("One", hang()))
    async with service.connect() as client:
        assert client.token == ""
        await client.say("What is RAG?")
        await client.until(content="One")
        await lose(client)
        await dify.hung_up()
        async with service.reconnect(client, resume_token="any") as greeting:
            assert (greeting["resumed"], greeting["reason"]) == (False, "resume_off")
            assert "resume_token" not in greeting


async def test_after_a_switch_the_numbers_are_those_of_the_new_session(start: Serve) -> None:
    service = await start()
    async with service.connect() as client:
        await client.ask("What is RAG?")
        await client.send("keepalive", session_id="other")
        await client.until(session_id="other")
        await lose(client)
        async with service.reconnect(client) as greeting:
            assert (greeting["resumed"], greeting["session_id"], greeting["seq"]) == (True, "other", 1)
            assert greeting["newest_seq"] == 1
            await client.ask("What is an LLM?")


async def test_after_a_switch_that_went_unseen_nothing_is_missed(start: Serve, dify: StandInDify) -> None:
    dify.will(answer("One ", hang()))
    service = await start()
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One ")
        await client.say("What is an LLM?", session_id="other")
        await dify.asked(2)
        client.socket.transport.abort()  # with the frames of the switch unread
        former = client.rules.session_id
        async with service.reconnect(client) as greeting:
            assert (greeting["resumed"], greeting["session_id"], greeting["seq"]) == (True, former, client.last_seq)
            assert greeting["newest_seq"] >= 1  # counted under the new name
            (interrupting,) = await client.until(stage="interrupting")
            assert (interrupting["session_id"], interrupting["reason"]) == (former, "session_switched")
            assert (await client.receive()).items() >= {"session_id": "other", "seq": 1}.items()
            await client.until(stage="idle", session_id="other")


async def test_without_a_name_the_number_counts_in_the_session_of_now(start: Serve) -> None:
    service = await start()
    async with service.connect() as client:
        await client.ask("What is RAG?")
        await client.send("keepalive", session_id="other")
        (switched,) = await client.until(session_id="other")
        await lose(client)
        async with service.reconnect(client, session_id="", last_seq=0) as greeting:
            assert (greeting["resumed"], greeting["session_id"], greeting["seq"]) == (True, "other", 0)
            client.rules.seq["other"] = 0
            assert await client.receive() == switched


async def test_a_question_that_waits_is_asked_though_nobody_is_connected(start: Serve, dify: StandInDify) -> None:
    service = await start(wait_min_ms=300, wait_max_ms=300)
    async with service.connect() as client:
        await client.say("can you tell me what rag is")
        await client.until(stage="waiting_for_question")
        await lose(client)
        await dify.asked()
        async with service.reconnect(client):
            await client.until(stage="idle")


async def test_who_has_missed_more_than_may_be_unread_gets_all_of_it(start: Serve, dify: StandInDify) -> None:
    service = await start(answer_chunk_chars=1, unread_frames=10, max_running_queries=1)
    go_on = asyncio.Event()
    dify.will(answer("One ", wait(go_on), "x" * 100))
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content=" ")
        await lose(client)
        await parked(service)
        go_on.set()
        async with service.connect() as other:  # whose turn comes when all of it is written
            await other.ask("What is an LLM?")
        async with service.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            await client.until(stage="idle")
            assert text_of(client.frames) == "One " + "x" * 100
            await client.settle()
