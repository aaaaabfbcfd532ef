"""The alerts and the dashboard, tried by a real Prometheus on a service under load, in trouble and held up."""

from __future__ import annotations

import asyncio
import json
import math
import re
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.observability.metrics import Metrics
from tests.conftest import Serve
from tests.lifecycle.test_process import connect_line, forked, service_of
from tests.redis import RedisServer
from tests.service import ROOT, Service, browse, free_port, make_settings
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, hang, pause, status

pytestmark = pytest.mark.slow

RULES = ROOT / "docs" / "alerts.yaml"
DASHBOARD = ROOT / "docs" / "grafana-dashboard.json"
PAGE = ROOT / "docs" / "observability.md"

WINDOW = "20s"
"""What stands here for the windows of minutes; likewise nothing has to last, and it is scraped once a second.

A busy machine may miss most of the scrapes: two of a window are enough.
"""

PATIENCE = 60.0

LOOP_LATE = "RealtimeRagLoopLate"
"""May also fire of itself where the machine has other things to do."""

PROMETHEUS = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="there is no prometheus (Debian's package) here")


def rules() -> dict[str, str]:
    """The expression of every alert."""
    return dict(re.findall(r"- alert: (\w+)\n +expr: (.*)", RULES.read_text(encoding="utf-8")))


def targets() -> Iterator[str]:
    """Every expression of the dashboard."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def test_the_page_shows_every_rule_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^### (RealtimeRag\w+)\n.*?```promql\n(.*?)\n```", page, re.MULTILINE | re.DOTALL)
    assert dict(shown) == rules()
    assert len(rules()) == 7


def test_rules_and_dashboard_ask_for_metrics_that_there_are_and_show_each_of_them() -> None:
    known = {family.name for family in Metrics(make_settings(redis_url="unix:///redis")).registry.collect()}
    asked = {
        re.sub(r"_(total|bucket|sum|count)$", "", name)
        for expression in (*rules().values(), *targets())
        for name in re.findall(r"(?:realtime_rag|process)_\w+", expression)
    }
    assert asked <= known
    assert {name for name in known if name.startswith("realtime_rag_")} <= asked


def test_the_panels_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


class Prometheus:
    def __init__(self, url: str) -> None:
        self._http = browse(f"{url}/api/v1")

    async def _get(self, path: str, **params: str) -> Any:
        response = await self._http.get(path, params=params)
        body = response.raise_for_status().json()
        assert body["status"] == "success", body
        return body["data"]

    async def is_up(self, count: int) -> bool:
        """Whether it runs, and has reached so many targets."""
        try:
            return len((await self._get("/query", query="up == 1"))["result"]) == count
        except (httpx.TransportError, httpx.HTTPStatusError):  # 503 while it starts
            return False

    async def has_data(self, expression: str) -> bool:
        """Whether there is a number now, for the expression or what a comparison in it compares."""
        query = re.sub(r" > [\d.]+$", "", expression).replace("$__rate_interval", WINDOW).replace("[5m]", f"[{WINDOW}]")
        result = (await self._get("/query", query=query))["result"]
        return any(not math.isnan(float(each["value"][1])) for each in result)

    async def firing(self) -> set[str]:
        alerts = (await self._get("/alerts"))["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def prometheus_on(services: list[Service], folder: Path) -> AsyncIterator[Prometheus]:
    """Prometheus with the project's rules in quick time, once it has reached all of these."""
    hurried = re.sub(r"\bfor: \w+", "for: 0s", RULES.read_text(encoding="utf-8")).replace("[5m]", f"[{WINDOW}]")
    (folder / "alerts.yaml").write_text(hurried, encoding="utf-8")
    addresses = json.dumps([service.http_url.removeprefix("http://") for service in services])
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}\n"
        "rule_files: [alerts.yaml]\n"
        f"scrape_configs: [{{job_name: realtime-rag, static_configs: [{{targets: {addresses}}}]}}]\n",
        encoding="utf-8",
    )
    address = f"127.0.0.1:{free_port()}"
    assert PROMETHEUS is not None
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    prometheus = Prometheus(f"http://{address}")
    try:
        await until(lambda: prometheus.is_up(len(services)))
        yield prometheus
    finally:
        await prometheus.close()
        process.kill()
        await process.wait()


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Ask another process until it has seen what has to come."""
    async with asyncio.timeout(PATIENCE):
        while not await reached():  # noqa: ASYNC110
            await asyncio.sleep(0.25)  # it tells nobody when


@asynccontextmanager
async def talking(service: Service, clients: int = 1) -> AsyncIterator[None]:
    """Within this so many clients ask one question after the other."""

    async def ask() -> None:
        async with service.connect() as client:
            number = 0
            while True:
                number += 1
                await client.ask(f"What is the number {number}?", end_of_turn=True)
                await asyncio.sleep(0.25)  # more would only keep the processor busy

    tasks = [asyncio.create_task(ask()) for _ in range(clients)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome


@needs_prometheus
def test_prometheus_takes_the_rules_and_the_configuration_of_the_page(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(f"rule_files: [{RULES}]\n{block}", encoding="utf-8")
    assert PROMETHEUS is not None
    promtool = Path(PROMETHEUS).with_name("promtool")
    checked = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "7 rules found" in checked.stdout


async def test_every_field_of_the_log_is_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# Warranty\n\nThe warranty is two years long.\n", encoding="utf-8")
    environment = {"FALLBACK_PROVIDER": "local", "KNOWLEDGE_DIR": "."}
    async with forked("app", cwd=tmp_path, PORT="0", **environment) as process:
        async with service_of(await connect_line(process)).connect() as client:
            await client.ask("How long is the warranty?")
        process.process.send_signal(signal.SIGTERM)
        await process.rest()
    logged = {field for line in process.lines for field in json.loads(line)}
    table = PAGE.read_text(encoding="utf-8").partition("| log field |")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    documented = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert logged <= documented
    assert {"outcome", "provider", "first_text_ms", "url"} <= logged


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


@pytest.mark.no_cover  # others reach the same lines; here they are run until Prometheus has seen enough
@needs_prometheus
async def test_every_expression_returns_data_and_every_alert_fires_when_it_should(
    start: Serve, redis: RedisServer, tmp_path: Path
) -> None:
    async with StandInDify(default=[answer("Two ", pause(0.02), "years.")]) as dify:
        upstream = {"dify_api_key": dify.api_key, "dify_base_url": dify.base_url, "queries_per_minute": 100_000}
        # One loop does the work of all, and may be late with the signs that they live, or to hear Redis.
        upstream |= {"redis_url": redis.url, "replica_dead_seconds": 60, "redis_patience_seconds": 30}
        well = await start(**upstream, breaker_failures=3, dify_max_retries=0)
        full = await start(**upstream, max_running_queries=1)
        async with prometheus_on([well, full], tmp_path) as prometheus:
            async with talking(well, 2), talking(full):
                for expression in (*targets(), *rules().values()):
                    await until(partial(prometheus.has_data, expression))
                assert await prometheus.firing() <= {LOOP_LATE}

            fired: set[str] = set()

            async def has_fired(*names: str) -> bool:
                fired.update(await prometheus.firing())
                return fired.issuperset(names)

            # Dify takes its time with all, and does not end with one.
            dify.default = [answer(pause(3.2), "Two ", hang())]
            async with full.connect() as first, full.connect() as second:
                await first.say("Who is first?")
                await first.until(content="Two ")
                await second.say("Who is second?")
                await until(lambda: has_fired("RealtimeRagQuestionsQueue"))
                await first.control("cancel")
                await first.until(stage="idle")
                await until(lambda: has_fired("RealtimeRagAnswersLate"))
                assert not fired & {"RealtimeRagQuestionsFail", "RealtimeRagBackendDown"}

            dify.default = [status(500)]
            async with talking(well):
                await until(lambda: has_fired("RealtimeRagQuestionsFail", "RealtimeRagBackendDown"))
            # Who had a session is gone, and then Redis is.
            async with well.connect() as client:
                await client.settle_in()
                client.socket.transport.abort()
                for record in redis.records:
                    if not record.endswith(":log"):
                        redis.client.hset(record, "owner", "gone")
                async with full.reconnect(client) as greeting:
                    assert greeting["resumed"] is True
                    await until(lambda: has_fired("RealtimeRagReplicaLost"))
            redis.stop()
            await until(lambda: has_fired("RealtimeRagRedisAway"))
            # Something holds the loop up.
            async with asyncio.timeout(PATIENCE):
                while not await has_fired(LOOP_LATE):
                    time.sleep(0.7)  # noqa: ASYNC251
                    await asyncio.sleep(0.1)
            assert fired == set(rules())
