"""Asks a process of its own to read files, one after the other; it lives as long as there are some."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import starmap
from pathlib import Path

import app
from app.services.local.documents import Document
from app.services.local.reader import SECONDS, Row
from app.services.local.unreadable import Unreadable

# As far as the system has them: what ends a reader that takes too long.
_OVERTIME = {-getattr(signal, name, 0) for name in ("SIGPROF", "SIGALRM")} - {0}
_CODE = str(Path(app.__file__).parents[1])


class Reader:
    """Used by one thread; only `kill` may come from another."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ahead: Document | None = None
        self._is_killed = False

    def read(self, document: Document, after: Document | None = None) -> Iterator[Row]:
        """Its passages. Raises `Unreadable`, maybe after some of them. `after` is read meanwhile: it comes next."""
        process = self._process or self._start()
        assert process.stdout is not None
        if document != self._ahead:
            self._ask(process, document)
        if after is not None:
            self._ask(process, after)
        self._ahead = after
        for line in process.stdout:
            found = json.loads(line)
            if isinstance(found, list):
                yield from starmap(Row, found)
            elif found["end"] is None:
                return
            else:
                self.close()  # whoever has failed may hold what it took
                reason, is_lasting = found["end"]
                raise Unreadable(reason, is_lasting=is_lasting)
        raise self._end_of(process)

    def _ask(self, process: subprocess.Popen[bytes], document: Document) -> None:
        assert process.stdin is not None
        request = json.dumps([document.source, document.path, document.suffix])
        with suppress(OSError):  # it has ended, and says nothing
            process.stdin.write(request.encode() + b"\n")
            process.stdin.flush()

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(filter(None, [_CODE, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.services.local.reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the service, which ends it
        )
        if self._is_killed:
            self._process.kill()
        return self._process

    def _end_of(self, process: subprocess.Popen[bytes]) -> Unreadable:
        code = process.wait()
        self.close()
        if code in _OVERTIME:
            return Unreadable(f"takes longer than {SECONDS:.0f} seconds")
        return Unreadable(f"its reader ended with {code}")

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            if self._is_killed or self._ahead:
                process.kill()
            process.communicate()  # without another file, it ends
        self._ahead = None

    def kill(self) -> None:
        """End it now and for good, whatever it does."""
        self._is_killed = True
        if (process := self._process) is not None:
            process.kill()
