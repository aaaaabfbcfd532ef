"""Starts what is measured, each in a process of its own, and reads what it costs (Linux only)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.standin.load import raise_file_limit

ROOT = Path(__file__).parents[2]
START_SECONDS = 20.0
END_SECONDS = 10.0

# None of the limits that protect a service in the field may decide a benchmark.
LIMITLESS = {
    "MAX_RUNNING_QUERIES": "100000",
    "MAX_SESSIONS": "100000",
    "MESSAGES_PER_SECOND": "100000",
    "QUERIES_PER_MINUTE": "1000000",
}
_URL = re.compile(r"(?:ws|http)://127\.0\.0\.1:([1-9]\d*)")


@dataclass(frozen=True, slots=True)
class Process:
    """A server on 127.0.0.1 that is up."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far."""
        # The clock id of another process, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime(~self.pid << 3 | 2)

    def resident_kib(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return float(status.partition("VmRSS:")[2].split()[0])


@contextmanager
def running(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run `python -m module` until the end of the block; it is up once it writes an address of its own."""
    raise_file_limit()
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryFile("w+b") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=empty,  # no .env there
            env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield Process(process.pid, _port(process, log.fileno()))
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(process: subprocess.Popen[bytes], log: int) -> int:
    give_up = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < give_up:
        if match := _URL.search(_said(log)):
            return int(match[1])
        time.sleep(0.002)
    raise RuntimeError(f"{process.args!r} does not start:\n{_said(log)}")


def _said(log: int) -> str:
    # pread: the file offset is shared with the process, which would overwrite what it wrote.
    return os.pread(log, 1 << 20, 0).decode(errors="replace")


def share_one_cpu(*processes: Process) -> None:
    """Keep processes that are compared on the same CPU: two CPUs of one machine are not equally fast."""
    cpu = min(os.sched_getaffinity(0))
    for process in processes:
        os.sched_setaffinity(process.pid, {cpu})


def service(**settings: str) -> dict[str, str]:
    """The environment of the service on a free port."""
    return {"HOST": "127.0.0.1", "PORT": "0", **LIMITLESS, **settings}


def service_over(stand_in: Process) -> dict[str, str]:
    """The environment of the service, and of its peer, in front of a stand-in Dify."""
    return service(DIFY_BASE_URL=f"http://127.0.0.1:{stand_in.port}/v1", DIFY_API_KEY="app-benchmark")
