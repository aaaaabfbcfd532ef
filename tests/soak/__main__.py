"""Runs the proof in large: `python -m tests.soak [part ...] [--minutes 10]`; exit status 1 if something is wrong."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import secrets
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from tests.soak.bad_client import bad_client
from tests.soak.fuzz import fuzz
from tests.soak.reconnects import reconnects
from tests.soak.replicas import TROUBLES, replicas
from tests.soak.report import Part
from tests.soak.soak import soak
from tests.soak.unread import unread
from tests.standin.load import fast_loop, raise_file_limit


def parts(minutes: float, seed: str) -> dict[str, Callable[[], Awaitable[Part]]]:
    return {
        "soak": lambda: soak(seconds=60 * minutes, warm_up=min(60, 12 * minutes), seed=seed),
        "reconnects": lambda: reconnects(seed=seed),
        "unread": unread,
        "bad_client": bad_client,
        "fuzz": lambda: fuzz(seed=seed),
        **{name.replace(" ", "_"): partial(replicas, name) for name in TROUBLES},
    }


async def run(minutes: float, seed: str, chosen: list[str]) -> bool:
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, seed {seed}", flush=True)
    outcomes = []
    for name, part in parts(minutes, seed).items():
        if not chosen or name in chosen:
            outcomes.append(await part())
            print(f"\n{outcomes[-1]}", flush=True)
    return all(outcome.is_good for outcome in outcomes)


def main() -> None:
    names = [*parts(0, "")]
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"{', '.join(names)} (default: all)")
    parser.add_argument("--minutes", type=float, default=10, help="of mixed traffic (default: 10)")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="repeats a run as far as time allows")
    chosen = parser.parse_args()
    if unknown := set(chosen.part) - set(names):  # `choices` refuses to be left out (Python 3.11)
        parser.error(f"there is no {', '.join(unknown)}")
    raise_file_limit()
    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        sys.exit(not runner.run(run(chosen.minutes, chosen.seed, chosen.part)))


if __name__ == "__main__":
    main()
