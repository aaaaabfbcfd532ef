"""Who is heard when several ask in the same moment."""

from __future__ import annotations

import asyncio
import gc
import weakref
from functools import partial

from app.lifecycle.turns import Turns, turns_of
from tests.client import PATIENCE
from tests.conftest import Serve
from tests.rules import text_of
from tests.standin.dify import StandInDify

ASKING = 30


async def test_who_asks_is_before_whoever_else_was_heard_in_the_same_moment() -> None:
    turns, order, is_over = Turns(), list[str](), asyncio.Event()
    asking: list[asyncio.Task[None]] = []

    async def ask(name: str) -> None:
        order.append(f"{name} asks")
        if name == "d":
            is_over.set()

    def hear(name: str) -> None:
        order.append(f"{name} is heard")
        if name != "b":  # who only says something
            asking.append(asyncio.create_task(ask(name)))
            turns.take()

    hear("a")
    assert turns.is_taken
    for name in "bcd":
        turns.wait(partial(hear, name))
    async with asyncio.timeout(PATIENCE):
        await is_over.wait()
    assert order == ["a is heard", "a asks", "b is heard", "c is heard", "c asks", "d is heard", "d asks"]


async def test_a_bug_in_a_turn_keeps_nobody_waiting() -> None:
    loop, told, heard = asyncio.get_running_loop(), list[object](), asyncio.Event()
    loop.set_exception_handler(lambda _, context: told.append(context.get("exception")))
    turns, bug = Turns(), ValueError("a bug")

    def fail() -> None:
        raise bug

    turns.take()
    turns.wait(fail)
    turns.wait(heard.set)
    async with asyncio.timeout(PATIENCE):
        await heard.wait()
    assert told == [bug]
    assert not turns.is_taken
    loop.set_exception_handler(None)


def test_each_loop_has_its_turns_and_takes_them_along() -> None:
    loop, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    kept = weakref.ref(turns_of(loop))
    assert turns_of(loop) is kept() is not turns_of(other)
    loop.close()
    other.close()
    del loop
    gc.collect()
    assert kept() is None


async def test_all_who_ask_in_the_same_moment_are_answered_in_the_order_of_their_messages(
    start: Serve, dify: StandInDify
) -> None:
    service = await start()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:

        async def ask(who: int) -> None:
            async with service.connect() as client:
                await client.say(f"This is number {who}.")
                await client.say(f"How old is number {who}?")
                await client.say("Thanks.")
                frames = await client.until(stage="idle")
                acks = [frame["type"] for frame in frames if frame["type"] == "ack"]
                assert len(acks) == 3
                assert text_of(frames)

        for who in range(ASKING):
            group.create_task(ask(who))
    assert sorted(request.body["query"] for request in dify.requests) == sorted(
        f"How old is number {who}?" for who in range(ASKING)
    )
