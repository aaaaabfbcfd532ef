"""What `REDIS_URL` has to be, and what comes of a Redis that is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.lifecycle.test_process import forked
from tests.redis import RedisServer
from tests.service import ROOT, make_settings, serve
from tests.standin.dify import StandInDify

pytestmark = pytest.mark.slow


SENTINELS = [
    "redis+sentinel://a,b",
    "redis+sentinel://:secret@a:x,b/s",
    "redis+sentinel://a,/s",
    "redis+sentinel:///s",
    "redis+cluster://a/0",
]


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:6379", "http://127.0.0.1", "redis://:secret@:6379", "redis://a:secret@b:port", "unix://", *SENTINELS],
)
def test_a_url_says_how_and_where(url: str) -> None:
    with pytest.raises(ValidationError, match="must be like redis"):
        make_settings(redis_url=url)


def test_what_is_kept_for_nobody_is_not_kept() -> None:
    with pytest.raises(ValidationError, match="needs RESUME_SECONDS"):
        make_settings(redis_url="unix:///x", resume_seconds=0)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"REDIS_URL": "http://a:secret@b"}, "must be like redis"),
        ({"REDIS_URL": "unix:///x?max_connections=many&password=secret"}, "has an option that is not known"),
        ({"REDIS_URL": "redis://:secret@a?what=1"}, "has an option that is not known"),
        ({"REDIS_URL": "redis+cluster://:secret@a?what=1"}, "has an option that is not known"),
        ({"REDIS_URL": "redis+sentinel://:secret@a/s?sentinel_what=1"}, "has an option that is not known"),
    ],
)
async def test_a_wrong_setting_is_one_line(tmp_path: Path, values: dict[str, str], told: str) -> None:
    async with forked("app", cwd=tmp_path, PORT="0", LOG_LEVEL="ERROR", **values) as process:
        assert await process.rest() == 2
    (line,) = process.lines
    assert line.startswith("realtime-rag: REDIS_URL: ")
    assert told in line
    assert "secret" not in line


def test_without_it_nothing_of_redis_is_loaded() -> None:
    code = "import sys, app.main; app.main.create_app(app.main.load_settings()); print('redis' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


async def test_a_service_whose_redis_is_not_there_yet_serves_and_says_so_once(
    dify: StandInDify, capfd: pytest.CaptureFixture[str]
) -> None:
    with RedisServer() as redis:
        redis.stop()
        upstream = {"dify_api_key": dify.api_key, "dify_base_url": dify.base_url}
        async with serve(make_settings(**upstream, redis_url=redis.url)) as service, service.connect() as client:
            await client.ask("What is RAG?")
            redis.start()
            await client.ask("What is an LLM?")
            await redis.until(lambda: len(redis.records) == 2)
    assert capfd.readouterr().err.count("Redis is away") == 1
