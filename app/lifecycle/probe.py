"""Asks the provider from time to time whether it could answer, and remembers what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal

from app.errors import RagError

logger = logging.getLogger(__name__)

Outcome = Literal["ok", "upstream_not_asked_yet", "upstream_failed"]


class Probe:
    """Calls `ask` now and then again `seconds` after each reply; `ask` raises `RagError` when there is no answer."""

    def __init__(self, ask: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self.outcome: Outcome = "upstream_not_asked_yet"
        """What came of the last time."""

    async def run(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(self._seconds)

    async def _look(self) -> None:
        before = self.outcome
        try:
            await self._ask()
        except RagError as error:
            self.outcome = "upstream_failed"
            if before != self.outcome:
                logger.warning("not ready: the provider does not answer: %s: %s", error.code, error)
        except Exception:
            self.outcome = "upstream_failed"
            logger.exception("not ready: the provider cannot be asked")
        else:
            self.outcome = "ok"
            if before == "upstream_failed":
                logger.info("the provider answers again")
