"""What a pattern begins with, and that to look at it first changes nothing."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.verdicts import LANGUAGES
from app.services.question_detector.firsts import first_letters, with_firsts

TABLES: dict[str, Any] = {
    language: import_module(f"app.services.question_detector.{name}").TABLE for language, name in LANGUAGES.items()
}
SEARCHED = {
    f"{language}, {rule.name}": [*rule.alternatives]
    for language, table in TABLES.items()
    for rule in table.rules
    if rule.place == "search"
}


@pytest.mark.parametrize(
    ("pattern", "letters"),
    [
        ("what", "w"),
        ("what|who|how", "wwh"),
        ("(?:a|b)?c", "abc"),
        ("(?P<one>a|(?:b|c))d|e", "abce"),
        ("(?<!no )(?<=a)(?!x[)]y)what", "w"),
        (r"^\bwhat", "w"),
        ("[ab]*c", "abc"),
        ("[a-f]{0,3}c", "a-fc"),
        ("[ab]{1,3}c", "ab"),
        ("a?+b??c", "abc"),
        (r"a\|b|\(", None),
        (r"[\])]|a", None),
        ("a|.b", None),
        ("[^a]b", None),
        (r"\wa", None),
        ("a?", None),
        ("(?:a|)b", None),
        ("$|a", None),
        ("", None),
    ],
)
def test_the_letters_a_pattern_begins_with(pattern: str, letters: str | None) -> None:
    assert first_letters(pattern) == letters


@pytest.mark.no_cover  # many times the same lines
@pytest.mark.parametrize("alternatives", SEARCHED.values(), ids=SEARCHED)
def test_looking_at_the_next_letter_first_finds_the_same(alternatives: list[str]) -> None:
    plainly, looking = re.compile("|".join(alternatives)), re.compile(with_firsts(alternatives))
    parts = [part for each in alternatives for part in re.findall(r"[^\W\d_]+|.", each) if part not in set("()[]{}|\\")]

    @given(st.lists(st.sampled_from([*parts, " ", "x"]), max_size=8).map("".join))
    def finds_the_same(text: str) -> None:
        assert (looking.search(text) is None) == (plainly.search(text) is None)

    finds_the_same()
