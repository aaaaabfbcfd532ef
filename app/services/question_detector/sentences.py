"""Cuts a transcript into sentences and says how each one ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Final

from app.services.question_detector.rules import word_set

# Latin, full width, small, Arabic, Greek, Armenian, Ethiopic, interrobang, doubled.
_QUESTION: Final = "?？﹖؟\u037e՞፧‽⁇⁈⁉"
_QUESTION_SIGNS: Final = frozenset(_QUESTION)
_FULL: Final = "。．!！…।｡"
_FULL_SIGNS: Final = frozenset(_FULL + ".")
_CLOSERS: Final = "\"'”“’»」』)）]"
_SPEECH_SIGNS: Final = frozenset('"”“»」』')

# A dot ends a sentence only before a space, and not after a letter or a short form: "3.5", "Mr. Smith".
_BOUNDARY: Final = re.compile(
    rf"(?:[{_QUESTION}{_FULL}]|\.(?=[\s{re.escape(_CLOSERS)}.?!]"
    rf"|$))[{_QUESTION}{_FULL}.]*(?:[{re.escape(_CLOSERS)}]|[ \u00a0\u202f]»)*|[\n;；]+"
)
_SHORT_FORMS: Final = tuple(word_set("mr mrs ms dr prof st vs etc e.g i.e no bzw ca sr sra mme usw ecc"))
_SHORT_FORM: Final = re.compile(rf"\b(?:{'|'.join(map(re.escape, _SHORT_FORMS))})$")


# The work on one text is bounded: these many sentences at its end are looked at, as far as they reach into its last so
# many characters, and before them these many that ask by their mark.
NEWEST: Final = 12
NEWEST_CHARS: Final = 600
EARLIER: Final = 4
# After so many short forms in a row a dot is a full stop.
SHORT_FORMS: Final = 8


@dataclass(frozen=True, slots=True)
class Sentence:
    """`start` and `end` are places in the text; `mark` is `?`, `.` or empty."""

    start: int
    end: int
    body: str
    mark: str
    is_quoted: bool


def split(text: str) -> list[Sentence]:
    """Cut `text` at its marks; a text without any is one sentence.

    Of a long text the newest sentences are returned, and of those before them the last few that have a question mark.
    """
    marks = list(_BOUNDARY.finditer(text))
    sentences: list[Sentence | None] = []
    index, start = len(marks), len(text)
    while index >= 0 and len(sentences) < NEWEST and start > len(text) - NEWEST_CHARS:
        before, start = _before(text, marks, index)
        sentences.append(_sentence(text, start, marks[index] if index < len(marks) else None))
        index = before
    asking = (index for index in range(index, -1, -1) if not _QUESTION_SIGNS.isdisjoint(marks[index][0]))
    sentences += [_sentence(text, _before(text, marks, index)[1], marks[index]) for index in islice(asking, EARLIER)]
    return [sentence for sentence in reversed(sentences) if sentence is not None]


def _before(text: str, marks: list[re.Match[str]], index: int) -> tuple[int, int]:
    """The mark that ends the sentence before this mark's, or -1, and where this mark's sentence begins."""
    for before in range(index - 1, max(index - 1 - SHORT_FORMS, -1), -1):
        mark = marks[before]
        if (
            mark[0] != "."
            or mark.end() == len(text)
            or not _is_short_form(text[max(0, mark.start() - 6) : mark.start()])
        ):
            return before, mark.end()
    before = index - 1 - SHORT_FORMS
    return (before, marks[before].end()) if before >= 0 else (-1, 0)


def _is_short_form(before: str) -> bool:
    """Whether what stands before a dot ends in a letter of its own or in a short form."""
    if before[-1:].isalpha() and not before[-2:-1].isalnum():
        return before[-2:-1] != "_"
    before = before.lower()
    return before.endswith(_SHORT_FORMS) and _SHORT_FORM.search(before) is not None


def _sentence(text: str, start: int, found: re.Match[str] | None) -> Sentence | None:
    stop, end, mark = (len(text), len(text), "") if found is None else (found.start(), found.end(), found[0])
    body = text[start:stop]
    stripped = body.lstrip(" \t\r\n\u3000" + _CLOSERS)
    if not any(map(str.isalnum, body)):
        return None
    start += len(body) - len(stripped)
    end = start + len(text[start:end].rstrip())
    kind = "?" if not _QUESTION_SIGNS.isdisjoint(mark) else "." if not _FULL_SIGNS.isdisjoint(mark) else ""
    return Sentence(start, end, stripped, kind, _ends_speech(stripped, mark))


def _ends_speech(body: str, mark: str) -> bool:
    """Whether the mark closes what somebody is quoted with: he said "where are you?"."""
    if _SPEECH_SIGNS.isdisjoint(mark):
        return False
    opening = max(body.rfind(sign) for sign in '"“«„「『')
    return opening > 0 and any(map(str.isalnum, body[:opening]))
