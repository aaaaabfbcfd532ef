"""How a session leaves this process, to go on in another one: at rest, and with nothing lost."""

from __future__ import annotations

import asyncio
import time

from app.codes import CloseCode
from app.errors import RagBrokenStream
from app.models.lifetime import Ending
from app.sessions.live import LiveSession


async def move(live: LiveSession, ending: Ending) -> None:
    """Hand it over when its running answer is finished, at `ending.at` at the latest; else it winds down here."""
    session = live.session
    await live.carry_out(session.hold(time.monotonic()))
    while (query := session.query) is not None and not live.is_over:
        if (left := ending.at - time.monotonic()) > 0:
            await asyncio.wait(live.queries.tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        else:
            live.queries.drop()
            cut = RagBrokenStream("the process ends")
            await live.carry_out(session.answer_failed(query.query_id, cut, time.monotonic()))
    if not await hand_over(live, ending.code, ending.reason):
        live.wind_down(ending)


async def hand_over(live: LiveSession, code: CloseCode, reason: str) -> bool:
    """End it here as it is. False if it cannot be written down, or has something to do first; then it stays."""
    if live.is_over:
        return True
    if live.session.query is not None:
        return False
    await live.carry_out(live.session.hold(time.monotonic()))
    if not await live.log.seal():
        await live.carry_out(live.session.release(time.monotonic()))
        return False
    live.close(code, reason)
    return True
