"""With a Redis behind it, one process gives its sessions back as it does alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.conftest import Serve, starting
from tests.redis import RedisServer
from tests.service import Service
from tests.standin.dify import StandInDify
from tests.wire.test_resume import *  # noqa: F403  # all of it once more

# Other tests reach the same lines.
pytestmark = [pytest.mark.no_cover, pytest.mark.slow]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture
async def start(dify: StandInDify, redis: RedisServer) -> AsyncIterator[Serve]:
    """Start the service with a Redis that has no session yet."""
    async with starting(dify) as start:

        async def start_with_redis(**values: Any) -> Service:
            keeps = values.get("resume_seconds", 30)
            return await start(**{"redis_url": redis.url if keeps else None, **values})

        yield start_with_redis
