"""Prints what a run has shown, as a table for `docs/operations.md`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.soak.process import Figures, Watched


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


def growth_rows(before: Figures, after: Figures, course: Sequence[float], *, resident_mb: float) -> list[Row]:
    """Whether the process is back to where it was. `course`: its resident memory in between, in MB, at even distances.

    What is in use has to be back. What is resident stays higher after a crowd: allocators give back only what is empty
    in one piece, and something that stays lies in most. `resident_mb` is how much of that is borne.
    """
    tenths = " ".join(f"{course[len(course) * step // 10 - 1]:.0f}" for step in range(1, 11))
    rows = [
        info(
            "resident memory: before, most, after",
            f"{before.resident_mb:.1f}, {max(course):.1f}, {after.resident_mb:.1f} MB",
        ),
        info("resident memory at each tenth of the time", f"{tenths} MB"),
        most("resident memory: growth", resident_mb, after.resident_mb - before.resident_mb, " MB"),
    ]
    for what, one, other, room in (
        # Caches fill by and by; anything that stays of a question or of a socket would be far more.
        ("memory in use by C, in MB: before, after", before.malloc_mb, after.malloc_mb, 1.0),
        ("memory blocks in use by Python: before, after", before.blocks, after.blocks, 20_000),
        ("Python objects: before, after", before.objects, after.objects, 5_000),
        ("tasks: before, after", before.tasks, after.tasks, 0),
        ("file descriptors: before, after", before.descriptors, after.descriptors, 0),
    ):
        seen = f"{one:,.1f}, {other:,.1f}" if isinstance(one, float) else f"{one:,}, {other:,}"
        rows.append(Row(what, f"back{f', + {room:,}' if room else ''}", seen, other <= one + room))
    return rows
