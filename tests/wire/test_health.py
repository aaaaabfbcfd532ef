"""What an operator sees over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from app import __version__
from tests.client import PATIENCE
from tests.conftest import Gate, Serve
from tests.rules import text_of
from tests.service import Service, browse, make_settings, serve
from tests.standin.dify import StandInDify
from tests.standin.exchange import Script
from tests.standin.scripts import close_before_head, hang, slow_head, status

pytestmark = pytest.mark.slow


async def test_health_tells_what_runs_and_asks_nobody(start: Serve) -> None:
    service = await start()
    async with browse(service.http_url) as http, service.connect():
        response = await http.get("/health")
        body = response.json()
        assert response.status_code == 200
        assert body.pop("uptime_s") >= 0
        assert body == {
            "status": "healthy",
            "version": __version__,
            "provider": "dify",
            "dify_configured": True,
            "fallback": None,
            "not_ready": None,
            "left_alone": False,
            "sessions": 1,
            "parked": 0,
        }


async def test_sessions_that_ended_are_not_counted(start: Serve) -> None:
    service = await start()
    async with browse(service.http_url) as http:
        async with service.connect() as client:
            await client.control("stop")
            await client.close_code()
        assert (await http.get("/health")).json()["sessions"] == 0


async def test_ready_says_why_not(start: Serve) -> None:
    ready, not_ready = await start(), await start(dify_api_key=None)
    async with browse() as http:
        response = await http.get(f"{ready.http_url}/health/ready")
        assert (response.status_code, response.json()["status"]) == (200, "ready")
        response = await http.get(f"{not_ready.http_url}/health/ready")
        assert response.status_code == 503
        reason = "provider_not_configured"
        checks = {"accepting": "ok", "provider": reason}
        assert response.json() == {"status": "not_ready", "reason": reason, "checks": checks, "knowledge": None}


async def test_who_asks_for_the_head_of_a_health_page_gets_its_status_without_a_body(start: Serve) -> None:
    ready, not_ready = await start(), await start(dify_api_key=None)
    async with browse() as http:
        for service, path, code in (
            (ready, "/health", 200),
            (ready, "/health/ready", 200),
            (not_ready, "/health", 200),
            (not_ready, "/health/ready", 503),
        ):
            response = await http.head(service.http_url + path)
            assert (response.status_code, response.content) == (code, b"")
            assert response.headers["content-type"] == "application/json"


async def test_a_fallback_is_enough_to_be_ready(start: Serve) -> None:
    service = await start(dify_api_key=None, fallback_provider="local")
    async with browse(service.http_url) as http:
        response = await http.get("/health/ready")
        checks = {"accepting": "ok", "provider": "ok"}
        page = response.json()
        assert page.pop("knowledge")["share"] == 1
        assert (response.status_code, page) == (200, {"status": "ready", "reason": None, "checks": checks})


async def ready_page(service: Service) -> tuple[int, dict[str, Any]]:
    async with browse(service.http_url) as http:
        response = await http.get("/health/ready")
        return response.status_code, response.json()


async def ready_once(service: Service, **wanted: str | None) -> dict[str, Any]:
    """Wait until the page says so; return its checks."""
    async with asyncio.timeout(PATIENCE):
        while not wanted.items() <= (page := (await ready_page(service))[1]).items():
            pass
    checks: dict[str, Any] = page["checks"]
    return checks


async def test_dify_is_looked_at_in_the_background_and_never_for_a_request(start: Serve, dify: StandInDify) -> None:
    service = await start(ready_probe_seconds=60)
    assert await ready_once(service, reason=None) == {"accepting": "ok", "provider": "ok", "upstream": "ok"}
    for _ in range(5):
        await ready_page(service)
    assert [(call.method, call.path) for call in dify.calls] == [("GET", "/info")]


async def test_nobody_is_looked_at_unless_that_is_wanted(start: Serve, dify: StandInDify) -> None:
    assert await ready_page(await start()) == (
        200,
        {"status": "ready", "reason": None, "checks": {"accepting": "ok", "provider": "ok"}, "knowledge": None},
    )
    assert dify.calls == []


@pytest.mark.parametrize(
    "trouble",
    [status(401), status(502), close_before_head(), hang(head=False)],
    ids=["401", "502", "closed", "silence"],
)
async def test_a_dify_that_fails_makes_it_not_ready_until_it_answers_again(
    start: Serve, dify: StandInDify, trouble: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    dify.replies("/info", trouble)
    service = await start(ready_probe_seconds=0.02, dify_connect_timeout=2)
    assert (await ready_once(service, reason="upstream_failed"))["upstream"] == "upstream_failed"
    assert (await ready_page(service))[0] == 503
    dify.replies("/info", None)
    await ready_once(service, status="ready")
    assert capsys.readouterr().err.count("not ready") == 1  # not once for each look


async def test_until_dify_was_heard_of_it_is_not_ready(start: Serve, dify: StandInDify) -> None:
    let_go = asyncio.Event()
    dify.replies("/info", [slow_head(let_go), status(200, {})])
    service = await start(ready_probe_seconds=60)
    assert (await ready_page(service))[1]["reason"] == "upstream_not_asked_yet"
    async with service.connect() as client:  # who comes all the same is served
        assert (await client.ask("What is RAG?"))[-1]["reason"] == "answered"
    let_go.set()
    await ready_once(service, status="ready")


async def test_an_empty_folder_is_no_knowledge(start: Serve, tmp_path: Path) -> None:
    empty = await start(rag_provider="local", knowledge_dir=tmp_path)
    assert (await ready_page(empty))[1]["checks"]["knowledge"] == "knowledge_empty"
    (tmp_path / "warranty.md").write_text("The warranty is two years long.", encoding="utf-8")
    full = await start(rag_provider="local", knowledge_dir=tmp_path, ready_probe_seconds=1)
    checks = {"accepting": "ok", "provider": "ok", "knowledge": "ok"}
    (tmp_path / "scan.png").touch()
    full = await start(rag_provider="local", knowledge_dir=tmp_path, ready_probe_seconds=1)
    unread = [{"kind": ".png", "reason": "", "files": 1}]
    read = {"share": 1, "files": 1, "passages": 1, "not_read": unread}
    page = {"status": "ready", "reason": None, "checks": checks, "knowledge": read}
    assert await ready_page(full) == (200, page)


async def test_while_the_folder_is_read_for_the_first_time_the_port_is_open_and_says_how_far_it_is(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.local_rag.SOON_SECONDS", 0)
    (tmp_path / "a.md").write_text("The warranty is two years long.", encoding="utf-8")
    (tmp_path / "b.docx").write_bytes(b"no Word")  # the next file is read by another process, which waits
    (tmp_path / "c.md").write_text("The lantern hangs in the attic.", encoding="utf-8")
    settings = make_settings(rag_provider="local", knowledge_dir=tmp_path)
    async with serve(settings, is_indexed=False) as service:
        async with asyncio.timeout(PATIENCE):
            while (page := await ready_page(service))[1]["knowledge"]["share"] < 0.5:
                pass
        assert (page[0], page[1]["reason"]) == (503, "indexing")
        async with service.connect() as client:  # what has been read answers
            frames = await client.ask("How long is the warranty?")
            assert "two years" in text_of(frames)
            assert [frame["note"] for frame in frames if "%" in frame.get("note", "")] == [
                "reading the knowledge base, 55%"
            ]
            await client.say("Where is the lantern?")  # what fits may be in the rest: it waits
            await client.until(note="reading the knowledge base, 55%")
            gate.open()
            assert "attic" in text_of(await client.until(stage="idle"))
        await ready_once(service, status="ready")


async def test_a_signal_says_that_an_emptied_folder_is_meant(start: Serve, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("The warranty is two years long.", encoding="utf-8")
    service = await start(rag_provider="local", knowledge_dir=tmp_path, knowledge_refresh_seconds=0)
    (tmp_path / "a.md").unlink()
    os.kill(os.getpid(), signal.SIGHUP)
    await ready_once(service, reason="knowledge_empty")
    (tmp_path / "b.md").write_text("The warranty is three years long.", encoding="utf-8")
    os.kill(os.getpid(), signal.SIGHUP)
    await ready_once(service, status="ready")


async def test_the_http_contract_is_published(start: Serve) -> None:
    service = await start(app_title="Kiosk")
    async with browse(service.http_url) as http:
        contract = (await http.get("/openapi.json")).json()
        assert contract["info"]["title"] == "Kiosk"
        assert "/health/ready" in contract["paths"]
        operations = [way["operationId"] for page in contract["paths"].values() for way in page.values()]
        assert len(set(operations)) == len(operations)
        assert (await http.get("/docs")).status_code == 200
