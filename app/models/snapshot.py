"""Writes down what a session knows, as plain JSON, and reads it back: in another process, by another clock.

Times are kept as ages, for no two machines have the same clock. What is known to be one thing, such as a segment that
is both in the talk and in a question, is one thing again. What was written by the version before is read; a field that
it lacks has its default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from app.models.answers import (
    AnswerEnd,
    ConversationNamed,
    Progress,
    Source,
    TextDelta,
    TextReplaced,
    Turn,
)
from app.models.listening import Ask, Waiting
from app.models.messages import AsrChunk, Configure
from app.models.partials import Partial
from app.models.queries import Asked, RunningQuery
from app.models.speculation import Speculation
from app.models.transcript import Segment
from app.models.verdicts import Verdict

VERSION = 1

Snapshot = dict[str, Any]
Parts = Mapping[str, tuple[object, Sequence[str]]]
"""Objects that exist before anything is read, and which of their attributes are kept."""

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(Segment, Verdict, Ask, Partial, Waiting, RunningQuery, Asked, Speculation, Turn, AsrChunk, Configure),
        *(TextDelta, TextReplaced, Progress, ConversationNamed, AnswerEnd, Source),
    )
}
_MOMENTS = frozenset(
    {
        *("heard_at", "began_at", "recalled_at", "asked_at", "first_text_at", "still_since", "deadline", "due"),
        *("old_at", "expires_at", "grown_at", "spoken_at"),
    }
)
_NEVER = "never"


class Unreadable(Exception):
    """This is no snapshot, or one of a version that is not known here."""


def write(parts: Parts, now: float) -> Snapshot:
    writer = _Writer(now)
    state = {name: writer.attributes(holder, names) for name, (holder, names) in parts.items()}
    return {"version": VERSION, "things": writer.things, "state": state}


def read(snapshot: Snapshot, parts: Parts, now: float) -> None:
    """Give the parts what they had. Raises `Unreadable`; then they are worth nothing."""
    try:
        if snapshot["version"] not in (VERSION, VERSION - 1):
            raise Unreadable(f"version {snapshot['version']}")
        reader = _Reader(now)
        for thing in snapshot["things"]:
            reader.add(*thing)
        for name, (holder, names) in parts.items():
            told = snapshot["state"][name]
            for each in names:
                if each in told:
                    setattr(holder, each, reader.attribute(each, told[each]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


class _Writer:
    """Every thing is written once, those that it knows before it, and named by its place."""

    def __init__(self, now: float) -> None:
        self.things: list[tuple[str, dict[str, Any]]] = []
        self._now = now
        self._places: dict[int, int] = {}

    def attributes(self, holder: object, names: Sequence[str]) -> dict[str, Any]:
        return {name: self._attribute(name, getattr(holder, name)) for name in names}

    def _attribute(self, name: str, value: Any) -> Any:
        if name in _MOMENTS and value is not None:
            return _NEVER if value == math.inf else self._now - value
        return self._value(value)

    def _value(self, value: Any) -> Any:
        if value is None or isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if isinstance(value, dict):
            return {"pairs": [[self._value(key), self._value(each)] for key, each in value.items()]}
        if type(value) is tuple:
            return {"tuple": [self._value(each) for each in value]}
        return {"thing": self._place(value)}

    def _place(self, thing: Any) -> int:
        place = self._places.get(id(thing))
        if place is None:
            if isinstance(thing, BaseModel):
                told = thing.model_dump(exclude_unset=True)
            else:
                names = [each.name for each in fields(thing) if each.init] if is_dataclass(thing) else thing._fields
                told = self.attributes(thing, names)
            place = self._places[id(thing)] = len(self.things)
            self.things.append((type(thing).__name__, told))
        return place


class _Reader:
    def __init__(self, now: float) -> None:
        self._now = now
        self._things: list[Any] = []

    def add(self, name: str, told: dict[str, Any]) -> None:
        kind = _KINDS[name]
        if issubclass(kind, BaseModel):
            self._things.append(kind.model_validate(told))
        else:
            self._things.append(kind(**{each: self.attribute(each, value) for each, value in told.items()}))

    def attribute(self, name: str, value: Any) -> Any:
        if name in _MOMENTS and value is not None:
            return math.inf if value == _NEVER else self._now - value
        return self._value(value)

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "thing" in value:
            return self._things[value["thing"]]
        if "tuple" in value:
            return tuple(self._value(each) for each in value["tuple"])
        return {self._value(key): self._value(each) for key, each in value["pairs"]}
