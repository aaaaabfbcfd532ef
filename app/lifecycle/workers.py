"""Several processes at one port, each as `python -m app` is one: the same socket, limits, drain and signals."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.config import Settings
from app.lifecycle.server import announce, make_config
from app.observability import logs

logger = logging.getLogger("app")

FACTORY = "app.main:make_worker"


class Supervisor(Multiprocess):
    """uvicorn's, but that SIGHUP is for the workers: they read their files again, and end nobody's session."""

    def handle_hup(self) -> None:
        for process in self.processes:
            if process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGHUP)


def run(settings: Settings, sockets: list[socket.socket]) -> int:
    """Serve until a signal ends it; return the exit status."""
    logs.configure(settings)
    if settings.redis_url is None:
        logger.warning(
            "WORKERS=%d: a client that comes back finds its session only by chance, and limits count for each process",
            settings.workers,
        )
    for listener in sockets:
        announce(listener, settings.ws_path)
    with _counting_together():
        supervisor = Supervisor(make_config(FACTORY, settings, factory=True), sockets)
        supervisor.run()
    # Each has told why, and the supervisor has given up.
    return 2 if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0


@contextmanager
def _counting_together() -> Iterator[None]:
    """Give the workers a folder for their metrics, unless there is one."""
    name = "PROMETHEUS_MULTIPROC_DIR"
    if os.environ.get(name):
        yield
        return
    folder = tempfile.mkdtemp(prefix="realtime-rag-")
    os.environ[name] = folder
    try:
        yield
    finally:
        del os.environ[name]
        shutil.rmtree(folder, ignore_errors=True)
