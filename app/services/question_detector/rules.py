"""What the rules of all languages share: what they do to a sentence before they look at it, and what they find."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.models.addressing import GREETINGS
from app.models.verdicts import ASKING, Reason

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*['’]?")
_MARKED_WORD: Final = re.compile(
    r"[\w\u0300-\u036f\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963]+"
)
_GREETED: Final = rf"\s*(?:{GREETINGS}),? "
_NAME: Final = r"[^\W\d_]+"
_CALL: Final = re.compile(
    rf"(?:{_GREETED})?\s*{_NAME}(?: {_NAME})?,\s+(?=\w)|{_GREETED}{_NAME},? (?=\w)", re.IGNORECASE
)
# The rule of what is said to say something else, whatever its mark: "who would have thought?".
IDIOM: Final = "idiom"
# How a question may begin behind a name.
IN_FRONT: Final = frozenset({"request", "wh_front", "inversion"})


@dataclass(frozen=True, slots=True)
class Finding:
    """What one language's rules say about one sentence."""

    reason: Reason
    confidence: float
    is_complete: bool = True
    rule: str = ""

    @property
    def asks(self) -> bool:
        """Whether the reason is one of a question."""
        return self.reason in ASKING


def plain(sentence: str) -> str:
    """Lower-case words with single spaces; hyphens and marks are gone, apostrophes stay."""
    lowered = sentence.lower()
    return _letters(lowered) or " ".join(_WORD.findall(lowered)).replace("’", "'")


def marked_words(sentence: str) -> str:
    """The same where vowels and tones are marks on a letter."""
    lowered = sentence.lower()
    return _letters(lowered) or " ".join(_MARKED_WORD.findall(lowered))


def _letters(lowered: str) -> str:
    """The words of what has letters and spaces only, which are quicker to cut; empty if it has more."""
    return " ".join(lowered.split()) if lowered.replace(" ", "").isalpha() else ""


def without(lead: re.Pattern[str], text: str) -> str:
    """`text` without the words before the sentence proper, unless there is nothing else."""
    found = lead.match(text)
    return text[found.end() :] if found is not None and found.end() < len(text) else text


def behind_a_call(sentence: str, prepare: Callable[[str], str] = plain) -> str:
    """The plain words behind a name and a comma, empty if there is none."""
    found = _CALL.match(sentence)
    return prepare(sentence[found.end() :]) if found is not None else ""


def word_set(words: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(words.split())
