"""What every test has at hand: a clean environment, a stand-in Dify and the real service."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from hypothesis import settings

from app.config import Settings
from tests.client import Client
from tests.service import Service, make_settings, serve
from tests.standin.dify import StandInDify

Serve = Callable[..., Awaitable[Service]]

# A machine may be slow, and who runs the tests twice sees the same twice; `make soak` tries what nobody has tried.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("searching", deadline=None, max_examples=2_000)
settings.register_profile("quick", deadline=None, max_examples=10, derandomize=True)
settings.load_profile("repeatable")

# Those that take longest, for a worker takes a whole file: these come first, so that none is left alone at the end.
LONGEST = ["fault_matrix", "console", "end_of_process", "start", "in_small", "shell", "process", "client", "protocol"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


# What is collected stays until the end: to look at it again and again took a third of the time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting and no proxy of the machine reaches a test."""
    for name in [*Settings.model_fields, "http_proxy", "https_proxy", "all_proxy", "no_proxy"]:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def dify() -> AsyncIterator[StandInDify]:
    async with StandInDify() as standin:
        yield standin


@asynccontextmanager
async def starting(dify: StandInDify) -> AsyncIterator[Serve]:
    """What the fixture `start` gives, for tests that run in an event loop of their own."""
    async with AsyncExitStack() as stack:

        async def start(**values: Any) -> Service:
            upstream = {"dify_api_key": dify.api_key, "dify_base_url": dify.base_url}
            return await stack.enter_async_context(serve(make_settings(**{**upstream, **values})))

        yield start


@pytest.fixture
async def start(dify: StandInDify) -> AsyncIterator[Serve]:
    """Start the service with these settings, on the stand-in Dify unless they say otherwise."""
    async with starting(dify) as start:
        yield start


@pytest.fixture
async def client(start: Serve) -> AsyncIterator[Client]:
    """A client of a service with default settings."""
    service = await start()
    async with service.connect() as client:
        yield client
