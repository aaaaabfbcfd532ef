"""What an operator sees of a session: every number on the page of metrics, and nothing that should not be there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from app import __version__
from app.models.answers import Question
from app.services.dify_client import open_dify
from tests.client import Client
from tests.conftest import Serve
from tests.lifecycle.test_process import connect_line, forked, service_of, started
from tests.scrape import scrape, scrape_until
from tests.service import Service, browse, make_settings
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, cut, hang, status, wait
from tests.wire.test_identity import bearer, refused, tenants_file
from tests.wire.test_resume import lose, parked

pytestmark = pytest.mark.slow


async def ask_typed(client: Client, text: str) -> None:
    await client.control("instant_query", text=text)
    await client.until(stage="idle")


async def test_an_answer_is_counted_from_the_first_word_to_the_last(start: Serve, dify: StandInDify) -> None:
    service = await start()
    first, second = asyncio.Event(), asyncio.Event()
    dify.will(answer("One ", wait(first), "two ", wait(second), "three."))
    async with service.connect() as client:
        await client.send("asr_chunk", text="what is")
        await client.say("What is RAG?")
        await client.until(content="One ")
        page = await scrape(service)
        assert page.get("sessions_open") == page.get("sessions_opened_total") == 1
        assert page.get("questions_asked_total", provider="dify") == page.get("queries_running") == 1
        first.set()
        await client.until(content="two ")
        second.set()
        await client.until(stage="idle")
        page = await scrape(service)
    assert page.get("messages_total", type="asr_chunk") == 2
    assert page.get("verdicts_total", language="en") >= 1
    assert page.get("questions_total", outcome="answered", provider="dify") == page.get("questions_total") == 1
    for name in ("question_wait_seconds", "first_text_seconds", "answer_seconds", "answer_characters"):
        assert page.get(f"{name}_count") == 1
    assert page.get("answer_characters_sum") == len("One two three.")
    assert page.get("text_gap_seconds_count") == 2
    assert 0 < page.get("text_gap_seconds_sum") < page.get("answer_seconds_sum")
    assert page.get("queries_running") == 0


async def test_a_failure_is_counted_by_its_code_and_provider(start: Serve, dify: StandInDify) -> None:
    service = await start(dify_max_retries=0)
    dify.will(status(500), status(401), answer("Half ", cut()))
    async with service.connect() as client:
        assert (await scrape(service)).get("questions_total", code="RAG_UNAVAILABLE") == 0
        for number in range(3):
            await ask_typed(client, f"What is {number}?")
        page = await scrape(service)
    for code in ("RAG_UNAVAILABLE", "RAG_REJECTED", "RAG_BROKEN_STREAM"):
        assert page.get("questions_total", outcome="failed", code=code, provider="dify") == 1
    assert page.get("questions_asked_total") == page.get("questions_total") == 3
    assert page.get("answer_seconds_count") == 0


async def test_who_answered_in_the_place_of_another_is_told(start: Serve, dify: StandInDify, tmp_path: Path) -> None:
    (tmp_path / "warranty.md").write_text("# Warranty\n\nThe warranty is two years long.\n", encoding="utf-8")
    service = await start(fallback_provider="local", knowledge_dir=tmp_path, breaker_failures=1)
    dify.will(status(500))
    async with service.connect() as client:
        await client.ask("How long is the warranty?")
        page = await scrape(service)
    assert page.get("questions_total", outcome="answered", provider="local") == 1
    assert page.get("first_text_seconds_count", provider="local") == 1
    assert page.get("breakers_open", provider="dify") == 1


async def test_an_interrupted_answer_is_counted_by_its_reason_and_a_close_by_its_code(
    start: Serve, dify: StandInDify
) -> None:
    service = await start(resume_seconds=0)
    dify.will(answer("One", hang()), answer("Two", hang()), answer("Three", hang()))
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="One")
        await client.control("cancel")
        await client.say("What is an LLM?")
        await client.until(content="Two")
        await client.control("stop")
        assert await client.close_code() == 1000
    async with service.connect() as client:
        await client.say("What is RAG?")
        await client.until(content="Three")
        await client.socket.close(4000)
    page = await scrape_until(service, lambda page: page.get("connections_closed_total") == 2)
    for reason in ("cancelled", "stopped", "disconnected"):
        assert page.get("questions_total", outcome="interrupted", code=reason) == 1
    assert page.get("connections_closed_total", code="1000") == 1
    assert page.get("connections_closed_total", code="other") == 1
    assert page.get("sessions_open") == 0
    assert page.get("first_text_seconds_count") == 3


async def test_refused_messages_and_odd_languages_are_counted_under_names_that_nobody_else_chooses(
    start: Serve,
) -> None:
    service = await start()
    async with service.connect() as client:
        await client.send_raw("no json")
        await client.send("song", text="la")
        await client.say("Mitä kello on nyt?", language="fi", id="my-id")
        await client.say("hello", session_id="my-session")
        await client.control("instant_query", text=" ")
        await client.settle()
        page = await scrape(service)
    for code in ("INVALID_JSON", "UNSUPPORTED_TYPE", "EMPTY_QUESTION"):
        assert page.get("errors_total", code=code) == 1
    assert page.get("verdicts_total", language="other") >= 1
    for name in ("my-session", "my-id", "fi", client.frames[0]["session_id"]):
        assert f'"{name}"' not in page.text


async def test_a_retry_and_a_new_conversation_are_counted(start: Serve, dify: StandInDify) -> None:
    service = await start()
    dify.will(status(503))
    async with service.connect() as client:
        await ask_typed(client, "What is RAG?")
        dify.forget_conversations()
        await ask_typed(client, "What is an LLM?")
        page = await scrape(service)
    assert page.get("retries_total") == page.get("conversations_renewed_total") == 1
    assert page.get("questions_total", outcome="answered") == 2


async def test_what_was_asked_early_is_won_or_wasted(start: Serve, dify: StandInDify) -> None:
    service = await start(speculate=True)
    dify.will(answer("One", hang()), answer("Two."))
    async with service.connect() as client:
        await client.send("asr_chunk", text="what is the capital of france", end_of_turn=True)
        await dify.asked()
        await client.say("what is the capital of italy", end_of_turn=True)
        await client.until(stage="idle")
        page = await scrape(service)
        assert page.get("speculations_total", result="wasted") == page.get("speculations_total") == 1
        await client.control("reset")
        await client.send("asr_chunk", text="what is the capital of spain", end_of_turn=True)
        await dify.asked(3)
        await client.say("what is the capital of spain", end_of_turn=True)
        await client.until(stage="idle")
        page = await scrape(service)
    assert page.get("speculations_total", result="won") == 1
    assert page.get("questions_asked_total") == page.get("questions_total") == 2


async def test_what_waits_is_shown(start: Serve, dify: StandInDify) -> None:
    service = await start(max_running_queries=1)
    dify.will(answer("One", hang()))
    async with service.connect() as a, service.connect() as b:
        await a.say("What is A?")
        await a.until(content="One")
        await b.say("What is B?")
        await b.until(note="queued")
        page = await scrape(service)
    assert (page.get("queries_running"), page.get("queries_queued")) == (1, 1)


@pytest.mark.no_cover  # many times the same lines
async def test_frames_that_a_client_does_not_read_are_shown(start: Serve, dify: StandInDify) -> None:
    service = await start(resume_bytes=100_000_000, answer_chunk_chars=20_000)
    dify.will(answer(*["x" * 20_000] * 1000))
    async with service.connect(max_queue=1, close_timeout=0.1) as client:
        await client.say("What is RAG?")
        await client.until(stage="querying_rag")
        await scrape_until(service, lambda page: page.get("frames_unread") > 0)


async def test_a_session_that_waits_for_its_client_and_its_return_are_shown(start: Serve) -> None:
    service = await start()
    async with service.connect() as client:
        await client.settle_in()
        await lose(client)
        await parked(service)
        page = await scrape(service)
        assert page.get("sessions_open") == page.get("sessions_parked") == 1
        async with service.reconnect(client):
            page = await scrape(service)
            assert (page.get("sessions_open"), page.get("sessions_parked")) == (1, 0)
        async with service.reconnect(client, resume_token="nonsense"):
            page = await scrape(service)
    assert page.get("resumes_total", result="resumed") == page.get("resumes_total", result="unknown_token") == 1
    assert page.get("sessions_opened_total") == 2


async def test_who_is_not_let_in_is_counted_and_tenants_are_named_only_on_request(start: Serve, tmp_path: Path) -> None:
    file = tenants_file(tmp_path, {"name": "acme", "token": "token-a", "max_sessions": 1})
    silent = await start(auth_tokens_file=file)
    naming = await start(auth_tokens_file=file, metrics_tenants=True)
    for service in (silent, naming):
        async with service.connect(**bearer("token-a")) as client:
            await client.ask("What is RAG?")
            await refused(service, **bearer("token-a"))
            await refused(service, **bearer("wrong"))
    page = await scrape(silent)
    assert page.get("handshakes_refused_total", reason="unauthorized") == 1
    assert page.get("handshakes_refused_total", reason="session_limit") == 1
    assert "acme" not in page.text
    page = await scrape(naming)
    for name in ("sessions_opened_total", "questions_asked_total", "questions_total", "first_text_seconds_count"):
        assert page.get(name, tenant="acme") == page.get(name) == 1


async def test_a_foreign_page_and_a_full_service_are_counted(start: Serve) -> None:
    service = await start(max_sessions=1, allowed_origins=["https://shop.example"])
    async with service.connect():
        for headers in ({"Origin": "https://evil.example"}, {}):
            with pytest.raises(Exception, match=r"HTTP (403|503)"):
                async with service.connect(additional_headers=headers):
                    pass
        page = await scrape(service)
    assert page.get("handshakes_refused_total", reason="foreign_origin") == 1
    assert page.get("handshakes_refused_total", reason="too_many_sessions") == 1


async def test_a_loop_that_is_held_up_shows(start: Serve) -> None:
    service = await start()
    before = (await scrape_until(service, lambda page: page.get("event_loop_lag_seconds_count") > 0)).get(
        "event_loop_lag_seconds_count"
    )
    # What holds the loop up, for longer than it is ever left unwatched.
    time.sleep(0.7)  # noqa: ASYNC251
    page = await scrape_until(service, lambda page: page.get("event_loop_lag_seconds_count") > before)
    assert page.get("event_loop_lag_seconds_sum") > 0.1
    assert page.get("build_info", version=__version__) == page.get("ready_processes") == 1


async def test_a_provider_asked_outside_a_session_counts_nothing(dify: StandInDify) -> None:
    dify.will(status(503))
    settings = make_settings(dify_api_key=dify.api_key, dify_base_url=dify.base_url)
    async with open_dify(settings) as client:
        assert [event async for event in client.query(Question("What is RAG?", user="someone"))]
    assert len(dify.requests) == 2


async def test_several_processes_show_the_sum_of_all(dify: StandInDify, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    counts.mkdir()
    environment = {
        "DIFY_API_KEY": dify.api_key,
        "DIFY_BASE_URL": dify.base_url,
        "PROMETHEUS_MULTIPROC_DIR": str(counts),
    }
    command = ("uvicorn", "app.main:app", "--port", "0", "--workers", "2")
    async with forked(*command, cwd=tmp_path, **environment) as process:
        line = await process.read_until("Uvicorn running")
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found
        service = Service(int(found[1]))
        for _ in range(2):
            await process.read_until("Application startup complete")
        both = await scrape_until(service, lambda page: page.get("build_info") == page.get("ready_processes") == 2)
        assert both.get("sessions_open") == 0
        clients = [service.connect() for _ in range(6)]
        for client in clients:
            async with client as opened:
                await opened.ask("What is RAG?")
        page = await scrape_until(service, lambda page: page.get("questions_total", outcome="answered") == 6)
        assert page.get("sessions_opened_total") == page.get("answer_seconds_count") == 6
        worker = next(int(path.stem.rpartition("_")[2]) for path in counts.glob("gauge_livesum_*.db"))
        os.kill(worker, signal.SIGKILL)
        await scrape_until(service, lambda page: str(worker) not in str(list(counts.glob("gauge_*"))))
        # Another one begins once its supervisor has noticed.
        page = await scrape_until(service, lambda page: page.get("build_info") == 2)
        assert page.get("sessions_opened_total") == 6
        process.process.send_signal(signal.SIGTERM)
        await process.rest()
    assert not list(counts.glob("gauge_live*"))


async def test_counting_into_a_folder_that_is_not_there_is_refused_with_one_line(tmp_path: Path) -> None:
    async with forked("app", cwd=tmp_path, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "missing")) as process:
        assert await process.rest() == 2
    (line,) = process.lines
    assert line.startswith("realtime-rag: PROMETHEUS_MULTIPROC_DIR: ")


async def test_counting_into_a_folder_that_takes_no_file_is_refused_with_one_line(tmp_path: Path) -> None:
    async with forked("app", cwd=tmp_path, PROMETHEUS_MULTIPROC_DIR="/proc") as process:
        assert await process.rest() == 2
    (line,) = process.lines
    assert line.startswith("realtime-rag: PROMETHEUS_MULTIPROC_DIR: /proc cannot be written to: ")


async def test_a_folder_that_cannot_be_read_any_more_is_said_on_the_page(tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    counts.mkdir()
    async with started("-m", "app", cwd=tmp_path, PORT="0", PROMETHEUS_MULTIPROC_DIR=str(counts)) as process:
        service = service_of(await connect_line(process))
        async with service.connect() as client, browse(service.http_url) as http:
            (counts / "counter_7.db").touch()
            with_one_not_begun = await http.get("/metrics")
            assert with_one_not_begun.status_code == 200
            (counts / "gauge_live_foreign.db").write_bytes(b"not a file of counts")
            with_a_foreign_file = await http.get("/metrics")
            shutil.rmtree(counts)
            for page in (with_a_foreign_file, await http.get("/metrics")):
                assert page.status_code == 503
                assert page.text.startswith(f"PROMETHEUS_MULTIPROC_DIR: {counts} cannot be read: ")
            assert (await client.ask("What is RAG?"))[-2]["error"]["code"] == "RAG_NOT_CONFIGURED"


async def test_the_page_is_part_of_the_http_contract(start: Serve) -> None:
    service = await start()
    async with browse(service.http_url) as http:
        assert "/metrics" in json.loads((await http.get("/openapi.json")).text)["paths"]
