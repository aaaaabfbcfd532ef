"""What a trace tells of a question, and what it never tells."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from app.config import load_settings
from app.main import build_app
from app.observability import tracing
from tests.client import PATIENCE
from tests.conftest import Serve
from tests.lifecycle.test_process import connect_line, forked, service_of, started
from tests.service import ROOT
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, hang, status, wait
from tests.wire.test_identity import bearer, tenants_file
from tests.wire.test_resume import lose, parked

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01", "baggage": "who=me"}


class Exporter(InMemorySpanExporter):
    """Keeps the spans that have ended, and tells of each."""

    news = asyncio.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self.news.set()
        return result


_EXPORTER = Exporter()


@pytest.fixture(scope="session")
def _provider() -> None:
    """A process can name its provider once."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_EXPORTER))
    trace.set_tracer_provider(provider)


@pytest.fixture
def exporter(_provider: None) -> Exporter:
    _EXPORTER.clear()
    _EXPORTER.news = asyncio.Event()
    return _EXPORTER


async def finished(exporter: Exporter, count: int) -> list[ReadableSpan]:
    """Wait until so many spans have ended; the order is that of their ends."""
    async with asyncio.timeout(PATIENCE):
        while len(exporter.get_finished_spans()) < count:
            exporter.news.clear()
            await exporter.news.wait()
    spans = list(exporter.get_finished_spans())
    assert len(spans) == count
    return spans


def context_of(span: ReadableSpan) -> SpanContext:
    context: SpanContext | None = span.context
    assert context is not None
    return context


def events(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


def attributes(span: ReadableSpan) -> dict[str, object]:
    return {name.removeprefix("realtime_rag."): value for name, value in (span.attributes or {}).items()}


async def test_questions_stand_below_their_connection_and_that_below_the_client(
    start: Serve, dify: StandInDify, exporter: Exporter, tmp_path: Path
) -> None:
    service = await start(
        tracing=True, auth_tokens_file=tenants_file(tmp_path, {"name": "acme", "token": "token-a"}), wait_max_ms=250
    )
    dify.will(answer("Two ", "years."), status(401))
    headers = {**bearer("token-a")["additional_headers"], **PARENT}
    async with service.connect(additional_headers=headers) as client:
        first = (await client.ask("How long is the warranty"))[-1]["query_id"]
        await client.control("instant_query", text="Who pays?")
        await client.until(stage="idle")
    answered, failed, connection = await finished(exporter, 3)
    assert connection.name == "WS /ws/realtime-asr"
    assert format(context_of(connection).trace_id, "032x") == TRACE_ID
    assert connection.parent is not None
    assert connection.parent.is_remote
    for question in (answered, failed):
        assert question.name == "question"
        assert question.parent is not None
        assert question.parent.span_id == context_of(connection).span_id

    assert events(answered) == ["heard", "judged", "asked", "first_text", "end"]
    assert attributes(answered) == {"provider": "dify", "tenant": "acme", "query_id": first, "outcome": "answered"}
    assert answered.start_time == answered.events[0].timestamp
    assert answered.status.is_ok
    assert events(failed) == ["heard", "asked", "end"]
    assert (attributes(failed)["outcome"], attributes(failed)["error.type"]) == ("failed", "RAG_REJECTED")
    assert not failed.status.is_ok

    for request, question in zip(dify.requests, (answered, failed), strict=True):
        assert request.headers["traceparent"] == f"00-{TRACE_ID}-{context_of(question).span_id:016x}-01"
        assert request.body["trace_id"] == TRACE_ID
        assert "baggage" not in request.headers
    told = "".join(span.to_json() for span in (answered, failed, connection))
    for secret in ("warranty", "pays", "years", "token-a", "who=me"):
        assert secret not in told


async def test_a_cancelled_question_tells_why(start: Serve, dify: StandInDify, exporter: Exporter) -> None:
    service = await start(tracing=True)
    dify.will(answer("Two", hang()))
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="Two")
        await client.control("cancel")
        await client.until(stage="idle")
        (question,) = await finished(exporter, 1)
    assert events(question)[-2:] == ["first_text", "end"]
    assert (attributes(question)["outcome"], attributes(question)["reason"]) == ("interrupted", "cancelled")
    assert question.status.is_ok


async def test_a_question_that_follows_another_stands_beside_it(
    start: Serve, dify: StandInDify, exporter: Exporter
) -> None:
    """It is asked by the task of the one before."""
    service = await start(tracing=True)
    go_on = asyncio.Event()
    dify.will(answer("One", wait(go_on)), answer("Two."))
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One")
        await client.say("What is an LLM?")
        await client.until(reason="answer_in_progress")
        go_on.set()
        await client.until(content="Two.")
        await client.until(stage="idle")
    first, second, connection = await finished(exporter, 3)
    assert first.parent is not None
    assert second.parent is not None
    assert first.parent.span_id == second.parent.span_id == context_of(connection).span_id
    assert dify.requests[1].headers["traceparent"].split("-")[2] == f"{context_of(second).span_id:016x}"


async def test_after_a_resume_questions_stand_below_the_new_connection(start: Serve, exporter: Exporter) -> None:
    service = await start(tracing=True)
    async with service.connect() as client:
        await client.settle_in()
        await lose(client)
        await parked(service)
        async with service.reconnect(client):
            await client.ask("What is RAG?")
    former, question, connection = await finished(exporter, 3)
    assert question.parent is not None
    assert question.parent.span_id == context_of(connection).span_id != context_of(former).span_id


async def test_a_question_asked_early_is_one_span_from_the_asking_on(
    start: Serve, dify: StandInDify, exporter: Exporter
) -> None:
    service = await start(tracing=True, speculate=True, dify_max_retries=0)
    dify.will(answer("One."), status(500), answer("Three", hang()))
    async with service.connect() as client:
        for number, said in enumerate(("what colour is it", "what size is it", "what weight is it"), start=1):
            await client.send("asr_chunk", text=said, end_of_turn=True)
            await dify.asked(number)
            if number == 2:
                await dify.idle()
                await client.settle()
                continue
            await client.say(said if number == 1 else "never mind", end_of_turn=True)
            if number == 1:
                await client.until(stage="idle")
                await client.control("reset")
            await client.settle()
        spans = await finished(exporter, 3)
    assert events(spans[0]) == ["asked", "heard", "judged", "first_text", "end"]
    assert [attributes(span)["asked_early"] for span in spans] == [True] * 3
    outcomes = [attributes(span)["outcome"] for span in spans]
    assert outcomes == ["answered", "abandoned", "interrupted"]
    assert attributes(spans[2])["reason"] == "speculation_discarded"


async def test_nothing_is_traced_unless_that_is_wanted(start: Serve, dify: StandInDify, exporter: Exporter) -> None:
    service = await start()
    async with service.connect(additional_headers=PARENT) as client:
        await client.ask("What is RAG?")
        await service.health()
    assert exporter.get_finished_spans() == ()
    assert "traceparent" not in dify.requests[0].headers
    assert "trace_id" not in dify.requests[0].body


@pytest.mark.slow
async def test_spans_go_where_the_environment_says(dify: StandInDify, tmp_path: Path) -> None:
    bodies: list[bytes] = []

    async def collect(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    collector = web.Application()
    collector.router.add_post("/v1/traces", collect)
    runner = web.AppRunner(collector, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        environment = {
            "TRACING": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{runner.addresses[0][1]}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
            "DIFY_API_KEY": dify.api_key,
            "DIFY_BASE_URL": dify.base_url,
        }
        async with started("-m", "app", cwd=tmp_path, PORT="0", **environment) as process:
            async with service_of(await connect_line(process)).connect() as client:
                await client.ask("What is RAG?")
            process.process.send_signal(signal.SIGTERM)
            await process.rest()
    finally:
        await runner.cleanup()
    told = b"".join(bodies)
    assert b"realtime_rag.query_id" in told
    assert b"WS /ws/realtime-asr" in told
    assert b"What is RAG" not in told
    assert "TRACING" not in "".join(process.lines)


@pytest.mark.slow
async def test_traces_that_nobody_takes_are_warned_of(tmp_path: Path) -> None:
    async with forked("app", cwd=tmp_path, PORT="0", TRACING="true") as process:
        await process.read_until("TRACING is on, but OTEL_EXPORTER_OTLP_ENDPOINT does not say")


def test_tracing_without_its_packages_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACING", "true")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto", None)
    with pytest.raises(SystemExit) as end:
        build_app(load_settings())
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("realtime-rag: TRACING: needs the extra otel")


def test_every_event_and_attribute_is_documented() -> None:
    code = Path(tracing.__file__).read_text(encoding="utf-8")
    found = chain(re.findall(r'add_event\("(\w+)"', code), re.findall(r'"(realtime_rag\.\w+)"', code), ["error.type"])
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    assert not {name for name in found if f"`{name}`" not in page}
