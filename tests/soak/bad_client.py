"""One bad client beside honest ones: what it costs them, and what it costs the service."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from statistics import quantiles
from urllib.parse import urlsplit

from tests.rules import text_of
from tests.service import ROOT, Service
from tests.soak.attackers import ATTACKS
from tests.soak.process import Watched, watched
from tests.soak.report import Part, Row, info, log_rows
from tests.soak.soak import peak_of
from tests.standin import events
from tests.standin.dify import StandInDify
from tests.standin.exchange import Exchange, perform
from tests.standin.scripts import DEFAULT

PARTIAL_SECONDS = 0.02
# What is held: the victim's 99th percentile over that beside nobody, and the memory at its peak over that before.
MOST_MS = 50.0
MOST_MB = 64.0
LARGE = "Two million characters. " * 83_334
SETTINGS = {
    "DIFY_API_KEY": "app-stand-in",
    "QUERIES_PER_MINUTE": 100_000,
    "MAX_RUNNING_QUERIES": 1000,
    "RESUME_SECONDS": 1,  # the next attack begins when the sessions of this one have ended
}


class Honest:
    """Clients that ask, and one that says a partial now and again and waits for each `ack`."""

    def __init__(self, service: Service, sessions: int) -> None:
        self._service = service
        self._sessions = sessions
        self.asked = 0
        self.answered = 0
        self.waits: list[float] = []

    async def live(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._speak(until))
            for number in range(self._sessions):
                tasks.create_task(self._ask(until, number))

    async def _ask(self, until: float, number: int) -> None:
        async with self._service.connect() as client:
            await asyncio.sleep(number / self._sessions)
            while time.monotonic() < until:
                self.asked += 1
                frames = await client.ask(f"What is number {self.asked}?")
                self.answered += text_of(frames) == "Stand-in answer."
                await asyncio.sleep(1.0)

    async def _speak(self, until: float) -> None:
        async with self._service.connect() as client:
            while time.monotonic() < until or len(self.waits) < 2:
                begun = time.monotonic()
                await client.send("asr_chunk", text="so what is the")
                await client.until(type="ack")
                self.waits.append(time.monotonic() - begun)
                await asyncio.sleep(max(0.0, PARTIAL_SECONDS - self.waits[-1]))

    def told(self) -> str:
        cuts = quantiles(self.waits, n=100)
        return f"{1000 * cuts[49]:.1f}, {1000 * cuts[98]:.1f}, {1000 * max(self.waits):.0f} ms"

    @property
    def p99_ms(self) -> float:
        return 1000 * quantiles(self.waits, n=100)[98]


async def _upstream(exchange: Exchange) -> None:
    if exchange.recorded.query == "What is the bad answer?":
        await exchange.send(events.message(LARGE))
        await exchange.send(events.message_end())
    else:
        await perform(DEFAULT, exchange)


async def bad_client(
    *,
    seconds: float = 10.0,
    sessions: int = 50,
    attacks: Sequence[str] = tuple(ATTACKS),
    most_ms: float = MOST_MS,
) -> Part:
    """Each attack for so long beside so many honest sessions. With `most_ms` infinite nothing depends on speed."""
    rows: list[Row] = [info("the victim's wait for an `ack`", "half, 99 % below, worst; memory before, peak, after")]
    async with (
        StandInDify(default=_upstream) as dify,
        watched(DIFY_BASE_URL=dify.base_url, **SETTINGS) as (watch, service),
    ):
        usual = 0.0
        for name in ["", *attacks]:
            honest, row = await _beside(name, service, watch, dify, seconds, sessions, usual + most_ms)
            usual = usual or honest.p99_ms
            rows.append(row)
    return Part(
        f"one bad client, {seconds:g} s, beside {sessions} honest", [*rows, *log_rows(watch)], watch.faults[:20]
    )


async def _beside(
    name: str,
    service: Service,
    watch: Watched,
    dify: StandInDify,
    seconds: float,
    sessions: int,
    most_ms: float,
) -> tuple[Honest, Row]:
    honest = Honest(service, sessions)
    before = watch.resident_mb()
    async with peak_of(watch, dify) as peak:
        peak.forget()
        attacker = await _attacker(name, service, seconds) if name else None
        await honest.live(seconds)
        if attacker is not None:
            await attacker.wait()
    while (await service.health())["sessions"]:  # noqa: ASYNC110 -- of another process
        await asyncio.sleep(0.1)
    lost = honest.asked - honest.answered
    is_good = not lost and peak.mb - before <= MOST_MB and (not name or honest.p99_ms <= most_ms)
    wanted = f"0 lost, ≤ +{MOST_MB:g} MB" + (f", ≤ {most_ms:.0f} ms" if name and math.isfinite(most_ms) else "")
    memory = f"{before:.0f}, {peak.mb:.0f}, {watch.resident_mb():.0f} MB"
    seen = f"{honest.told()}; {memory}; {lost} of {honest.asked} questions lost"
    return honest, Row(name.replace("_", " ") or "nobody", wanted, seen, is_good)


async def _attacker(name: str, service: Service, seconds: float) -> asyncio.subprocess.Process:
    command = ["-m", "tests.soak.attackers", name, str(urlsplit(service.http_url).port), str(seconds)]
    return await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT)
