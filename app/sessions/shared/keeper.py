"""Writes what the sessions of this process are, and forgets those that are over."""

from __future__ import annotations

from functools import partial
from typing import Any

from app.config import Settings
from app.observability.metrics import RedisMetrics
from app.sessions.shared.link import Link
from app.sessions.shared.log import Batch, KeptLog
from app.sessions.shared.scripts import APPEND, FORGET, Refused

# How many sessions are written anew at once, when Redis has lost them: none waits for that.
WHOLE_AT_ONCE = 32


class Keeper:
    """Knows every log that is kept, and which of them have something to write (`fill`)."""

    def __init__(self, settings: Settings, replica: str, metrics: RedisMetrics) -> None:
        self._settings = settings
        self._replica = replica
        self._metrics = metrics
        self._dirty: dict[KeptLog, None] = {}
        self._wholes = 0
        self.logs: dict[str, KeptLog] = {}
        self.link: Link
        # Two thirds of it may be over when the process dies, and RESUME_SECONDS are promised from then on.
        self.ttl = round((settings.resume_seconds * 4 / 3 + 5) * 1000)

    def key(self, name: str) -> str:
        """That of a session's record, in a slot of its own."""
        return f"{self._settings.redis_prefix}:{{{name}}}"

    @property
    def is_idle(self) -> bool:
        return not self._dirty

    def new_log(self, name: str, tenant: str | None, fence: int = 1) -> KeptLog:
        log = KeptLog(name, tenant, fence, self._settings, self._mark, lambda: not self.link.is_up)
        log.is_kept = self.link.is_up  # its first frame waits for its record
        self.logs[name] = log
        return log

    def drop(self, log: KeptLog) -> None:
        if self.logs.get(log.key) is log:
            del self.logs[log.key]
        self._dirty.pop(log, None)

    def _mark(self, log: KeptLog) -> None:
        self._dirty[log] = None
        self.link.wake()

    def fill(self) -> None:
        """Send what there is to write."""
        count = 0
        for log in list(self._dirty):
            if log.is_over:
                del self._dirty[log]
                self.link.run_script(FORGET, self.key(log.key), log.fence, then=partial(self._forgot, log))
            elif not log.is_whole_due or self._wholes < WHOLE_AT_ONCE:
                del self._dirty[log]
                if (batch := log.batch()) is not None:
                    self._wholes += batch.is_whole
                    count += len(batch.frames)
                    self._append(log, batch)
        if count:
            self._metrics.frames.inc(count)

    def _append(self, log: KeptLog, batch: Batch) -> None:
        whole: tuple[Any, ...] = ()
        if batch.state:
            hashes = " ".join(batch.hashes)
            whole = batch.state, hashes, int(batch.is_sealed), int(batch.is_whole), self._replica, log.tenant
        self.link.run_script(
            APPEND,
            self.key(log.key),
            log.fence,
            batch.first,
            log.keep_from,
            self.ttl,
            len(batch.frames),
            *batch.frames,
            *whole,
            then=partial(self._took, log, batch),
        )

    def _took(self, log: KeptLog, batch: Batch, reply: int | None) -> None:
        self._wholes -= batch.is_whole
        if log.is_over:
            pass  # what was on its way then makes no difference
        elif reply is None:
            log.fail()
        elif reply >= 0:
            log.took(batch)
            if log.is_over:
                self.drop(log)
        elif reply == Refused.FENCED:
            self._metrics.fenced.inc()
            self.drop(log)
            log.lose()
        else:
            self._metrics.rewritten.inc()
            log.want_whole()
        if self._dirty:
            self.link.wake()

    def _forgot(self, log: KeptLog, reply: Any) -> None:
        if reply is not None:
            self.drop(log)

    def renew(self) -> None:
        """A third of the time is over that a record lives."""
        for log in list(self.logs.values()):
            log.grow_older()
            if not log.is_over and not log.is_whole_due:
                self._append(log, log.nothing())

    def changed(self, is_up: bool) -> None:
        """Redis is there again, and may know nothing; or it is gone, and nobody waits for it."""
        self._metrics.up.set(is_up)
        self._wholes = 0
        for log in list(self.logs.values()):
            if is_up:
                self._dirty[log] = None
            else:
                log.fail()
