"""Shows how things stand in this process, and how late its event loop is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from app.observability.metrics import Metrics, State

# How often it is looked, in seconds: with several processes what the others show is that old at most.
INTERVAL = 0.5


class Gauges:
    """`show` sets the gauges of `metrics` to this moment, of which `look` tells."""

    def __init__(self, metrics: Metrics, look: Callable[[], State]) -> None:
        self._metrics = metrics
        self._look = look

    def show(self) -> None:
        self._metrics.show(self._look())

    async def watch(self) -> None:
        """Measure the lag of the event loop; where another process may be asked, keep the gauges up to date."""
        while True:
            if self._metrics.is_shared:
                self.show()
            due = time.monotonic() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self._metrics.lag.observe(max(0.0, time.monotonic() - due))
