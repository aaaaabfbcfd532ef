"""What was said and not yet asked, by whom; and what is only a recogniser repeating itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import regex

from app.models.spelling import compared
from app.models.verdicts import Verdict

Speaker = str | None
SegmentId = str | int | None
# new: a further segment. replaced: one in the buffer, corrected. repeated: nothing new.
# extended: one that left the buffer has grown.
Placement = Literal["new", "replaced", "repeated", "extended"]

# How many segments are remembered after they left the buffer, so that a late repetition is known as one.
REMEMBERED_IDS = 256
REMEMBERED_CHARS = 32_000
# How long a final may take to come after a partial was taken for it, in seconds.
LATE_FINAL_SECONDS = 60.0
# How many finals back the words are compared where the recogniser gives no ids: WhisperLive repeats ten.
REMEMBERED_FINALS = 12
# How many speakers may have talk in the buffer; beyond, the one longest silent is dropped.
MAX_SPEAKERS = 16

# Marks are letters in part: क and की are two words.
_NOT_WORDS = regex.compile(r"[^\p{L}\p{M}\p{N}]+")
_SPACED = {code: " " for code in range(128) if not chr(code).isalnum()}
_SPACE = regex.compile(r"\s+")
# A word of more characters is none: the text is cut inside.
MAX_WORD_CHARS = 64
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]\Z")


def plain(text: str) -> str:
    """The words alone: two finals that differ by case, spaces, punctuation or spelling in Unicode say the same."""
    if text.isascii():
        return " ".join(text.lower().translate(_SPACED).split())  # the same, at a tenth of the cost
    # One sign may stand for eighteen letters: of a text of such, the beginning is enough.
    letters = compared(text)[: 2 * len(text) + 64]
    return _NOT_WORDS.sub(" ", letters.casefold()).strip()


def extends(longer: str, shorter: str) -> bool:
    """Whether one plain text is the other with more words at its end."""
    if not longer.startswith(shorter) or len(longer) == len(shorter):
        return False
    return longer[len(shorter)] == " " or bool(_UNSPACED.search(shorter))


def holds(longer: str, shorter: str) -> bool:
    """Whether the words of one plain text stand together in the other."""
    return shorter in longer if _UNSPACED.search(shorter) else f" {shorter} " in f" {longer} "


@dataclass(slots=True, eq=False)
class Segment:
    """One final piece of transcript, `heard_at` in seconds of the session's clock. Equal only to itself.

    `asks` tells how its words were judged. `is_provisional`: no final has come yet, a partial stands for it.
    """

    text: str
    heard_at: float
    segment_id: SegmentId = None
    speaker: Speaker = None
    language: str | None = None
    is_provisional: bool = False
    asks: Verdict | None = None
    began_at: float | None = None
    recalled_at: float = 0.0
    words: str = field(init=False)

    def __post_init__(self) -> None:
        self.words = plain(self.text)

    def may_be_said_by(self, speaker: Speaker) -> bool:
        """False when two speakers are named and differ."""
        return self.speaker == speaker or None in (self.speaker, speaker)


@dataclass(slots=True)
class Transcript:
    """The segments since the last asked question, in the order they were said.

    Of each speaker's, at most `limit` characters are kept, joined: whole segments, the oldest of which drop first; the
    newest always stays. Finals of a speaker at most `merge_seconds` apart may be one utterance. `gone` and `finals`
    know a repetition, `crowded_out` what had to go when the newest was put in place.
    """

    limit: int
    merge_seconds: float
    stale_seconds: float
    segments: list[Segment] = field(default_factory=list)
    gone: dict[str | int, Segment] = field(default_factory=dict)
    finals: list[Segment] = field(default_factory=list)
    crowded_out: list[Segment] = field(default_factory=list)

    def put(self, segment: Segment) -> tuple[Placement, Segment]:
        """Place a segment; return how, and the older segment it has to do with (else itself)."""
        older = self._same_utterance(segment)
        if older is None:
            self.append(segment)
            return "new", segment
        if older in self.segments:
            if segment.text != older.text:
                self.replace(older, segment)
                return "replaced", older
        elif extends(segment.words, older.words):
            return "extended", older
        older.heard_at = segment.heard_at
        older.is_provisional = False
        return "repeated", older

    def _same_utterance(self, segment: Segment) -> Segment | None:
        if segment.segment_id is not None:
            for known in self.segments:
                if known.segment_id == segment.segment_id and known.may_be_said_by(segment.speaker):
                    return known
            gone = self.gone.get(segment.segment_id)
            if gone is not None and gone.may_be_said_by(segment.speaker):
                return gone
        mine = [known for known in self.finals if known.speaker == segment.speaker]
        for known in reversed(mine):
            if segment.segment_id is not None and not known.is_provisional:
                continue  # its id says that it is another one
            is_late_final = known.is_provisional and not segment.is_provisional
            is_recent = segment.heard_at - known.heard_at <= (
                LATE_FINAL_SECONDS if is_late_final else self.merge_seconds
            )
            is_newest = known is mine[-1]
            if is_recent and (segment.words == known.words or (is_newest and extends(segment.words, known.words))):
                return known
        return None

    def recalls(self, text: str, speaker: Speaker, now: float) -> bool:
        """Whether a partial only says what was heard just before: it came late, or is sent again and again."""
        words: str | None = None  # looked for in what was said a moment ago, and there is mostly nothing
        for known in self.finals:
            # What was taken from a partial is as old as its last word.
            limit = self.merge_seconds + (self.stale_seconds if known.is_provisional else 0)
            if not known.may_be_said_by(speaker) or now - max(known.heard_at, known.recalled_at) > limit:
                continue
            words = plain(text) if words is None else words
            if holds(known.words, words):
                known.recalled_at = now
                return True
        return False

    def append(self, segment: Segment) -> None:
        kept = self.with_(segment)
        self.finals = [*self.finals, segment][-REMEMBERED_FINALS:]
        self.segments.append(segment)
        speakers = list(dict.fromkeys(known.speaker for known in reversed(self.segments)))
        self.crowded_out = [known for known in self.of(segment.speaker) if known not in kept]
        self.crowded_out += self.of(*speakers[MAX_SPEAKERS:])
        self.drop(self.crowded_out)

    def with_(self, segment: Segment) -> list[Segment]:
        """What this speaker's segments would be with one more."""
        mine = [*self.of(segment.speaker), segment]
        while len(mine) > 1 and len(join(mine)) > self.limit:
            # The oldest first, but what asks and waits for its turn after all the talk around it.
            del mine[next((index for index, known in enumerate(mine[:-1]) if known.asks is None), 0)]
        return mine

    def replace(self, older: Segment, segment: Segment) -> None:
        """Put a corrected or longer version in the place of a segment."""
        self.segments = [segment if known is older else known for known in self.segments]
        self.finals = [segment if known is older else known for known in self.finals]

    def of(self, *speakers: Speaker) -> list[Segment]:
        return [segment for segment in self.segments if segment.speaker in speakers]

    def before(self, segment: Segment) -> Segment | None:
        """The same speaker's final just before, if it is near enough to belong to it."""
        mine = self.of(segment.speaker)
        index = mine.index(segment)
        if index == 0 or segment.heard_at - mine[index - 1].heard_at > self.merge_seconds:
            return None
        return mine[index - 1]

    def drop(self, segments: Iterable[Segment]) -> None:
        """Take these out; a repetition of them is still known as one."""
        for segment in [known for known in segments if known in self.segments]:
            self.segments.remove(segment)
            if segment.segment_id is not None:
                self.gone.pop(segment.segment_id, None)
                self.gone[segment.segment_id] = segment
                self._forget_oldest()

    def _forget_oldest(self) -> None:
        size = sum(len(segment.text) for segment in self.gone.values())
        while len(self.gone) > REMEMBERED_IDS or (size > REMEMBERED_CHARS and len(self.gone) > 1):
            size -= len(self.gone.pop(next(iter(self.gone))).text)

    def put_back(self, segments: list[Segment]) -> None:
        """Undo the `drop` of segments that were asked: they are said again, as one question with what follows."""
        self.segments = [*segments, *self.segments]


def ending(text: str, limit: int) -> str:
    """The last `limit` characters of a text, from the beginning of a word on where one is near."""
    if len(text) <= limit:
        return text
    rest = text[-limit:]
    if text[-limit - 1].isspace():
        return rest.lstrip()
    border = _SPACE.search(rest, 0, MAX_WORD_CHARS)
    return rest if border is None else rest[border.end() :]


def join(segments: Iterable[Segment]) -> str:
    # One space, also before Chinese: the border of a segment is information.
    return " ".join(segment.text for segment in segments)
