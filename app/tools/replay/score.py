"""Sums a replay up: figures, the lines that were judged wrong, and whether all was as expected."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.tools.replay.recording import Step
from app.tools.replay.tracker import Question, Tracker


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and 95th percentile in milliseconds, None where nothing was measured."""

    median: float | None
    p95: float | None

    @classmethod
    def of(cls, values: Iterable[int | None]) -> Spread:
        known = sorted(value for value in values if value is not None)
        if not known:
            return cls(None, None)
        return cls(statistics.median(known), known[math.ceil(0.95 * len(known)) - 1])


@dataclass(frozen=True, slots=True)
class Miss:
    """A labelled line that became a question and should not have, or the other way round."""

    line: int
    text: str
    asks: bool


@dataclass(frozen=True, slots=True)
class Labels:
    """How the labelled lines were judged. Precision and recall are None where nothing was or should have been asked."""

    lines: int
    precision: float | None
    recall: float | None
    misses: Sequence[Miss]


@dataclass(frozen=True, slots=True)
class Score:
    """What came of a replay. A question that went on in a later line counts once, as it was asked in the end."""

    questions: Sequence[Question]
    first_text: Spread
    total: Spread
    errors: Counter[str]
    labels: Labels | None

    @property
    def is_as_expected(self) -> bool:
        """Every label holds, every answer came whole, and no message was refused."""
        is_whole = all(question.outcome != "incomplete" for question in self.questions)
        return is_whole and not self.errors and not (self.labels and self.labels.misses)

    def to_dict(self) -> dict[str, Any]:
        return {
            "questions": [asdict(question) for question in self.questions],
            "first_text_ms": asdict(self.first_text),
            "total_ms": asdict(self.total),
            "errors": dict(self.errors),
            "labels": None if self.labels is None else asdict(self.labels),
        }


def score(tracker: Tracker, steps: Sequence[Step]) -> Score:
    """Judge a replay that is over."""
    questions = [question for question in tracker.questions if not question.is_extended]
    codes = [fault.code for fault in tracker.faults]
    codes += [str(question.reason) for question in questions if question.outcome == "failed"]
    return Score(
        questions=questions,
        first_text=Spread.of(question.first_text_ms for question in questions),
        total=Spread.of(question.total_ms for question in questions),
        errors=Counter(codes),
        labels=_labels(tracker, steps),
    )


def _labels(tracker: Tracker, steps: Sequence[Step]) -> Labels | None:
    # What was asked and then asked again with a later line is right either way: the later line tells.
    labelled = [step for step in steps if step.asks is not None and step.line not in tracker.extended]
    if all(step.asks is None for step in steps):
        return None
    asked = [step for step in labelled if step.line in tracker.asked]
    wanted = [step for step in labelled if step.asks]
    hits = sum(step.asks is True for step in asked)
    return Labels(
        lines=len(labelled),
        precision=hits / len(asked) if asked else None,
        recall=hits / len(wanted) if wanted else None,
        misses=[
            Miss(step.line, step.text, bool(step.asks))
            for step in labelled
            if step.asks != (step.line in tracker.asked)
        ],
    )
