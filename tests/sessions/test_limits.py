"""The bounds by themselves: tokens over time, and slots in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sessions.limits import QueryLimits, Quota, Slots, TokenBucket
from tests.sessions.holding import holding

# --- TokenBucket ---


def test_a_full_bucket_gives_its_burst_and_then_says_how_long_to_wait() -> None:
    bucket = TokenBucket(rate=2, burst=3)
    assert [bucket.take(100) for _ in range(5)] == [0, 0, 0, 0.5, 0.5]


def test_it_fills_at_its_rate_and_no_further_than_its_burst() -> None:
    bucket = TokenBucket(rate=2, burst=2)
    assert [bucket.take(0), bucket.take(0), bucket.take(0.25), bucket.take(0.5)] == [0, 0, 0.25, 0]
    assert [bucket.take(1000) for _ in range(3)] == [0, 0, 0.5]


def test_a_clock_that_goes_back_gives_nothing_twice() -> None:
    bucket = TokenBucket(rate=1, burst=1)
    assert [bucket.take(10), bucket.take(0), bucket.take(10)] == [0, 1, 1]
    assert bucket.take(11) == 0


rates = st.floats(0.01, 1000)
bursts = st.integers(1, 50)
pauses = st.lists(st.floats(0, 5), max_size=100)


@given(rates, bursts, pauses, st.floats(0, 1e6))
def test_in_any_time_it_gives_no_more_than_its_burst_and_rate(
    rate: float, burst: int, pauses: list[float], start: float
) -> None:
    bucket, now = TokenBucket(rate, burst), start
    taken_at: list[float] = []
    for pause in pauses:
        now += pause
        if bucket.take(now) == 0:
            taken_at.append(now)
    for first, began in enumerate(taken_at):
        for last, ended in enumerate(taken_at[first:], first):
            assert last - first + 1 <= burst + rate * (ended - began) + 1e-3


@given(rates, bursts, pauses)
def test_who_waits_as_long_as_told_gets_a_token(rate: float, burst: int, pauses: list[float]) -> None:
    bucket, now = TokenBucket(rate, burst), 0.0
    for pause in pauses:
        now += pause
        if (wait := bucket.take(now)) > 0:
            assert wait <= 1 / rate
            now += wait + 1e-6
            assert bucket.take(now) == 0


# --- Slots ---


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


class Holder:
    """A task that takes a slot and holds it until it is let go."""

    def __init__(self, slots: Slots, name: str = "", log: list[str] | None = None) -> None:
        self._slots, self._name, self._log = slots, name, [] if log is None else log
        self._let_go = asyncio.Event()
        self.has_waited: bool | None = None
        self.task = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        async with holding(self._slots) as self.has_waited:
            self._log.append(self._name)
            await self._let_go.wait()

    async def let_go(self) -> None:
        self._let_go.set()
        await asyncio.wait([self.task])
        await settle()

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await settle()


async def test_up_to_the_limit_nobody_waits() -> None:
    slots = Slots(2)
    assert not slots.is_full
    first, second = Holder(slots), Holder(slots)
    await settle()
    assert (first.has_waited, second.has_waited) == (False, False)
    assert (slots.running, slots.waiting, slots.is_full) == (2, 0, True)
    await first.let_go()
    await second.let_go()
    assert (slots.running, slots.waiting, slots.is_full) == (0, 0, False)


async def test_beyond_it_they_wait_in_order() -> None:
    slots, log = Slots(1), list[str]()
    holders = [Holder(slots, name, log) for name in "abcd"]
    for turn, holder in enumerate(holders, 1):
        await settle()
        assert (slots.running, slots.waiting) == (1, 4 - turn)
        assert log == list("abcd"[:turn])
        await holder.let_go()
    assert [holder.has_waited for holder in holders] == [False, True, True, True]
    assert slots.running == 0


async def test_a_newcomer_does_not_overtake_one_whose_turn_it_is() -> None:
    slots, log = Slots(1), list[str]()
    async with holding(slots):
        waiting = Holder(slots, "waiting", log)
        await settle()
    assert slots.is_full  # the slot has gone on already, though its holder has not run yet
    newcomer = Holder(slots, "newcomer", log)
    await settle()
    assert log == ["waiting"]
    await waiting.let_go()
    await newcomer.let_go()
    assert log == ["waiting", "newcomer"]


async def test_who_gives_up_waiting_leaves_the_queue() -> None:
    slots, log = Slots(1), list[str]()
    first, second, third = (Holder(slots, name, log) for name in "abc")
    await settle()
    await second.cancel()
    assert (slots.running, slots.waiting) == (1, 1)
    await first.let_go()
    assert log == ["a", "c"]
    await third.let_go()
    assert slots.running == 0


def cancel_then_free(second: Holder, first: Holder) -> None:
    second.task.cancel()
    first.task.cancel()


def free_then_cancel(second: Holder, first: Holder) -> None:
    first.task.cancel()
    second.task.cancel()


@pytest.mark.parametrize("race", [cancel_then_free, free_then_cancel])
async def test_a_slot_given_to_one_who_is_cancelled_meanwhile_goes_to_the_next(
    race: Callable[[Holder, Holder], None],
) -> None:
    slots, log = Slots(1), list[str]()
    first, second, third = (Holder(slots, name, log) for name in "abc")
    await settle()
    race(second, first)
    await asyncio.wait([first.task, second.task])
    await settle()
    assert log == ["a", "c"]
    assert (slots.running, slots.waiting) == (1, 0)
    await third.let_go()
    assert slots.running == 0


async def test_a_slot_that_came_just_before_the_cancellation_is_not_lost() -> None:
    slots = Slots(1)
    async with holding(slots):
        waiting = Holder(slots)
        await settle()
    # Its turn has come, but it has not run since.
    await waiting.cancel()
    assert waiting.has_waited is None
    assert (slots.running, slots.waiting, slots.is_full) == (0, 0, False)


async def test_a_failure_gives_the_slot_back() -> None:
    slots = Slots(1)
    with pytest.raises(ValueError, match="inside"):
        async with holding(slots):
            raise ValueError("inside")
    assert slots.running == 0


async def test_who_waits_for_a_tenants_slot_takes_none_of_the_process() -> None:
    tenant, process = Slots(1), Slots(2)

    async def ask(go_on: asyncio.Event) -> None:
        async with holding(tenant), holding(process):
            await go_on.wait()

    go_on = asyncio.Event()
    tasks = [asyncio.create_task(ask(go_on)) for _ in range(3)]
    await settle()
    assert (tenant.waiting, process.running, process.is_full) == (2, 1, False)
    go_on.set()
    await asyncio.wait(tasks)
    assert (tenant.running, process.running) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from(["come", "go", "give up", "turn"]), st.integers(0, 20)), max_size=60))
def test_whatever_comes_and_goes_no_slot_is_lost_and_none_is_made(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        slots, log, names = Slots(2), list[str](), list[str]()
        holders: list[Holder] = []
        for step, which in steps:
            running = [holder for holder in holders if not holder.task.done()]
            match step:
                case "come":
                    names.append(str(len(names)))
                    holders.append(Holder(slots, names[-1], log))
                case "go" if running:
                    running[which % len(running)]._let_go.set()
                case "give up" if running:
                    running[which % len(running)].task.cancel()
                case _:
                    await asyncio.sleep(0)
            assert slots.running <= 2
        await settle()
        waited = [name for name in log if holders[int(name)].has_waited]
        assert waited == sorted(waited, key=int)  # in the order in which they came
        assert slots.is_full or slots.waiting == 0
        for holder in holders:
            holder._let_go.set()
        if holders:
            await asyncio.wait([holder.task for holder in holders])
        assert (slots.running, slots.waiting) == (0, 0)

    asyncio.run(run())


async def test_a_question_that_one_limit_refuses_takes_nothing_from_another() -> None:
    quota = Quota(per_minute=60)
    limits = [QueryLimits(TokenBucket(rate=1, burst=burst), quota, Slots(1)) for burst in (1, 100)]
    assert [await limits[0].take(0) for _ in range(3)] == [0, 1, 1]
    assert [await limits[1].take(0) for _ in range(60)] == [0] * 59 + [1]  # its tenant's are used up
    assert limits[1].own.left(0) == 41


def test_a_bucket_goes_on_from_what_another_had_left() -> None:
    former, bucket = TokenBucket(rate=2, burst=4), TokenBucket(rate=2, burst=4)
    former.take(5)
    former.take(5)
    bucket.go_on_from(former.left(5), 105)
    assert [bucket.take(105) for _ in range(3)] == [0, 0, 0.5]
    assert bucket.left(106.5) == 3


async def test_slots_that_become_more_go_to_those_who_wait_and_those_that_become_fewer_to_nobody() -> None:
    slots, log = Slots(1), list[str]()
    first, second, third = (Holder(slots, name, log) for name in "abc")
    await settle()
    assert (log, slots.waiting) == (["a"], 2)
    slots.resize(2)
    await settle()
    assert (log, slots.running, slots.waiting) == (["a", "b"], 2, 1)
    slots.resize(1)
    await first.let_go()
    assert (log, slots.running, slots.waiting) == (["a", "b"], 1, 1)
    await second.let_go()
    assert (log, slots.running, slots.waiting) == (["a", "b", "c"], 1, 0)
    await third.let_go()
    assert (slots.running, slots.is_full) == (0, False)
