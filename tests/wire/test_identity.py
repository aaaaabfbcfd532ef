"""Who is let in, how a client may show who it is, and that nothing crosses from one tenant to another."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.client import PATIENCE
from tests.conftest import Serve
from tests.rules import text_of
from tests.service import Service
from tests.standin.dify import StandInDify
from tests.standin.openai import StandInOpenAi
from tests.standin.scripts import answer, hang

SECRET = "a-secret-of-the-tests-with-32-bytes-or-more"


def tenants_file(folder: Path, *tenants: dict[str, Any]) -> Path:
    lines: list[str] = []
    for tenant in tenants:
        lines.append("[[tenants]]")
        values = {**tenant, "token_sha256": hashlib.sha256(tenant["token"].encode()).hexdigest()}
        del values["token"]
        for name, value in values.items():
            if isinstance(value, dict):
                value = "{" + ", ".join(f"{key} = {json.dumps(each)}" for key, each in value.items()) + "}"
                lines.append(f"{name} = {value}")
            else:
                lines.append(f"{name} = {json.dumps(value)}")
    path = folder / "tenants.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tenants_file(tmp_path, {"name": "acme", "token": "token-a"}, {"name": "umbrella", "token": "token-u"})


def bearer(token: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


async def refused(service: Service, query: str = "", **options: Any) -> tuple[list[dict[str, Any]], int | None]:
    """All frames of a connection that is closed by itself, and the code."""
    async with connect(service.ws_url + query, proxy=None, **options) as socket:
        frames: list[dict[str, Any]] = []
        with suppress(ConnectionClosed):
            while True:
                frames.append(json.loads(await socket.recv()))
        return frames, socket.close_code


@pytest.mark.parametrize(
    ("query", "options", "subprotocol"),
    [
        ("", bearer("token-a"), None),
        ("", {"subprotocols": ["realtime-rag.v1", "bearer.token-a"]}, "realtime-rag.v1"),
        ("?token=token-a", {}, None),
        ("?token=token-a", {"subprotocols": ["realtime-rag.v1"]}, "realtime-rag.v1"),
    ],
)
async def test_a_token_may_come_three_ways(
    start: Serve, dify: StandInDify, file: Path, query: str, options: dict[str, Any], subprotocol: str | None
) -> None:
    service = await start(auth_tokens_file=file)
    service.ws_url += query
    async with service.connect(**options) as client:
        assert client.socket.subprotocol == subprotocol
        await client.ask("What is RAG?")
    session_id = client.frames[0]["session_id"]
    assert dify.requests[0].body["user"] == f"acme-ws-user-{session_id}"


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {}),
        ("", bearer("token-x")),
        ("", bearer("")),
        ("", {"subprotocols": ["realtime-rag.v1", "bearer.token-x"]}),
        ("?token=TOKEN-A", {}),
        ("?token=token-x&resume_token=any", {}),
    ],
)
async def test_who_shows_nothing_valid_is_told_and_closed(
    start: Serve, file: Path, query: str, options: dict[str, Any]
) -> None:
    service = await start(auth_tokens_file=file)
    frames, code = await refused(service, query, **options)
    assert code == 4401
    (frame,) = frames
    assert (frame["type"], frame["code"], frame["retryable"]) == ("error", "UNAUTHORIZED", False)
    assert not {"session_id", "seq"} & frame.keys()
    assert (await service.health())["sessions"] == 0


@pytest.mark.parametrize(
    ("origins", "status"),
    [([], 101), (["https://shop.example"], 101), (["https://evil.example"], 403), (["null"], 403)],
)
async def test_a_foreign_page_is_refused_at_the_handshake(start: Serve, origins: Sequence[str], status: int) -> None:
    service = await start(allowed_origins="https://shop.example")
    options: dict[str, Any] = {"origin": origins[0]} if origins else {}
    if status == 101:
        async with service.connect(**options) as client:
            await client.settle()
        return
    with pytest.raises(InvalidStatus) as error:
        await refused(service, **options)
    assert error.value.response.status_code == status


async def test_no_session_crosses_over_to_another_tenant(start: Serve, dify: StandInDify, file: Path) -> None:
    service = await start(auth_tokens_file=file)
    async with service.connect(**bearer("token-a")) as client:
        token = client.token
        url = f"{service.ws_url}?resume_token={token}&last_seq=2"
        async with connect(url, proxy=None, **bearer("token-u")) as other:
            greeting = json.loads(await other.recv())
            assert (greeting["resumed"], greeting["reason"]) == (False, "unknown_token")
        await client.ask("What is RAG?")  # not disturbed
        async with connect(url, proxy=None, **bearer("token-a")) as own:
            assert json.loads(await own.recv())["resumed"] is True


async def test_equal_names_of_two_tenants_share_nothing(start: Serve, dify: StandInDify, file: Path) -> None:
    service = await start(auth_tokens_file=file)
    async with service.connect(**bearer("token-a")) as a, service.connect(**bearer("token-u")) as u:
        await a.ask("What is RAG?", session_id="room")
        await u.ask("What is RAG?", session_id="room")
    first, second = dify.requests
    assert (first.user, second.user) == ("acme-ws-user-room", "umbrella-ws-user-room")
    assert not second.body.get("conversation_id")


async def test_a_tenant_asks_its_own_app_with_its_own_inputs(start: Serve, dify: StandInDify, tmp_path: Path) -> None:
    async with StandInDify(api_key="app-of-acme") as own:
        own.will(answer("From your own app."))
        acme = {"dify_api_key": own.api_key, "dify_base_url": own.base_url, "inputs": {"department": "pumps"}}
        file = tenants_file(tmp_path, {"name": "acme", "token": "token-a", **acme}, {"name": "b", "token": "token-b"})
        service = await start(auth_tokens_file=file)
        async with service.connect(**bearer("token-a")) as client:
            await client.send("configure", inputs={"department": "boilers", "tone": "short"})
            assert text_of(await client.ask("What is RAG?")) == "From your own app."
        assert own.requests[0].body["inputs"] == {"department": "pumps", "tone": "short"}
        assert dify.requests == []
        async with service.connect(**bearer("token-b")) as client:
            await client.ask("What is RAG?")
        assert len(dify.requests) == 1


async def test_a_tenant_asks_its_own_model_about_the_folder_of_the_service(start: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "hours.md").write_text("# Opening hours\n\nThe office opens at nine.\n")
    async with StandInOpenAi(api_key="sk-service") as server, StandInOpenAi(api_key="sk-acme") as own:
        own.api_keys.add("")
        acme = {"openai_base_url": own.base_url, "openai_api_key": own.api_key, "openai_model": "small"}
        keyless = {"name": "b", "token": "token-b", "openai_base_url": own.base_url}
        service = await start(
            rag_provider="openai",
            openai_base_url=server.base_url,
            openai_api_key=server.api_key,
            openai_model="large",
            openai_extra_body={"max_tokens": 500},
            knowledge_dir=folder,
            knowledge_index=tmp_path / "index",
            auth_tokens_file=tenants_file(tmp_path, {"name": "a", "token": "token-a", **acme}, keyless),
        )
        for token in ("token-a", "token-b"):
            async with service.connect(**bearer(token)) as client:
                assert text_of(await client.ask("When does the office open?")) == "Hello there."
        assert server.requests == []
        first, second = own.requests
    assert [(first.key, first.body["model"]), (second.key, second.body.get("model"))] == [
        ("sk-acme", "small"),
        ("", None),
    ]
    assert not [request for request in own.requests if "max_tokens" in request.body]
    assert "The office opens at nine." in first.body["messages"][-1]["content"]


async def test_a_tenant_of_a_dify_service_may_have_a_model_server_of_its_own(
    start: Serve, dify: StandInDify, tmp_path: Path
) -> None:
    async with StandInOpenAi(api_key="sk-acme") as own:
        acme = {"openai_base_url": own.base_url, "openai_api_key": own.api_key}
        service = await start(auth_tokens_file=tenants_file(tmp_path, {"name": "a", "token": "token-a", **acme}))
        async with service.connect(**bearer("token-a")) as client:
            assert text_of(await client.ask("What is RAG?")) == "Hello there."
        assert [message["content"] for message in own.messages()] == ["What is RAG?"]
    assert dify.requests == []


async def test_a_tenant_has_limits_of_its_own(start: Serve, dify: StandInDify, tmp_path: Path) -> None:
    limits = {"max_sessions": 2, "queries_per_minute": 2, "max_running_queries": 1}
    file = tenants_file(tmp_path, {"name": "a", "token": "token-a", **limits}, {"name": "b", "token": "token-b"})
    service = await start(auth_tokens_file=file)
    dify.will(answer("One", hang()))
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(service.connect(**bearer("token-a")))
        second = await stack.enter_async_context(service.connect(**bearer("token-a")))
        frames, code = await refused(service, **bearer("token-a"))
        assert (frames[0]["code"], code) == ("SESSION_LIMIT", 4429)
        await first.say("What is A?")
        await first.until(content="One")
        await second.say("What is B?")
        await second.until(note="queued")
        other = await stack.enter_async_context(service.connect(**bearer("token-b")))
        await other.ask("What is C?")
        await first.control("cancel")
        await second.until(stage="idle")
        assert (await second.ask("What is D?"))[-2]["error"]["code"] == "RATE_LIMITED"
        assert "error" not in (await other.ask("What is E?"))[-2]


def signed(**claims: Any) -> str:
    return jwt.encode({"sub": "someone", "tenant": "acme", "exp": time.time() + 60, **claims}, SECRET, "HS256")


async def test_a_signed_token_lets_in_whom_it_names(start: Serve, dify: StandInDify) -> None:
    service = await start(jwt_secret=SECRET)
    async with service.connect(**bearer(signed())) as client:
        await client.ask("What is RAG?")
    assert dify.requests[0].user.startswith("acme-ws-user-")
    assert "someone" not in str(dify.requests[0].body)
    _, code = await refused(service, **bearer(signed(exp=time.time() - 60)))
    assert code == 4401


async def test_a_session_ends_when_its_token_expires(start: Serve, dify: StandInDify) -> None:
    service = await start(jwt_secret=SECRET, drain_seconds=0)
    dify.will(answer("One", hang()))
    leeway, life = 30, 1
    # A busy machine may take longer to connect than the token has left.
    while await refused_or_none(service, signed(exp=time.time() - leeway + life)) is not None:
        life *= 2
    async with service.connect(**bearer(signed(exp=time.time() - leeway + 2 * life))) as client:
        await client.say("What is RAG?")
        assert await client.close_code() == 4401
    assert (client.frames[-1]["stage"], client.frames[-1]["reason"]) == ("closed", "token_expired")
    assert client.frames[-2]["stage"] == "interrupting"
    await dify.hung_up()


async def test_a_new_file_counts_from_the_signal_on(start: Serve, tmp_path: Path) -> None:
    file = tenants_file(tmp_path, {"name": "acme", "token": "token-a"})
    service = await start(auth_tokens_file=file)
    async with service.connect(**bearer("token-a")) as client:
        tenants_file(tmp_path, {"name": "acme", "token": "token-b"})
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            while (await refused_or_none(service, "token-a")) is None:
                pass
        async with service.connect(**bearer("token-b")):
            pass
        await client.ask("What is RAG?")  # who is in stays in
        file.write_text("[[tenants]]\nname = 3")
        os.kill(os.getpid(), signal.SIGHUP)
        async with service.connect(**bearer("token-b")) as another:
            await another.settle()


async def refused_or_none(service: Service, token: str) -> int | None:
    """The code that closes a connection with this token at once; None if it is let in."""
    async with connect(service.ws_url, proxy=None, **bearer(token)) as socket:
        first = json.loads(await socket.recv())
        if first["type"] == "ack":
            return None
        await socket.wait_closed()
        return socket.close_code


async def test_who_gets_a_new_session_for_one_that_cannot_be_given_back_takes_no_second_place(
    start: Serve, tmp_path: Path
) -> None:
    tenant = {"name": "acme", "token": "token-a", "max_sessions": 1}
    service = await start(auth_tokens_file=tenants_file(tmp_path, tenant))
    async with service.connect(**bearer("token-a")) as client:
        await client.settle_in()
        client.socket.transport.abort()
        async with service.reconnect(client, token="token-a", last_seq=99) as greeting:
            assert (greeting.get("resumed"), greeting.get("reason")) == (False, "unknown_frame")
