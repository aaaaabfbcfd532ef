"""What every test has at hand: a clean environment, a stand-in Dify and the real service."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import find, settings, strategies

from app.config import Settings
from tests.client import PATIENCE, Client
from tests.service import ROOT, Service, make_settings, serve
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
    for item in items:
        if item.get_closest_marker("hypothesis"):
            item.add_marker("no_cover")  # examples that are written down reach the same lines, once


# What is collected stays until the end: to look at it again and again took a third of the time.
gc.disable()


def pytest_collection_finish() -> None:
    # Hypothesis looks once for who holds its generator of random numbers, and finds nobody who is frozen.
    find(strategies.none(), lambda _: True, settings=settings(database=None))
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting and no proxy of the machine reaches a test."""
    for name in [*Settings.model_fields, "http_proxy", "https_proxy", "all_proxy", "no_proxy"]:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def from_docs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The settings of who answers from this project's own docs, which are read only once."""
    index = tmp_path_factory.mktemp("docs") / "index"
    return {"rag_provider": "local", "knowledge_dir": ROOT / "docs", "knowledge_index": index}


@pytest.fixture
async def dify() -> AsyncIterator[StandInDify]:
    async with StandInDify() as standin:
        yield standin


class Gate:
    """Holds every process that reads a folder but the first, each until it is opened once more."""

    def __init__(self, folder: Path) -> None:
        here, gate, first = folder / "here", folder / "gate", folder / "first"
        os.mkfifo(here)
        os.mkfifo(gate)
        # Both ways, so that neither end waits for the other one to be there.
        self._here, self._gate = (os.open(pipe, os.O_RDWR | os.O_NONBLOCK) for pipe in (here, gate))
        self.interpreter = folder / "python"
        wait = f"if [ -e {first} ]; then echo > {here}; read -r _ < {gate}; fi; : > {first}"
        self.interpreter.write_text(f'#!/bin/sh\n{wait}\nexec {sys.executable} "$@"\n', encoding="utf-8")
        self.interpreter.chmod(0o700)

    async def reached(self) -> None:
        """Wait until the next one waits."""
        loop, is_here = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._here, is_here.set)
        try:
            async with asyncio.timeout(PATIENCE):
                await is_here.wait()
        finally:
            loop.remove_reader(self._here)
        os.read(self._here, 1)

    def open(self) -> None:
        os.write(self._gate, b"\n")

    def close(self) -> None:
        os.close(self._here)
        os.close(self._gate)


@pytest.fixture
def gate(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(tmp_path_factory.mktemp("gate"))
    monkeypatch.setattr(sys, "executable", str(gate.interpreter))
    with closing(gate):
        yield gate


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
