"""Typed access to what the lifespan owns."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.accounts import Accounts
from app.config import Settings
from app.gauges import Gauges
from app.identity import Gate
from app.metrics import Metrics
from app.readiness import Readiness
from app.sessions import Sessions


@dataclass(slots=True)
class Runtime:
    """What one process serves with, from start to end. `started_at` is monotonic, in seconds."""

    settings: Settings
    gate: Gate
    accounts: Accounts
    sessions: Sessions
    readiness: Readiness
    metrics: Metrics
    gauges: Gauges
    started_at: float = field(default_factory=time.monotonic)


def runtime_of(connection: HTTPConnection) -> Runtime:
    runtime = connection.state.runtime
    assert isinstance(runtime, Runtime)
    return runtime


RuntimeDep = Annotated[Runtime, Depends(runtime_of)]
