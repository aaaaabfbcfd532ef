"""The `Store` in Redis: who has which session, and how it is had by another."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection

from app.config import Settings
from app.errors import StartError
from app.identity import Tenant
from app.models.messages import NotResumed
from app.observability.metrics import RedisMetrics
from app.sessions.frames import NotKept
from app.sessions.resume import hash_of, key_of
from app.sessions.shared.keeper import Keeper
from app.sessions.shared.link import Link, is_cancelled
from app.sessions.shared.log import KeptLog
from app.sessions.shared.pools import Servers, load_servers
from app.sessions.shared.quota import SharedQuota
from app.sessions.shared.relay import Post, Relay
from app.sessions.shared.scripts import APPEND, CLAIM, FORGET, SHARE
from app.sessions.store import Claim, FarVisit, StoreAway, Taken
from app.sessions.table import Sessions

logger = logging.getLogger(__name__)

# How many clients are looked up at the same time: of thousands who come back at once, the others wait in order.
CLAIMS_AT_ONCE = 16
# How long the owner of a session may take to say whether it answers, before it is asked again, in seconds; what the two
# letters take with a Redis that is far away comes on top.
REPLY_SECONDS = 0.25
LOST: dict[str, NotResumed] = {"frames_lost": "frames_lost", "unknown_frame": "unknown_frame"}
# Letters that wait for a process, at most, and for how long after the last one, in milliseconds.
MAX_LETTERS = 10_000
LETTERS_MS = 60_000


def load_store(
    settings: Settings, metrics: RedisMetrics
) -> Callable[[Sessions], AbstractAsyncContextManager[RedisStore]]:
    """How to open the store of these sessions. Raises `StartError`."""
    assert settings.redis_url is not None
    try:
        servers = load_servers(settings.redis_url.get_secret_value())
    except (TypeError, ValueError) as error:  # whose text may hold the URL, and with it a password
        raise StartError("REDIS_URL", "has an option that is not known, or a wrong value of one") from error

    @asynccontextmanager
    async def open_store(sessions: Sessions) -> AsyncIterator[RedisStore]:
        store = RedisStore(settings, metrics, servers, sessions)
        async with asyncio.TaskGroup() as store.tasks:
            running = [store.tasks.create_task(work) for work in (store.link.run(), store.beat(), store.renew())]
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.redis_patience_seconds):
                    await store.has_tried.wait()
            try:
                yield store
                await store.finish()
            finally:
                for task in (*running, *store.guests):
                    task.cancel()
                await servers.aclose()

    return open_store


class RedisStore:
    """One process's part of it. `is_away`: it cannot be asked at the moment."""

    is_shared = True

    def __init__(self, settings: Settings, metrics: RedisMetrics, servers: Servers, sessions: Sessions) -> None:
        self._settings = settings
        self._metrics = metrics
        self._replica = uuid.uuid4().hex
        self._dead_ms = round(settings.replica_dead_seconds * 1000)
        self._keeper = Keeper(settings, self._replica, metrics)
        self.link = self._keeper.link = Link(
            servers,
            settings.redis_patience_seconds,
            self._keeper.fill,
            self._trial(),
            self._name("in", self._replica),
            self._listen,
            self._changed,
        )
        self._post = Post(self._replica, sessions, self._send, self._host)
        sessions.leaves.append(self._post.leave)
        self._claims = asyncio.Semaphore(CLAIMS_AT_ONCE)
        self._heard = "$"
        self.has_tried = asyncio.Event()
        self.tasks: asyncio.TaskGroup
        self.guests: set[asyncio.Task[None]] = set()
        self._sessions = sessions
        self._quotas: dict[str, SharedQuota] = {}
        sessions.on_count.append(self._tell_count)

    @property
    def is_away(self) -> bool:
        return not self.link.is_up

    def new_log(self, key: str, tenant: str | None) -> KeptLog:
        return self._keeper.new_log(key, tenant)

    # What tenants may have

    def quota(self, tenant: Tenant) -> SharedQuota:
        key = self._keeper.key(f"of {tenant.name}")
        quota = SharedQuota(tenant, self.link, key, self._replica, self._dead_ms)
        self._quotas[tenant.name] = quota
        return quota

    def _tell_count(self, tenant: str) -> None:
        if (quota := self._quotas.get(tenant)) is not None:
            quota.tell(self._sessions.count(tenant))

    async def _share_limits(self) -> None:
        if not self._quotas:
            return
        for tenant in self._quotas:
            self._tell_count(tenant)
        everybody = self._keeper.key("all")
        others = await self.link.call(self.link.run_script, SHARE, everybody, self._replica, 1, self._dead_ms, "")
        for quota in self._quotas.values():
            quota.part(1 + others)

    # Having a session

    async def claim(self, claim: Claim, tenant: str | None) -> Taken | FarVisit:
        key, hashed = key_of(claim.token), hash_of(claim.token)
        if not key.isalnum() or len(key) > 64:
            raise NotKept("unknown_token")
        async with self._claims:
            patience = time.monotonic() + 2 * self._settings.replica_dead_seconds + 2
            dead = gone = ""
            while time.monotonic() < patience:
                arguments = (hashed, tenant or "", self._replica, self._keeper.ttl, dead)
                word, *told = await self.link.call(self.link.run_script, CLAIM, self._keeper.key(key), *arguments)
                if word == b"yours":
                    (self._metrics.seized if dead else self._metrics.moved).inc()
                    return self._take(key, tenant, *told)
                if word == b"unknown":
                    raise NotKept("unknown_token")
                owner, fence = told[0].decode(), told[1].decode()
                if owner == self._replica:
                    if key in self._keeper.logs:  # then it is here, or it was
                        raise NotKept("unknown_token")
                    dead = fence  # the reply that gave it to this process has come too late
                    continue
                asked_at = time.monotonic()
                if not await self.link.call(self.link.send, "EXISTS", self._name("r", owner)):
                    dead = fence
                    continue
                way = time.monotonic() - asked_at  # there and back, as long as a letter takes to the owner
                relay, kind = await self._ask(owner, key, claim, REPLY_SECONDS + 2 * way)
                if kind == "busy":
                    self._metrics.relayed.inc()
                    return relay
                if kind == "gone":
                    if gone == fence:  # it was not left or forgotten a moment ago: its owner never heard that it is one
                        dead = fence
                        continue
                    gone = fence
                    await asyncio.sleep(REPLY_SECONDS)
        raise StoreAway

    def _take(
        self, key: str, tenant: str | None, fence: int, state: bytes, hashes: bytes, age: bytes, stop: int, log: Any
    ) -> Taken:
        kept = self._keeper.new_log(key, tenant, fence)
        try:
            written = json.loads(state)
            frames = [(int(place.partition(b"-")[0]) - 1, fields[1].decode()) for place, fields in log]
            later = kept.go_on_from(written, stop, frames)
            left = max(0.0, float(written.get("questions", math.inf)))  # older records do not say
            return Taken(key, kept, written["session"], hashes.decode().split(), later, max(0.0, float(age)), left)
        except (LookupError, OverflowError, TypeError, ValueError) as error:
            logger.warning("a session cannot be read: %s", error)
            kept.forget()
            raise NotKept("unknown_token") from error

    async def _ask(self, owner: str, key: str, claim: Claim, seconds: float) -> tuple[Relay, str]:
        """The way to a session that is answering (`busy`).

        Else it is closed again: the session was `left` to whoever comes, is `gone`, or nobody has replied.
        """
        relay = self._post.relay(owner, key, claim)
        relay.ask()
        try:
            async with asyncio.timeout(seconds):
                letter = await relay.next()
        except TimeoutError:
            letter = None
        kind = "" if letter is None else str(letter["kind"])
        if kind != "busy":
            relay.let_go()
        if (reason := LOST.get(kind)) is not None:
            raise NotKept(reason)
        return relay, kind

    # Others

    def _name(self, kind: str, replica: str) -> str:
        return f"{self._settings.redis_prefix}:{kind}:{replica}"

    def _alive(self) -> tuple[Any, ...]:
        return "SET", self._name("r", self._replica), "1", "PX", self._dead_ms

    def _trial(self) -> list[tuple[str, tuple[Any, ...]]]:
        """What an account at Redis has to be allowed, tried once: else each frame would find out anew."""
        alive, key = self._alive(), self._keeper.key(f"trial {self._replica}")
        whole = "{}", "", 0, 1, self._replica, ""
        run = "EVAL", APPEND, 2, key, f"{key}:log", 1, 0, 0, self._keeper.ttl, 1, "{}", *whole
        return [(alive[1], alive), (key, run), (key, ("EVAL", FORGET, 2, key, f"{key}:log", 1))]

    def _send(self, to: str, text: str) -> None:
        inbox = self._name("in", to)
        self.link.send("XADD", inbox, "MAXLEN", "~", MAX_LETTERS, "*", "m", text)
        self.link.send("PEXPIRE", inbox, LETTERS_MS)  # whoever it is to may have ended

    def _host(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.tasks.create_task(work)
        self.guests.add(task)
        task.add_done_callback(self.guests.discard)

    async def _listen(self, inbox: AbstractConnection) -> None:
        name = self._name("in", self._replica)
        while not is_cancelled():
            await inbox.send_command("XREAD", "COUNT", 512, "BLOCK", 0, "STREAMS", name, self._heard)
            for _, letters in await inbox.read_response(disable_decoding=True) or ():
                for place, fields in letters:
                    self._heard = place.decode()
                    self._post.deliver(fields[1])
                head, _, tail = self._heard.partition("-")
                self.link.send("XTRIM", name, "MINID", f"{head}-{int(tail) + 1}")  # what was said does not stay

    async def beat(self) -> None:
        """Tell the others that this process lives, and look who of them does."""
        while True:
            self.link.send(*self._alive())
            with suppress(StoreAway):
                for peer in self._post.peers:
                    if not await self.link.call(self.link.send, "EXISTS", self._name("r", peer)):
                        self._post.lose(peer)
                self._post.ask_around()
                await self._share_limits()
            await asyncio.sleep(self._settings.replica_dead_seconds / 3)

    async def renew(self) -> None:
        """Keep the records of sessions alive that say nothing."""
        while True:
            await asyncio.sleep(self._settings.resume_seconds / 3)
            self._keeper.renew()

    def _changed(self, is_up: bool) -> None:
        self.has_tried.set()
        self._keeper.changed(is_up)
        if not is_up:
            self._post.lose()

    async def finish(self) -> None:
        """Let everything be written that is to be, within the time that a reply may take, and be gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.redis_patience_seconds):
                for kind in ("r", "in"):
                    self.link.send("UNLINK", self._name(kind, self._replica))
                while self.link.is_up and not (self._keeper.is_idle and self.link.is_idle):  # noqa: ASYNC110  # no event
                    await asyncio.sleep(0.01)
