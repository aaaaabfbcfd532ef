"""Prints what a run has shown, as a table for `docs/operations.md`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.soak.process import Figures, Watched

MOST_GROWTH_MB = 20.0
MOST_LATE_GROWTH_MB = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    wanted: str
    seen: str
    is_good: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """The outcome of one part; its `problems` are for whoever has to find their cause."""

    title: str
    rows: Sequence[Row]
    problems: Sequence[str]

    @property
    def is_good(self) -> bool:
        return not self.problems and all(row.is_good for row in self.rows)

    def __str__(self) -> str:
        lines = [f"| {self.title} | wanted | seen |", "|---|---|---|"]
        lines += [f"| {row.what} | {row.wanted} | {row.seen}{'' if row.is_good else ' (!)'} |" for row in self.rows]
        return "\n".join([*lines, *(f"  PROBLEM {problem}" for problem in self.problems)])


def info(what: str, seen: object) -> Row:
    """A row that only tells."""
    return Row(what, "", f"{seen:,}" if isinstance(seen, int) else str(seen))


def none_of(what: str, count: int) -> Row:
    return Row(what, "0", f"{count:,}", count == 0)


def most(what: str, limit: float, seen: float, unit: str = "") -> Row:
    return Row(what, f"≤ {limit:,.0f}{unit}", f"{seen:,.1f}{unit}" if unit else f"{seen:,.0f}", seen <= limit)


def log_rows(service: Watched) -> list[Row]:
    return [
        none_of("errors and tracebacks in the log", len(service.faults)),
        Row("exit status", "0", str(service.exit_status), service.exit_status == 0),
    ]


def growth_rows(before: Figures, after: Figures, course: Sequence[float]) -> list[Row]:
    """Whether the process is back to where it was. `course`: its memory in between, in MB, at even distances.

    What the allocator of C keeps for the next time stays, so that memory does not come back: it has to stand still.
    """
    tenths = " ".join(f"{course[len(course) * step // 10 - 1]:.0f}" for step in range(1, 11))
    late = course[-1] - course[len(course) // 2]
    rows = [
        info("memory: before, most, after", f"{before.memory_mb:.1f}, {max(course):.1f}, {after.memory_mb:.1f} MB"),
        info("memory at each tenth of the time", f"{tenths} MB"),
        most("memory: growth over all", MOST_GROWTH_MB, after.memory_mb - before.memory_mb, " MB"),
        most("memory: growth in the second half", MOST_LATE_GROWTH_MB, late, " MB"),
    ]
    for what, one, other, room in (
        ("tasks: before, after", before.tasks, after.tasks, 0),
        ("file descriptors: before, after", before.descriptors, after.descriptors, 0),
        # Caches fill by and by; anything that stays of a question or of a socket would be far more.
        ("Python objects: before, after", before.objects, after.objects, 5_000),
    ):
        rows.append(Row(what, f"back{f', + {room:,}' if room else ''}", f"{one:,}, {other:,}", other <= one + room))
    return rows
