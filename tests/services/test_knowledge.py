"""Searching an index in which words stand in thousands of passages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from app.services.local.knowledge import MOST_RANKED, Knowledge
from app.services.local.reader import Row

EACH = MOST_RANKED + 1


@pytest.fixture
def knowledge() -> Iterator[Knowledge]:
    with closing(sqlite3.connect(":memory:")) as connection:
        knowledge = Knowledge(connection)
        words = [*["red"] * EACH, *["blue"] * EACH, *["green"] * EACH, "red blue", "green quokk"]
        words += [*["pear"] * 3, "pear red", "pear"]
        knowledge.show([knowledge.add("a.md", (0, 0, 0), (Row("", text, text) for text in words))])
        yield knowledge


@pytest.mark.parametrize(
    ("terms", "best"),
    [
        (["red", "blue"], ["red blue"]),  # those that hold both, and no others are looked at
        (["green", "quokk"], ["green quokk"]),
        (["quokk", "red", "blue"], ["red blue", "green quokk"]),
        (["green", "blue"], ["blue"] * 3),  # nothing holds both
        (["green"], ["green"] * 3),
        (["kiwi"], []),
    ],
)
def test_words_that_stand_everywhere_are_looked_for_together(
    knowledge: Knowledge, terms: list[str], best: list[str]
) -> None:
    assert sorted(passage.text for passage in knowledge.search(terms, 3)) == sorted(best)


def test_a_word_that_stands_everywhere_decides_between_passages_with_a_rare_one(knowledge: Knowledge) -> None:
    assert [passage.text for passage in knowledge.search(["pear", "red"], 1)] == ["pear red"]
