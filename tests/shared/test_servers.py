"""More than one Redis: the one that Sentinels name, before and after the former one is gone, and a cluster."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError
from websockets.exceptions import InvalidStatus

from tests.conftest import Serve
from tests.redis import RedisServer
from tests.service import free_port
from tests.shared.test_moving import count, lose, redis_is

pytestmark = pytest.mark.slow


def at_port(port: int, *options: str) -> RedisServer:
    return RedisServer("--port", str(port), "--bind", "127.0.0.1", *options)


@contextmanager
def sentinel(watched: int, folder: Path) -> Iterator[int]:
    """The port of one that watches the Redis at this port, as "rr"."""
    port = free_port()
    lines = [f"port {port}", "bind 127.0.0.1", f"dir {folder}", f"sentinel monitor rr 127.0.0.1 {watched} 1"]
    lines += ["sentinel down-after-milliseconds rr 300", "sentinel failover-timeout rr 2000", "requirepass hush"]
    config = folder / "sentinel.conf"
    config.write_text("\n".join(lines) + "\n")
    command = [shutil.which("redis-server") or "", str(config), "--sentinel"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log) as process:
        try:
            yield port
        finally:
            process.kill()


def knows_a_replica(seen: Redis) -> bool:
    try:
        return bool(seen.sentinel_slaves("rr"))
    except RedisError:
        return False


def is_master(server: RedisServer) -> bool:
    try:
        return bool(server.client.role()[0] == "master")
    except RedisError:  # who becomes one closes every connection
        return False


async def test_sessions_outlive_a_redis_that_sentinels_watch(start: Serve, tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    with (
        at_port(first) as master,
        at_port(second, "--replicaof", "127.0.0.1", str(first)) as replica,
        sentinel(first, tmp_path) as port,
        Redis(port=port, password="hush") as seen,
    ):
        await replica.until(lambda: knows_a_replica(seen))
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/rr/0?sentinel_password=hush"
        here, there = await start(redis_url=url), await start(redis_url=url)
        await redis_is(here, up=True)
        async with here.connect() as client:
            await client.ask("What is RAG?")
            await master.until(lambda: len(master.records) == 2)
            master.stop()
            await client.ask("What is an LLM?")
            await replica.until(lambda: is_master(replica))
            for service in (here, there):
                await redis_is(service, up=True)
            await lose(client)
            async with there.reconnect(client) as greeting:
                assert greeting["resumed"] is True
                await client.ask("What is a pump?")
        master.start()


@contextmanager
def deaf() -> Iterator[int]:
    """The port of a machine that is gone, or stands still: nobody answers, and nobody refuses."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


async def test_a_sentinel_that_says_nothing_keeps_nobody_from_the_next(start: Serve, tmp_path: Path) -> None:
    port = free_port()
    with at_port(port), deaf() as silent, sentinel(port, tmp_path) as watching:
        url = f"redis+sentinel://127.0.0.1:{silent},127.0.0.1:{watching}/rr/0?sentinel_password=hush"
        await redis_is(await start(redis_url=url), up=True)


async def test_a_server_of_a_cluster_that_says_nothing_keeps_nobody_from_the_next(
    start: Serve, cluster: Cluster
) -> None:
    with deaf() as silent:
        url = f"redis+cluster://127.0.0.1:{silent},127.0.0.1:{cluster.ports[0]}"
        await redis_is(await start(redis_url=url), up=True)


OPTIONS = "decode_responses=yes&protocol=3&socket_timeout=0.01"


async def test_how_redis_is_spoken_with_is_not_for_the_url_to_say(
    start: Serve, redis: RedisServer, capfd: pytest.CaptureFixture[str]
) -> None:
    here, there = [await start(redis_url=f"{redis.url}?{OPTIONS}") for _ in "ab"]
    await redis_is(there, up=True)
    async with here.connect() as client:
        await client.ask("What is RAG?")
        await lose(client)
        async with there.reconnect(client) as greeting:
            assert greeting["resumed"] is True
    assert "Redis is away" not in capfd.readouterr().err


class Cluster:
    """Three that share their keys."""

    def __init__(self, stack: ExitStack) -> None:
        self.ports = [free_port() for _ in range(3)]
        buses = [free_port() for _ in range(3)]
        options = ("--cluster-enabled", "yes", "--cluster-port")
        self.masters = [
            stack.enter_context(at_port(port, *options, str(bus))) for port, bus in zip(self.ports, buses, strict=True)
        ]
        self.names = [self.ask(master, "MYID") for master in self.masters]
        for index, master in enumerate(self.masters):
            self.ask(master, "ADDSLOTSRANGE", index * 16384 // 3, (index + 1) * 16384 // 3 - 1)
            self.ask(master, "MEET", "127.0.0.1", self.ports[0], buses[0])

    def ask(self, master: RedisServer, *command: str | int) -> Any:
        return master.client.execute_command("CLUSTER", *command)  # type: ignore[no-untyped-call]

    def is_whole(self) -> bool:
        told = [self.ask(master, "INFO") for master in self.masters]
        return all("cluster_state:ok" in each and "cluster_known_nodes:3" in each for each in told)

    def move(self, slot: int, former: RedisServer) -> None:
        """Give it to the next one, who is believed by the others whatever they had heard before: it was importing."""
        place = self.masters.index(former)
        new, other = (self.masters[(place + step) % 3] for step in (1, 2))
        self.ask(new, "SETSLOT", slot, "IMPORTING", self.names[place])
        for master in (new, former, other):
            self.ask(master, "SETSLOT", slot, "NODE", self.names[(place + 1) % 3])

    def owner_of(self, key: str) -> RedisServer:
        return self.masters[key_slot(key.encode()) * 3 // 16384]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    with ExitStack() as stack:
        cluster = Cluster(stack)
        await cluster.masters[0].until(cluster.is_whole)
        yield cluster


async def test_sessions_lie_in_a_cluster(start: Serve, cluster: Cluster) -> None:
    url = f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.ports[1]}"
    here, there = await start(redis_url=url), await start(redis_url=url)
    await redis_is(here, up=True)
    for _ in range(8):  # by chance at each of the three
        async with here.connect() as client:
            await client.ask("What is RAG?")
            await lose(client)
            async with there.reconnect(client) as greeting:
                assert greeting["resumed"] is True
                await client.ask("What is an LLM?")
    assert await count(there, "sessions_moved_total") == 8


async def test_servers_of_a_cluster_that_do_not_know_their_names(start: Serve, cluster: Cluster) -> None:
    for master in cluster.masters:
        master.client.config_set("cluster-preferred-endpoint-type", "unknown-endpoint")
    here = await start(redis_url=f"redis+cluster://127.0.0.1:{cluster.ports[0]}?{OPTIONS}")
    await redis_is(here, up=True)


async def test_keys_of_a_cluster_may_go_to_another_server(start: Serve, cluster: Cluster) -> None:
    url = f"redis+cluster://127.0.0.1:{cluster.ports[0]}"
    here, there = await start(redis_url=url), await start(redis_url=url)
    async with here.connect() as client:
        await client.ask("What is RAG?")
        record = f"rr:{{{client.token.partition('.')[0]}}}"
        former = cluster.owner_of(record)
        former.client.delete(record, f"{record}:log")
        cluster.move(key_slot(record.encode()), former)
        await client.ask("What is an LLM?")
        await redis_is(here, up=True)
        await lose(client)
        with pytest.raises(InvalidStatus, match="503"):  # it learns of it by this
            async with there.reconnect(client):
                pass
        await redis_is(there, up=True)
        async with there.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            await client.ask("What is a pump?")


async def test_a_cluster_that_lacks_a_server_is_as_good_as_none(start: Serve, cluster: Cluster) -> None:
    here = await start(redis_url=f"redis+cluster://127.0.0.1:{cluster.ports[0]}")
    async with here.connect() as client:
        await client.ask("What is RAG?")
        cluster.masters[2].stop()
        await redis_is(here, up=False)
        await client.ask("What is an LLM?")
        cluster.masters[2].start()
        await redis_is(here, up=True)
        await client.ask("What is a pump?")


def make_certificate(folder: Path) -> None:
    names = ("-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", folder / "key.pem", "-out", folder / "cert.pem")
    key = ("-newkey", "rsa:2048", "-nodes")
    subprocess.run(["openssl", "req", "-x509", *key, *names, *files], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
async def test_a_redis_behind_tls(start: Serve, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    port = free_port()
    options = ["--bind", "127.0.0.1", "--tls-port", str(port), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(tmp_path / "cert.pem"), "--tls-key-file", str(tmp_path / "key.pem")]
    with RedisServer(*options, "--requirepass", "hush", "--tls-ca-cert-file", str(tmp_path / "cert.pem")):
        url = f"rediss://:hush@127.0.0.1:{port}/0"
        here = await start(redis_url=f"{url}?ssl_ca_certs={tmp_path / 'cert.pem'}")
        await redis_is(here, up=True)
        stranger = await start(redis_url=url)
        assert await count(stranger, "redis_up") == 0  # it believes no certificate of its own making
