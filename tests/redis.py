"""A real Redis for tests: a process of its own, at a Unix socket in a folder of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.client import PATIENCE


class RedisServer:
    """`stop` and `start` take it away and bring it back, empty; `freeze` and `thaw` let it stand still."""

    def __init__(self, *options: str) -> None:
        self._program = shutil.which("redis-server") or ""
        if not self._program:
            reason = "redis-server is not installed (Debian: redis-server)"
            if os.environ.get("REQUIRE_REDIS"):
                pytest.fail(reason)
            pytest.skip(reason)
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))  # short: the path of a socket has 107 bytes at most
        self._options = ["--port", "0", "--save", "", "--appendonly", "no", "--dir", str(self._folder), *options]
        self.url = f"unix://{self._folder}/socket"
        self.client = Redis.from_url(self.url, decode_responses=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        command = [self._program, "--unixsocket", f"{self._folder}/socket", *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if b"ready to accept" in line.lower():
                return
        pytest.fail("redis-server has not started")

    def stop(self) -> None:
        self.thaw()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what Redis tells nobody."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(RedisConnectionError):  # one that becomes the master sends its clients away
                    if is_so():
                        return
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def from_afar(self, seconds: float) -> AsyncIterator[str]:
        """Another URL of it, by which every word takes so long at least, there and back again each."""
        ways: set[asyncio.Task[None]] = set()

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer):
                while data := await reader.read(1 << 20):
                    await asyncio.sleep(seconds)
                    writer.write(data)

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            near_reader, near_writer = await asyncio.open_unix_connection(f"{self._folder}/socket")
            for ends in ((reader, near_writer), (near_reader, writer)):
                ways.add(asyncio.create_task(pass_on(*ends)))

        server = await asyncio.start_server(connect, "127.0.0.1", 0)
        try:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    @property
    def records(self) -> list[Any]:
        """The keys of what is kept of sessions."""
        return self.client.keys("rr:{*")

    @property
    def content(self) -> str:
        """All that there is, as text."""
        readers: dict[Any, Callable[[Any], Any]] = {
            "hash": self.client.hgetall,
            "stream": self.client.xrange,
            "string": self.client.get,
        }
        return str([readers[self.client.type(key)](key) for key in self.client.scan_iter()])
