"""Reads JSON whatever its characters and its size: a long text a piece at a time, so that others get their turn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

from pydantic_core import from_json

# What is read in one go: about a millisecond's work.
PIECE_BYTES = 64 * 1024

# A number of more digits takes long to read, and Python refuses to.
MAX_DIGITS = 1000

Data = bytes | bytearray

# Atomic groups: Python 3.11.2 (Debian 12) loses what it has found when the last turn of a possessive one fails.

# An object of nothing but plain fields up to its "answer", as Dify writes every event with text.
_TEXT_HEAD = re.compile(rb'\s*+\{(?>(?:\s*+"\w++"\s*+:\s*+(?:"[^"\\]*+"|[\w.+-]++)\s*+,)*)\s*+"answer"\s*+:\s*+"')
_IN_STRING = re.compile(rb'(?>(?:[^"\\]++|\\(?:u[0-9a-fA-F]{4}|[^u]))*)')


def read_json(data: Data) -> Any:
    """Read JSON whatever its characters; raise `ValueError` if it is none.

    Half a surrogate pair stays in its string, for the other half may come with the next text.
    """
    try:
        return from_json(data)
    except ValueError as error:
        try:
            # It takes halves of pairs and raw control characters; the other one is several times as fast.
            return json.loads(data.decode(errors="replace"), strict=False, parse_int=_whole)
        except (ValueError, RecursionError):
            raise error from None


def _whole(digits: str) -> float:
    return int(digits) if len(digits) < MAX_DIGITS else float(digits)


def read_head(data: Data) -> dict[str, Any] | None:
    """Read what stands whole at the beginning of an object."""
    for size in (PIECE_BYTES, 256):  # a character that is none may be far behind the first fields
        with suppress(ValueError):
            head = from_json(data[:size], allow_partial=True)
            return head if isinstance(head, dict) else None
    return None


def begins_long_text(data: Data) -> bool:
    """Whether this is the beginning of an object whose "answer" can be read in pieces."""
    return _TEXT_HEAD.match(data, 0, PIECE_BYTES) is not None


class LongText:
    """The "answer" of an object, too long to be read in one go: its pieces, each read when its turn comes."""

    def __init__(self, data: Data) -> None:
        self._data = data
        head = _TEXT_HEAD.match(data, 0, PIECE_BYTES)
        self._borders = [] if head is None else [head.end()]

    def look_on(self) -> bool:
        """Look for the end, a piece further; False when there is nothing more to look for."""
        if not self._borders:
            return False
        start = self._borders[-1]
        found = _IN_STRING.match(self._data, start, start + PIECE_BYTES)
        assert found is not None  # it may be empty
        stop = found.end()
        while start < stop < len(self._data) and self._data[stop] & 0xC0 == 0x80:
            stop -= 1  # not inside of a character
        if stop > start:
            self._borders.append(stop)
        return stop > start

    @property
    def is_whole(self) -> bool:
        """Its end was found."""
        end = self._borders[-1] if self._borders else len(self._data)
        return self._data[end : end + 1] == b'"'

    @property
    def rest(self) -> bytes:
        """The object without the text."""
        return bytes(self._data[: self._borders[0]] + self._data[self._borders[-1] :])

    def __iter__(self) -> Iterator[str]:
        for start, stop in pairwise(self._borders):
            yield read_json(b'"' + self._data[start:stop] + b'"')
