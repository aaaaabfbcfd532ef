"""What was said in a session, kept for providers to answer from: the finals of everybody, asked or not."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.models.answers import Said
from app.models.transcript import Placement, Segment

# What a final counts beside its letters: many short ones take as much room as a few long ones.
LINE_CHARS = 16


def _size(segment: Segment) -> int:
    return len(segment.text) + len(segment.speaker or "") + LINE_CHARS


@dataclass(slots=True)
class Talk:
    """The newest finals, as many as `limit` characters hold; none for 0. Its time begins with the first of them."""

    limit: int
    segments: list[Segment] = field(default_factory=list)
    began_at: float | None = None
    _room: int = field(init=False)

    def __post_init__(self) -> None:
        self.count()

    def count(self) -> None:
        """See what room the segments leave, when others stand in their place."""
        self._room = self.limit - sum(map(_size, self.segments))

    def put(self, placement: Placement, older: Segment, segment: Segment) -> None:
        """Take in what the transcript has placed."""
        if self.began_at is None:
            self.began_at = segment.heard_at if segment.began_at is None else segment.began_at
        if placement == "new":
            self.segments.append(segment)
        elif placement == "repeated" or older not in self.segments:
            return
        else:
            self.segments[self.segments.index(older)] = segment
            self._room += _size(older)
        self._room -= _size(segment)
        while self._room < 0:
            self._room += _size(self.segments.pop(0))

    def apart_from(self, asked: str) -> tuple[Said, ...]:
        """What was said but for that question, oldest first."""
        return tuple(said for segment in self.segments if (said := self._said(segment, asked)).text)

    def _said(self, segment: Segment, asked: str) -> Said:
        text = "" if segment.text == asked else segment.text
        question = "" if segment.asks is None else segment.asks.question
        if question not in text:
            question = text if text in question else ""
        if question in asked:  # a statement that it leans on may be among what is asked, and stays
            text, question = text.replace(question, "", 1).strip(), ""
        return Said(text, segment.speaker, segment.heard_at - (self.began_at or 0), question)
