"""What Redis does in one step, as plain calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from app.sessions.shared.scripts import APPEND, CLAIM, FORGET, SHARE, TAKE, Refused
from tests.redis import RedisServer

pytestmark = pytest.mark.slow

HASH, OTHER_HASH = "a" * 64, "b" * 64


class Record:
    """One session's, as its owners write it."""

    def __init__(self, redis: RedisServer) -> None:
        self._redis = redis.client

    def _run(self, script: str, *arguments: Any) -> Any:
        return self._redis.eval(script, 2, "rr:{k}", "rr:{k}:log", *arguments)

    def append(
        self,
        first: int,
        *frames: str,
        fence: int = 1,
        whole: bool = False,
        keep: int = 0,
        state: str = "s",
        seal: int = 0,
    ) -> Any:
        more = (state, HASH, seal, int(whole), "me", "tenant") if state else ()
        return self._run(APPEND, fence, first, keep, 60_000, len(frames), *frames, *more)

    def claim(self, token: str = HASH, tenant: str = "tenant", by: str = "you", seize: str = "") -> Any:
        return self._run(CLAIM, token, tenant, by, 60_000, seize)

    def forget(self, fence: int) -> None:
        self._run(FORGET, fence)

    @property
    def frames(self) -> dict[int, str]:
        log: Any = self._redis.xrange("rr:{k}:log")
        return {int(place.partition("-")[0]) - 1: fields["f"] for place, fields in log}


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.fixture
def record(server: RedisServer) -> Record:
    server.client.flushall()
    record = Record(server)
    assert record.append(0, "a", "b", whole=True) == 2
    return record


def test_frames_are_written_once_however_often_they_come(record: Record) -> None:
    assert record.append(2, "c") == 3
    assert record.append(2, "c", "d") == 4
    assert record.append(0, "x") == 4
    assert record.frames == {0: "a", 1: "b", 2: "c", 3: "d"}


def test_what_lacks_something_before_it_has_to_come_whole(record: Record) -> None:
    assert record.append(5, "f") == Refused.ANEW
    assert record.append(1, "b", "c", whole=True) == 3
    assert record.frames == {1: "b", 2: "c"}


def test_a_record_that_is_gone_or_older_than_its_owner_has_to_come_whole(record: Record) -> None:
    assert record.append(2, "c", fence=2) == Refused.ANEW
    assert record.append(0, "a", "b", "c", fence=2, whole=True) == 3
    record.forget(2)
    assert record.frames == {}
    assert record.append(3, "d", fence=2) == Refused.ANEW


def test_who_is_not_the_owner_any_more_writes_nothing(record: Record) -> None:
    assert record.append(2, seal=1) == 2
    assert record.claim()[:2] == ["yours", 2]
    for whole in (False, True):
        assert record.append(2, "old", whole=whole) == Refused.FENCED
    record.forget(1)
    assert record.append(2, "c", fence=2) == 3
    assert record.frames == {0: "a", 1: "b", 2: "c"}


def test_what_nobody_comes_back_for_goes(record: Record) -> None:
    assert record.append(2, "c", keep=2) == 3
    assert record.frames == {2: "c"}


@pytest.mark.parametrize("wrong", [{"token": OTHER_HASH}, {"tenant": ""}, {"tenant": "another"}])
def test_who_has_the_wrong_token_or_tenant_is_told_nothing(record: Record, wrong: dict[str, str]) -> None:
    record.append(2, seal=1)
    assert record.claim(**wrong) == ["unknown"]
    assert record.claim()[0] == "yours"


def test_what_is_owned_is_given_to_nobody(record: Record) -> None:
    assert record.claim() == ["owned", "me", "1"]
    assert record.claim(seize="0") == ["owned", "me", "1"]


def test_what_is_sealed_is_given_to_one(record: Record) -> None:
    record.append(2, "c", state="last", seal=1)
    word, fence, state, hashes, age, stop, frames = record.claim(by="first")
    assert (word, fence, state, hashes, stop, len(frames)) == ("yours", 2, "last", HASH, 3, 3)
    assert 0 <= float(age) < 60
    assert record.claim(by="second") == ["owned", "first", "2"]


def test_what_a_dead_process_had_is_given_to_the_first_who_knows(record: Record) -> None:
    assert record.claim(by="first", seize="1")[:2] == ["yours", 2]
    assert record.claim(by="second", seize="1") == ["owned", "first", "2"]


def test_what_was_not_written_down_yet_is_nobody_s(server: RedisServer) -> None:
    server.client.flushall()
    assert Record(server).claim() == ["unknown"]


@pytest.fixture
def redis(server: RedisServer) -> Redis:
    server.client.flushall()
    return server.client


def share(redis: Redis, who: str, count: int, limit: int | str = "", good_ms: int = 60_000) -> Any:
    return redis.eval(SHARE, 2, "rr:{t}", "rr:{t}:log", who, count, good_ms, limit)


def test_what_processes_have_is_counted_together(redis: Redis) -> None:
    assert [share(redis, "a", 2), share(redis, "b", 3), share(redis, "a", 1), share(redis, "b", 3)] == [0, 2, 3, 1]


def test_what_is_too_much_is_not_counted(redis: Redis) -> None:
    assert [share(redis, "a", 2, 3), share(redis, "b", 2, 3), share(redis, "b", 1, 3)] == [0, -1, 2]
    assert share(redis, "c", 1, 3) == -1


@pytest.mark.parametrize("seconds", [-120, 120])
def test_who_has_said_nothing_for_long_has_nothing_however_the_clock_jumps(redis: Redis, seconds: int) -> None:
    share(redis, "dead", 5)
    count, at = str(redis.hget("rr:{t}", "dead")).split()
    redis.hset("rr:{t}", "dead", f"{count} {int(at) + seconds * 1000}")
    assert share(redis, "a", 1) == 0
    assert redis.hkeys("rr:{t}") == ["a"]


def take(redis: Redis) -> Any:
    return redis.eval(TAKE, 2, "rr:{t}", "rr:{t}:log", 30_000, 2)


def test_questions_are_taken_from_one_bucket(redis: Redis) -> None:
    assert [take(redis), take(redis)] == [0, 0]
    assert 25_000 < take(redis) <= 30_000


def test_a_clock_that_jumps_back_keeps_nobody_waiting_for_longer(redis: Redis) -> None:
    take(redis)
    redis.hset("rr:{t}", "full", float(str(redis.hget("rr:{t}", "full"))) + 3_600_000)
    assert 25_000 < take(redis) <= 30_000
