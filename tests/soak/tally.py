"""What happened in a run, counted, and what should not have happened, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MOST_PROBLEMS = 20


@dataclass
class Tally:
    sent: int = 0
    frames: int = 0
    asked: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """How questions ended: answered, failed, interrupted; left, when their client never came back to see it."""
    failures: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    problems: list[str] = field(default_factory=list)

    def report(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    @property
    def lost(self) -> int:
        """Questions without an outcome."""
        return self.asked - self.outcomes.total()
