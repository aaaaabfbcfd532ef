"""The real service on a free port of 127.0.0.1: in this process, or as a process of its own."""

from __future__ import annotations

import asyncio
import os
import pty
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from app.config import Settings
from app.lifecycle.server import make_server
from app.main import build_app
from app.services.local_rag import LocalRag, open_local
from tests.client import PATIENCE, Client, open_client, reopen_client
from tests.rules import Frame

ROOT = Path(__file__).parents[1]


class Service:
    def __init__(self, port: int, ws_path: str = "/ws/realtime-asr") -> None:
        self.http_url = f"http://127.0.0.1:{port}"
        self.ws_url = f"ws://127.0.0.1:{port}{ws_path}"

    def connect(self, **options: Any) -> Any:
        """`async with service.connect() as client`: a connected, listening client."""
        return open_client(self.ws_url, **options)

    def reconnect(self, client: Client, **query: Any) -> AbstractAsyncContextManager[Frame]:
        """`async with service.reconnect(client) as greeting`: the same client on a new socket, by its token."""
        return reopen_client(self.ws_url, client, **query)

    async def health(self) -> dict[str, Any]:
        async with browse() as http:
            body: dict[str, Any] = (await http.get(f"{self.http_url}/health")).json()
            return body


_ports = count(os.getpid() * 97)


def free_port() -> int:
    """One that stays free: it is below those that the system gives to whoever asks for any, as everybody here does."""
    for number in _ports:
        port = 20_000 + number % 12_000
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")


def browse(base_url: str = "", **options: Any) -> httpx.AsyncClient:
    """A client of HTTP as patient as the tests; to read certificates, which none needs, takes longer than a call."""
    return httpx.AsyncClient(base_url=base_url, trust_env=False, verify=False, timeout=PATIENCE, **options)


def open_terminal() -> tuple[int, int]:
    """The two ends of a pseudo-terminal; skips the test where the machine has none."""
    try:
        return pty.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo-terminal can be opened (/dev/pts): {error}")


class Given(Settings):
    """To look for a hundred of them in the environment takes as long as the rest of a start."""

    def __init__(self, **values: Any) -> None:
        BaseModel.__init__(self, **values)


def make_settings(**values: Any) -> Settings:
    """Settings with nothing from the environment or a `.env` but what is given."""
    assert values.keys() <= Settings.model_fields.keys()
    return Given(**{"port": 0, "log_level": "WARNING", **values})


@asynccontextmanager
async def indexed(settings: Settings) -> AsyncIterator[LocalRag]:
    """The embedded provider, which has read its folder."""
    async with open_local(settings) as rag:
        async with asyncio.timeout(PATIENCE):
            await rag.is_complete.wait()
        yield rag


@asynccontextmanager
async def serve(settings: Settings, *, is_indexed: bool = True, **options: Any) -> AsyncIterator[Service]:
    """Run the service in this event loop, with other options of uvicorn than its own if need be.

    If it answers from a folder, that has been read, unless `is_indexed` is false.
    """
    server = make_server(build_app(settings), settings)
    vars(server.config).update(options)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(PATIENCE):
            await server.is_listening.wait()
            runtime = server.lifespan.state["runtime"]
            while is_indexed and (index := runtime.readiness.index) is not None and index.is_indexing:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.01)
        yield Service(server.port, settings.ws_path)
    finally:
        server.should_exit = True
        await task
