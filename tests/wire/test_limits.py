"""What a client gets beyond each limit of `docs/operations.md`, and that others do not feel it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import suppress
from pathlib import Path

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.client import PATIENCE, Client, open_client
from tests.conftest import Serve
from tests.rules import text_of
from tests.scrape import scrape_until
from tests.service import Service, browse
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, hang, wait


async def test_too_many_messages_are_refused_one_by_one_and_the_session_goes_on(start: Serve) -> None:
    service = await start(messages_per_second=5)
    async with service.connect() as client:
        for number in range(12):
            await client.send("keepalive", id=str(number))
        frames = await client.until(type="error")
        assert len(frames) == 11  # twice the rate at once
        assert frames[-1]["code"] == "RATE_LIMITED"
        assert frames[-1]["retryable"] is True
        assert 0 < frames[-1]["retry_after_ms"] <= 200
        async with service.connect() as other:
            await other.settle()


async def test_a_flood_of_partials_costs_nothing_else(
    start: Serve, dify: StandInDify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.sessions.limits.FLOOD_SECONDS", 0)
    service = await start(messages_per_second=1)
    dify.will(answer("One", hang()))
    async with service.connect() as client:
        for number in range(260):
            await client.send("asr_chunk", text="what is", id=f"p{number}")
        await client.say("What is RAG?", id="f")
        frames = await client.until(type="answer", content="One")
        refused = [frame for frame in frames if frame["type"] == "error"]
        assert {frame["code"] for frame in refused} == {"RATE_LIMITED"}
        answered = [frame["id"] for frame in frames if frame["type"] in {"ack", "error"}]
        assert answered == [*(f"p{number}" for number in range(260)), "f"]
        await client.control("cancel", id="c")
        assert (await client.until(stage="idle"))[0]["id"] == "c"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"type": "keepalive", "id": "m1"}', None),
        ('{"type": "asr_chunk", "text": "what is", "id": "m1"}', None),
        ('{"type": "asr_chunk", "text": "\\ud83d", "id": "m1"}', None),
        ('{"type": "control", "action": "dance", "id": "m1"}', "UNKNOWN_ACTION"),
        (b'{"type": "keepalive",  "id": "m1"}', "INVALID_JSON"),
        (f'{{"type": "keepalive", "id": "m1", "x": "{"y" * 300} \\ud83d"}}', "MESSAGE_TOO_LARGE"),
    ],
    ids=["message", "partial", "mended", "wrong", "binary", "large"],
)
async def test_a_refused_message_is_named_whenever_its_id_can_be_read(
    start: Serve, message: str | bytes, code: str | None
) -> None:
    for rate, expected in ((100, code), (0.001, "RATE_LIMITED")):
        service = await start(messages_per_second=rate, max_message_bytes=300)
        async with service.connect() as client:
            await client.send_raw(message)
            frame = await client.receive()
            assert (frame["id"], frame.get("code")) == ("m1", expected)


async def test_who_does_not_slow_down_is_sent_away(start: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.sessions.limits.FLOOD_SECONDS", 0.05)
    service = await start(messages_per_second=1, unread_frames=100_000)
    async with service.connect() as client:
        with pytest.raises(ConnectionClosed):
            await _chatter(client)
        assert await client.close_code() == 1008
        assert (client.frames[-1]["stage"], client.frames[-1]["reason"]) == ("closed", "rate_limited")
        async with service.reconnect(client) as greeting:
            assert greeting["resumed"] is False


async def test_too_many_questions_get_a_failed_answer_and_the_provider_is_not_asked(
    start: Serve, dify: StandInDify
) -> None:
    service = await start(queries_per_minute=1)
    async with service.connect() as client:
        assert "error" not in (await client.ask("What is RAG?"))[-2]
        final = (await client.ask("What is an LLM?"))[-2]
        assert final["content"]
        assert final["error"]["code"] == "RATE_LIMITED"
        assert final["error"]["retryable"] is True
        assert 0 < final["error"]["retry_after_ms"] <= 60_000
        async with service.connect() as other:
            assert "error" not in (await other.ask("What is RAG?"))[-2]
    assert len(dify.requests) == 2


async def test_running_queries_wait_in_order_and_are_told(start: Serve, dify: StandInDify) -> None:
    service = await start(max_running_queries=1)
    first, second = asyncio.Event(), asyncio.Event()
    dify.will(answer("One", wait(first)), answer("Two", wait(second)), answer("Three"))
    async with service.connect() as a, service.connect() as b, service.connect() as c:
        await a.say("What is A?")
        await a.until(content="One")
        await b.say("What is B?")
        await b.until(note="queued")
        await c.say("What is C?")
        await c.until(note="queued")
        assert len(dify.requests) == 1
        first.set()
        await a.until(stage="idle")
        await b.until(content="Two")
        assert len(dify.requests) == 2
        second.set()
        await b.until(stage="idle")
        await c.until(stage="idle")
        assert text_of(c.frames) == "Three"


async def test_a_question_that_waits_for_its_turn_can_be_cancelled(start: Serve, dify: StandInDify) -> None:
    service = await start(max_running_queries=1)
    dify.will(answer("One", hang()))
    async with service.connect() as a, service.connect() as b:
        await a.say("What is A?")
        await a.until(content="One")
        await b.say("What is B?")
        await b.until(note="queued")
        await b.control("cancel")
        await b.until(stage="idle")
        await a.control("cancel")
        await a.until(stage="idle")
        await b.ask("What is C?")
        assert len(dify.requests) == 2


async def test_more_sessions_than_allowed_are_refused_before_they_begin(
    start: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    service = await start(max_sessions=1)
    async with service.connect() as client:
        await client.settle_in()
        with pytest.raises(InvalidStatus) as refused:
            async with service.connect():
                pass
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) > 0
        assert "ERROR" not in capsys.readouterr().err  # nobody need be woken by this
        client.socket.transport.abort()
        async with service.reconnect(client) as greeting:  # takes no new place
            assert greeting["resumed"] is True
    async with service.connect():
        pass


async def lost(service: Service, client: Client) -> None:
    parked = (await service.health())["parked"]
    client.socket.transport.abort()
    async with asyncio.timeout(PATIENCE):
        while (await service.health())["parked"] == parked:  # noqa: ASYNC110 -- nobody tells of it
            await asyncio.sleep(0.01)


async def test_a_session_in_which_nothing_was_said_is_not_kept(start: Serve) -> None:
    service = await start()
    async with service.connect() as client:
        await client.send("asr_chunk", text="I was about to")
        await client.send("keepalive")
        await client.until(received_type="keepalive")
        client.socket.transport.abort()
        async with service.reconnect(client) as greeting:
            assert (greeting["resumed"], greeting["reason"]) == (False, "unknown_token")


async def test_those_who_wait_for_their_client_make_room_the_oldest_first(start: Serve, dify: StandInDify) -> None:
    service = await start(max_sessions=3)
    dify.will(answer("One", hang()))
    async with service.connect() as asking, service.connect() as older, service.connect() as newer:
        await asking.say("What is RAG?")
        await asking.until(content="One")
        for client in (older, newer):
            await client.settle_in()
        for client in (asking, older, newer):
            await lost(service, client)
        # The newcomer takes the place of the older one, and that one, in vain, the place of the newer.
        async with service.connect(), service.reconnect(older) as greeting:
            assert greeting["reason"] == "unknown_token"
            async with service.reconnect(asking) as greeting:
                assert greeting["resumed"] is True
                with pytest.raises(InvalidStatus):
                    await connect(service.ws_url, proxy=None)


async def test_many_who_connect_and_leave_take_nobodys_place(start: Serve) -> None:
    service = await start(max_sessions=5)
    async with service.connect() as client:
        await client.settle_in()
        await lost(service, client)
        for _ in range(20):
            async with service.connect() as passing:
                passing.socket.transport.abort()
        async with service.reconnect(client) as greeting:
            assert greeting["resumed"] is True


async def test_a_stranger_takes_nobodys_place(start: Serve) -> None:
    secret = "s" * 32
    service = await start(max_sessions=1, jwt_secret=secret)
    token = jwt.encode({"sub": "someone", "tenant": "acme", "exp": time.time() + 3600}, secret)
    async with open_client(f"{service.ws_url}?token={token}") as client:
        await client.settle_in()
        await lost(service, client)
        with pytest.raises(InvalidStatus):
            async with connect(service.ws_url, proxy=None):
                pass
        async with service.reconnect(client, token=token) as greeting:
            assert greeting["resumed"] is True


async def test_under_the_limit_of_a_tenant_only_its_own_make_room(start: Serve, tmp_path: Path) -> None:
    file = tmp_path / "tenants.toml"
    tokens = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("acme", "shop")}
    entry = '[[tenants]]\nname = "{}"\ntoken_sha256 = "{}"\nmax_sessions = 1\n'
    file.write_text("".join(entry.format(*item) for item in tokens.items()))
    service = await start(auth_tokens_file=file)
    async with open_client(f"{service.ws_url}?token=shop") as shop, open_client(f"{service.ws_url}?token=acme") as acme:
        for client in (shop, acme):
            await client.settle_in()
            await lost(service, client)
        newcomer, back = open_client(f"{service.ws_url}?token=acme"), service.reconnect(shop, token="shop")
        async with newcomer, back as greeting:
            assert greeting["resumed"] is True


async def test_a_service_without_a_free_place_is_not_ready(start: Serve) -> None:
    service = await start(max_sessions=1)
    async with service.connect() as client, browse() as http:
        ready = await http.get(f"{service.http_url}/health/ready")
        assert (ready.status_code, ready.json()["reason"]) == (503, "full")
        await client.settle_in()
        await lost(service, client)
        assert (await http.get(f"{service.http_url}/health/ready")).status_code == 200


async def test_an_address_may_have_so_many_connections(start: Serve) -> None:
    service = await start(connections_per_address=2)
    async with service.connect(), service.connect():
        with pytest.raises(InvalidStatus) as refused:
            async with service.connect():
                pass
        assert refused.value.response.status_code == 429
        assert int(refused.value.response.headers["Retry-After"]) > 0
        elsewhere = {"additional_headers": {"X-Forwarded-For": "192.0.2.7"}}  # 127.0.0.1 is a proxy that is believed
        async with service.connect(**elsewhere):
            pass
    async with service.connect():
        pass


async def test_many_who_come_at_once_do_not_get_past_the_limit(start: Serve) -> None:
    service = await start(max_sessions=5)
    sockets = await asyncio.gather(*(connect(service.ws_url, proxy=None) for _ in range(40)), return_exceptions=True)
    accepted = [socket for socket in sockets if not isinstance(socket, BaseException)]
    try:
        assert 0 < len(accepted) <= 5
    finally:
        for socket in accepted:
            await socket.close()


async def test_silence_ends_a_session_and_says_why(start: Serve) -> None:
    service = await start(idle_seconds=0.1)
    async with service.connect() as client:
        assert await client.close_code() == 4408
        error, closed = client.frames[-2:]
        assert error["code"] == "IDLE_TIMEOUT"
        assert (closed["stage"], closed["reason"]) == ("closed", "idle_timeout")
        async with service.reconnect(client) as greeting:
            assert greeting["resumed"] is False


@pytest.mark.slow
async def test_who_listens_to_an_answer_is_not_idle(start: Serve, dify: StandInDify) -> None:
    service = await start(idle_seconds=1)
    go_on = asyncio.Event()
    asyncio.get_running_loop().call_later(2.5, go_on.set)
    dify.will(answer("One", wait(go_on), "two"))
    async with service.connect() as client:
        await client.ask("What is RAG?")
        assert text_of(client.frames) == "Onetwo"
        assert await client.close_code() == 4408


async def test_a_session_that_is_too_old_finishes_its_answer_and_takes_no_more(start: Serve, dify: StandInDify) -> None:
    service = await start(max_session_seconds=2, messages_per_second=10_000)
    go_on = asyncio.Event()
    dify.will(answer("One", wait(go_on), "two"))
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One")
        while not any(frame.get("code") == "DRAINING" for frame in client.frames):
            await client.say(f"What is number {client.sent}?")  # queued before, refused then
            await client.settle()
        go_on.set()
        assert await client.close_code() == 1012
    assert text_of(client.frames) == "Onetwo"
    assert (client.frames[-1]["stage"], client.frames[-1]["reason"]) == ("closed", "too_old")


async def test_an_answer_that_outlives_the_grace_is_interrupted(start: Serve, dify: StandInDify) -> None:
    service = await start(max_session_seconds=2, drain_seconds=0.1)
    dify.will(answer("One", hang()))
    async with service.connect() as client:
        await client.say("What is RAG?")
        assert await client.close_code() == 1012
        interrupted, closed = client.frames[-2:]
        assert (interrupted["stage"], interrupted["reason"]) == ("interrupting", "too_old")
        assert closed["stage"] == "closed"
    await dify.hung_up()


@pytest.mark.no_cover  # megabytes by the same lines
@pytest.mark.slow
async def test_a_client_that_does_not_read_is_closed_and_may_come_back(start: Serve, dify: StandInDify) -> None:
    """The answer is larger than every buffer on the way."""
    service = await start(send_seconds=2, resume_bytes=100_000_000, answer_chunk_chars=20_000)
    dify.will(answer(*["x" * 20_000] * 1000))
    async with service.connect(max_queue=1, close_timeout=0.1) as client:
        await client.say("What is RAG?")
        await client.until(stage="querying_rag")
        seen = client.last_seq
        await dify.asked()
        await dify.idle()  # nothing holds the answer back any more
        async with service.reconnect(client) as greeting:
            assert (greeting["resumed"], greeting["seq"]) == (True, seen)
            frames = await client.until(stage="idle")
            assert len(text_of(frames)) == 20_000_000
            assert any(frame.get("code") == "SLOW_CONSUMER" for frame in frames)


@pytest.mark.no_cover
@pytest.mark.slow
async def test_frames_that_nobody_reads_are_bounded_in_bytes(start: Serve, dify: StandInDify) -> None:
    patient = {"dify_stall_timeout": 300, "dify_total_timeout": 300}  # the answer is to run all the time
    service = await start(unread_frames=100_000, messages_per_second=10_000, query_scope="aggregated", **patient)
    dify.will(answer("One", hang()))
    async with service.connect(max_queue=1, close_timeout=0.1) as client:
        await client.say("What is RAG?")
        await client.until(content="One")
        words = "what is this? " * 250
        with suppress(ConnectionClosed):  # it is given up in the meantime
            for number in range(3_000):  # each frame holds a question of 4,000 characters
                await client.say(f"{number} {words}", speaker=str(number % 16))
        await scrape_until(service, lambda page: page.get("connections_closed_total", code="1013") == 1)


async def test_who_reads_slowly_gets_the_whole_answer_all_the_same(start: Serve, dify: StandInDify) -> None:
    service = await start(unread_bytes=100_000, unread_frames=10, resume_bytes=100_000, answer_chunk_chars=20_000)
    dify.will(answer(*["x" * 20_000] * 200))
    async with service.connect(max_queue=1) as client:
        await client.say("What is RAG?")
        await client.until(stage="querying_rag")
        await dify.asked()
        frames = await client.until(stage="idle")  # what the sockets on the way do not hold waits at Dify
    assert len(text_of(frames)) == 4_000_000
    assert frames[-1]["reason"] == "answered"


async def test_a_message_that_is_too_large_counts_as_a_message_too(start: Serve) -> None:
    service = await start(messages_per_second=1, max_message_bytes=300)
    async with service.connect() as client:
        for _ in range(3):
            await client.send("keepalive", padding="x" * 300)
        codes = [(await client.receive())["code"] for _ in range(3)]
        assert codes == ["MESSAGE_TOO_LARGE", "MESSAGE_TOO_LARGE", "RATE_LIMITED"]


async def _chatter(client: Client) -> None:
    while True:
        await client.send("keepalive")
        await client.receive()
