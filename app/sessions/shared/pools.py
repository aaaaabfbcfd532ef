"""Where Redis is, by its URL: one server, the one that Sentinels name, or the masters of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError

Make = Callable[[], AbstractConnection]
Place = tuple[str, int]

CONNECT_SECONDS = 2.0
PORTS = {"sentinel": 26379, "cluster": 6379}
# Options of the URL that begin so are for the Sentinels: ?sentinel_password=...
FOR_SENTINELS = "sentinel_"
SLOTS = 16384


class Servers(Protocol):
    async def find(self) -> tuple[list[Make], Callable[[str], int]]:
        """How to connect to each of them, as they are now, and which of them has a key."""
        ...

    async def aclose(self) -> None: ...


def load_servers(url: str) -> Servers:
    """Those of this URL. Raises `ValueError` or `TypeError` if redis-py does not take it."""
    # No retries of its own: a command whose fate is unknown is decided by who has sent it.
    # No timeouts of its own either: who waits for letters waits long. Whatever the URL says of these.
    options: dict[str, Any] = {"protocol": 2, "decode_responses": False, "retry": Retry(NoBackoff(), 0)}
    options |= {"socket_timeout": None, "socket_connect_timeout": CONNECT_SECONDS}
    scheme, _, kind = urlsplit(url).scheme.partition("+")
    if not kind:
        pool = ConnectionPool.from_url(url)
        pool.connection_kwargs |= options
        return OneServer(pool)
    parts = urlsplit(url)
    account, at, hosts = parts.netloc.rpartition("@")
    places = [_place(host, PORTS[kind]) for host in hosts.split(",")]
    service, _, database = parts.path.strip("/").partition("/")
    # Everything but the places is as in the URL of one server.
    given = parse_url(urlunsplit((scheme, f"{account}{at}unknown", database, parts.query, "")))
    told: dict[str, Any] = {name: value for name, value in given.items() if name not in {"host", "connection_class"}}
    # One that is gone without a word leaves time to ask the others.
    patience = CONNECT_SECONDS / (len(places) + 1)
    if kind == "cluster":
        connection = SSLConnection if scheme == "rediss" else Connection
        connection(**told)  # raises for what it does not take
        return Cluster(connection, places, told | options, patience)
    asking = {name: told.pop(name) for name in list(told) if name.startswith(FOR_SENTINELS)}
    asking = {name.removeprefix(FOR_SENTINELS): value for name, value in asking.items()}
    asking = {"ssl": scheme == "rediss", **asking, **options}
    asking |= {"socket_timeout": patience, "socket_connect_timeout": patience}
    sentinels = Sentinel(places, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    return OneServer(SentinelConnectionPool(service, sentinels, ssl=scheme == "rediss", **told | options))  # type: ignore[no-untyped-call]


def _place(host: str, port: int) -> Place:
    parts = urlsplit(f"//{host}")
    return parts.hostname or "", parts.port or port


class OneServer:
    """A Redis of its own, or the one that Sentinels name."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        pool.make_connection()  # type: ignore[no-untyped-call]  # raises for what it does not take

    async def find(self) -> tuple[list[Make], Callable[[str], int]]:
        return [self._pool.make_connection], lambda key: 0

    async def aclose(self) -> None:
        if isinstance(self._pool, SentinelConnectionPool):
            await self._pool.sentinel_manager.aclose()


class Cluster:
    """The masters of a Redis Cluster, which one of them tells (`CLUSTER SLOTS`)."""

    def __init__(
        self, connection: type[Connection], places: list[Place], options: dict[str, Any], patience: float
    ) -> None:
        self._connection = connection
        self._places = places
        self._options = options
        self._patience = patience

    async def find(self) -> tuple[list[Make], Callable[[str], int]]:
        failure: Exception = RedisError("no server is named")
        for place in self._places:
            try:
                async with asyncio.timeout(self._patience):
                    return self._ways_of(await self._ask(place))
            except (OSError, RedisError) as error:
                failure = error
        raise failure

    def _ways_of(self, ranges: list[tuple[int, int, Place]]) -> tuple[list[Make], Callable[[str], int]]:
        masters = list({master: None for _, _, master in ranges})
        owners = [-1] * SLOTS
        for first, last, master in ranges:
            owners[first : last + 1] = [masters.index(master)] * (last + 1 - first)
        if -1 in owners:
            raise RedisError("some keys have no server in the cluster")
        return [self._maker(master) for master in masters], lambda key: owners[key_slot(key.encode())]

    async def _ask(self, place: Place) -> list[tuple[int, int, Place]]:
        connection = self._maker(place)()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("CLUSTER", "SLOTS")
            told = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        # A server that does not tell its own name means the one by which it was asked.
        return [(first, last, ((master[0] or b"").decode() or place[0], master[1])) for first, last, master, *_ in told]

    def _maker(self, place: Place) -> Make:
        host, port = place
        return lambda: self._connection(host=host, port=port, **self._options)

    async def aclose(self) -> None:
        pass
