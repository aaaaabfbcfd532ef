"""What listening costs: `python -m tests.benchmarks.chunks [--seconds 3]`, beside a bare endpoint of Starlette."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from itertools import cycle

from tests.benchmarks.client import Client, close, connect, encode
from tests.benchmarks.processes import Process, running, service, share_one_cpu
from tests.benchmarks.report import figures, heading, ratio
from tests.standin.load import fast_loop

# Words that come one by one: a text that stands still would be taken for a final.
CHUNKS = [
    encode(f'{{"type":"asr_chunk","text":"so what I wanted to know about {" ".join(words)}","is_final":false}}')
    for words in (["the", "lamps", "of", "room", "seven", "and", "eight"][:n] for n in range(1, 8))
]
# What a recogniser says again, since it repeats its finals.
FINALS = [encode('{"type":"asr_chunk","text":"the lamps of room seven are lit","is_final":true,"segment_id":"7"}')]
ACK = b'{"type":"ack"'
SESSIONS = 100
ACK_SECONDS = 10.0
IDLE_SESSIONS = 2000
# As long as the pings of a connection are apart.
IDLE_SECONDS = 20.0
CONNECTIONS = 50
PARTS = ("cpu", "finals", "connect", "idle", "memory")


class Listened:
    """Sessions of one server, all of which hear people talk, a burst at a time."""

    def __init__(self, process: Process, clients: Sequence[Client], messages: Sequence[bytes], at_once: int) -> None:
        self._process = process
        self._at_once = at_once
        self._messages = cycle(messages)
        self.clients = clients
        self._awaited = 0
        self._is_even = asyncio.Event()
        for client in clients:
            client.on_frame = self._hear
        self.cpu: list[float] = []
        """Microseconds for a message and what is replied, of each burst."""

    def _hear(self, frame: bytes) -> None:
        if frame.startswith(ACK):  # what else is replied leaves with it
            self._awaited -= 1
            if not self._awaited:
                self._is_even.set()

    async def talk(self, seconds: float) -> None:
        """Let so many say something at once, then the next when these have their acks, for so long.

        At a rate of its own a server that gets less of the CPU finds more to do at once, and looks cheap.
        """
        began, cpu, sent = time.monotonic(), self._process.cpu_seconds(), 0
        while time.monotonic() - began < seconds:
            message = next(self._messages)
            for first in range(0, len(self.clients), self._at_once):
                clients = self.clients[first : first + self._at_once]
                self._awaited = len(clients)
                self._is_even.clear()
                for client in clients:
                    client.send(message)
                async with asyncio.timeout(ACK_SECONDS):
                    await self._is_even.wait()
                sent += len(clients)
        self.cpu.append((self._process.cpu_seconds() - cpu) / sent * 1e6)


async def in_turns(
    processes: Sequence[Process], messages: Sequence[bytes], at_once: int, seconds: float, times: int
) -> list[list[float]]:
    """Burst by burst, in an order by chance: whatever else the machine does falls on all."""
    listened = [Listened(process, await connect(process.port, SESSIONS), messages, at_once) for process in processes]
    for _ in range(times):
        for each in random.sample(listened, len(listened)):
            await each.talk(seconds)
    for each in listened:
        await close(each.clients)
    return [each.cpu for each in listened]


async def connect_in_turns(processes: Sequence[Process], times: int) -> list[list[float]]:
    """Microseconds of CPU for a connection that is opened, greeted and closed, of each burst."""
    cpu: list[list[float]] = [[] for _ in processes]
    for _ in range(times):
        for index, process in random.sample(list(enumerate(processes)), len(processes)):
            before = process.cpu_seconds()
            await close(await connect(process.port, CONNECTIONS))
            cpu[index].append((process.cpu_seconds() - before) / CONNECTIONS * 1e6)
    return cpu


async def idle_side_by_side(processes: Sequence[Process], seconds: float) -> list[float]:
    """Milliseconds of CPU in a second for `IDLE_SESSIONS` each of which nobody speaks, their pings included.

    They connect by turns, one by one: pings come as the connections did, and many at once cost less.
    """
    clients: list[Client] = []
    for _ in range(IDLE_SESSIONS):
        for process in processes:
            clients.append(await Client.connect(process.port))
        await asyncio.sleep(IDLE_SECONDS / IDLE_SESSIONS / 2)
    before = [process.cpu_seconds() for process in processes]
    await asyncio.sleep(seconds)
    spent = [process.cpu_seconds() - cpu for process, cpu in zip(processes, before, strict=True)]
    await close(clients)
    return [cpu / seconds * 1000 for cpu in spent]


async def kib_per_session(process: Process) -> float:
    """Resident memory of a connection that has heard a chunk and is silent now."""
    warm = await connect(process.port, 20)
    before = process.resident_kib()
    clients = await connect(process.port, IDLE_SESSIONS)
    for client in clients:
        client.send(CHUNKS[0])
    await asyncio.sleep(1)
    after = process.resident_kib()
    await close([*warm, *clients])
    return (after - before) / IDLE_SESSIONS


def talk(what: str, messages: Sequence[bytes], wanted: float, seconds: float, times: int) -> None:
    """Each alone, which wakes the server up, and all together, which keeps it busy."""
    with running("app", env=service()) as app, running("tests.benchmarks.peers", "endpoint") as bare:
        share_one_cpu(app, bare)
        for at_once in (1, SESSIONS):
            heading(f"{SESSIONS} sessions, {what}, {at_once} at once")
            with asyncio.Runner(loop_factory=fast_loop()) as runner:
                ours, theirs = runner.run(in_turns((app, bare), messages, at_once, seconds, times))
            figures("CPU of one with what is replied, service", ours, "µs")
            figures("CPU of one with its ack, bare endpoint", theirs, "µs")
            ratio("ratio", ours, theirs, wanted=wanted)


def connections(times: int) -> None:
    heading(f"{CONNECTIONS} connections at a time, opened, greeted and closed")
    with running("app", env=service()) as app, running("tests.benchmarks.peers", "endpoint") as bare:
        share_one_cpu(app, bare)
        with asyncio.Runner(loop_factory=fast_loop()) as runner:
            ours, theirs = runner.run(connect_in_turns((app, bare), times))
    figures("CPU per connection, service", ours, "µs")
    figures("CPU per connection, bare endpoint", theirs, "µs")
    ratio("ratio", ours, theirs, wanted=1.60)


def memory(times: int) -> None:
    heading(f"{IDLE_SESSIONS} idle sessions")
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(times):
        for arguments, sizes in ((("app",), ours), (("tests.benchmarks.peers", "endpoint"), theirs)):
            # A new process each time: memory given back is used again and would not show.
            with running(*arguments, env=service()) as process, asyncio.Runner(loop_factory=fast_loop()) as runner:
                sizes.append(runner.run(kib_per_session(process)))
    figures("memory per session, service", ours, "KiB")
    figures("memory per session, bare endpoint", theirs, "KiB")
    over = [our - their for our, their in zip(ours, theirs, strict=True)]
    figures("over the bare endpoint (wanted: 40)", over, "KiB")


def idle(times: int) -> None:
    heading(f"{IDLE_SESSIONS} idle sessions, their CPU")
    ours: list[float] = []
    theirs: list[float] = []
    with running("app", env=service()) as app, running("tests.benchmarks.peers", "endpoint") as bare:
        share_one_cpu(app, bare)
        for _ in range(times):
            with asyncio.Runner(loop_factory=fast_loop()) as runner:
                our, their = runner.run(idle_side_by_side((app, bare), IDLE_SECONDS))
            ours.append(our)
            theirs.append(their)
    figures("CPU of a second, service", ours, "ms")
    figures("CPU of a second, bare endpoint", theirs, "ms")
    ratio("ratio", ours, theirs, wanted=1.20)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.chunks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1, help="of each burst (default: 1)")
    parser.add_argument("--times", type=int, default=9, help="bursts of each server (default: 9)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    if "cpu" in chosen.only:
        talk("interim chunks, an ack each", CHUNKS, 0.75, chosen.seconds, chosen.times)
    if "finals" in chosen.only:
        talk("the same final, an ack and a status each", FINALS, 1.25, chosen.seconds, chosen.times)
    if "connect" in chosen.only:
        connections(chosen.times)
    if "idle" in chosen.only:
        idle(min(chosen.times, 3))
    if "memory" in chosen.only:
        memory(min(chosen.times, 3))


if __name__ == "__main__":
    main()
