"""The embedded provider answers from what was said beside the folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.models.answers import AnswerEnd, Question, Said, TextDelta
from app.services.local_rag import NOTHING_FITS, LocalRag
from tests.service import indexed, make_settings

TALK = (
    Said("Good morning everybody.", "Ben", 0.0),
    Said("We keep the pricing at forty euros.", "Anna", 10.0),
    Said("The migration begins in March. What about pricing?", "Ben", 20.0, "What about pricing?"),
    Said("What is the fee of the notary?", "Anna", 30.0, "What is the fee of the notary?"),
    Said("价格定在四十欧元。", None, 40.0),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folder")
    (folder / "hours.md").write_text("# Opening hours\n\nThe office opens at nine.\n\n# Pricing\n\nSee the list.\n")
    return folder


@pytest.fixture
async def rag(folder: Path) -> AsyncIterator[LocalRag]:
    settings = make_settings(rag_provider="local", knowledge_dir=folder, knowledge_index=folder.with_name("index"))
    async with indexed(settings) as rag:
        yield rag


async def hear(rag: LocalRag, text: str, **fields: object) -> tuple[str, AnswerEnd]:
    *events, end = [event async for event in rag.query(Question(text, "u", talk=TALK, **fields))]  # type: ignore[arg-type]
    assert isinstance(end, AnswerEnd)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), end


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("so what did they say about pricing per euro", "> We keep the pricing at forty euros.\n\n— Anna, 0:10"),
        ("when does the migration begin", "> The migration begins in March.\n\n— Ben, 0:20"),
        ("When does the office open?", "> The office opens at nine.\n\n— hours.md § Opening hours"),
        ("价格是多少", "> 价格定在四十欧元。\n\n— 0:40"),
    ],
)
async def test_the_best_of_both_comes_first(rag: LocalRag, asked: str, first: str) -> None:
    assert (await hear(rag, asked))[0].startswith(first)


async def test_its_source_tells_who_said_it_and_when(rag: LocalRag) -> None:
    source = (await hear(rag, "what did Anna say about the euros"))[1].sources[0]
    assert (source.position, source.title, source.source) == (1, "Anna, 0:10", "talk")
    assert (source.speaker, source.time_ms, source.snippet) == ("Anna", 10_000, "We keep the pricing at forty euros.")
    assert 0.5 < (source.score or 0) <= 1


@pytest.mark.parametrize(
    ("asked", "context"),
    [
        ("what is the fee of the notary", ""),  # was only asked
        ("who invented the telephone", ""),
        ("How long does that take?", "The migration begins in March."),  # was said just before
        ("We keep the pricing at forty euros. Is that so?", ""),
    ],
)
async def test_what_only_leads_to_a_question_is_no_answer(rag: LocalRag, asked: str, context: str) -> None:
    assert (await hear(rag, asked, context=context))[0] == NOTHING_FITS


async def test_what_is_said_beside_the_point_changes_nothing(rag: LocalRag) -> None:
    talk = (*(Said(f"The train number {number} was late again.", None, number) for number in range(200)), *TALK)
    for asked in ("when does the office open", "what did Anna say about the euros"):
        alone, end = await hear(rag, asked)
        said = Question(asked, "u", talk=talk)
        assert [event async for event in rag.query(said)][-1] == end
        assert alone != NOTHING_FITS
