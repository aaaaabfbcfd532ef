"""Sockets lost in mid-answer and sessions taken up again, thousands of times: memory stays flat."""

from __future__ import annotations

import asyncio
from random import Random

from tests.soak.process import watched
from tests.soak.report import Part, growth_rows, info, log_rows, none_of
from tests.soak.soak import SETTINGS, close_upstream, peak_of
from tests.soak.tally import Tally
from tests.soak.upstream import Trouble
from tests.soak.visitor import Visitor
from tests.standin.dify import StandInDify

SESSIONS = 20
# So few that the log of every session is full after the warm-up.
RESUME_FRAMES = 100


async def reconnects(*, count: int = 5_000, warm_up: int = 1_000, seed: str = "0") -> Part:
    """`count` reconnects after `warm_up`, by a few sessions that live all the time."""
    trouble = Trouble(Random(seed), fault_rate=0, slowness=0.003)
    tally = Tally()
    settings = {**SETTINGS, "RESUME_FRAMES": RESUME_FRAMES}
    async with (
        StandInDify(default=trouble) as dify,
        watched(DIFY_BASE_URL=dify.base_url, **settings) as (watch, service),
        peak_of(watch, dify) as peak,
    ):
        visitors = [Visitor(str(number), service.ws_url, tally) for number in range(SESSIONS)]
        await asyncio.gather(*(visitor.arrive() for visitor in visitors))
        await asyncio.gather(*(_come_and_go(visitor, warm_up // SESSIONS, "w") for visitor in visitors))
        await close_upstream(dify)
        before = await watch.figures()
        peak.forget()
        await asyncio.gather(*(_come_and_go(visitor, count // SESSIONS, "r") for visitor in visitors))
        await close_upstream(dify)
        after = await watch.figures()
    rows = [
        info("sessions", SESSIONS),
        info("reconnects in mid-answer", tally.resumed - warm_up),
        info("questions", tally.asked),
        none_of("questions without an outcome, or with two", abs(tally.lost)),
        *growth_rows(before, after, peak.course, resident_mb=10),
        *log_rows(watch),
    ]
    return Part(f"{count:,} reconnects", rows, [*tally.problems, *watch.faults[:20]])


async def _come_and_go(visitor: Visitor, times: int, prefix: str) -> None:
    for number in range(times):
        word = f"{prefix}{number}e"
        await visitor.control("instant_query", text=f"lamp {word}")
        await visitor.announced(word)
        visitor.lose()
        await visitor.come_back()
        await visitor.outcome_of(word)
