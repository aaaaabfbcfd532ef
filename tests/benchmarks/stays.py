"""How often the path of a message changes rooms: `python -m tests.benchmarks.stays [--walk TRIP]`.

The real service over a real socket, with a profile hook on every call (and every resumed generator) in `app/`. A stay
is an unbroken run of calls in one module; a return leads to a module that the trip has left before. Nothing is timed,
so the figures are the same everywhere; what else the process does meanwhile can only add, so the shortest trip counts.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from itertools import groupby, pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from app.services.local_rag import LocalRag
from tests.client import Client
from tests.service import ROOT, make_settings, serve

TIMES = 10
PASSAGES = "\n\n".join(f"# Lamps {n}\n\nThe lamps of hall {n} are lit by a switch beside its door." for n in range(9))

APP = str(ROOT / "app") + "/"
ASKED = LocalRag.query.__code__

Walk = list[tuple[str, str]]
"""The calls of a trip, each as its module and its name."""


class Hook:
    """Writes down every call in `app/` while it is set."""

    def __init__(self) -> None:
        self.calls: Walk = []
        self.asked: list[int] = []
        """Where in `calls` the provider was asked, or asked for more."""

    def __enter__(self) -> Hook:
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(APP):
            if code is ASKED:
                self.asked.append(len(self.calls))
            self.calls.append((code.co_filename.removeprefix(APP).removesuffix(".py"), code.co_qualname))


def stays(walk: Walk) -> list[tuple[str, list[str]]]:
    return [(room, [name for _, name in calls]) for room, calls in groupby(walk, lambda call: call[0])]


async def partial(client: Client, number: int) -> Walk:
    with Hook() as hook:
        await client.send("asr_chunk", text=f"so what I wanted to know about {number}", is_final=False)
        await client.until(type="ack")
    return hook.calls


async def question(client: Client, number: int) -> Walk:
    """Up to the call of the provider: by then `querying_rag` is out."""
    with Hook() as hook:
        await client.say(f"How are the lamps of hall {number} lit?", end_of_turn=True)
        await client.until(stage="idle")
    return hook.calls[: hook.asked[0]]


async def token(client: Client, _: int) -> Walk:
    """From one text of the provider to the next, in the middle of an answer."""
    with Hook() as hook:
        await client.control("instant_query", text="How are the lamps lit?")
        await client.until(stage="idle")
    begin, end = list(pairwise(hook.asked))[2]
    return hook.calls[begin:end]


TRIPS: dict[str, tuple[str, Callable[[Client, int], Awaitable[Walk]]]] = {
    "partial": ("a partial to its ack", partial),
    "question": ("a question to querying_rag and its provider", question),
    "token": ("one token in mid-answer (local)", token),
}


async def walks(chosen: list[str]) -> dict[str, Walk]:
    """The shortest walk of each trip."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lamps.md").write_text(PASSAGES)
        found: dict[str, Walk] = {}
        async with serve(make_settings(rag_provider="local", knowledge_dir=folder, log_level="ERROR")) as service:
            for trip in chosen:
                async with service.connect() as client:
                    # The first of each finds some things undone that later ones find done.
                    tried = [await TRIPS[trip][1](client, number) for number in range(TIMES)]
                found[trip] = min(tried, key=lambda walk: len(stays(walk)))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stays", description=__doc__)
    parser.add_argument("--walk", choices=TRIPS, help="print every call of this trip, a line a stay")
    chosen = parser.parse_args()
    found = asyncio.run(walks([chosen.walk] if chosen.walk else list(TRIPS)))
    if chosen.walk:
        for room, names in stays(found[chosen.walk]):
            print(f"{room:<32} {', '.join(names)}")
        print()
    print(f"{'trip':<46} calls  stays  rooms  returns")
    for trip, walk in found.items():
        entered, rooms = len(stays(walk)), len({room for room, _ in walk})
        print(f"{TRIPS[trip][0]:<46} {len(walk):>5}  {entered:>5}  {rooms:>5}  {entered - rooms:>7}")


if __name__ == "__main__":
    main()
