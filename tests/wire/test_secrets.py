"""No key and no token is ever seen: in no log, no frame, no page, no reason why the service does not start."""

from __future__ import annotations

import base64
import json
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.config import load_settings
from app.identity import Gate
from app.main import build_app
from tests.identity.samples import entry, tenant
from tests.lifecycle.test_end_of_process import APP, UVICORN, running
from tests.service import Service, browse, make_settings
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, bare_error, error_event, reset, status

SERVICE_KEY = "app-planted-service-key"
TENANT_KEY = "app-planted-tenant-key"
TENANT_TOKEN = "planted-tenant-token"
WRONG_TOKEN = "planted-wrong-token"
JWT_SECRET = "planted-jwt-secret-with-32-bytes-or-more"
PROXY_USER, PROXY_PASSWORD = "planted-proxy-user", "planted-proxy-password"


def signed(tenant: str = "umbrella", seconds: float = 60) -> str:
    claims = {"sub": "somebody", "tenant": tenant, "exp": time.time() + seconds}
    return jwt.encode(claims, JWT_SECRET, algorithm="HS256")


class Seen:
    """Everything that a client gets to see of the service, but for the tokens that are given to it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.texts: list[str] = []
        self.resume_tokens: list[str] = []

    async def talk(self, query: dict[str, str], say: str = "", **options: Any) -> None:
        """Connect, perhaps ask, and lose the connection."""
        async with connect(f"{self.service.ws_url}?{urlencode(query)}", proxy=None, **options) as socket:
            assert socket.response is not None
            self.texts.append(str(socket.response.headers))
            try:
                if say:
                    await socket.send(json.dumps({"type": "control", "action": "instant_query", "text": say}))
                else:
                    await socket.send("no JSON")
                async for message in socket:
                    frame = self.note(json.loads(message))
                    if frame.get("stage") == "idle" or (frame["type"] == "error" and not say):
                        break
            except ConnectionClosed:
                pass  # not let in
            self.texts.append(socket.close_reason or "")
            socket.transport.abort()

    def note(self, frame: dict[str, Any]) -> dict[str, Any]:
        if (token := frame.pop("resume_token", None)) is not None:
            self.resume_tokens.append(token)
        self.texts.append(json.dumps(frame))
        return frame

    async def pages(self, query: dict[str, str], token: str) -> None:
        async with browse() as http:
            for path in ("/health", "/health/ready", "/openapi.json", "/nowhere"):
                page = await http.get(
                    f"{self.service.http_url}{path}?{urlencode(query)}", headers={"Authorization": f"Bearer {token}"}
                )
                self.texts += [page.text, str(page.headers)]


def by_every_way(token: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """The query and the options of a handshake that brings this token."""
    return [
        ({"token": token}, {}),
        ({}, {"additional_headers": {"Authorization": f"Bearer {token}"}}),
        ({}, {"subprotocols": [Subprotocol("realtime-rag.v1"), Subprotocol(f"bearer.{token}")]}),
        ({}, {"subprotocols": [Subprotocol(f"bearer.{token}")]}),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("command", [APP, UVICORN], ids=["app", "uvicorn"])
@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_nothing_that_was_planted_is_ever_seen(
    dify: StandInDify, tmp_path: Path, command: tuple[str, ...], log_format: str
) -> None:
    dify.api_keys = {TENANT_KEY}
    file = tmp_path / "tenants.toml"
    acme = entry("acme", TENANT_TOKEN, f'dify_api_key = "{TENANT_KEY}"', f'dify_base_url = "{dify.base_url}"')
    file.write_text(acme + entry("umbrella", "another"))
    settings = {
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": log_format,
        "DIFY_API_KEY": SERVICE_KEY,
        "DIFY_BASE_URL": "http://dify.invalid/v1",
        "DIFY_MAX_RETRIES": "0",
        "HTTP_PROXY": f"http://{PROXY_USER}:{PROXY_PASSWORD}@127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        "AUTH_TOKENS_FILE": str(file),
        "JWT_SECRET": JWT_SECRET,
    }
    tokens = [WRONG_TOKEN, TENANT_TOKEN, signed(), signed("nobody"), signed(seconds=-600)]
    # An upstream that does not keep its secrets to itself, and one that breaks.
    told = f"The key {TENANT_KEY} is out of order."
    dify.will(
        answer("Fine."),
        status(401, {"code": "unauthorized", "message": told, "status": 401}),
        error_event(message=told),
        bare_error(told),
        [answer(), reset()],
    )
    async with running(command, dify, tmp_path, **settings) as process:
        seen = Seen(process.service)
        for token in tokens:
            for query, options in by_every_way(token):
                await seen.talk(query, **options)
            await seen.pages({"token": token, "resume_token": token}, token)
        for _ in range(5):
            await seen.talk({"token": TENANT_TOKEN}, "What is RAG?")
        await seen.talk({"token": signed()}, "What is behind the proxy?")
        for token in [*seen.resume_tokens[-2:], WRONG_TOKEN]:
            await seen.talk({"token": TENANT_TOKEN, "resume_token": token, "last_seq": "2"})
        file.write_text(f'{acme}dify_api_kye = "{TENANT_KEY}"\n')
        process.signal(signal.SIGHUP)
        await process.process.read_until("who may connect stays as it was")
        process.signal(signal.SIGTERM)
        assert await process.exit_status() == 0
    assert [asked.key for asked in dify.requests] == [TENANT_KEY] * 5
    assert "the proxy 127.0.0.1:9 cannot be reached" in process.log
    assert '"resumed": true' in "".join(seen.texts)
    proxy = base64.b64encode(f"{PROXY_USER}:{PROXY_PASSWORD}".encode()).decode()
    secrets = [SERVICE_KEY, TENANT_KEY, JWT_SECRET, PROXY_USER, PROXY_PASSWORD, proxy, *tokens]
    for secret in [*secrets, *seen.resume_tokens]:
        assert secret not in process.log
        assert secret not in "\n".join(seen.texts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DIFY_API_KEY", "app planted"),
        ("DIFY_API_KEY", "app-planted-é"),
        ("JWT_SECRET", "planted"),
        ("JWT_SECRET", " planted-secret-with-white-space-around-it "),
        ("DIFY_BASE_URL", "http://planted:planted@dify.test/v1"),
        ("DIFY_BASE_URL", "planted"),
        ("ALLOWED_ORIGINS", "https://planted:planted@page.test"),
        ("RAG_PROVIDER", "planted"),
        ("PORT", "planted"),
        ("AUTH_TOKENS_FILE", 'name = "acme"\ntoken = "planted"'),
        ("AUTH_TOKENS_FILE", 'name = "acme"\ntoken_sha256 = "planted"'),
        ("AUTH_TOKENS_FILE", 'name = "acme planted"'),
        ("AUTH_TOKENS_FILE", entry("acme", "t", 'dify_api_key = "app planted"')),
        ("AUTH_TOKENS_FILE", entry("acme", "t", 'dify_api_key = "k"', 'dify_base_url = "http://p:planted@dify.test"')),
        ("AUTH_TOKENS_FILE", entry("acme", "t", 'dify_api_key = "planted"', "dify_base_url = ")),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "AUTH_TOKENS_FILE":
        text = value if value.startswith("[[") else f"[[tenants]]\n{value}\n"
        value = str(tmp_path / "tenants.toml")
        Path(value).write_text(text)
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="2"):
        build_app(load_settings())
    told = capsys.readouterr().err
    assert name in told
    assert "planted" not in told.removeprefix("realtime-rag: ")


def test_what_holds_a_secret_does_not_show_it() -> None:
    settings = make_settings(dify_api_key=SERVICE_KEY, jwt_secret=JWT_SECRET)
    holders: list[object] = [settings, Gate(settings), tenant("acme", TENANT_TOKEN, dify_api_key=TENANT_KEY)]
    for holder in holders:
        assert "planted" not in f"{holder!r} {holder}"
