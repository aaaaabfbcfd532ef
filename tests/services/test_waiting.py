"""What others wait with."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from app.services.waiting import Alarm, Stay, beside
from tests.client import PATIENCE


async def test_a_stay_that_is_ended_is_left_without_an_error() -> None:
    stay = Stay()
    stay.end()  # nobody stays yet
    is_inside = asyncio.Event()

    async def wait() -> str:
        async with stay:
            is_inside.set()
            await asyncio.Event().wait()
        return "left"

    async with asyncio.timeout(PATIENCE):
        for _ in range(2):  # one after the other
            task = asyncio.create_task(wait())
            await is_inside.wait()
            is_inside.clear()
            stay.end()
            assert await task == "left"
    assert not task.cancelling()


async def test_who_ends_a_stay_of_its_own_and_waits_for_nothing_is_not_interrupted_later() -> None:
    stay = Stay()
    async with stay:
        stay.end()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_only_its_own_end_is_taken_back() -> None:
    with pytest.raises(TimeoutError):
        async with Stay():
            raise TimeoutError

    async def wait() -> None:
        async with Stay():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


class Moment:
    """What an alarm is set to; every look at it can be waited for."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.is_looked_at = asyncio.Event()
        self.has_rung = asyncio.Event()
        self.alarm = Alarm(self._look, self.has_rung.set)

    def _look(self) -> float:
        self.is_looked_at.set()
        return self.due


async def test_an_alarm_whose_moment_moves_away_only_looks_again() -> None:
    moment = Moment(time.monotonic() + 0.01)
    moment.alarm.set()
    moment.due = math.inf
    moment.is_looked_at.clear()
    async with asyncio.timeout(PATIENCE):
        await moment.is_looked_at.wait()
        await asyncio.sleep(0)
        assert not moment.has_rung.is_set()
        assert moment.alarm.looks_at == math.inf
        moment.due = 0
        moment.alarm.set()
        await moment.has_rung.wait()
    assert moment.alarm.looks_at == math.inf


async def test_an_alarm_whose_moment_comes_nearer_rings_then() -> None:
    moment = Moment(time.monotonic() + 10 * PATIENCE)
    moment.alarm.set()
    moment.due = time.monotonic() + 0.01
    moment.alarm.set()
    async with asyncio.timeout(PATIENCE):
        await moment.has_rung.wait()
    assert time.monotonic() >= moment.due


async def test_an_alarm_that_is_stopped_does_not_ring() -> None:
    moment = Moment(0)
    moment.alarm.set()
    moment.alarm.stop()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not moment.has_rung.is_set()


async def test_an_alarm_that_has_ended_does_not_ring_whoever_sets_it() -> None:
    moment = Moment(0)
    moment.alarm.set()
    moment.alarm.end()
    moment.alarm.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not moment.has_rung.is_set()


async def test_work_beside_has_ended_when_its_block_is_left() -> None:
    has_begun, log = asyncio.Event(), list[str]()

    async def work() -> None:
        try:
            has_begun.set()
            await asyncio.Event().wait()
        finally:
            log.append("ended")

    async with beside(work()):
        await has_begun.wait()
        assert not log
    assert log == ["ended"]
