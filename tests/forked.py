"""The service as a process of its own that need not import it: one that has done so forks, for each worker of pytest.

It is what `python -m ...` starts, with its own environment, folder, session and log. What the interpreter or an import
takes from the environment it does not see: whoever tests that starts a whole process. Workers that it starts fork, too.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess, ForkServerContext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import uvicorn._subprocess
from prometheus_client import values
from uvicorn.supervisors.multiprocess import SIGNALS

ROOT = Path(__file__).parents[1]
IMPORTED = ["app.main", "app.services.dify_client", "app.sessions.shared.store", "uvicorn.loops.uvloop", __name__]


@cache
def forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    with patch.dict(os.environ, {"PYTHONPATH": str(ROOT)}):
        forkserver.ensure_running()
    return context


class Fork:
    """As much of `asyncio.subprocess.Process` as tests use."""

    def __init__(
        self, process: multiprocessing.process.BaseProcess, stderr: asyncio.StreamReader, stdout: asyncio.StreamReader
    ) -> None:
        self._process = process
        self.stderr = stderr
        self.stdout = stdout
        assert process.pid is not None
        self.pid = process.pid

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        loop, has_ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._process.sentinel, has_ended.set)
        try:
            await has_ended.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


@asynccontextmanager
async def fork(module: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> AsyncIterator[Fork]:
    pipes = [forks().Pipe(duplex=False) for _ in range(2)]
    process = forks().Process(target=_become, args=(module, arguments, cwd, environment, *(end for _, end in pipes)))
    process.start()
    for _, theirs in pipes:
        theirs.close()
    (stderr, *_), (stdout, *_) = read = [await _read(ours) for ours, _ in pipes]
    fork = Fork(process, stderr, stdout)
    try:
        yield fork
    finally:
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError):
                kill(fork.pid, signal.SIGKILL)
        await fork.wait()
        process.close()
        for _, transport in read:
            transport.close()


async def _read(ours: Connection) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(os.dup(ours.fileno()), "rb")
    ours.close()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, transport


class Worker(ForkProcess):
    """What uvicorn's supervisor spawns, which need not import the service again: it begins as a new process does."""

    def run(self) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        gc.enable()
        vars(values)["ValueClass"] = values.get_value_class()  # an import looks whether several processes count
        try:
            super().run()
        finally:
            atexit._run_exitfuncs()


def _become(
    module: str,
    arguments: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    stderr: Connection,
    stdout: Connection,
) -> None:
    vars(multiprocessing.process)["_parent_process"] = None  # the service takes one with a parent for a worker
    vars(uvicorn._subprocess)["spawn"] = SimpleNamespace(Process=Worker)
    os.setsid()
    os.chdir(cwd)
    for number, pipe in ((1, stdout), (2, stderr)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout = os.fdopen(1, "w", closefd=False, buffering=1)
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing has put another one in its place
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    if "PYTHONWARNINGS" in environment:
        warnings.simplefilter(environment["PYTHONWARNINGS"])  # type: ignore[arg-type]
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # a process that was forked by multiprocessing ends without
