"""What an operator sees over HTTP."""

from __future__ import annotations

import httpx

from app import __version__
from tests.conftest import Serve


async def test_health_tells_what_runs_and_asks_nobody(start: Serve) -> None:
    service = await start()
    async with httpx.AsyncClient(base_url=service.http_url, trust_env=False) as http, service.connect():
        response = await http.get("/health")
        body = response.json()
        assert response.status_code == 200
        assert body.pop("uptime_s") >= 0
        assert body == {
            "status": "healthy",
            "version": __version__,
            "provider": "dify",
            "dify_configured": True,
            "sessions": 1,
            "parked": 0,
        }


async def test_sessions_that_ended_are_not_counted(start: Serve) -> None:
    service = await start()
    async with httpx.AsyncClient(base_url=service.http_url, trust_env=False) as http:
        async with service.connect() as client:
            await client.control("stop")
            await client.close_code()
        assert (await http.get("/health")).json()["sessions"] == 0


async def test_ready_says_why_not(start: Serve) -> None:
    ready, not_ready = await start(), await start(dify_api_key=None)
    async with httpx.AsyncClient(trust_env=False) as http:
        response = await http.get(f"{ready.http_url}/health/ready")
        assert (response.status_code, response.json()["status"]) == (200, "ready")
        response = await http.get(f"{not_ready.http_url}/health/ready")
        assert response.status_code == 503
        assert response.json() == {"status": "not_ready", "reason": "provider_not_configured"}


async def test_a_fallback_is_enough_to_be_ready(start: Serve) -> None:
    service = await start(dify_api_key=None, fallback_provider="local")
    async with httpx.AsyncClient(base_url=service.http_url, trust_env=False) as http:
        response = await http.get("/health/ready")
        assert (response.status_code, response.json()) == (200, {"status": "ready", "reason": None})


async def test_the_http_contract_is_published(start: Serve) -> None:
    service = await start(app_title="Kiosk")
    async with httpx.AsyncClient(base_url=service.http_url, trust_env=False) as http:
        contract = (await http.get("/openapi.json")).json()
        assert contract["info"]["title"] == "Kiosk"
        assert "/health/ready" in contract["paths"]
        assert (await http.get("/docs")).status_code == 200
