"""What every test has at hand: a clean environment, a stand-in Dify and the real service."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import pkgutil
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import uvicorn.server
from hypothesis import find, settings, strategies

import app
from app.config import Settings
from tests.client import PATIENCE, Client
from tests.service import ROOT, Service, make_settings, serve
from tests.standin.dify import StandInDify

Serve = Callable[..., Awaitable[Service]]

READ = {*Settings.model_fields, "http_proxy", "https_proxy", "all_proxy", "no_proxy"}

# A machine may be slow, and who runs the tests twice sees the same twice; `make soak` tries what nobody has tried.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=30)
settings.register_profile("searching", deadline=None, max_examples=2_000)
settings.register_profile("quick", deadline=None, max_examples=10, derandomize=True)
settings.load_profile("repeatable")

# Those that take longest, for a worker takes a whole file: these come first, so that none is left alone at the end.
LONGEST = [
    *("fault_matrix", "console", "end_of_process", "in_small", "bounds", "shell", "client", "dify_client"),
    *("dify_events", "protocol", "start", "process"),
]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file that is slow as a whole need not be imported to be left out."""
    if "not slow" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    return True if re.search(r"^pytestmark = .*pytest\.mark\.slow\b", text, re.MULTILINE) else None


@pytest.hookimpl(trylast=True)  # Hypothesis has marked its own by then
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))
    for item in items:
        if item.get_closest_marker("hypothesis"):
            item.add_marker("no_cover")  # examples that are written down reach the same lines, once


def counting(config: pytest.Config) -> Any:
    """What of pytest-cov counts lines, if lines are counted."""
    return getattr(config.pluginmanager.get_plugin("_cov"), "cov_controller", None)


@contextmanager
def uncounted(config: pytest.Config) -> Iterator[None]:
    controller = counting(config)
    if controller is None or not controller.started:
        yield
        return
    controller.pause()
    try:
        yield
    finally:
        controller.resume()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    controller = counting(session.config)
    if controller is None:
        return
    if hasattr(session.config, "workerinput"):
        # Each worker has two that count, and a pause stops the second one only: this is the first.
        controller.cov.stop()
        return
    if not shutil.which("redis-server"):
        for cov in (controller.cov, controller.combining_cov):  # what nothing runs there is not missing
            cov.set_option("report:omit", ["app/sessions/shared/*"])
    # The lines of an import are counted here, whoever comes first to need it.
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    if session.config.getoption("numprocesses", None):
        controller.cov.stop()  # workers do the rest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """pytest-cov leaves out the call only, but a service starts and ends around it."""
    with uncounted(item.config) if item.get_closest_marker("no_cover") else nullcontext():
        yield


pytest_runtest_teardown = pytest_runtest_setup

# What is collected stays until the end: to look at it again and again took a third of the time.
gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    # Hypothesis looks once, through all that there is, for who holds its random numbers: now there is little.
    find(strategies.none(), lambda _: True, settings=settings(database=None))
    with uncounted(session.config):
        return (yield)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


class Sooner:
    """asyncio as uvicorn's server has it: it looks more often whether it shall end, and a thousand end here."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 10)


@pytest.fixture(autouse=True, scope="session")
def _sooner() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(uvicorn.server, "asyncio", Sooner())
        yield


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting and no proxy of the machine reaches a test."""
    for name in os.environ:
        if name.lower() in READ:
            monkeypatch.delenv(name)


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
