"""One question on its way: what of the talk it asks, and what has been shown of its answer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal, NamedTuple

from app.models.effects import CancelQuery
from app.models.messages import Timing
from app.models.transcript import Segment, join
from app.models.verdicts import Verdict

# What is asked at most, in characters: several speakers' segments may wait to be asked as one question.
MAX_ASKED_CHARS = 8_000


class Asked(NamedTuple):
    """A question, and the talk that led to it."""

    text: str
    context: str = ""

    @property
    def whole(self) -> str:
        return f"{self.context} {self.text}".lstrip()

    def before(self, verdict: Verdict) -> str:
        """How the text begins with what a question of that verdict leans on, if it leans on anything."""
        if not (verdict.is_follow_up and verdict.question):
            return ""
        return self.text.rpartition(verdict.question)[0].rstrip()


@dataclass(slots=True)
class RunningQuery:
    query_id: str
    asked: Asked
    question: str  # as it is shown, by `QUERY_SCOPE`
    asked_at: float
    mode: Literal["instant"] | None = None
    segments: list[Segment] = field(default_factory=list)
    waited: float = 0.0
    frames: int = 0
    said: str = ""  # how the answer begins
    first_text_at: float | None = None
    user: str = ""  # who asks, to the provider
    run: str | None = None  # what the provider calls it

    def timing(self, now: float) -> Timing:
        first_text = None if self.first_text_at is None else round((self.first_text_at - self.asked_at) * 1000)
        total = round((now - self.asked_at) * 1000)
        return Timing(wait_ms=round(self.waited * 1000), first_text_ms=first_text, total_ms=total)

    def cancel(self, reason: str, now: float) -> CancelQuery:
        return CancelQuery(self.query_id, reason, self.timing(now))


def newest(segments: list[Segment]) -> list[Segment]:
    """As many of the last segments as make a question."""
    size = -1
    for index in range(len(segments) - 1, -1, -1):
        size += 1 + len(segments[index].text)
        if size > MAX_ASKED_CHARS:
            return segments[index + 1 :]
    return segments


def phrase(segments: Sequence[Segment], verdict: Verdict, *, with_talk: bool = False) -> Asked:
    """The question of that verdict, which ends in the last of these segments.

    What was said after it in the same final does not go along, unless it is to be asked `with_talk`: then finals stay
    whole. One that means nothing by itself takes along what was said just before: in its final, else the final before.
    """
    segments = [segment for segment in segments if not segment.is_apart]
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
