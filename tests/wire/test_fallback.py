"""Dify in trouble, through the real service: who answers, and what the client is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.client import Client
from tests.conftest import Serve
from tests.rules import Frame, text_of
from tests.standin.dify import StandInDify
from tests.standin.events import message, workflow_started
from tests.standin.exchange import Script
from tests.standin.scripts import (
    answer,
    bare_error,
    close_before_head,
    cut,
    error_event,
    hang,
    send,
    status,
    wait,
)

pytestmark = pytest.mark.slow

WARRANTY = "How long is the warranty?"

# A deadline for Dify that a busy machine does not pass by itself.
SECONDS = 5


async def ask_again(client: Client) -> Frame:
    """Ask the same, whatever was heard before; return the final frame."""
    await client.control("instant_query", text=WARRANTY)
    return (await client.until(type="status", stage="idle"))[-2]


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The settings of who answers from a small folder, which is read only once."""
    folder = tmp_path_factory.mktemp("handbook")
    (folder / "warranty.md").write_text("# Warranty\n\nThe warranty is two years long.\n", encoding="utf-8")
    return {"knowledge_dir": folder, "knowledge_index": folder.with_name("handbook.index")}


@pytest.mark.parametrize(
    "script",
    [
        status(503),
        status(401),
        close_before_head(),
        cut(),
        error_event(),
        bare_error(),
        send(b"data: nonsense\n\n"),
        answer(""),
        hang(),
    ],
    ids=["503", "401", "closed", "cut", "error event", "bare error", "garbage", "empty", "silence"],
)
async def test_the_folder_answers_when_dify_fails_before_its_first_text(
    start: Serve, dify: StandInDify, handbook: dict[str, Path], script: Script
) -> None:
    dify.will(script)
    service = await start(fallback_provider="local", **handbook, dify_max_retries=0, dify_timeout=0.5)
    async with service.connect() as client:
        frames = await client.ask(WARRANTY)
        assert "two years" in text_of(frames)
        final, idle = frames[-2:]
        assert final["provider"] == "local"
        assert "error" not in final
        assert [source["source"] for source in final["sources"]] == ["warranty.md"]
        assert idle["reason"] == "answered"


async def test_an_answer_that_breaks_off_is_not_gone_on_with_by_somebody_else(
    start: Serve, dify: StandInDify, handbook: dict[str, Path]
) -> None:
    dify.will(answer("Two ", cut()))
    service = await start(fallback_provider="local", **handbook)
    async with service.connect() as client:
        frames = await client.ask(WARRANTY)
        assert text_of(frames) == "Two "
        assert frames[-2]["error"]["code"] == "RAG_BROKEN_STREAM"
        assert "provider" not in frames[-2]


async def test_the_conversation_in_dify_goes_on_after_the_fallback(
    start: Serve, dify: StandInDify, handbook: dict[str, Path]
) -> None:
    dify.will(answer("Hello."), status(500), answer("Hello again."))
    service = await start(fallback_provider="local", **handbook, context_max_chars=1)
    async with service.connect() as client:
        first = (await client.ask("Who are you?"))[-2]
        assert "provider" not in first
        second = (await client.ask(WARRANTY))[-2]
        assert second["provider"] == "local"
        assert second["conversation_id"] == first["conversation_id"]
        assert text_of(await client.ask("And who am I?")) == "Hello again."
    assert [request.conversation_id for request in dify.requests] == [
        "",
        first["conversation_id"],
        first["conversation_id"],
    ]


@pytest.mark.parametrize("fallback", [None, "local"])
async def test_after_a_deadline_with_only_pings_the_next_question_begins_a_new_conversation(
    start: Serve, dify: StandInDify, handbook: dict[str, Path], fallback: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    dify.only_pings = 0.02
    service = await start(fallback_provider=fallback, **handbook, dify_timeout=SECONDS)
    async with service.connect() as client:
        await client.ask("Who are you?")
        dify.forget_conversations()
        second = (await client.ask(WARRANTY))[-2]
        assert second["conversation_id"] is None
        if fallback is None:
            assert (second["error"]["code"], second["error"]["phase"]) == ("RAG_TIMEOUT", "first_text")
        else:
            assert second["provider"] == "local"
        third = (await client.ask("And who am I?"))[-2]
        assert third["conversation_id"]
        await client.ask("And who are they?")
    named = [request.conversation_id for request in dify.requests]
    assert [bool(name) for name in named] == [False, True, False, True]
    assert named[3] == third["conversation_id"] != named[1]
    assert capsys.readouterr().err.count("the next question begins a new one") == 1


@pytest.mark.parametrize(
    "script",
    [[send(workflow_started()), hang()], hang(head=False), [send(message("One")), hang()]],
    ids=["an event", "no head", "text"],
)
async def test_any_other_deadline_keeps_the_conversation(start: Serve, dify: StandInDify, script: Script) -> None:
    service = await start(dify_timeout=SECONDS, dify_stall_timeout=SECONDS)
    async with service.connect() as client:
        first = (await client.ask("Who are you?"))[-2]
        dify.will(script)
        assert (await client.ask(WARRANTY))[-2]["error"]["code"] == "RAG_TIMEOUT"
        await client.ask("And who am I?")
    assert dify.requests[2].conversation_id == first["conversation_id"]


async def test_after_failures_in_a_row_dify_is_left_alone_and_the_client_knows_for_how_long(
    start: Serve, dify: StandInDify
) -> None:
    dify.will(*[status(500)] * 3)
    service = await start(breaker_failures=2)
    async with service.connect() as client:
        for _ in range(2):
            assert "retry_after_ms" not in (await ask_again(client))["error"]
        error = (await ask_again(client))["error"]
    assert (error["code"], error["retryable"]) == ("RAG_UNAVAILABLE", True)
    assert 0 < error["retry_after_ms"] <= 30_000
    assert len(dify.requests) == 2


async def test_one_client_whose_inputs_do_not_fit_shuts_nobody_else_out(start: Serve, dify: StandInDify) -> None:
    dify.required_inputs, dify.only_pings = {"name"}, 0.02
    service = await start(breaker_failures=2, dify_timeout=SECONDS)
    async with service.connect() as client, service.connect() as other:
        await other.send("configure", inputs={"name": "K2"})
        for _ in range(2):
            assert (await ask_again(client))["error"]["code"] == "RAG_TIMEOUT"
        assert "error" not in await ask_again(other)


async def test_dify_is_asked_again_after_its_rest(start: Serve, dify: StandInDify) -> None:
    dify.will(status(500))
    service = await start(breaker_failures=1, breaker_seconds=0.001)
    async with service.connect() as client:
        await ask_again(client)
        while (final := (await ask_again(client))).get("error"):
            assert final["error"]["retry_after_ms"] == 1
        assert "error" not in await ask_again(client)


async def test_a_cancelled_question_leaves_nothing_running(
    start: Serve, dify: StandInDify, handbook: dict[str, Path]
) -> None:
    go_on = asyncio.Event()
    dify.will(answer("Two ", wait(go_on)))
    service = await start(fallback_provider="local", **handbook)
    async with service.connect() as client:
        await client.say(WARRANTY)
        await client.until(type="answer")
        await client.control("cancel")
        await client.until(type="status", stage="idle")
        await dify.hung_up()
        await dify.stopped()
        assert text_of(await client.ask("And now, what is it?")) == "Stand-in answer."


async def test_the_log_says_who_answered_when_it_was_not_the_first(
    start: Serve, dify: StandInDify, handbook: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    dify.will(status(500), answer("Two."))
    service = await start(fallback_provider="local", **handbook, log_level="INFO")
    async with service.connect() as client:
        await ask_again(client)
        await ask_again(client)
    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    fallback, first = [record for record in records if record.get("outcome") == "answered"]
    assert fallback["provider"] == "local"
    assert "provider" not in first


async def test_a_service_without_a_key_answers_from_its_fallback(
    start: Serve, handbook: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    service = await start(dify_api_key=None, fallback_provider="local", **handbook)
    assert "every question goes to FALLBACK_PROVIDER" in capsys.readouterr().err
    async with service.connect() as client:
        assert (await client.ask(WARRANTY))[-2]["provider"] == "local"
