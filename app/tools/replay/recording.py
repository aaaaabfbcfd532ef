"""Reads a recorded talk: JSON lines with times, plain text, or the frames that the console wrote down."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import ClientError
from app.models.messages import AsrChunk, parse

_FIELDS = {"at_ms", "asks", *AsrChunk.model_fields}


class BadFile(Exception):
    """A file that cannot be replayed; the text is for the person who gave it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One message to send, `at` seconds after the first; `asks` says whether it is to become a question."""

    line: int
    at: float
    frame: Mapping[str, Any]
    asks: bool | None = None

    @property
    def id(self) -> str:
        return f"line-{self.line}"

    @property
    def text(self) -> str:
        """What was said, or the control that is sent."""
        frame = self.frame
        if self.is_chunk:
            return str(frame.get("text") or "").strip()
        return str(frame.get("text") or frame.get("action") or frame.get("type")).strip()

    @property
    def is_chunk(self) -> bool:
        return self.frame.get("type") == "asr_chunk"

    @property
    def is_final(self) -> bool:
        return self.is_chunk and self.frame.get("is_final") is True


def read_recording(path: Path, gap: float) -> list[Step]:
    """Read a file of any of the three forms; lines of plain text come `gap` seconds apart.

    Raises `BadFile` for what cannot be replayed and `OSError` for what cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile(f"{path}: not UTF-8 at byte {error.start}") from error
    # Not splitlines(): a JSON text may hold U+2028.
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise BadFile(f"{path}: there is nothing in it")
    try:
        steps = list(_json_steps(lines) if lines[0][1].startswith("{") else _text_steps(lines, gap))
    except _BadLine as error:
        raise BadFile(f"{path}, line {error.number}: {error}") from error
    if not steps:
        raise BadFile(f"{path}: no frame in it was sent by a client")
    return steps


class _BadLine(Exception):
    def __init__(self, number: int, problem: str) -> None:
        super().__init__(problem)
        self.number = number


def _text_steps(lines: list[tuple[int, str]], gap: float) -> Iterator[Step]:
    for index, (number, line) in enumerate(lines):
        yield Step(number, index * gap, _chunk(number, {"text": line, "is_final": True}))


def _json_steps(lines: list[tuple[int, str]]) -> Iterator[Step]:
    start: float | None = None
    before = 0.0
    for number, line in lines:
        row = _row(number, line)
        at = _time(number, row)
        if at < before:
            raise _BadLine(number, "at_ms: is earlier than in the line before")
        before = at
        frame = _frame(number, row) if "frame" in row else _said(number, row)
        if frame is None:
            continue
        start = at if start is None else start
        yield Step(number, (at - start) / 1000, frame, row.get("asks"))


def _row(number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _BadLine(number, f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise _BadLine(number, "not a JSON object")
    if "frame" not in row and "text" not in row:
        raise _BadLine(number, "has neither text nor frame")
    return row


def _time(number: int, row: dict[str, Any]) -> float:
    at = row.get("at_ms")
    if isinstance(at, bool) or not isinstance(at, int | float) or not (math.isfinite(at) and at >= 0):
        raise _BadLine(number, "at_ms: is not a number of milliseconds")
    return float(at)


def _frame(number: int, row: dict[str, Any]) -> dict[str, Any] | None:
    """The frame if the client sent it: as it was, but that the session is a new one."""
    if row.get("direction") not in {"in", "out"}:
        raise _BadLine(number, "direction: is neither in nor out")
    if row["direction"] == "in":
        return None
    if not isinstance(row["frame"], dict):
        raise _BadLine(number, "frame: not a JSON object")
    return {name: value for name, value in row["frame"].items() if name != "session_id"}


def _said(number: int, row: dict[str, Any]) -> dict[str, Any]:
    # A misspelt label would be an expectation that always holds.
    if unknown := sorted(row.keys() - _FIELDS):
        raise _BadLine(number, f"{unknown[0]}: there is no such field")
    asks = row.get("asks")
    if asks is not None and not isinstance(asks, bool):
        raise _BadLine(number, "asks: is neither true nor false")
    if asks is not None and row.get("is_final") is not True:
        raise _BadLine(number, "asks: only a final line can be expected to ask")
    fields = {name: value for name, value in row.items() if name not in {"at_ms", "asks", "session_id"}}
    return _chunk(number, fields)


def _chunk(number: int, fields: dict[str, Any]) -> dict[str, Any]:
    frame = {"type": "asr_chunk", **fields}
    try:
        message = parse(json.dumps(frame))
    except ClientError as error:
        raise _BadLine(number, error.message) from error
    if not isinstance(message, AsrChunk):
        raise _BadLine(number, "type: is not asr_chunk")
    return frame
