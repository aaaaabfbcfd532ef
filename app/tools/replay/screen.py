"""Shows a replay while it runs: in colours and in place on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Callable
from typing import TextIO

from app.tools.replay.recording import Step
from app.tools.replay.score import Score, Spread
from app.tools.replay.tracker import Frame, Tracker

_DIM, _BOLD, _RED, _GREEN, _CYAN = "2", "1", "31", "32", "36"
# Characters that steer a terminal or turn the direction of what follows.
_UNSAFE = {"Cc", "Cs"}
_TURNS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Screen:
    """Writes to `out`; nothing that came over the wire can steer the terminal."""

    def __init__(
        self, out: TextIO, tracker: Tracker, steps: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._tracker = tracker
        self._steps = steps
        self._clock = clock
        self._start = clock()
        self._sent = 0
        self._is_terminal = out.isatty()
        self._has_colours = self._is_terminal and not os.environ.get("NO_COLOR")
        self._has_note = False
        self._text = ""
        """The last line of the answer, not ended yet."""

    def sent(self, step: Step) -> None:
        self._sent += 1
        who = step.frame.get("speaker")
        text = f"> {step.text}" if who is None else f"> {who}: {step.text}"
        if not step.text or step.frame["type"] == "keepalive":
            self._clear_note()
        elif step.is_final or not step.is_chunk:
            self._line(text)
        else:
            self._note(text)

    def tell(self, text: str) -> None:
        """What a person should know of the connections."""
        self._line(f"! {text}", _RED)

    def got(self, frame: Frame) -> None:
        match frame["type"]:
            case "ack" if "message" in frame:
                self._line(f"connected, session {frame['session_id']}", _DIM)
            case "status":
                self._status(frame)
            case "answer":
                self._answer(frame)
            case "error":
                self._line(f"! {frame['code']}: {frame['message']}", _RED)

    def _status(self, frame: Frame) -> None:
        stage, reason = frame["stage"], frame.get("reason")
        if stage in {"analyzing", "instant_query"}:
            self._line(f"? {frame['question']}", _BOLD)
        if stage in {"idle", "listening"} and reason in {None, "answered", "failed"}:
            return
        verdict = frame.get("verdict")
        why = f" ({verdict['reason']}, {verdict['confidence']:.2f})" if verdict else ""
        about = f": {reason}" if reason else ""
        note = f": {frame['note']}" if reason == "progress" and frame.get("note") else ""
        self._line(f"  {stage}{about}{note}{why}", _DIM)

    def _answer(self, frame: Frame) -> None:
        if frame.get("replace"):
            self._end_text()
            self._line("< (this replaces the answer so far)", _DIM)
        for piece in frame["content"].splitlines(keepends=True):
            self._write_text(piece)
        if frame["final"]:
            self._end_text()
            self._line(self._outcome(), _GREEN if "error" not in frame else _RED)

    def _outcome(self) -> str:
        question = self._tracker.questions[-1]
        first = "no text" if question.first_text_ms is None else f"first text {question.first_text_ms} ms"
        outcome = f"{question.outcome} ({question.reason})" if question.reason else question.outcome
        sources = f", sources: {question.sources}" if question.sources else ""
        return f"= {outcome}: {first}, total {question.total_ms} ms{sources}"

    def _write_text(self, piece: str) -> None:
        """On a terminal the text grows as it comes; elsewhere a line is written when it is whole."""
        text = safe(piece.rstrip("\r\n"))
        if self._is_terminal:
            if not self._text:
                self._clear_note()
                self._out.write(f"{self._stamp()}< ")
            self._out.write(text)
            self._out.flush()
        self._text += text or " "
        if piece.endswith(("\r", "\n")):
            self._end_text()

    def _end_text(self) -> None:
        if self._text:
            text, self._text = self._text.rstrip(), ""
            self._out.write("\n" if self._is_terminal else f"{self._stamp()}< {text}".rstrip() + "\n")
            self._out.flush()

    def _line(self, text: str, colour: str = "") -> None:
        self._end_text()
        self._clear_note()
        self._out.write(f"{self._stamp()}{self._paint(safe(text), colour)}\n")
        self._out.flush()

    def _note(self, text: str) -> None:
        """What is true for the moment only; elsewhere than on a terminal it is not shown."""
        if self._is_terminal and not self._text:
            self._clear_note()
            room = 64
            shown = safe(text) if len(text) <= room else "…" + safe(text[-room:])
            place = "" if self._steps is None else f"  {self._sent}/{self._steps}"
            self._out.write(f"{self._stamp()}{self._paint(shown + place, _DIM)}")
            self._out.flush()
            self._has_note = True

    def _clear_note(self) -> None:
        if self._has_note:
            self._out.write("\r\x1b[2K")
            self._has_note = False

    def _stamp(self) -> str:
        return self._paint(f"{self._clock() - self._start:7.2f}   ", _DIM)

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if colour and self._has_colours else text

    def close(self) -> None:
        """Leave the terminal with a whole line, whatever happened."""
        self._end_text()
        self._clear_note()

    def figures(self, score: Score) -> None:
        self._rows(_figures(score))

    def table(self, score: Score) -> None:
        """The figures, the labels, and whether all was as expected."""
        rows = _figures(score)
        if (labels := score.labels) is not None:
            rows += [
                ("labelled lines", str(labels.lines)),
                ("precision", _share(labels.precision)),
                ("recall", _share(labels.recall)),
            ]
            rows += [
                ("should have asked" if miss.asks else "should not have", f"line {miss.line}: {safe(miss.text)}")
                for miss in labels.misses
            ]
        self._rows(rows)
        is_good = score.is_as_expected
        verdict = "as expected" if is_good else "not as expected"
        self._out.write(self._paint(verdict, _GREEN if is_good else _RED) + "\n")
        self._out.flush()

    def _rows(self, rows: list[tuple[str, str]]) -> None:
        self.close()
        self._out.write("\n" + "".join(f"{name:20}{value}\n" for name, value in rows))
        self._out.flush()


def _figures(score: Score) -> list[tuple[str, str]]:
    return [
        ("questions found", str(len(score.questions))),
        ("first text", _spread(score.first_text)),
        ("total", _spread(score.total)),
        ("errors", ", ".join(f"{code} {n}" for code, n in score.errors.items()) or "none"),
    ]


def safe(text: str) -> str:
    """The text without what could steer a terminal."""
    return "".join(
        " " if c in "\n\t" else "\ufffd" if c in _TURNS or unicodedata.category(c) in _UNSAFE else c for c in text
    )


def _spread(spread: Spread) -> str:
    if spread.median is None or spread.p95 is None:
        return "-"
    return f"median {spread.median:.0f} ms, 95th {spread.p95:.0f} ms"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
