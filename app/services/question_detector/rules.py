"""What the rules of all languages share: what they do to a sentence before they look at it, and what they find."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from app.models.verdicts import ASKING, Reason

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*['’]?")
_CALL: Final = re.compile(r"\s*[^\W\d_]+(?: [^\W\d_]+)?,\s+(?=\w)")
# How a question may begin behind a name.
IN_FRONT: Final = frozenset({"request", "wh_front", "inversion"})


@dataclass(frozen=True, slots=True)
class Finding:
    """What one language's rules say about one sentence."""

    reason: Reason
    confidence: float
    is_complete: bool = True

    @property
    def asks(self) -> bool:
        """Whether the reason is one of a question."""
        return self.reason in ASKING


def plain(sentence: str) -> str:
    """Lower-case words with single spaces; hyphens and marks are gone, apostrophes stay."""
    return " ".join(_WORD.findall(sentence.lower())).replace("’", "'")


def without(lead: re.Pattern[str], text: str) -> str:
    """`text` without the words before the sentence proper, unless there is nothing else."""
    found = lead.match(text)
    return text[found.end() :] if found is not None and found.end() < len(text) else text


def behind_a_call(sentence: str) -> str:
    """The plain words behind a name and a comma, empty if there is none."""
    found = _CALL.match(sentence)
    return plain(sentence[found.end() :]) if found is not None else ""


def word_set(words: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(words.split())
