"""Holds a slot for the length of a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.sessions.limits import Slots


@asynccontextmanager
async def holding(slots: Slots) -> AsyncIterator[bool]:
    """What it yields tells whether one had to wait for it."""
    has_waited = slots.is_full
    await slots.enter()
    try:
        yield has_waited
    finally:
        slots.leave()
