"""The way to Redis: commands of one pass of the event loop go out in one write, replies come back in order."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import hiredis
from redis._parsers import BaseParser
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from app.services.waiting import Alarm, Stay
from app.sessions.shared import scripts
from app.sessions.shared.pools import CONNECT_SECONDS, Make, Servers
from app.sessions.store import StoreAway

logger = logging.getLogger(__name__)

Then = Callable[[Any], None]

# What Redis answers when it can serve nobody at the moment, or when another server has to be asked from now on.
GONE = (
    *(OutOfMemoryError, ReadOnlyError, NoScriptError, BusyLoadingError, MasterDownError),
    *(MovedError, AskError, ClusterDownError, TryAgainError),
)
GONE_WORDS = ("MISCONF", "NOREPLICAS")
NOTHING = object()
"""What the parser returns while a reply is not yet whole."""
# A connection that is opened, the scripts, the connection for messages, the trial.
STEPS = 4
# Between two attempts to connect, at most; and between two warnings, at least, in seconds.
MAX_BACKOFF = 1.0
WARN_SECONDS = 10.0
# So late a look at the clock says that this process stood still, in seconds: Redis is not to blame.
LATE_SECONDS = 0.1


def _is_gone(error: RedisError) -> bool:
    return isinstance(error, GONE) or str(error).startswith(GONE_WORDS)


def is_cancelled() -> bool:
    """The task is to end, whoever below has swallowed that: `asyncio.wait_for` does, in Python 3.11."""
    task = asyncio.current_task()
    return task is not None and bool(task.cancelling())


class Wire(asyncio.Protocol):
    """One connection to one server, from `connect` to `drop`.

    redis-py opens it; then this takes its place at the socket, for a command and its reply cost half as much so.
    `fill` is asked for commands before each write; `late` is called when a reply takes longer than `patience`.
    """

    def __init__(self, make: Make, patience: float, fill: Callable[[], None], late: Callable[[], None]) -> None:
        self.make = make
        self._connection = make()
        self._patience = patience
        self._fill = fill
        self._late = late
        self._shas: dict[str, str] = {}
        self._outgoing: list[tuple[tuple[Any, ...], Then | None]] = []
        self._pending: deque[tuple[float, Then | None]] = deque()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._reader = hiredis.Reader(replyError=BaseParser.parse_error, notEnoughData=NOTHING)
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._is_write_due = False
        self._is_paused = False
        self._alarm = Alarm(self._due, self._lose_patience)
        self._resumed_at = -math.inf

    async def connect(self) -> None:
        await self._connection.connect()  # type: ignore[no-untyped-call]
        shas = await self.ask(*(("SCRIPT", "LOAD", script) for script in scripts.ALL))
        self._shas = {script: sha.decode() for script, sha in zip(scripts.ALL, shas, strict=True)}

    async def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The replies, before anything else is under way. All go out at once: Redis may be far away."""
        for command in commands:
            await self._connection.send_command(*command)
        return [await self._connection.read_response() for _ in commands]

    def begin(self) -> None:
        """From here on `send` sends."""
        self._transport = self._connection._writer.transport  # type: ignore[union-attr]
        self._transport.set_protocol(self)
        self.wake()

    async def serve(self) -> None:
        """Return never; raises what has ended the connection."""
        await self._lost

    def name_of(self, script: str) -> str:
        return self._shas[script]

    @property
    def is_idle(self) -> bool:
        return not (self._pending or self._outgoing)

    # Writing

    def wake(self) -> None:
        if not (self._is_write_due or self._is_paused or self._transport is None):
            self._is_write_due = True
            self._loop.call_soon(self._write)

    def send(self, command: tuple[Any, ...], then: Then | None) -> None:
        self._outgoing.append((command, then))
        self.wake()

    def _write(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        try:
            self._fill()
            self._is_write_due = False
            outgoing, self._outgoing = self._outgoing, []
            # redis-py's own way to pack takes a tenth of a token's time.
            packed = b"".join([hiredis.pack_command(command) for command, _ in outgoing])
        except Exception as bug:
            self._end(bug)
            return
        if not outgoing:
            return
        now = time.monotonic()
        self._pending.extend([(now, then) for _, then in outgoing])
        if self._alarm.looks_at == math.inf:
            self._alarm.set()
        self._transport.write(packed)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self.wake()

    # Reading

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets(False)) is not NOTHING:
            if isinstance(reply, RedisError):
                if not isinstance(reply, ResponseError) or _is_gone(reply):
                    self._end(reply)
                    return
                logger.error("Redis refuses a command: %s", reply)  # this one alone
                reply = None
            _, then = self._pending.popleft()
            if then is not None:
                then(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionError("Redis has closed the connection"))

    def _end(self, error: Exception) -> None:
        if not self._lost.done():
            self._lost.set_exception(error)

    def _due(self) -> float:
        return max(self._pending[0][0], self._resumed_at) + self._patience if self._pending else math.inf

    def _lose_patience(self) -> None:
        now = time.monotonic()
        if now > self._due() + LATE_SECONDS:
            self._resumed_at = now
            self._alarm.set()
        else:
            self._late()

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)

    def drop(self) -> None:
        """Tell those who wait that nothing comes."""
        self._transport = None
        self._alarm.stop()
        self._lost.cancel()
        unheard = [then for _, then in (*self._pending, *self._outgoing)]
        self._pending.clear()
        self._outgoing.clear()
        for then in unheard:
            if then is not None:
                then(None)


class Link:
    """A `Wire` to each server, again and again, and one more connection for the messages in `inbox` (`listen`).

    `trial` are the commands, each with its key, that have to work before Redis counts as there. When a reply takes too
    long, or one of the servers is lost, Redis is away: `changed` is told, and those who wait get None.
    """

    def __init__(
        self,
        servers: Servers,
        patience: float,
        fill: Callable[[], None],
        trial: Sequence[tuple[str, tuple[Any, ...]]],
        inbox: str,
        listen: Callable[[AbstractConnection], Coroutine[Any, Any, None]],
        changed: Callable[[bool], None],
    ) -> None:
        self.is_up = False
        self._servers = servers
        self._patience = patience
        self._fill = fill
        self._trial = trial
        self._inbox = inbox
        self._listen = listen
        self._changed = changed
        self._wires: list[Wire] = []
        self._place_of: Callable[[str], int] = lambda key: 0
        self._stay = Stay()
        self._problem = ""
        self._warned_at = -math.inf

    def wake(self) -> None:
        if self._wires:
            self._wires[0].wake()

    def send(self, name: str, key: str, *arguments: Any, then: Then | None = None) -> None:
        """`then` gets the reply, or None if none comes."""
        if self.is_up:
            self._wire_of(key).send((name, key, *arguments), then)
        elif then is not None:
            then(None)

    def run_script(self, script: str, key: str, *arguments: Any, then: Then | None = None) -> None:
        if self.is_up:
            wire = self._wire_of(key)
            wire.send(("EVALSHA", wire.name_of(script), 2, key, f"{key}:log", *arguments), then)
        elif then is not None:
            then(None)

    def _wire_of(self, key: str) -> Wire:
        return self._wires[self._place_of(key)]

    async def call(self, send: Callable[..., None], *arguments: Any) -> Any:
        """The reply of what `send` or `run_script` sends. Raises `StoreAway`."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def take(value: Any) -> None:
            if not reply.done():
                reply.set_result(value)

        send(*arguments, then=take)
        if (value := await reply) is None:
            raise StoreAway
        return value

    async def run(self) -> None:
        """Be connected, again and again."""
        backoff = 0.05
        try:
            while True:
                backoff = await self._run_once(backoff)
        finally:
            self._drop()

    async def _run_once(self, backoff: float) -> float:
        self._problem = f"no reply for {self._patience:g} s"
        try:
            async with self._stay:
                await self._serve()
        except* (OSError, RedisError, EOFError) as errors:
            self._problem = str(errors.exceptions[0]) or type(errors.exceptions[0]).__name__
        except* Exception:
            logger.exception("a bug: sessions are kept here alone for a moment")
        if self.is_up:
            backoff = 0.05
        self._complain()
        self._drop()
        await asyncio.sleep(backoff * random.uniform(0.5, 1))
        return min(2 * backoff, MAX_BACKOFF)

    async def _serve(self) -> None:
        inbox: AbstractConnection | None = None
        # Each step may take as long as a reply may.
        seconds = CONNECT_SECONDS + STEPS * self._patience
        try:
            async with asyncio.timeout(seconds):
                makers, self._place_of = await self._servers.find()
                self._wires = [Wire(make, self._patience, self._fill, self._stay.end) for make in makers]
                for wire in self._wires:
                    await wire.connect()
                inbox = self._wire_of(self._inbox).make()
                await inbox.connect()  # type: ignore[no-untyped-call]
                for wire in self._wires:
                    await wire.ask(*(command for key, command in self._trial if self._wire_of(key) is wire))
            self.is_up = True
            self._changed(True)
            logger.info("Redis is there: sessions are kept")
            async with asyncio.TaskGroup() as tasks:
                for wire in self._wires:
                    wire.begin()
                    tasks.create_task(wire.serve())
                tasks.create_task(self._listen(inbox))
        except TimeoutError as error:
            raise ConnectionError(f"to connect takes longer than {seconds:g} s") from error
        finally:
            for wire in self._wires:
                await wire.close()
            if inbox is not None:
                await inbox.disconnect(nowait=True)

    @property
    def is_idle(self) -> bool:
        return all(wire.is_idle for wire in self._wires)

    def _complain(self) -> None:
        now = time.monotonic()
        if self.is_up or self._warned_at == -math.inf:
            level = logging.WARNING if now > self._warned_at + WARN_SECONDS else logging.INFO
            logger.log(level, "Redis is away: sessions go on, and are kept here alone: %s", self._problem)
            self._warned_at = now if level == logging.WARNING else self._warned_at

    def _drop(self) -> None:
        self.is_up = False
        wires, self._wires = self._wires, []
        for wire in wires:
            wire.drop()
        self._changed(False)
