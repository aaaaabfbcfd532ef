"""Prints figures that were measured side by side."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence

median = statistics.median


def heading(title: str) -> None:
    one, five, _ = os.getloadavg()
    print(f"\n{title}")
    print(f"  Python {platform.python_version()}, {os.cpu_count()} CPUs, load average {one:.2f} (5 min: {five:.2f})")


def figures(name: str, values: Sequence[float], unit: str) -> float:
    """Print the median of the repetitions with their range, and return it."""
    middle = median(values)
    print(f"  {name:<44} {middle:>9.2f} {unit:<6} ({min(values):.2f} to {max(values):.2f}, {len(values)} runs)")
    return middle


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float], wanted: float) -> None:
    """Print the median of the ratios of neighbouring runs, which shared the same noise."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    print(f"  {name:<44} {median(ratios):>9.2f}        ({min(ratios):.2f} to {max(ratios):.2f}; wanted: {wanted:.2f})")
