"""A Redis and services that share it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.conftest import Serve, starting
from tests.redis import RedisServer
from tests.service import Service
from tests.standin.dify import StandInDify


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture
async def start(dify: StandInDify, redis: RedisServer) -> AsyncIterator[Serve]:
    """Start one more service in this process, which shares its sessions with the others.

    One loop does the work of all, and may be late with the signs that they live, or to hear Redis: they are patient.
    """
    async with starting(dify) as start:
        patient = {"redis_url": redis.url, "replica_dead_seconds": 60, "redis_patience_seconds": 30}

        async def start_with_redis(**values: Any) -> Service:
            return await start(**{**patient, **values})

        yield start_with_redis
