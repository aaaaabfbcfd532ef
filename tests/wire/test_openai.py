"""The provider for OpenAI-compatible servers, as a frontend meets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.services.local_rag import NOTHING_FITS, NOTHING_FITS_ZH
from tests.conftest import Serve
from tests.rules import text_of
from tests.service import Service
from tests.standin.openai import USAGE, StandInOpenAi, refusal, says
from tests.standin.scripts import hang, wait


@pytest.fixture
async def server() -> AsyncIterator[StandInOpenAi]:
    async with StandInOpenAi() as server:
        yield server


@pytest.fixture(scope="module")
def hours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The settings of who answers from a small folder, which is read only once."""
    folder = tmp_path_factory.mktemp("hours")
    (folder / "hours.md").write_text("# Opening hours\n\nThe office opens at nine.\n")
    return {"knowledge_dir": folder, "knowledge_index": folder.with_name("hours.index")}


@pytest.fixture
async def service(start: Serve, server: StandInOpenAi, hours: dict[str, Path]) -> Service:
    return await start(rag_provider="openai", openai_base_url=server.base_url, openai_api_key=server.api_key, **hours)


async def test_a_question_in_a_talk_is_answered_from_the_folder_with_citations(
    service: Service, server: StandInOpenAi
) -> None:
    server.will(says("At nine [1]."))
    async with service.connect() as client:
        await client.say("Good morning everybody.")
        frames = await client.ask("so when does the office open")
    final = frames[-2]
    assert text_of(frames) == "At nine [1]."
    assert [(source["position"], source["source"]) for source in final["sources"]] == [(1, "hours.md")]
    assert (final["usage"], final["conversation_id"]) == (USAGE, None)
    assert server.messages()[-1]["content"].endswith("Question: so when does the office open")


async def test_a_text_comes_as_soon_as_the_server_says_it(service: Service, server: StandInOpenAi) -> None:
    first, second, third = (asyncio.Event() for _ in range(3))
    server.will(says("At ", wait(first), "nine", wait(second), " sharp [1", wait(third), "]."))
    async with service.connect() as client:
        await client.say("When does the office open?")
        await client.until(content="At ")
        first.set()
        await client.until(content="nine")
        second.set()
        await client.until(content=" sharp ")  # what may cite waits for its end
        third.set()
        frames = await client.until(stage="idle")
    (last, final) = [frame for frame in frames if frame["type"] == "answer"]
    assert (last["content"], last["stream_index"]) == ("[1].", 3)
    assert (final["final"], final["stream_index"], len(final["sources"])) == (True, 4, 1)


async def test_what_was_asked_and_shown_before_goes_along_until_reset(service: Service, server: StandInOpenAi) -> None:
    server.will(says("At nine [1]."), says("At ni", hang()))
    async with service.connect() as client:
        await client.ask("When does the office open?")
        await client.say("What time does the office open?")
        await client.until(content="At ni")
        await client.control("cancel")
        await client.until(stage="idle", reason="cancelled")
        await server.hung_up()
        await client.ask("Which office opens at nine?")
        await client.control("reset")
        await client.ask("When does the office open?")
    assert [message["content"] for message in server.messages(2)][1:-1] == [
        "When does the office open?",
        "At nine [1].",
        "What time does the office open?",
        "At ni […]",
    ]
    assert len(server.messages(3)) == 2


async def test_the_client_says_in_which_language_and_how_fully_it_is_answered(
    service: Service, server: StandInOpenAi
) -> None:
    async with service.connect() as client:
        await client.ask("When does the office open?")
        await client.send("configure", answer_language="de-CH", answer_style="full")
        await client.ask("Which office opens at nine?")
        await client.send("configure", answer_language="", answer_style="short")
        await client.control("reset")
        await client.ask("When does the office open?")
        await client.send("configure", answer_language="zh-Hans")
        assert text_of(await client.ask("Who was Napoleon?")) == NOTHING_FITS_ZH
    usual, wished, again = (server.messages(number)[0]["content"] for number in range(3))
    assert again == usual
    assert "in the language of the question, in at most three sentences" in usual
    assert "in the language de-CH" in wished
    assert "three" not in wished


async def test_a_server_that_is_the_rag_is_told_only_what_the_client_wishes(
    start: Serve, server: StandInOpenAi
) -> None:
    service = await start(rag_provider="openai", openai_base_url=server.base_url, openai_api_key=server.api_key)
    async with service.connect() as client:
        await client.ask("When does the office open?")
        await client.send("configure", answer_language="fr")
        await client.ask("Which office opens at nine?")
    assert [message["role"] for message in server.messages(0)] == ["user"]
    assert server.messages(1)[0] == {"role": "system", "content": "Answer in the language fr (BCP 47)."}


async def test_what_fails_or_was_not_found_is_not_remembered(service: Service, server: StandInOpenAi) -> None:
    server.will(refusal(500, {"error": "no"}), says("NO_ANSWER"))
    async with service.connect() as client:
        assert (await client.ask("When does the office open?"))[-2]["error"]["code"] == "RAG_UNAVAILABLE"
        assert (await client.ask("When does the office open then?"))[-1]["reason"] == "nothing_found"
        await client.ask("Which office opens at nine?")
    assert len(server.messages()) == 2


async def test_health_tells_that_the_folder_is_indexed_and_the_server_there(
    start: Serve, server: StandInOpenAi, tmp_path: Path
) -> None:
    service = await start(
        rag_provider="openai", openai_base_url=server.base_url, knowledge_dir=tmp_path, ready_probe_seconds=60
    )
    assert (await service.health())["provider"] == "openai"
    await server.until(lambda: len(server.calls) > 0, "the probe")


async def test_what_was_said_is_a_source_that_the_answer_cites(
    start: Serve, server: StandInOpenAi, hours: dict[str, Path]
) -> None:
    service = await start(
        rag_provider="openai",
        openai_base_url=server.base_url,
        openai_api_key=server.api_key,
        talk_chars=2_000,
        **hours,
    )
    server.will(says("Forty euros [t", "2], when the office opens [1][t9]."), says("The pricing [t1]."))
    async with service.connect() as client:
        await client.say("Good morning everybody.", speaker="Ben")
        await client.say("We keep the pricing\n[t1] at forty euros.", speaker="Anna")
        frames = await client.ask("And what did they say about pricing when the office opens?", speaker="Ben")
        again = await client.ask("What is still open?", speaker="Ben")
    assert text_of(frames) == "Forty euros [t2], when the office opens [1]."
    page, line = frames[-2]["sources"]
    assert page.keys() == {"position", "title", "source", "score", "snippet"}
    assert (page["position"], page["source"]) == (1, "hours.md")
    assert (line["position"], line["source"], line["speaker"]) == (2, "talk", "Anna")
    assert line["title"] == f"Anna, 0:{line['time_ms'] // 1000:02}"
    assert line["snippet"] == "We keep the pricing\n[t1] at forty euros."
    system, asked = (message["content"] for message in server.messages(0))
    assert "numbered passages and lines of the talk" in system
    assert "\n[t1] Ben, 0:00: Good morning everybody.\n[t2] Anna, 0:00: We keep the pricing [t1] at forty" in asked
    assert "[t3]" not in asked
    # No word of it stands anywhere: whether the talk answers it only the model can tell. What was asked before is talk.
    assert again[-2]["sources"][0]["title"].startswith("Ben, 0:")
    assert "[t3] Ben, 0:00: And what did they say about pricing" in server.messages(1)[-1]["content"]


async def test_with_the_talk_alone_nothing_is_asked_before_something_was_said(
    start: Serve, server: StandInOpenAi
) -> None:
    service = await start(
        rag_provider="openai", openai_base_url=server.base_url, openai_api_key=server.api_key, talk_chars=2_000
    )
    server.will(says("NO_ANSWER"))
    async with service.connect() as client:
        silent = await client.ask("What is the price?")
        assert server.requests == []
        await client.say("The price stays.")
        assert (await client.ask("Who invented the telephone?"))[-2]["found"] is False
        await client.control("reset")
        await client.ask("What does it cost?")
    assert (silent[-2]["found"], text_of(silent)) == (False, NOTHING_FITS)
    assert len(server.requests) == 1
    assert "numbered lines of the talk" in server.messages()[0]["content"]


async def test_a_prompt_that_is_too_long_is_asked_with_the_newest_half_of_the_talk(
    start: Serve, server: StandInOpenAi
) -> None:
    service = await start(
        rag_provider="openai", openai_base_url=server.base_url, openai_api_key=server.api_key, talk_chars=2_000
    )
    refused = refusal(400, {"error": {"type": "exceed_context_size_error", "message": "4097 tokens", "code": 400}})
    server.will(refused, says("It stays [t1]."))
    async with service.connect() as client:
        await client.say("Good morning.")
        await client.say("The price stays.")
        frames = await client.ask("Who invented the telephone?")
    assert [source["snippet"] for source in frames[-2]["sources"]] == ["The price stays."]
