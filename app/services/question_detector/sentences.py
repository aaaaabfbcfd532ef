"""Cuts a transcript into sentences and says how each one ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# Latin, full width, small, Arabic, Greek, Armenian, Ethiopic, interrobang, doubled.
_QUESTION: Final = "?？﹖؟\u037e՞፧‽⁇⁈⁉"
_FULL: Final = "。．!！…।｡"
_CLOSERS: Final = "\"'”“’»」』)）]"
_SPEECH_QUOTES: Final = '"”“»」』'

# A dot ends a sentence only before a space, and not after a letter or a short form: "3.5", "Mr. Smith".
_BOUNDARY: Final = re.compile(
    rf"(?:[{_QUESTION}{_FULL}]|\.(?=[\s{re.escape(_CLOSERS)}.?!]"
    rf"|$))[{_QUESTION}{_FULL}.]*(?:[{re.escape(_CLOSERS)}]|[ \u00a0\u202f]»)*|[\n;；]+"
)
_SHORT_FORM: Final = re.compile(
    r"(?:\b[^\W\d_]|\b(?:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|no|bzw|ca|sr|sra|mme|usw|ecc))$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """`start` and `end` are places in the text; `mark` is `?`, `.` or empty."""

    start: int
    end: int
    body: str
    mark: str
    is_quoted: bool


def split(text: str) -> list[Sentence]:
    """Cut `text` at its marks; a text without any is one sentence."""
    sentences: list[Sentence] = []
    start = 0
    for found in _BOUNDARY.finditer(text):
        mark = found[0]
        if (
            mark == "."
            and found.end() < len(text)
            and _SHORT_FORM.search(text, max(start, found.start() - 6), found.start())
        ):
            continue
        _add(sentences, text, start, found.start(), found.end(), mark)
        start = found.end()
    _add(sentences, text, start, len(text), len(text), "")
    return sentences


def _add(sentences: list[Sentence], text: str, start: int, stop: int, end: int, mark: str) -> None:
    body = text[start:stop]
    stripped = body.lstrip(" \t\r\n\u3000" + _CLOSERS)
    if not any(map(str.isalnum, body)):
        return
    start += len(body) - len(stripped)
    end = start + len(text[start:end].rstrip())
    is_closed = any(sign in mark for sign in _FULL + ".")
    kind = "?" if any(sign in mark for sign in _QUESTION) else "." if is_closed else ""
    sentences.append(Sentence(start, end, stripped, kind, _ends_speech(stripped, mark)))


def _ends_speech(body: str, mark: str) -> bool:
    """Whether the mark closes what somebody is quoted with: he said "where are you?"."""
    if not any(sign in mark for sign in _SPEECH_QUOTES):
        return False
    opening = max(body.rfind(sign) for sign in '"“«„「『')
    return opening > 0 and any(map(str.isalnum, body[:opening]))
