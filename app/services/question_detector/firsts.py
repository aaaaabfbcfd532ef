"""The letters that a match of a pattern begins with, so that it is not tried where another one stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

# What stands there is no letter of the match: a border, or what is around it.
_BORDER: Final = re.compile(r"\^|\\b|\(\?<?[=!]")
_GROUP: Final = re.compile(r"\((?:\?:|\?P<\w+>)")
_CLASS: Final = re.compile(r"\[([^\^\]\\][^\]\\]*)\]")
_OPTIONAL: Final = re.compile(r"[?*]|\{0,")
_SPECIAL: Final = frozenset("\\.[](){}?*+|^$")
_TOKEN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()|]|[^\\\[()|]+", re.DOTALL)


def with_firsts(alternatives: Sequence[str]) -> str:
    """The same pattern, that looks at the next letter before it tries any of the alternatives that need one."""
    first_of = {each: first_letters(each) for each in alternatives}
    if len(set(first_of.values())) == 1:  # `re` finds one letter by itself
        return "|".join(alternatives)
    known = {each: first for each, first in first_of.items() if first is not None}
    looking = [f"(?=[{''.join(known.values())}])(?:{'|'.join(known)})"] if known else []
    return "|".join([*looking, *(each for each in alternatives if each not in known)])


@cache  # question words stand in several rules
def first_letters(pattern: str) -> str | None:
    """The letters, as they stand in a class; none if they may be any, or if they are not known."""
    found = [_first(alternative) for alternative in _apart(pattern)]
    letters = [each for each in found if each]
    return "".join(letters) if len(letters) == len(found) else None


def _first(pattern: str) -> str | None:
    """The same of one alternative; empty if it may match nothing."""
    while (border := _BORDER.match(pattern)) is not None:
        pattern = pattern[_end(pattern) if border[0].startswith("(") else border.end() :]
    if not pattern:
        return ""
    if (group := _GROUP.match(pattern)) is not None:
        end = _end(pattern)
        first = first_letters(pattern[group.end() : end - 1])
    elif (letters := _CLASS.match(pattern)) is not None:
        end, first = letters.end(), letters[1]
    else:
        end, first = 1, None if pattern[0] in _SPECIAL else pattern[0]
    if first is None or _OPTIONAL.match(pattern, end) is None:
        return first
    behind = _first(pattern[_behind(pattern, end) :])
    return first + behind if behind else behind


def _behind(pattern: str, at: int) -> int:
    """Where what is repeated ends that is followed by how often."""
    at = pattern.index("}", at) + 1 if pattern[at] == "{" else at + 1
    return at + (pattern[at : at + 1] in {"?", "+"})


def _tokens(pattern: str) -> Iterator[tuple[str, int, int]]:
    """What a pattern is made of, where it ends, and how many groups are open behind it."""
    depth = 0
    for token in _TOKEN.finditer(pattern):
        depth += (token[0] == "(") - (token[0] == ")")
        yield token[0], token.end(), depth


def _end(pattern: str) -> int:
    """Where the group ends that a pattern begins with."""
    return next(end for _, end, depth in _tokens(pattern) if depth == 0)


def _apart(pattern: str) -> list[str]:
    """The alternatives of a pattern."""
    borders = [end for token, end, depth in _tokens(pattern) if token == "|" and depth == 0]
    starts, stops = [0, *borders], [*(end - 1 for end in borders), len(pattern)]
    return [pattern[start:stop] for start, stop in zip(starts, stops, strict=True)]
