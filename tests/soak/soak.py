"""Mixed traffic, faults of Dify, lost sockets: every question has one outcome, nothing stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.service import Service
from tests.soak.process import Watched, watched
from tests.soak.report import Part, growth_rows, info, log_rows, none_of
from tests.soak.tally import Tally
from tests.soak.traffic import Guest
from tests.soak.upstream import Trouble
from tests.standin.dify import StandInDify

QUIET_SECONDS = 60.0
SETTINGS = {
    "DIFY_API_KEY": "app-stand-in",
    "DIFY_TIMEOUT": 2.0,
    "DIFY_STALL_TIMEOUT": 1.5,
    "DIFY_TOTAL_TIMEOUT": 15.0,
    "BREAKER_SECONDS": 0.5,
    "QUERIES_PER_MINUTE": 100_000,
    "MAX_RUNNING_QUERIES": 100,
}


class Peak:
    """The memory that the process has had, the most of it and its course."""

    def __init__(self, service: Watched) -> None:
        self.course: list[float] = []
        self._service = service

    @property
    def mb(self) -> float:
        return max(self.course)

    def forget(self) -> None:
        """What counts begins now."""
        self.course = [self._service.resident_mb()]

    async def watch(self, dify: StandInDify | None = None) -> None:
        while True:
            self.course.append(self._service.resident_mb())
            if dify is not None:  # what the stand-in has noted would fill the memory of this process
                dify.requests.clear()
                dify.calls.clear()
                dify.stops.clear()
            await asyncio.sleep(0.2)


@asynccontextmanager
async def peak_of(service: Watched, dify: StandInDify | None = None) -> AsyncIterator[Peak]:
    peak = Peak(service)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(peak.watch(dify))
        try:
            yield peak
        finally:
            watching.cancel()


async def crowd(
    service: Service, tally: Tally, seed: str, sessions: int, seconds: float, think: float, absence: float
) -> None:
    """Let this many visit for so long; all have left when this returns."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as guests:
        for number in range(sessions):
            guest = Guest(str(number), service.ws_url, tally, Random(f"{seed}-{number}"), think, absence)
            guests.create_task(guest.visit(over))
        await asyncio.sleep(seconds)
        over.set()


async def soak(
    *, sessions: int = 200, seconds: float = 600.0, warm_up: float = 20.0, resume_seconds: float = 15.0, seed: str = "0"
) -> Part:
    """Soak for so many seconds, after a short one whose end is what the end has to be like.

    `resume_seconds` is ten times as long as anybody stays away, which leaves room for a busy machine.
    """
    trouble = Trouble(Random(seed))
    settings = {**SETTINGS, "RESUME_SECONDS": resume_seconds}
    tally, warmed = Tally(), Tally()
    # A visitor thinks longer the more there are: what a machine does in a second has a bound.
    think = sessions / 50
    async with (
        StandInDify(default=trouble) as dify,
        watched(DIFY_BASE_URL=dify.base_url, **settings) as (watch, service),
        peak_of(watch, dify) as peak,
    ):
        await crowd(service, warmed, f"{seed}-warm", sessions, warm_up, think, resume_seconds / 10)
        await _silence(service, dify)
        before = await watch.figures()
        peak.forget()
        await crowd(service, tally, seed, sessions, seconds, think, resume_seconds / 10)
        await _silence(service, dify)
        after = await watch.figures()
    outcomes = tally.outcomes
    rows = [
        info("sessions at the same time", sessions),
        info("messages, frames", f"{tally.sent:,}, {tally.frames:,}"),
        info("questions", tally.asked),
        *(info(f"… {outcome}", outcomes[outcome]) for outcome in ("answered", "failed", "interrupted", "left")),
        info("faults of the stand-in Dify", f"{trouble.faults:,} of {len(trouble.done)} scripts"),
        info("sockets lost or taken over, and resumed", tally.resumed),
        none_of("questions without an outcome, or with two", abs(tally.lost)),
        none_of("broken rules, wrong or mixed answers", len(tally.problems) + len(warmed.problems)),
        *growth_rows(before, after, peak.course, resident_mb=40),
        *log_rows(watch),
    ]
    return Part(f"soak, {seconds / 60:g} minutes", rows, [*warmed.problems, *tally.problems, *watch.faults[:20]])


async def _silence(service: Service, dify: StandInDify) -> None:
    """Until every session is forgotten and no connection is kept."""
    async with asyncio.timeout(QUIET_SECONDS):
        while (await service.health())["sessions"]:  # noqa: ASYNC110 -- of another process
            await asyncio.sleep(0.1)
    await close_upstream(dify)


async def close_upstream(dify: StandInDify) -> None:
    """Until nothing is asked any more and no connection is kept for it; how far the service is, nothing tells."""
    await dify.idle()
    await asyncio.sleep(0.3)
    await dify.close_idle_connections()
    await asyncio.sleep(0.3)
