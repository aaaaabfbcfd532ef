"""What is being said and is not final yet, and whether it still says the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from app.models.likeness import corrects, extends, grows, plain, plain_again
from app.models.messages import AsrChunk

_ASKED = re.compile(r"[?？؟]\W*\w")
# What stands still for so long, in seconds, does not flicker.
STEADY = 1.0


def are_two(one: AsrChunk, other: AsrChunk) -> bool:
    """Whether their ids say that they belong to two utterances."""
    return None not in (one.segment_id, other.segment_id) and one.segment_id != other.segment_id


def flickers(text: str, core: str) -> bool:
    """Whether a recogniser only doubts the last word of what it said before: another one, none, or one more.

    Where there are no spaces, a word has two characters.
    """
    cut = core.rfind(" ") + 1
    if cut:
        return text.startswith(core[:cut].rstrip()) and text.count(" ", cut) < 2
    return len(core) > 2 and text.startswith(core[:-2]) and len(text) <= len(core) + 2


@dataclass(slots=True)
class Partial:
    """What somebody is saying: `text`, since `still_since`. `core`: what it was when it last grew, at `grown_at`."""

    chunk: AsrChunk
    text: str
    began_at: float
    still_since: float
    core: str
    grown_at: float
    was_weighed: bool = False

    @classmethod
    def begin(cls, chunk: AsrChunk, text: str, now: float) -> Self:
        return cls(chunk, text, now, now, text, now)

    def go_on(self, chunk: AsrChunk, text: str, now: float) -> Self:
        """This is what it says now."""
        self.chunk = chunk
        if text != self.text:
            self.text, self.still_since, self.was_weighed = text, now, False
        if not flickers(text, self.core):
            self.core, self.grown_at = text, now
        return self

    def is_left_by(self, chunk: AsrChunk, text: str) -> bool:
        """Whether the recogniser has begun anew, so that no final will come for this."""
        return are_two(self.chunk, chunk) and not grows(plain(text), plain(self.text))

    def became(self, words: str, segment_id: str | int | None) -> bool:
        """Whether a final with these words is this one, said to its end."""
        mine = plain_again(self.text)
        has_its_id = segment_id is not None and segment_id == self.chunk.segment_id
        return words == mine or extends(words, mine) or (has_its_id and corrects(words, mine))

    @property
    def holds_a_question(self) -> bool:
        """Whether another sentence has begun behind a question mark."""
        return _ASKED.search(self.text) is not None

    def settled(self, now: float) -> str:
        """What of it has stood still until now."""
        return self.text if now - self.still_since >= STEADY else self.core
