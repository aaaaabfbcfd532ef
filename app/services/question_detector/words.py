"""What the rules of several languages do to a sentence before they look at it."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*['’]?")


def plain(sentence: str) -> str:
    """Lower-case words with single spaces; hyphens and marks are gone, apostrophes stay."""
    return " ".join(_WORD.findall(sentence.lower())).replace("’", "'")


def without(lead: re.Pattern[str], text: str) -> str:
    """`text` without the words before the sentence proper, unless there is nothing else."""
    found = lead.match(text)
    return text[found.end() :] if found is not None and found.end() < len(text) else text


def word_set(words: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(words.split())
