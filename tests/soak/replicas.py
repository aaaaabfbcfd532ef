"""Two processes of the service and a Redis, a balancer without stickiness, and what befalls them."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import signal
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.client import Client, open_client
from tests.lifecycle.test_process import Process, connect_line, forked, service_of
from tests.redis import RedisServer
from tests.rules import text_of
from tests.service import Service
from tests.soak.report import Part, Row, info, none_of
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, pause

TEXTS = [f"{number} " for number in range(8)]
QUESTIONS = [f"What is pump number {number}?" for number in range(1000)]
# How long a question may take that has no outcome yet, once all is quiet.
PATIENCE = 40.0


@dataclass
class Tally:
    questions: int = 0
    answered: int = 0
    coded: int = 0
    no_outcome: int = 0
    resumed: int = 0
    not_resumed: int = 0
    refused: int = 0
    broken: list[str] = field(default_factory=list)
    """Rules that a frame has broken: lost, doubled, out of order, two outcomes."""
    away: list[float] = field(default_factory=list)
    """Seconds from a loss until the session is back."""


class Cluster:
    """The replicas that are there; who connects is sent to any of them."""

    def __init__(self, redis: RedisServer, dify: StandInDify, folder: Path, stack: AsyncExitStack) -> None:
        self.redis = redis
        self.replicas: list[tuple[Process, Service]] = []
        self._dify = dify
        self._folder = folder
        self._stack = stack

    async def add(self) -> None:
        process = await self._stack.enter_async_context(
            forked(
                "app",
                cwd=self._folder,
                PORT="0",
                DIFY_API_KEY=self._dify.api_key,
                DIFY_BASE_URL=self._dify.base_url,
                REDIS_URL=self.redis.url,
                QUERIES_PER_MINUTE="600",
                LOG_LEVEL="INFO",
            )
        )
        self.replicas.append((process, service_of(await connect_line(process))))
        self._stack.push_async_callback(_cancelled, asyncio.create_task(_drained(process)))

    def any_url(self) -> str:
        return random.choice(self.replicas)[1].ws_url if self.replicas else "ws://127.0.0.1:9"

    def end(self, number: signal.Signals) -> None:
        process, _ = self.replicas.pop(0)
        process.process.send_signal(number)


async def _drained(process: Process) -> None:
    """Read the log, so that it holds nobody up."""
    assert process.process.stderr is not None
    while await process.process.stderr.read(1 << 16):
        pass


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


class Visitor:
    """Asks one question after the other, and comes back whenever its socket is gone."""

    def __init__(self, cluster: Cluster, tally: Tally, seed: str) -> None:
        self._cluster = cluster
        self._tally = tally
        self._random = random.Random(seed)
        # One that comes again soon is a repetition, and has no answer of its own.
        self._questions = itertools.cycle(self._random.sample(QUESTIONS, len(QUESTIONS)))
        self.client: Client | None = None
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    def cut(self) -> None:
        if self.client is not None:
            self.client.socket.transport.abort()

    async def run(self) -> None:
        async with open_client(self._cluster.any_url()) as client:
            self.client = client
            try:
                while not self._stop.is_set():
                    await self._ask(client)
            except AssertionError as error:
                self._tally.broken.append(str(error))

    async def _ask(self, client: Client) -> None:
        tally, text = self._tally, next(self._questions)
        tally.questions += 1
        begin, message_id = len(client.frames), f"{tally.questions}"
        is_heard = False
        due = time.monotonic() + PATIENCE
        while time.monotonic() < due:
            try:
                if not is_heard:
                    await client.say(text, id=message_id)
                while True:
                    frame = await client.receive()
                    is_heard = is_heard or frame.get("id") == message_id
                    if frame.get("stage") == "idle":
                        return self._judge(client.frames[begin:])
            except (ConnectionClosed, OSError):
                if not await self._come_back(client):
                    return
                # What was acknowledged and missed comes now; what was not is sent again.
                newest = self._newest
                while client.last_seq < newest:
                    with suppress(ConnectionClosed, OSError):
                        frame = await client.receive()
                        is_heard = is_heard or frame.get("id") == message_id
                        if frame.get("stage") == "idle":
                            return self._judge(client.frames[begin:])
                        continue
                    break
        tally.no_outcome += 1

    async def _come_back(self, client: Client) -> bool:
        lost_at = time.monotonic()
        while time.monotonic() < lost_at + PATIENCE:
            await asyncio.sleep(self._random.uniform(0.01, 0.1))
            try:
                service = Service(int(self._cluster.any_url().split(":")[2].split("/")[0]))
                self._way = service.reconnect(client)  # it would be closed when nobody knows of it
                greeting: Any = await self._way.__aenter__()
            except InvalidHandshake:
                self._tally.refused += 1
                continue
            except (ConnectionClosed, OSError, TimeoutError):
                continue
            self._tally.away.append(time.monotonic() - lost_at)
            if greeting["resumed"]:
                self._newest = greeting["newest_seq"]
                self._tally.resumed += 1
                return True
            self._tally.not_resumed += 1
            client.frames.append(greeting)
            return False
        self._tally.broken.append("nobody has let the client in")
        return False

    def _judge(self, frames: list[dict[str, Any]]) -> None:
        finals = [frame for frame in frames if frame.get("final")]
        if len(finals) != 1:
            self._tally.broken.append(f"{len(finals)} outcomes")
        elif "error" in finals[0]:
            self._tally.coded += 1
        elif text_of(frames) != "".join(TEXTS):
            self._tally.broken.append(f"another answer: {text_of(frames)!r}")
        else:
            self._tally.answered += 1


Trouble = Callable[[Cluster, list[Visitor], float], Awaitable[None]]


async def cut_sockets(cluster: Cluster, visitors: list[Visitor], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        random.choice(visitors).cut()
        await asyncio.sleep(seconds / len(visitors) / 4)


async def kill_one(cluster: Cluster, visitors: list[Visitor], seconds: float) -> None:
    await asyncio.sleep(seconds / 3)
    cluster.end(signal.SIGKILL)
    await asyncio.sleep(seconds * 2 / 3)


async def kill_both(cluster: Cluster, visitors: list[Visitor], seconds: float) -> None:
    """One after the other, each once another has taken its place."""
    for _ in range(len(cluster.replicas)):
        await cluster.add()
        await kill_one(cluster, visitors, seconds / 2)


async def freeze_one(cluster: Cluster, visitors: list[Visitor], seconds: float) -> None:
    """Its clients go elsewhere meanwhile; when it goes on, it must not say a word for them."""
    frozen = cluster.replicas.pop(0)
    frozen[0].process.send_signal(signal.SIGSTOP)
    for visitor in visitors:
        visitor.cut()
    await asyncio.sleep(seconds / 2)
    frozen[0].process.send_signal(signal.SIGCONT)
    cluster.replicas.append(frozen)
    await asyncio.sleep(seconds / 2)


async def roll_all(cluster: Cluster, visitors: list[Visitor], seconds: float) -> None:
    for _ in range(len(cluster.replicas)):
        await cluster.add()
        cluster.end(signal.SIGTERM)
        await asyncio.sleep(seconds / 2)


async def lose_redis(cluster: Cluster, visitors: list[Visitor], seconds: float) -> None:
    await asyncio.sleep(seconds / 4)
    cluster.redis.stop()
    await asyncio.sleep(seconds / 4)
    cluster.redis.start()
    await asyncio.sleep(seconds / 2)


async def lose_redis_then_kill(cluster: Cluster, visitors: list[Visitor], seconds: float) -> None:
    cluster.redis.stop()
    cluster.redis.start()
    await cluster.redis.until(lambda: len(cluster.redis.records) == 2 * len(visitors))
    await kill_one(cluster, visitors, seconds)


async def freeze_redis(cluster: Cluster, visitors: list[Visitor], seconds: float) -> None:
    cluster.redis.freeze()
    await asyncio.sleep(min(3, seconds / 2))
    cluster.redis.thaw()
    await asyncio.sleep(seconds / 2)


async def fill_redis(cluster: Cluster, visitors: list[Visitor], seconds: float) -> None:
    cluster.redis.client.config_set("maxmemory", "1")
    await asyncio.sleep(seconds / 2)
    cluster.redis.client.config_set("maxmemory", "0")
    await asyncio.sleep(seconds / 2)


TROUBLES: dict[str, Trouble] = {
    re.sub("_", " ", each.__name__): each
    for each in (
        *(cut_sockets, kill_one, kill_both, freeze_one, roll_all),
        *(lose_redis, lose_redis_then_kill, freeze_redis, fill_redis),
    )
}


async def replicas(name: str, *, sessions: int = 200, seconds: float = 20.0, pause_seconds: float = 0.3) -> Part:
    """One trouble, and what the clients have seen of it."""
    tally = Tally()
    script = answer(*(part for text in TEXTS for part in (pause(pause_seconds), text)))
    with RedisServer() as redis, tempfile.TemporaryDirectory() as folder:
        async with StandInDify(default=script, keeps_records=False) as dify, AsyncExitStack() as stack:
            cluster = Cluster(redis, dify, Path(folder), stack)
            await asyncio.gather(cluster.add(), cluster.add())
            visitors = [Visitor(cluster, tally, f"{name} {number}") for number in range(sessions)]
            async with asyncio.TaskGroup() as tasks:
                for visitor in visitors:
                    tasks.create_task(visitor.run())
                await asyncio.sleep(pause_seconds * len(TEXTS))
                await TROUBLES[name](cluster, visitors, seconds)
                for visitor in visitors:
                    visitor.stop()
    away = f"{1000 * statistics.median(tally.away):,.0f} ms" if tally.away else "–"
    rows = [
        info("questions, of which answered, ended with a code", f"{tally.questions}, {tally.answered}, {tally.coded}"),
        info("sessions given back; median time; turned away with 503", f"{tally.resumed}; {away}; {tally.refused}"),
        none_of("`resumed: false`", tally.not_resumed),
        none_of("frames lost, doubled or out of order, answers that are others, two outcomes", len(tally.broken)),
        none_of("questions without an outcome", tally.no_outcome),
    ]
    if name not in {"kill one", "kill both", "freeze one", "lose redis then kill"}:
        rows.append(Row("ended with a code", "0", str(tally.coded), not tally.coded))
    return Part(f"two replicas, {name}", rows, tally.broken[:5])
