"""Typed access to what the lifespan owns."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.config import Settings
from app.services.rag import RagProvider


@dataclass(slots=True)
class Runtime:
    """What one process serves with, from start to end. `started_at` is monotonic, in seconds."""

    settings: Settings
    provider: RagProvider
    sessions: int = 0
    started_at: float = field(default_factory=time.monotonic)


def runtime_of(connection: HTTPConnection) -> Runtime:
    runtime = connection.state.runtime
    assert isinstance(runtime, Runtime)
    return runtime


RuntimeDep = Annotated[Runtime, Depends(runtime_of)]
