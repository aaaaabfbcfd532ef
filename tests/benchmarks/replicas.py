"""What it costs to share sessions: `python -m tests.benchmarks.replicas [--only tokens idle drain kill]`.

Two processes of the service and a Redis, beside one process without it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.client import CONNECTS_AT_ONCE, Client, close, encode
from tests.benchmarks.processes import Process, running, service, service_over, share_one_cpu
from tests.benchmarks.relay import run, stand_in
from tests.benchmarks.report import figures, heading, median, ratio
from tests.redis import RedisServer
from tests.standin.load import fast_loop

PARTS = ("tokens", "idle", "drain", "kill")
IDLE_SESSIONS = 500
IDLE_SECONDS = 20.0
DRAINED_SESSIONS = 200
KILLED_SESSIONS = 2000
CONFIGURE = encode('{"type":"configure","language":"en"}')
# Between two attempts of a client that is refused, in seconds.
PAUSE = (0.1, 0.3)
# How soon after a drain each client comes back by chance, in seconds.
SPREAD = 2.0


@contextmanager
def redis() -> Iterator[tuple[RedisServer, Process]]:
    with RedisServer() as server:
        yield server, Process(server.client.info("server")["process_id"], 0)


def sharing(server: RedisServer) -> dict[str, str]:
    # On a machine that does something else meanwhile Redis shall not count as gone: what it has not got yet is lost.
    return service(REDIS_URL=server.url, REDIS_PATIENCE_SECONDS="10")


# A token


def tokens(seconds: float, times: int) -> None:
    heading("50 sessions, one token each 20 ms, one frame a token")
    with redis() as (server, keeper), running(*stand_in(100, 20, 250)) as dify:
        alone = service_over(dify)
        with running("app", env=alone) as local, running("app", env={**alone, "REDIS_URL": server.url}) as shared:
            share_one_cpu(local, shared)
            ours: list[float] = []
            theirs: list[float] = []
            kept: list[float] = []
            for _ in range(times):
                before = keeper.cpu_seconds()
                done = run(shared, 50, 1, seconds)
                # Its load lasts longer than what is counted, by the second at its beginning.
                kept.append((keeper.cpu_seconds() - before) * seconds / (seconds + 2) / done.counts.tokens * 1e6)
                ours.append(done.cpu_ms_per_thousand_tokens)
                theirs.append(run(local, 50, 1, seconds).cpu_ms_per_thousand_tokens)
    figures("CPU per 1,000 tokens, with Redis", ours, "ms")
    figures("CPU per 1,000 tokens, without", theirs, "ms")
    ratio("ratio", ours, theirs, wanted=1.25)
    figures("CPU of Redis per 1,000 tokens, about", kept, "ms")


# Silence


async def _settled(port: int, count: int) -> list[Returning]:
    """So many sessions that are worth to be kept."""
    clients: list[Returning] = []
    while len(clients) < count:
        batch = min(CONNECTS_AT_ONCE, count - len(clients))
        clients += await asyncio.gather(*(Returning.connect(port) for _ in range(batch)))
    for client in clients:
        client.send(CONFIGURE)
    for client in clients:
        await client.settled.wait()
    return clients


class Returning(Client):
    """Knows the way back to its session."""

    def __init__(self, query: str = "") -> None:
        super().__init__(query)
        self.greeting = asyncio.get_running_loop().create_future()
        self.settled = asyncio.Event()
        self.seq = 0
        self.on_frame = self._hear

    def _hear(self, payload: bytes) -> None:
        frame = json.loads(payload)
        self.seq = frame["seq"]
        if not self.greeting.done():
            self.greeting.set_result(frame)
        elif frame.get("received_type") == "configure":
            self.settled.set()

    async def come_back(self, port: int, spread: float) -> float:
        """The seconds from the first attempt, at most `spread` after the loss of the connection, to the greeting."""
        await self.lost.wait()
        await asyncio.sleep(random.uniform(0, spread))
        began, greeting = time.monotonic(), self.greeting.result()
        query = f"?resume_token={greeting['resume_token']}&last_seq={self.seq}&session_id={greeting['session_id']}"
        while True:
            try:
                client = await Returning.connect(port, query)
                back = await asyncio.wait_for(client.greeting, 30)
                break
            except (OSError, TimeoutError):
                await asyncio.sleep(random.uniform(*PAUSE))
        client.close()
        if not back.get("resumed"):
            raise RuntimeError(f"a session is lost: {back}")
        return time.monotonic() - began


async def _idle(processes: list[Process], keeper: Process, server: RedisServer) -> tuple[list[float], float, float]:
    clients: list[Client] = []
    empty = server.client.info("memory")["used_memory"]
    for process in processes:
        clients += await _settled(process.port, IDLE_SESSIONS)
    full = server.client.info("memory")["used_memory"]
    everybody = [*processes, keeper]
    before = [process.cpu_seconds() for process in everybody]
    await asyncio.sleep(IDLE_SECONDS)
    *spent, kept = (process.cpu_seconds() - cpu for process, cpu in zip(everybody, before, strict=True))
    await close(clients)
    return [cpu / IDLE_SECONDS * 100 for cpu in spent], kept / IDLE_SECONDS * 100, (full - empty) / IDLE_SESSIONS / 1024


def idle(times: int) -> None:
    heading(f"{IDLE_SESSIONS} idle sessions")
    ours: list[float] = []
    theirs: list[float] = []
    kept: list[float] = []
    sizes: list[float] = []
    for _ in range(times):
        with (
            redis() as (server, keeper),
            running("app", env=service()) as local,
            running("app", env=sharing(server)) as shared,
            _loop() as runner,
        ):
            (with_it, without), kept_by, size = runner.run(_idle([shared, local], keeper, server))
        ours.append(with_it)
        theirs.append(without)
        kept.append(kept_by)
        sizes.append(size)
    figures("CPU of a core, with Redis", ours, "%")
    figures("CPU of a core, without", theirs, "%")
    figures("more for the records (wanted: 1)", [our - their for our, their in zip(ours, theirs, strict=True)], "%")
    figures("CPU of Redis", kept, "%")
    figures("memory of Redis per session", sizes, "KiB")


# An end


async def _away(former: Process, port: int, count: int, number: signal.Signals) -> list[float]:
    clients = await _settled(former.port, count)
    spread = SPREAD if number == signal.SIGTERM else 0
    coming = [asyncio.create_task(client.come_back(port, spread)) for client in clients]
    os.kill(former.pid, number)
    return await asyncio.gather(*coming)


def ends(title: str, count: int, number: signal.Signals, times: int, wanted: str) -> None:
    heading(f"{title}, {count} idle sessions")
    medians: list[float] = []
    longest: list[float] = []
    for _ in range(times):
        with (
            redis() as (server, _),
            running("app", env=sharing(server)) as former,
            running("app", env=sharing(server)) as other,
            _loop() as runner,
        ):
            away = runner.run(_away(former, other.port, count, number))
        medians.append(median(away) * 1000)
        longest.append(max(away) * 1000)
    figures(f"until a session is back, median{wanted if number == signal.SIGTERM else ''}", medians, "ms")
    figures(f"until all are back{wanted if number == signal.SIGKILL else ''}", longest, "ms")


def _loop() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=fast_loop())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.replicas", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6, help="of tokens in each repetition (default: 6)")
    parser.add_argument("--times", type=int, default=3, help="repetitions (default: 3)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    if "tokens" in chosen.only:
        tokens(chosen.seconds, chosen.times)
    if "idle" in chosen.only:
        idle(chosen.times)
    if "drain" in chosen.only:
        ends(
            f"A drain, clients come back within {SPREAD:g} s",
            DRAINED_SESSIONS,
            signal.SIGTERM,
            chosen.times,
            " (wanted: 50)",
        )
    if "kill" in chosen.only:
        ends(
            "A process killed, clients come back at once",
            KILLED_SESSIONS,
            signal.SIGKILL,
            chosen.times,
            " (wanted: 10000)",
        )


if __name__ == "__main__":
    main()
