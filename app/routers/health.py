"""Says whether the process is alive and whether it is ready; asks nobody else."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from app import __version__
from app.dependencies import RuntimeDep
from app.lifecycle.readiness import Check, Reason
from app.services.indexing import IndexState

MOST_UNREAD = 50

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    # What has a default is sent all the same.
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    status: Literal["healthy"] = "healthy"
    version: str = Field(description="Of the service.")
    provider: str = Field(description="Who answers: the setting `RAG_PROVIDER`.")
    dify_configured: bool = Field(description="Whether there is a Dify key.")
    fallback: str | None = Field(description="Who answers when `provider` cannot: the setting `FALLBACK_PROVIDER`.")
    not_ready: Reason | None = Field(description="Why it is not ready, as on `/health/ready`; null when it is.")
    left_alone: bool = Field(description="Whether `provider` failed too often in a row and is not asked for a while.")
    sessions: int = Field(description="Open now, parked ones included.")
    parked: int = Field(description="Without a connection, waiting for their clients to come back.")
    uptime_s: float = Field(description="Seconds since the start.")


class Unread(BaseModel):
    kind: str = Field(description="The ending of their names.")
    reason: str = Field(description="Why they are not read; empty for a kind that nobody reads.")
    files: int = Field(description="How many there are.")


class Knowledge(BaseModel):
    share: float = Field(description="How much of the folder has been read when that is done first; 1 from then on.")
    files: int = Field(description="Files that are read.")
    passages: int = Field(description="What they were cut into.")
    not_read: list[Unread] = Field(description="Files that are not read, the most frequent first; fifty at most.")


class ReadyPage(BaseModel):
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    status: Literal["ready", "not_ready"]
    reason: Reason | None = Field(None, description="Why not; null when ready.")
    checks: dict[str, Check] = Field(description="Each thing that was looked at.")
    knowledge: Knowledge | None = Field(None, description="The folder of `KNOWLEDGE_DIR`, if it is answered from.")


@router.head("", include_in_schema=False)
@router.get("")
async def health(runtime: RuntimeDep) -> Health:
    """Alive. Never waits for anything."""
    return Health(
        version=__version__,
        provider=runtime.settings.rag_provider,
        dify_configured=runtime.settings.dify_api_key is not None,
        fallback=runtime.settings.fallback_provider,
        not_ready=runtime.readiness.reason,
        left_alone=runtime.readiness.is_left_alone,
        sessions=len(runtime.sessions),
        parked=runtime.sessions.parked,
        uptime_s=round(time.monotonic() - runtime.started_at, 3),
    )


@router.head("/ready", include_in_schema=False)
@router.get("/ready", responses={503: {"model": ReadyPage, "description": "Not ready"}})
async def ready(runtime: RuntimeDep, response: Response) -> ReadyPage:
    """Ready to answer questions, or 503 with the reason. Shows what is known already: no request asks Dify."""
    reason, checks = runtime.readiness.reason, runtime.readiness.checks()
    response.status_code = 200 if reason is None else 503
    return ReadyPage(
        status="ready" if reason is None else "not_ready",
        reason=reason,
        checks=checks,
        knowledge=_knowledge(runtime.readiness.index),
    )


def _knowledge(index: IndexState | None) -> Knowledge | None:
    if index is None:
        return None
    not_read = [Unread(**each._asdict()) for each in index.unread[:MOST_UNREAD]]
    return Knowledge(share=round(index.share, 2), files=index.files, passages=index.passages, not_read=not_read)
