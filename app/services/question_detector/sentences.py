"""Cuts a transcript into sentences and says how each one ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

import regex

from app.services.question_detector.rules import word_set

# Latin, full width, small, Arabic, Greek, Armenian, Ethiopic, interrobang, doubled.
_QUESTION: Final = "?？﹖؟\u037e՞፧‽⁇⁈⁉"
_QUESTION_SIGNS: Final = frozenset(_QUESTION)
_FULL: Final = "。．!！…।｡"
_FULL_SIGNS: Final = frozenset(_FULL + ".")
_CLOSERS: Final = "\"'”“’»」』)）]"
_SPEECH_SIGNS: Final = frozenset('"”“»」』')

# A dot ends a sentence only before a space, and not after a letter or a short form: "3.5", "Mr. Smith". Found from the
# end of a text, so that nobody pays for what is not looked at.
# Each place of a longer run of closers would be tried from, which takes quadratic time: only its end is, and the mark.
_CLOSER: Final = rf"[{re.escape(_CLOSERS)}]"
_CLOSED: Final = rf"(?:[ \u00a0\u202f]»|{_CLOSER}){{0,9}}+"
_BOUNDARY: Final = regex.compile(
    rf"(?r)(?:[{_QUESTION}{_FULL}]|\.(?=[\s{re.escape(_CLOSERS)}.?!]|$))[{_QUESTION}{_FULL}.]*"
    rf"(?:{_CLOSED}(?!{_CLOSER})|(?={_CLOSER}{{10}})(?<=[{_QUESTION}{_FULL}.]))|[\n;；]+"
)
_ANY: Final = re.compile(rf"[{_QUESTION}{_FULL}.\n;；]")
_REST_OF_MARK: Final = regex.compile(rf"[{_QUESTION}{_FULL}.]*{_CLOSED}")
_SHORT_FORMS: Final = tuple(word_set("mr mrs ms dr prof st vs etc e.g i.e no bzw ca sr sra mme usw ecc"))
_SHORT_FORM: Final = re.compile(rf"\b(?:{'|'.join(map(re.escape, _SHORT_FORMS))})$")


# The work on one text is bounded: these many sentences at its end are looked at, as far as they reach into its last so
# many characters, and before them these many that ask by their mark.
NEWEST: Final = 12
NEWEST_CHARS: Final = 600
EARLIER: Final = 4
# After so many short forms in a row a dot is a full stop.
SHORT_FORMS: Final = 4


Mark = re.Match[str] | regex.Match[str]


class Sentence(NamedTuple):
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
    mark = _ANY.search(text)
    if mark is None or mark.end() == len(text):  # as most recognisers write: no mark, or one at the end
        whole = _sentence(text, 0, mark)
        return [] if whole is None else [whole]
    return _split_at_marks(text)


def _split_at_marks(text: str) -> list[Sentence]:
    marks = _BOUNDARY.finditer(text)
    sentences: list[Sentence | None] = []
    mark: regex.Match[str] | None = None
    start = len(text)
    while len(sentences) < NEWEST and start > len(text) - NEWEST_CHARS:
        before, start = _before(text, marks)
        sentences.append(_sentence(text, start, mark))
        if (mark := before) is None:
            break
    for _ in range(EARLIER):
        asks = max(text.rfind(sign, 0, mark.end()) for sign in _QUESTION) if mark is not None else -1
        if asks < 0:
            break
        marks = _BOUNDARY.finditer(text, endpos=next(_REST_OF_MARK.finditer(text, asks + 1)).end())
        asking = next(marks)
        mark, start = _before(text, marks)
        sentences.append(_sentence(text, start, asking))
    return [sentence for sentence in reversed(sentences) if sentence is not None]


def _before(text: str, marks: Iterator[regex.Match[str]]) -> tuple[regex.Match[str] | None, int]:
    """The mark that ends the sentence before, if there is one, and where the sentence after it begins."""
    for mark in islice(marks, SHORT_FORMS):
        if (
            mark[0] != "."
            or mark.end() == len(text)
            or not _is_short_form(text[max(0, mark.start() - 6) : mark.start()])
        ):
            return mark, mark.end()
    last = next(marks, None)
    return last, last.end() if last is not None else 0


def _is_short_form(before: str) -> bool:
    """Whether what stands before a dot ends in a letter of its own or in a short form."""
    if before[-1:].isalpha() and not before[-2:-1].isalnum():
        return before[-2:-1] != "_"
    before = before.lower()
    return before.endswith(_SHORT_FORMS) and _SHORT_FORM.search(before) is not None


def _sentence(text: str, start: int, found: Mark | None) -> Sentence | None:
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
