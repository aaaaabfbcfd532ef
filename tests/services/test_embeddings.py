"""Passages ranked by meaning beside words, over real sockets against a stand-in."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.models.answers import AnswerEnd, Question
from app.services.local.knowledge import Knowledge
from app.services.local.reader import Row
from app.services.openai_client import OpenAiClient, open_openai
from tests.client import PATIENCE
from tests.conftest import Serve
from tests.standin.exchange import Exchange
from tests.standin.openai import StandInOpenAi, refusal
from tests.standin.scripts import hang

pytestmark = pytest.mark.slow

ASKED = "How much money does the pump cost?"
WORDS, MEANING = "The pump does cost much oil.", "One pump is forty euros."


def vector_of(text: str) -> Sequence[float] | None:
    return None if "x" * 50 in text else [3.0, 4.0] if "euros" in text or "money" in text else [-4.0, 3.0]


@pytest.fixture
async def server() -> AsyncIterator[StandInOpenAi]:
    async with StandInOpenAi() as server:
        server.vector_of = vector_of
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "oil.txt").write_text(WORDS)
    (folder / "list.txt").write_text(MEANING)
    return folder


@asynccontextmanager
async def client_of(server: StandInOpenAi, folder: Path, **changes: Any) -> AsyncIterator[OpenAiClient]:
    values: dict[str, Any] = {
        "rag_provider": "openai",
        "openai_base_url": server.base_url,
        "openai_api_key": server.api_key,
        "knowledge_dir": folder,
        "embeddings_model": "small",
    }
    async with asyncio.timeout(PATIENCE), open_openai(Settings(_env_file=None, **(values | changes))) as client:
        yield client


async def complete(client: OpenAiClient) -> None:
    assert client.embeddings is not None
    await client.embeddings.is_complete.wait()


async def passages(client: OpenAiClient, server: StandInOpenAi, asked: str = ASKED) -> list[str]:
    """What the model is given to answer from, best first."""
    *_, end = [event async for event in client.query(Question(asked, "someone"))]
    assert isinstance(end, AnswerEnd)
    return [source.snippet for source in end.sources]


async def ready(client: OpenAiClient, server: StandInOpenAi, texts: int) -> None:
    await server.until(lambda: len(server.embedded) >= texts, "the texts of the folder")
    await complete(client)


async def test_a_passage_that_is_near_in_meaning_moves_up(server: StandInOpenAi, folder: Path) -> None:
    for number in range(5):
        (folder / f"{number}.txt").write_text(f"The pump does cost {number} hours.")
    async with client_of(server, folder) as client:
        await ready(client, server, 7)
        ranked = await passages(client, server)
    assert len(ranked) == 5
    assert ranked.index(MEANING) < 4
    async with client_of(server, folder, embeddings_model="") as client:
        assert MEANING not in await passages(client, server)
    assert server.embedded[-1] == ASKED
    first, *_ = [call for call in server.calls if call.path == "/embeddings"]
    assert (first.body["model"], first.key) == ("small", server.api_key)
    assert any(text.endswith(MEANING) for text in first.body["input"])


async def test_it_does_so_for_whoever_is_connected(start: Serve, server: StandInOpenAi, folder: Path) -> None:
    service = await start(
        rag_provider="openai",
        openai_base_url=server.base_url,
        openai_api_key=server.api_key,
        knowledge_dir=folder,
        embeddings_model="small",
        queries_per_minute=10_000,
    )
    async with service.connect() as client, asyncio.timeout(PATIENCE):
        while ASKED not in server.embedded:  # until the vectors of the folder are there
            await client.control("instant_query", text=ASKED)
            frames = await client.until(stage="idle")
    assert sorted(source["snippet"] for source in frames[-2]["sources"]) == sorted([MEANING, WORDS])


async def test_what_shares_no_word_with_anything_is_not_asked(server: StandInOpenAi, folder: Path) -> None:
    async with client_of(server, folder) as client:
        await ready(client, server, 2)
        assert await passages(client, server, "Who invented the telephone?") == []
    assert server.requests == []
    assert len(server.embedded) == 2


@pytest.mark.parametrize(
    "fault",
    [
        hang(),
        refusal(503, {"error": "busy"}),
        refusal(200, {"data": []}),
        refusal(200, {"data": [{"embedding": ["a"]}]}),
    ],
    ids=["hangs", "refuses", "nothing", "nonsense"],
)
async def test_words_decide_alone_when_the_question_gets_no_vector(
    server: StandInOpenAi, folder: Path, fault: Any
) -> None:
    async with client_of(server, folder) as client:
        await ready(client, server, 2)
        server.embeddings = fault
        assert (await passages(client, server))[0] == WORDS


async def test_words_decide_alone_while_there_are_no_vectors(
    server: StandInOpenAi, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    refused = asyncio.Event()

    async def refuse(exchange: Exchange) -> None:
        refused.set()
        await refusal(503, {"error": "no model"})(exchange)

    server.embeddings = refuse
    async with client_of(server, folder) as client:
        await refused.wait()
        assert (await passages(client, server))[0] == WORDS
    assert ASKED not in server.embedded


async def test_a_text_that_the_model_does_not_take_costs_no_other(server: StandInOpenAi, folder: Path) -> None:
    (folder / "long.txt").write_text("x" * 60)
    async with client_of(server, folder, knowledge_index=folder.parent / "index") as client:
        await ready(client, server, 6)
        assert sorted(await passages(client, server)) == sorted([MEANING, WORDS])
    asked = len(server.embedded)
    async with client_of(server, folder, knowledge_index=folder.parent / "index") as client:
        await complete(client)
    assert len(server.embedded) == asked  # nor is it asked again


async def test_vectors_are_kept_with_the_index_and_only_what_changed_is_asked(
    server: StandInOpenAi, folder: Path
) -> None:
    changes = {"knowledge_index": folder.parent / "index", "knowledge_refresh_seconds": 0}
    async with client_of(server, folder, **changes) as client:
        await ready(client, server, 2)
    async with client_of(server, folder, **changes) as client:
        await complete(client)
        assert len(server.embedded) == 2
        (folder / "oil.txt").unlink()
        (folder / "new.txt").write_text("The pump is red.")
        assert client.offers.index is not None
        client.offers.index.look_again()
        await ready(client, server, 3)
    assert server.embedded[2] == "new\nThe pump is red."
    async with client_of(server, folder, **changes, embeddings_model="other") as client:
        await ready(client, server, 5)
    async with client_of(server, folder, **changes, embeddings_model="") as client:
        assert (await passages(client, server, "Is the pump red?"))[0] == "The pump is red."


def test_a_vector_is_only_kept_for_the_text_that_it_was_made_of() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        knowledge = Knowledge(connection)
        vectors = knowledge.vectors("small")
        file = knowledge.add("a.txt", (0, 0, 0), [Row("", "Old.", "a old")])
        assert vectors.missing(0, 9) == []  # it is not shown yet
        knowledge.show([file])
        (old,) = vectors.missing(0, 9)
        assert vectors.missing(old.id, 9) == []
        knowledge.show([], [file])
        knowledge.show([knowledge.add("b.txt", (0, 0, 0), [Row("", "New.", "b new")])])
        vectors.keep([(old, [1.0])])
        (new,) = vectors.missing(0, 9)
        assert (new.id, new.text) == (old.id, "New.")
        vectors.keep([(new, [0.0, 2.0])])
        assert not connection.in_transaction
        assert vectors.nearness([new.id], [0.0, 5.0]) == {new.id: 1.0}
        assert vectors.nearness([new.id], [0.0, 5.0, 1.0]) == {}  # of another model
        assert vectors.has_any([new.id])
        assert not vectors.has_any([7])


def test_what_others_are_writing_is_not_made_whole_by_a_vector() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        knowledge = Knowledge(connection)
        vectors = knowledge.vectors("small")
        knowledge.show([knowledge.add("a.txt", (0, 0, 0), [Row("", "A.", "a a")])])
        knowledge.add("b.txt", (0, 0, 0), [Row("", "B.", "b b")])
        vectors.keep([(text, [1.0]) for text in vectors.missing(0, 9)])
        knowledge.undo()
        assert connection.execute("SELECT count(*) FROM passages").fetchone() == (1,)
        assert len(vectors.missing(0, 9)) == 1
