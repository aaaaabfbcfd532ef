"""What was said and not yet asked, by whom; and what is only a recogniser repeating itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import regex

from app.models.likeness import copies, corrects, extends, grows, holds, lingers, plain
from app.models.verdicts import Verdict

Speaker = str | None
SegmentId = str | int | None
# new: a further segment. replaced: one in the buffer, corrected. repeated: nothing new.
# corrected, extended: one that left the buffer was heard better, or has grown.
Placement = Literal["new", "replaced", "repeated", "corrected", "extended"]

# How many segments are remembered after they left the buffer, so that a late repetition is known as one.
REMEMBERED_IDS = 256
REMEMBERED_CHARS = 32_000
# How long a final may take to come after a partial was taken for it, in seconds.
LATE_FINAL_SECONDS = 60.0
# How long after one speaker another one may be heard saying the same, in seconds: it is one voice on two channels.
ECHO_SECONDS = 2.0
# How many finals back the words are compared where the recogniser gives no ids: WhisperLive repeats ten.
REMEMBERED_FINALS = 12
# How many speakers may have talk in the buffer; beyond, the one longest silent is dropped.
MAX_SPEAKERS = 16

_SPACE = regex.compile(r"\s+")
# A word of more characters is none: the text is cut inside.
MAX_WORD_CHARS = 64


@dataclass(slots=True, eq=False)
class Segment:
    """One final piece of transcript, `heard_at` in seconds of the session's clock. Equal only to itself.

    `asks` tells how its words were judged. `is_provisional`: no final has come yet, a partial stands for it.
    `is_apart`: it stays in the talk, and is part of no question. `part_of`: the final that left the talk when one of
    its questions was asked, while this one waits.
    """

    text: str
    heard_at: float
    segment_id: SegmentId = None
    speaker: Speaker = None
    language: str | None = None
    is_provisional: bool = False
    is_apart: bool = False
    asks: Verdict | None = None
    began_at: float | None = None
    recalled_at: float = 0.0
    part_of: Segment | None = None
    words: str = field(init=False)

    def __post_init__(self) -> None:
        self.words = plain(self.text)

    def raises(self, question: Verdict) -> bool:
        """Whether this is one of the questions in it, and may still be asked."""
        return self.asks is not None and not self.is_apart and any(each is question for each in self.asks.each)

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
        elif grows(segment.words, older.words):
            return "extended", older
        elif segment.words != older.words:
            return "corrected", older
        older.heard_at = segment.heard_at
        older.is_provisional = False
        return "repeated", older

    def _same_utterance(self, segment: Segment) -> Segment | None:
        if segment.segment_id is not None:
            for known in self.segments:
                if known.segment_id == segment.segment_id and (
                    known.may_be_said_by(segment.speaker) or self._says_no_more_than(segment, known)
                ):
                    return known
            gone = self.gone.get(segment.segment_id)
            if gone is not None and self._says_no_more_than(segment, gone):
                return gone
        mine = [known for known in self.finals if known.speaker == segment.speaker]
        for known in reversed(mine):
            if segment.segment_id is not None and not known.is_provisional:
                continue  # its id says that it is another one
            is_newest = known is mine[-1]
            if known.is_provisional and not segment.is_provisional:
                is_recent = is_newest or segment.heard_at - known.heard_at <= LATE_FINAL_SECONDS
            else:
                is_recent = segment.heard_at - known.heard_at <= self.merge_seconds
            if is_recent and (
                segment.words == known.words
                or (is_newest and extends(segment.words, known.words))
                or (is_newest and known.is_provisional and corrects(segment.words, known.words))
            ):
                return known
        return None

    @staticmethod
    def _says_no_more_than(segment: Segment, known: Segment) -> bool:
        """Whether it is what is known, heard better or further; else its id was given to something else."""
        return corrects(segment.words, known.words) or grows(segment.words, known.words)

    def echoed(self, segment: Segment) -> Segment | None:
        """What somebody else was heard saying just now, if this is the same."""
        began_at = segment.heard_at if segment.began_at is None else segment.began_at
        for known in reversed(self.finals):
            if known.speaker == segment.speaker or known.is_apart or began_at - known.heard_at > ECHO_SECONDS:
                continue
            if copies(segment.words, known.words):
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
            if holds(known.words, words) or (known.is_provisional and lingers(words, known.words)):
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

    def until(self, question: Verdict, speaker: Speaker) -> list[Segment]:
        """What was said up to that question; empty if it is not known."""
        mine = self.of(speaker)
        return mine[: max((at for at, known in enumerate(mine, 1) if known.raises(question)), default=0)]

    def take(self, question: Verdict, speaker: Speaker, pending: Iterable[Verdict]) -> list[Segment]:
        """Hand out the same but for what holds only other questions, which are pending; it leaves the talk."""
        segments = [
            known
            for known in self.until(question, speaker)
            if known.raises(question) or not any(known.raises(other) for other in pending)
        ]
        self.drop(segments)
        if segments:
            self.keep_parts(segments[-1], question)
        return segments

    def before(self, segment: Segment) -> Segment | None:
        """The same speaker's final just before, if it is near enough to belong to it."""
        mine = self.of(segment.speaker)
        index = mine.index(segment)
        if index == 0 or mine[index - 1].is_apart or segment.heard_at - mine[index - 1].heard_at > self.merge_seconds:
            return None
        return mine[index - 1]

    def drop(self, segments: Iterable[Segment]) -> None:
        """Take these out; a repetition of them is still known as one."""
        for segment in [known for known in segments if known in self.segments]:
            self.segments.remove(segment)
            self.drop_parts(segment)
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
        for segment in segments:
            self.drop_parts(segment)
        self.segments = [*segments, *self.segments]

    def drop_parts(self, whole: Segment) -> None:
        """The questions of a final that wait are said again, with it."""
        self.segments = [known for known in self.segments if known.part_of is not whole]

    def keep_parts(self, whole: Segment, asked: Verdict) -> None:
        """Keep the questions of a final that has left the talk with one of them: each waits for its turn."""
        if whole.asks is None or not whole.asks.others:
            return
        rest, parts = whole.text, []
        for each in whole.asks.each:
            before, question, after = rest.partition(each.question)
            rest = after if question else rest
            if each is not asked:
                text = (before + each.question).strip()
                text = text if question else each.question
                parts.append(replace(whole, text=text, segment_id=None, asks=each, part_of=whole))
        self.segments = [*parts, *self.segments]


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
