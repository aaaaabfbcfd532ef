"""Cuts long text into pieces that fit a frame, without losing a character."""

from __future__ import annotations

from collections.abc import Iterator

import regex

# The end of a sentence: closing punctuation with what closes around it. A full stop or comma of the
# Latin script only counts before white space, or it might stand inside 3.14 or an address.
_SENTENCE_END = regex.compile(r"""(?:[。！？；…]++[」』”’）)】]*+|[.!?;:]++["')\]]*+(?=\s)|\n)\s*+""")
_SPACE = regex.compile(r"\s+")
_GRAPHEME = regex.compile(r"\X")


def split_text(text: str, limit: int) -> Iterator[str]:
    """Cut `text` into pieces of at most `limit` code points; joined, they are the text again.

    A cut falls behind a sentence, else behind white space, else between grapheme clusters (UAX #29). Only a
    cluster longer than `limit` is cut inside.
    """
    start = 0
    while len(text) - start > limit:
        end = _cut(text, start, limit)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _cut(text: str, start: int, limit: int) -> int:
    # One code point more than fits: what ends before it is a cluster that really ends there.
    stop = start + limit + 1
    clusters = _cluster_ends(text, start, stop)
    for pattern in (_SENTENCE_END, _SPACE):
        cuts = [end for match in pattern.finditer(text, start, stop) if (end := _end(match, stop)) in clusters]
        if cuts:
            return cuts[-1]
    return max(clusters, default=start + limit)


def _cluster_ends(text: str, start: int, stop: int) -> range | set[int]:
    """Where grapheme clusters end, up to `stop`, which may stand inside one."""
    piece = text[start:stop]
    # Of ASCII, only a carriage return and a line feed make one cluster of two: no need to look at each.
    if piece.isascii() and "\r" not in piece:
        return range(start + 1, stop)
    ends: list[int] = [match.end() for match in _GRAPHEME.finditer(text, start, stop)]
    return {end for end in ends if end < stop}


def _end(match: regex.Match[str], stop: int) -> int:
    # White space behind a cut may begin the next piece when no more of it fits.
    end: int = match.end()
    return stop - 1 if match.start() < stop - 1 < end and match.string[stop - 1].isspace() else end
