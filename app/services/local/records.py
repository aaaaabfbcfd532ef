"""JSON as Markdown: records as far as they are text, and notebooks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from app.services.local.unreadable import Unreadable

_NOT_JSON = "not JSON"
_DEEPEST = 5  # of the headings that names make


def from_json(text: str) -> str:
    return _joined(_sections(_parsed(text), 1))


def from_json_lines(text: str) -> str:
    """A record a line; one that is broken, as the last one may be, costs no other."""
    records, lines = [], [line for line in text.splitlines() if line.strip()]
    for line in lines:
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    if lines and not records:
        raise Unreadable(_NOT_JSON)
    return _joined(_sections(records, 1))


def from_notebook(text: str) -> str:
    book = _parsed(text)
    cells = book.get("cells") if isinstance(book, dict) else None
    if not isinstance(cells, list):
        raise Unreadable("not a notebook")
    return _joined(map(_cell, filter(_is_cell, cells)))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(_NOT_JSON) from error


def _joined(blocks: Iterable[str]) -> str:
    return "\n\n".join(filter(None, blocks))


def _is_cell(cell: object) -> bool:
    return isinstance(cell, dict) and cell.get("cell_type") in {"markdown", "code"}


def _cell(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return text if cell["cell_type"] == "markdown" or not text.strip() else f"```\n{text}\n```"


def _sections(value: object, level: int) -> Iterator[str]:
    """What stands in an object under the name of each of its parts; a list is one record after the other."""
    if isinstance(value, dict) and level <= _DEEPEST:
        parts = {name: part for name, part in value.items() if isinstance(part, dict) or _has_objects(part)}
        yield _record({name: part for name, part in value.items() if name not in parts})
        for name, part in parts.items():
            below = list(filter(None, _sections(part, level + 1)))
            if below:
                yield f"{'#' * level} {_line(name)}"
                yield from below
    elif isinstance(value, list):
        yield from map(_record, value) if _has_objects(value) else [_record(value)]
    else:
        yield _record(value)


def _has_objects(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict | list) for each in value)


def _record(value: object) -> str:
    return "\n".join(f"- {line}" for line in _lines(value, ""))


def _lines(value: object, name: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _lines(part, f"{name} {key}".strip())
    elif _has_objects(value):
        assert isinstance(value, list)
        for part in value:
            yield from _lines(part, name)
    else:
        said = ", ".join(filter(None, map(_said, value if isinstance(value, list) else [value])))
        if said:
            yield f"{_line(name)}: {said}" if name else said


def _said(value: object) -> str:
    return "" if value is None or isinstance(value, bool) else _line(str(value))


def _line(text: str) -> str:
    return " ".join(text.split())
