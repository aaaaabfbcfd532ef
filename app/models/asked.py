"""What of the talk is asked: the sentences that ask, and the talk before them apart."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from app.models.transcript import Segment, join
from app.models.verdicts import Verdict


class Asked(NamedTuple):
    """A question, and the talk that led to it."""

    text: str
    context: str = ""

    @property
    def whole(self) -> str:
        return f"{self.context} {self.text}".lstrip()


def phrase(segments: Sequence[Segment], verdict: Verdict, *, with_talk: bool = False) -> Asked:
    """The question of that verdict, which ends in the last of these segments.

    What was said after it in the same final does not go along, unless it is to be asked `with_talk`: then finals stay
    whole. One that means nothing by itself takes along what was said just before: in its final, else the final before.
    """
    whole = join(segments)
    starts = list(accumulate((len(segment.text) + 1 for segment in segments[:-1]), initial=0))
    start = whole.rfind(verdict.question) if verdict.question else -1
    end = start + len(verdict.question)
    if start < 0:
        start = next((at for at, each in zip(starts, segments, strict=True) if each.asks is not None), 0)
        end = len(whole)
    final = bisect_right(starts, start) - 1
    if with_talk:
        start = starts[final]
    elif verdict.is_follow_up:
        start = starts[final] if starts[final] < start else starts[max(0, final - 1)]
    if with_talk or end <= starts[-1]:  # more of it came in another final
        end = len(whole)
    return Asked(whole[start:end].strip(), whole[:start].rstrip())
