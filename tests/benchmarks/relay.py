"""How fast answers get through: `python -m tests.benchmarks.relay [--seconds 2] [--only 200 half 1000 tokens memory]`.

The service and a minimal relay get their load in turn, on one CPU, in short bursts on connections that stay: tokens
beside one over httpx as it comes, questions beside one over the transport of the service. `half` asks half as often:
where the CPU is full, a first text waits for whatever came before it, and its lag says nothing else.

The upstream stamps every text with the monotonic clock, which all processes of one machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle

from tests.benchmarks.chunks import IDLE_SESSIONS, kib_per_session
from tests.benchmarks.client import Client, close, connect, encode
from tests.benchmarks.processes import Process, running, service_over, share_one_cpu
from tests.benchmarks.report import figures, heading, ratio
from tests.standin.load import fast_loop

# Different ones in turn: the same words at once are not a new question.
QUESTIONS = [
    encode(f'{{"type":"asr_chunk","text":"How are the lamps of room {n} lit?","is_final":true,"end_of_turn":true}}')
    for n in range(100)
]
CONTENT = b'"content":"'
# How long it takes at least until everything runs, and how long the last answers may take, in seconds.
SETTLE_SECONDS = 0.5
LAST_SECONDS = 20.0
ASKING_AT_ONCE = 50


@dataclass(slots=True)
class Counts:
    questions: int = 0
    tokens: int = 0
    frames: int = 0
    failures: int = 0
    lags: list[int] = field(default_factory=list)
    """Nanoseconds from the upstream's stamp on a first text to its arrival here."""

    def percentile(self, percent: int) -> float:
        """Of the lags, in milliseconds."""
        return statistics.quantiles(self.lags, n=100)[percent - 1] / 1e6


class Asker:
    """Asks one question after the other on one connection, from a call of `ask` until it `is_ending`."""

    def __init__(self, client: Client, counts: Counts) -> None:
        self.is_ending = False
        self.over = asyncio.Event()
        """It has the answer to its last question."""
        self._client = client
        self._counts = counts
        self._is_first = True
        self._questions = cycle(QUESTIONS)
        client.on_frame = self._take

    def ask(self) -> None:
        self._is_first = True
        self._client.send(next(self._questions))

    def _take(self, frame: bytes) -> None:
        at = frame.find(CONTENT)
        if at < 0:
            return
        counts = self._counts
        at += len(CONTENT)
        text = frame[at : frame.index(b'"', at)]
        if text[:1].isdigit():
            counts.frames += 1
            counts.tokens += text.count(b" ")
            if self._is_first:
                self._is_first = False
                counts.lags.append(time.monotonic_ns() - int(text[: text.index(b" ")]))
        if b'"final":true' in frame:
            counts.questions += 1
            counts.failures += b'"error":{' in frame
            if self.is_ending:
                self.over.set()
            else:
                self.ask()


@dataclass(frozen=True, slots=True)
class Run:
    """What happened in `seconds` of load, after everything ran."""

    counts: Counts
    seconds: float
    cpu_seconds: float

    @property
    def questions_per_second(self) -> float:
        return self.counts.questions / self.seconds

    @property
    def cpu_ms_per_thousand_tokens(self) -> float:
        return self.cpu_seconds / self.counts.tokens * 1e6


class Crowd:
    """Sessions of one process that ask without pause in each `burst`, and stay connected between two of them."""

    def __init__(self, process: Process, clients: Sequence[Client]) -> None:
        self.clients = clients
        self._process = process
        self._counts = Counts()
        self._askers = [Asker(client, self._counts) for client in clients]

    async def burst(self, spread: float, seconds: float) -> Run:
        """Load, after the first questions came evenly over `spread` seconds; the last answers are still to come."""
        for asker in self._askers:
            asker.is_ending = False
            asker.over.clear()
            asker.ask()
            await asyncio.sleep(spread / len(self._askers))
        await asyncio.sleep(max(SETTLE_SECONDS, spread))
        counts = self._counts
        counts.questions = counts.tokens = counts.frames = counts.failures = 0
        counts.lags.clear()
        began, cpu = time.monotonic(), self._process.cpu_seconds()
        await asyncio.sleep(seconds)
        run = Run(replace(counts, lags=counts.lags.copy()), time.monotonic() - began, self._process.cpu_seconds() - cpu)
        if not run.counts.tokens:
            raise RuntimeError("no question was answered")
        if run.counts.failures:
            raise RuntimeError(f"{run.counts.failures} of {run.counts.questions} questions failed")
        return run

    async def rest(self) -> None:
        """Ask no more, and wait for the last answers."""
        for asker in self._askers:
            asker.is_ending = True
        async with asyncio.timeout(LAST_SECONDS):
            for asker in self._askers:
                await asker.over.wait()


async def alone(process: Process, sessions: int, spread: float, seconds: float) -> Run:
    clients = await connect(process.port, sessions)
    try:
        return await Crowd(process, clients).burst(spread, seconds)
    finally:
        await close(clients)


async def in_turns(
    processes: Sequence[Process], sessions: int, spread: float, seconds: float, times: int
) -> list[list[Run]]:
    """So many bursts of each process, every other time in the other order."""
    crowds = [Crowd(process, await connect(process.port, sessions)) for process in processes]
    runs: list[list[Run]] = []
    for number in range(times):
        order = range(len(crowds)) if number % 2 == 0 else reversed(range(len(crowds)))
        done: dict[int, Run] = {}
        for at in order:
            done[at] = await crowds[at].burst(spread, seconds)
            await crowds[at].rest()
        runs.append([done[at] for at in range(len(crowds))])
    for crowd in crowds:
        await close(crowd.clients)
    return runs


# What of questions is shown, and what is wanted of it over the relay's.
QUESTIONS_SHOWN: list[tuple[str, str, Callable[[Run], float], float | None]] = [
    ("questions per second", "/s", lambda done: done.questions_per_second, None),
    ("CPU per question", "ms", lambda done: done.cpu_seconds * 1000 / done.counts.questions, 1.2),
    ("first text late, median", "ms", lambda done: done.counts.percentile(50), 1.3),
    ("first text late, 99th", "ms", lambda done: done.counts.percentile(99), 1.3),
]


def run(process: Process, sessions: int, spread: float, seconds: float) -> Run:
    """One burst."""
    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        return runner.run(alone(process, sessions, spread, seconds))


def stand_in(first_token_ms: int, token_ms: int, tokens: int) -> tuple[str, ...]:
    timing = ("--first-token-ms", first_token_ms, "--token-ms", token_ms, "--tokens", tokens)
    return ("tests.standin.dify", "--stamp", *map(str, timing))


def questions(sessions: int, first_token_ms: int, seconds: float, times: int) -> None:
    heading(f"{sessions} running answers, first token after {first_token_ms} ms, one token each")
    with (
        running(*stand_in(first_token_ms, 0, 1)) as dify,
        running("app", env=service_over(dify)) as service,
        running("tests.benchmarks.peers", "swift_relay", env=service_over(dify)) as relay,
    ):
        share_one_cpu(service, relay)
        with asyncio.Runner(loop_factory=fast_loop()) as runner:
            pairs = runner.run(in_turns((service, relay), sessions, first_token_ms / 1000, seconds, times))
    both = list(zip(*pairs, strict=True))
    for what, unit, value, wanted in QUESTIONS_SHOWN:
        ours, theirs = ([value(done) for done in runs] for runs in both)
        figures(f"{what}, service", ours, unit)
        figures(f"{what}, minimal relay", theirs, unit)
        if wanted is not None:
            ratio("ratio", ours, theirs, wanted=wanted)


async def kib_per_asked(process: Process) -> float:
    """Resident memory of a session whose one question is answered."""
    counts = Counts()

    async def ask_once(clients: Sequence[Client]) -> None:
        for first in range(0, len(clients), ASKING_AT_ONCE):
            askers = [Asker(client, counts) for client in clients[first : first + ASKING_AT_ONCE]]
            for asker in askers:
                asker.is_ending = True
                asker.ask()
            async with asyncio.timeout(LAST_SECONDS):
                for asker in askers:
                    await asker.over.wait()

    warm = await connect(process.port, ASKING_AT_ONCE)
    await ask_once(warm)
    before = process.resident_kib()
    clients = await connect(process.port, IDLE_SESSIONS)
    await ask_once(clients)
    await asyncio.sleep(1)
    after = process.resident_kib()
    await close([*warm, *clients])
    return (after - before) / IDLE_SESSIONS


def memory(times: int) -> None:
    heading(f"{IDLE_SESSIONS} sessions that have asked once")
    ours: list[float] = []
    theirs: list[float] = []
    with running(*stand_in(1, 0, 5)) as dify:
        for _ in range(times):
            # A new process each time: memory given back is used again and would not show.
            with running("app", env=service_over(dify)) as app, asyncio.Runner(loop_factory=fast_loop()) as runner:
                ours.append(runner.run(kib_per_asked(app)))
            with (
                running("tests.benchmarks.peers", "endpoint") as bare,
                asyncio.Runner(loop_factory=fast_loop()) as runner,
            ):
                theirs.append(runner.run(kib_per_session(bare)))
    figures("memory per session, service", ours, "KiB")
    figures("memory per connection, bare endpoint", theirs, "KiB")
    ratio("ratio", ours, theirs, wanted=2.2)


def tokens(seconds: float, times: int) -> None:
    heading("50 sessions, one token each 20 ms, one frame a token")
    with (
        running(*stand_in(100, 20, 250)) as dify,
        running("app", env=service_over(dify)) as service,
        running("tests.benchmarks.peers", "relay", env=service_over(dify)) as relay,
    ):
        share_one_cpu(service, relay)
        pairs = [(run(service, 50, 1, seconds), run(relay, 50, 1, seconds)) for _ in range(times)]
    ours, theirs = zip(*pairs, strict=True)
    figures("CPU per 1,000 tokens, service", [done.cpu_ms_per_thousand_tokens for done in ours], "ms")
    figures("CPU per 1,000 tokens, minimal relay", [done.cpu_ms_per_thousand_tokens for done in theirs], "ms")
    ratio(
        "ratio",
        [done.cpu_ms_per_thousand_tokens for done in ours],
        [done.cpu_ms_per_thousand_tokens for done in theirs],
        wanted=0.50,
    )
    for name, runs in (("service", ours), ("minimal relay", theirs)):
        figures(f"frames per token, {name}", [done.counts.frames / done.counts.tokens for done in runs], "")


PARTS = ("200", "half", "1000", "tokens", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.relay", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="of load in each repetition (default: 2)")
    parser.add_argument("--times", type=int, default=12, help="repetitions (default: 12)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    if "200" in chosen.only:
        questions(200, 400, chosen.seconds, chosen.times)
    if "half" in chosen.only:
        questions(200, 800, chosen.seconds, chosen.times)
    if "1000" in chosen.only:
        questions(1000, 2000, chosen.seconds, chosen.times)
    if "tokens" in chosen.only:
        tokens(chosen.seconds, chosen.times)
    if "memory" in chosen.only:
        memory(min(chosen.times, 3))


if __name__ == "__main__":
    main()
