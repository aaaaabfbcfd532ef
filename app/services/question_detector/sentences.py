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
_MARK: Final = rf"[{_QUESTION}{_FULL}.]"
_BEHIND_A_DOT: Final = rf"(?=[\s{re.escape(_CLOSERS)}.?!]|$)"
_BREAK: Final = "\n;；"
_RUN: Final = regex.compile(rf"(?r)(?:[{_QUESTION}{_FULL}]|\.{_BEHIND_A_DOT}){_MARK}*(?<={_MARK})|[{_BREAK}]+")
# Of ten closers and more none belongs to the mark.
_CLOSER: Final = rf"[{re.escape(_CLOSERS)}]"
_CLOSED: Final = re.compile(rf"(?:[ \u00a0\u202f]»|{_CLOSER}){{0,9}}(?!{_CLOSER})")
_ANY: Final = re.compile(rf"[{_QUESTION}{_FULL}.{_BREAK}](?:(?<!\.)|{_BEHIND_A_DOT})")
_REST_OF_MARK: Final = re.compile(rf"{_MARK}*(?:[ \u00a0\u202f]»|{_CLOSER}){{0,9}}")
_LETTER: Final = re.compile(r"[^\W_]")
_LEADING: Final = " \t\r\n\u3000" + _CLOSERS
_SHORT_FORMS: Final = tuple(word_set("mr mrs ms dr prof st vs etc e.g i.e no bzw ca sr sra mme usw ecc"))
_SHORT_FORM: Final = re.compile(rf"\b(?:{'|'.join(map(re.escape, _SHORT_FORMS))})$")


# The work on one text is bounded: these many sentences at its end are looked at, as far as they reach into its last so
# many characters, and before them these many that ask by their mark.
NEWEST: Final = 12
NEWEST_CHARS: Final = 600
EARLIER: Final = 4
# After so many short forms in a row a dot is a full stop.
SHORT_FORMS: Final = 4


Mark = tuple[int, int, str]
"""Where it begins and ends, and its signs."""


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
    found = _ANY.search(text)
    if found is None or found.end() == len(text):  # as most recognisers write: no mark, or one at the end
        whole = _sentence(text, 0, (found.start(), found.end(), found[0]) if found is not None else None)
        return [] if whole is None else [whole]
    return _split_at_marks(text)


def _split_at_marks(text: str) -> list[Sentence]:
    marks = _marks(text, len(text))
    sentences: list[Sentence | None] = []
    mark: Mark | None = None
    start = len(text)
    while len(sentences) < NEWEST and start > len(text) - NEWEST_CHARS:
        before, start = _before(text, marks)
        sentences.append(_sentence(text, start, mark))
        if (mark := before) is None:
            break
    signs = [sign for sign in _QUESTION if sign in text]
    for _ in range(EARLIER):
        asks = max((text.rfind(sign, 0, mark[1]) for sign in signs), default=-1) if mark is not None else -1
        if asks < 0:
            break
        marks = _marks(text, next(_REST_OF_MARK.finditer(text, asks + 1)).end())
        asking = next(marks)
        mark, start = _before(text, marks)
        sentences.append(_sentence(text, start, asking))
    return [sentence for sentence in reversed(sentences) if sentence is not None]


def _marks(text: str, end: int) -> Iterator[Mark]:
    """The marks of a text, from its end."""
    for run in _RUN.finditer(text, endpos=end):
        start, stop = run.span()
        if stop < end and text[stop - 1] not in _BREAK and (closed := _CLOSED.match(text, stop, end)) is not None:
            stop = closed.end()
        yield start, stop, text[start:stop]


def _before(text: str, marks: Iterator[Mark]) -> tuple[Mark | None, int]:
    """The mark that ends the sentence before, if there is one, and where the sentence after it begins."""
    for mark in islice(marks, SHORT_FORMS):
        start, end, signs = mark
        if signs != "." or end == len(text) or not _is_short_form(text[max(0, start - 6) : start]):
            return mark, end
    last = next(marks, None)
    return last, last[1] if last is not None else 0


def _is_short_form(before: str) -> bool:
    """Whether what stands before a dot, six characters at most, ends in a letter of its own or in a short form."""
    if len(before) == 6 and before[1:].isalnum():  # most words are longer
        return False
    if before[-1:].isalpha() and not before[-2:-1].isalnum():
        return before[-2:-1] != "_"
    before = before.lower()
    return before.endswith(_SHORT_FORMS) and _SHORT_FORM.search(before) is not None


def _sentence(text: str, start: int, mark: Mark | None) -> Sentence | None:
    stop, end, signs = mark if mark is not None else (len(text), len(text), "")
    body = text[start:stop]
    if _LETTER.search(body) is None:
        return None
    stripped = body.lstrip(_LEADING)
    start += len(body) - len(stripped)
    end = start + len(text[start:end].rstrip())
    kind = "?" if not _QUESTION_SIGNS.isdisjoint(signs) else "." if not _FULL_SIGNS.isdisjoint(signs) else ""
    return Sentence(start, end, stripped, kind, _ends_speech(stripped, signs))


def _ends_speech(body: str, signs: str) -> bool:
    """Whether the mark closes what somebody is quoted with: he said "where are you?"."""
    if _SPEECH_SIGNS.isdisjoint(signs):
        return False
    opening = max(body.rfind(sign) for sign in '"“«„「『')
    return opening > 0 and _LETTER.search(body, 0, opening) is not None
