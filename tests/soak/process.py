"""Starts the service, reads its log to the end, and tells what it costs (Linux only)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.client import PATIENCE
from tests.service import ROOT, Service

LONGEST_LINE = 1 << 22


@dataclass(frozen=True, slots=True)
class Figures:
    """What the process holds at one moment."""

    resident_mb: float
    """What the system counts: with all that the allocators keep for the next time."""
    malloc_mb: float
    """What C has in use."""
    blocks: int
    """What Python has in use: every object has at least one block."""
    objects: int
    """Objects that Python's collector knows: unlike memory, they come back exactly."""
    tasks: int
    descriptors: int


class Watched:
    """The running service. `faults` are the lines of its log that no client, network or Dify may cause."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.faults: list[str] = []
        self.levels: Counter[str] = Counter()
        self.exit_status: int | None = None
        self._process = process
        self._address = asyncio.get_running_loop().create_future()

    async def read_log(self) -> None:
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            line = raw.decode(errors="replace").rstrip()
            try:
                record = json.loads(line)
            except ValueError:
                self.faults.append(line)
                continue
            self.levels[record["level"]] += 1
            if record["level"] in {"ERROR", "CRITICAL"} or "Traceback" in line:
                self.faults.append(line)
            if "url" in record and not self._address.done():
                self._address.set_result(record["url"])
        if not self._address.done():
            self._address.set_exception(RuntimeError("\n".join(["the service does not start:", *self.faults])))

    async def started(self) -> Service:
        async with asyncio.timeout(3 * PATIENCE):  # it imports all there is
            url: str = await self._address
        return Service(int(url.split(":")[2].split("/")[0]))

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return float(status.partition("VmRSS:")[2].split()[0]) / 1024

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    async def figures(self) -> Figures:
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(PATIENCE):
            counts = json.loads(await self._process.stdout.readline())
        return Figures(
            self.resident_mb(),
            counts["malloc_bytes"] / 1e6,
            counts["blocks"],
            counts["objects"],
            counts["tasks"],
            self.descriptors(),
        )


@asynccontextmanager
async def watched(**settings: object) -> AsyncIterator[tuple[Watched, Service]]:
    """The service with these settings, drained at the end of the block."""
    with tempfile.TemporaryDirectory() as empty:  # no .env there
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.soak.watched"),
            cwd=empty,
            env={
                "PATH": os.defpath,
                "PYTHONPATH": str(ROOT),
                "PORT": "0",
                "DRAIN_SECONDS": "5",
                **{name.upper(): str(value) for name, value in settings.items()},
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
        )
        service = Watched(process)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(service.read_log())
            try:
                yield service, await service.started()
            finally:
                if process.returncode is None:
                    process.terminate()
                try:
                    async with asyncio.timeout(PATIENCE):
                        service.exit_status = await process.wait()
                except TimeoutError:
                    service.faults.append("the service did not end")
                    process.kill()
                    await process.wait()
