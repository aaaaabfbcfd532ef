"""The `Runtime`: what the lifespan owns, typed access to it, and how things stand in it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.config import Settings
from app.identity import Gate
from app.lifecycle.readiness import Readiness
from app.observability.gauges import Gauges
from app.observability.metrics import Metrics, State
from app.sessions.accounts import Accounts
from app.sessions.opening import Opening
from app.sessions.table import Sessions


@dataclass(slots=True)
class Runtime:
    """What one process serves with, from start to end. `started_at` is monotonic, in seconds."""

    settings: Settings
    gate: Gate
    accounts: Accounts
    sessions: Sessions
    opening: Opening
    readiness: Readiness
    metrics: Metrics
    gauges: Gauges
    started_at: float = field(default_factory=time.monotonic)


def runtime_of(connection: HTTPConnection) -> Runtime:
    runtime = connection.state.runtime
    assert isinstance(runtime, Runtime)
    return runtime


RuntimeDep = Annotated[Runtime, Depends(runtime_of)]


def state_of(sessions: Sessions, accounts: Accounts, readiness: Readiness) -> State:
    """How things stand at this moment."""
    breakers: Counter[str] = Counter()
    for provider in accounts.providers:
        breakers[provider.name] += not provider.breaker.is_closed
    return State(
        sessions_open=len(sessions),
        sessions_parked=sessions.parked,
        queries_running=sessions.running.running,
        queries_queued=sessions.running.waiting + accounts.waiting,
        frames_unread=sessions.presence.unread,
        ready_processes=readiness.reason is None,
        chunks_heard=sessions.presence.chunks_heard,
        open_breakers=breakers,
    )
