"""Says whether the process is alive and whether it is ready; asks nobody else."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app import __version__
from app.dependencies import RuntimeDep

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    status: Literal["healthy"] = "healthy"
    version: str
    provider: str
    dify_configured: bool
    sessions: int
    parked: int
    uptime_s: float


class Readiness(BaseModel):
    status: Literal["ready", "not_ready"]
    reason: str | None = None


@router.get("")
async def health(runtime: RuntimeDep) -> Health:
    """Alive. Never waits for anything."""
    return Health(
        version=__version__,
        provider=runtime.settings.rag_provider,
        dify_configured=runtime.settings.dify_api_key is not None,
        sessions=len(runtime.sessions),
        parked=runtime.sessions.parked,
        uptime_s=round(time.monotonic() - runtime.started_at, 3),
    )


@router.get("/ready", responses={503: {"model": Readiness}})
async def ready(runtime: RuntimeDep, response: Response) -> Readiness:
    """Ready to answer questions, or 503 with the reason."""
    reason = None
    if runtime.sessions.is_draining:
        reason = "draining"
    elif not (runtime.settings.is_provider_configured or runtime.settings.fallback_provider):
        reason = "provider_not_configured"
    if reason is None:
        return Readiness(status="ready")
    response.status_code = 503
    return Readiness(status="not_ready", reason=reason)
