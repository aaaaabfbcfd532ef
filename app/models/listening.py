"""Decides when somebody has asked: hears chunks, waits for what may go on, and says what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from app.config import Settings
from app.models.messages import AsrChunk, Configure
from app.models.talk import Talk
from app.models.transcript import MAX_SPEAKERS, Segment, Speaker, Transcript, extends, join, plain
from app.models.verdicts import Verdict

Judge = Callable[[str, str | None], Verdict]

# A partial that stands still for so long, in seconds, may be all that is said.
STANDSTILL = 0.3
# From this confidence on, a question that looks complete is asked without a wait.
SURE = 0.7


@dataclass(frozen=True, slots=True)
class Keep:
    """The text is kept; nothing is asked."""

    reason: str
    note: str
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A question that may go on: it is asked when nothing more comes for `seconds`."""

    verdict: Verdict
    seconds: float
    reason: str = "may_continue"


@dataclass(frozen=True, slots=True)
class Ask:
    """A question is ready, `waited` seconds after it was heard; `extends`: it goes on with the running one."""

    speaker: Speaker
    verdict: Verdict
    waited: float = 0.0
    reason: str | None = None
    extends: bool = False


@dataclass(frozen=True, slots=True)
class Guess:
    """A partial that may well be the whole question: what would be asked if it were final."""

    speaker: Speaker
    verdict: Verdict
    segments: list[Segment]


Decision = Keep | Wait | Ask | Guess


@dataclass(slots=True)
class _Waiting:
    first: Segment
    verdict: Verdict
    heard_at: float
    seconds: float
    deadline: float


@dataclass(slots=True)
class Partial:
    chunk: AsrChunk
    text: str
    began_at: float
    still_since: float
    was_weighed: bool = False


def _stale(decision: Keep | Wait | Ask, waited: float) -> Decision:
    if isinstance(decision, Ask):
        return replace(decision, reason="stale_partial", waited=waited)
    return replace(decision, reason="stale_partial")


def _same_id(one: Segment, other: Segment) -> bool:
    return one.segment_id is not None and one.segment_id == other.segment_id


@dataclass(slots=True)
class Listener:
    """All that is heard in one session. Times are seconds of one clock.

    `wishes` is what the client has configured, all its messages in one.
    """

    settings: Settings
    wishes: Configure
    judge: Judge
    transcript: Transcript = field(init=False)
    talk: Talk = field(init=False)
    last_final: Segment | None = None
    partials: dict[Speaker, Partial] = field(default_factory=dict)
    # When `tick` has something to do, or finds that what was due has moved.
    due: float | None = None
    _waits: dict[Speaker, _Waiting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.settings
        self.talk = Talk(settings.talk_chars)
        self.transcript = Transcript(settings.context_max_chars, settings.merge_seconds, settings.stale_partial_seconds)

    def _look_at(self, time: float) -> None:
        if self.due is None or time < self.due:
            self.due = time

    def _next_due(self) -> float | None:
        stale = self.settings.stale_partial_seconds
        times = [partial.still_since + stale for partial in self.partials.values()]
        if self.settings.speculate:
            times += [p.still_since + STANDSTILL for p in self.partials.values() if not p.was_weighed]
        return min(times + [wait.deadline for wait in self._waits.values()], default=None)

    def hear_partial(self, chunk: AsrChunk, text: str, now: float) -> Guess | None:
        """Remember what is being said: it stretches a wait, and stands for a final that never comes."""
        before = self.partials.pop(chunk.speaker, None)
        if not text or self.transcript.recalls(text, chunk.speaker, now):
            return None
        partial = self.partials[chunk.speaker] = Partial(chunk, text, now, now)
        self._look_at(now + (STANDSTILL if self.settings.speculate else self.settings.stale_partial_seconds))
        if before is not None and before.text == text:
            partial.still_since, partial.was_weighed = before.still_since, before.was_weighed
        if before is not None:
            partial.began_at = before.began_at
        if len(self.partials) > MAX_SPEAKERS:
            del self.partials[next(iter(self.partials))]
        if (wait := self._waits.get(chunk.speaker)) is not None:
            wait.deadline = now + wait.seconds
        return self._guess(partial) if chunk.end_of_turn and self.settings.speculate else None

    def hear_final(self, chunk: AsrChunk, text: str, now: float, unanswered: list[Segment]) -> Keep | Wait | Ask:
        """Place a final and judge it. `unanswered`: the segments of a running question that has no text yet."""
        segment = Segment(text, now, chunk.segment_id, chunk.speaker, chunk.language)
        partial = self.partials.pop(chunk.speaker, None)
        segment.began_at = now if partial is None else partial.began_at
        # Some recognisers know who speaks only at the end: the partial came under another name.
        for speaker, other in list(self.partials.items()):
            words = plain(other.text)
            if words == segment.words or extends(segment.words, words):
                del self.partials[speaker]
        return self._take(segment, chunk, unanswered)

    def end_turn(self, speaker: Speaker, now: float) -> Ask | None:
        """The speaker is done: a question that waits is asked now."""
        wait = self._waits.pop(speaker, None)
        return None if wait is None else Ask(speaker, wait.verdict, now - wait.heard_at)

    def tick(self, now: float, unanswered: list[Segment]) -> list[Decision]:
        """Decide what time has decided: waits that are over, partials that no final followed."""
        decisions: list[Decision] = []
        self.due = None
        over = [speaker for speaker, wait in self._waits.items() if wait.deadline <= now]
        decisions += filter(None, [self.end_turn(speaker, now) for speaker in over])
        if self.settings.speculate:
            for partial in self.partials.values():
                if partial.still_since + STANDSTILL <= now and (guess := self._guess(partial)) is not None:
                    decisions.append(guess)
        stale = self.settings.stale_partial_seconds
        for speaker in [speaker for speaker, partial in self.partials.items() if partial.still_since + stale <= now]:
            partial = self.partials.pop(speaker)
            chunk, said_at = partial.chunk, partial.still_since
            segment = Segment(partial.text, said_at, chunk.segment_id, speaker, chunk.language, is_provisional=True)
            decisions.append(_stale(self._take(segment, chunk, unanswered), now - said_at))
        self.due = self._next_due()
        return decisions

    def give_up(self) -> None:
        """No wait asks any more; what was said stays in the talk."""
        self._waits.clear()

    def ignore(self, ask: Ask) -> None:
        """Take a question out of the talk; what was said around it stays."""
        self.transcript.drop([segment for segment in self.transcript.of(ask.speaker) if segment.asks is ask.verdict])

    def take(self, *speakers: Speaker) -> list[Segment]:
        """Hand out what these speakers have said; it leaves the talk."""
        for speaker in speakers:
            self._waits.pop(speaker, None)
        segments = self.transcript.of(*speakers)
        self.transcript.drop(segments)
        return segments

    def until(self, ask: Ask) -> list[Segment]:
        """What its speaker has said up to that question; empty if it was taken back since."""
        mine = self.transcript.of(ask.speaker)
        return mine[: max((at for at, known in enumerate(mine, 1) if known.asks is ask.verdict), default=0)]

    def take_question(self, ask: Ask) -> list[Segment]:
        """Hand out a question with the talk before it; both leave the talk."""
        segments = self.until(ask)
        if (wait := self._waits.get(ask.speaker)) is not None and wait.first in segments:
            del self._waits[ask.speaker]
        self.transcript.drop(segments)
        return segments

    def _counts(self, speaker: Speaker) -> bool:
        return not self.wishes.speakers or speaker in self.wishes.speakers

    def _guess(self, partial: Partial) -> Guess | None:
        chunk, was_weighed = partial.chunk, partial.was_weighed
        partial.was_weighed = True
        if was_weighed or self.wishes.auto_detect is False or not self._counts(chunk.speaker):
            return None
        verdict = self.judge(partial.text, chunk.language)
        is_sure = verdict.is_complete and verdict.confidence >= SURE
        if not verdict.is_question or not (is_sure or chunk.end_of_turn):
            return None
        segment = Segment(
            partial.text, partial.still_since, chunk.segment_id, chunk.speaker, chunk.language, asks=verdict
        )
        return Guess(chunk.speaker, verdict, self.transcript.with_(segment))

    def _take(self, segment: Segment, chunk: AsrChunk, unanswered: list[Segment]) -> Keep | Wait | Ask:
        placement, older = self.transcript.put(segment)
        if self.talk.limit:
            self.talk.put(placement, older, segment)
        wait = self._waits.get(segment.speaker)
        is_extension = placement == "extended" and older in unanswered
        if placement == "repeated" or (placement == "extended" and not is_extension and _same_id(older, segment)):
            ended = self.end_turn(segment.speaker, segment.heard_at) if chunk.end_of_turn else None
            return ended or Keep("duplicate", "This was said before.")
        if placement == "replaced":
            if wait is not None and wait.first is older:
                wait.first = segment
        elif is_extension and (chunk.confidence is None or chunk.confidence >= self.settings.min_confidence):
            self.transcript.put_back(unanswered)
            self.transcript.replace(older, segment)
        elif placement == "extended":
            self.transcript.append(segment)  # its answer has begun: this is a question of its own
        if not self._counts(segment.speaker):
            return Keep("other_speaker", "Questions of this speaker do not count.")
        if placement != "replaced" or older is self.last_final:
            self.last_final = segment
        if self.wishes.auto_detect is False:
            return Keep("auto_detect_off", "Questions are only asked by instant_query.")
        if chunk.confidence is not None and chunk.confidence < self.settings.min_confidence:
            return Keep("low_confidence", "The recogniser is not sure of these words.")
        if is_extension:
            return self._extended(segment)
        return self._decide(segment, bool(chunk.end_of_turn), unanswered)

    def _decide(self, segment: Segment, is_end: bool, unanswered: list[Segment]) -> Keep | Wait | Ask:
        wait = self._waits.pop(segment.speaker, None)
        asking, verdict = self._judge(segment, wait)
        if not verdict.is_question and wait is None:
            if self._goes_on(segment, verdict, unanswered):
                self.transcript.put_back(unanswered)
                return self._extended(segment)
            return Keep("not_a_question", "No question so far.", verdict)
        if not verdict.is_question and wait is not None:
            if wait.first is segment:  # what was waited for has been corrected
                return Keep("not_a_question", "No question so far.", verdict)
            # Another sentence has begun: the question before it is over.
            return Ask(segment.speaker, wait.verdict, segment.heard_at - wait.heard_at)
        for known in asking:
            known.asks = verdict
        seconds = 0.0 if is_end else self._wait_for(verdict)
        now = segment.heard_at
        if not seconds:
            return Ask(segment.speaker, verdict)
        self._waits[segment.speaker] = _Waiting(asking[0], verdict, now, seconds, now + seconds)
        self._look_at(now + seconds)
        return Wait(verdict, seconds)

    def _judge(self, segment: Segment, wait: _Waiting | None) -> tuple[list[Segment], Verdict]:
        """Judge the newest final alone, and its join with the one before: never all that was said.

        Ten joined statements look like a question nine times out of ten.
        """
        if wait is not None:
            mine = self.transcript.of(segment.speaker)
            start = mine.index(wait.first) if wait.first in mine else len(mine) - 1
            return mine[start:], self.judge(join(mine[start:]), segment.language)
        alone = self.judge(segment.text, segment.language)
        before = self.transcript.before(segment)
        # What was a question by itself does not become one again with every word that follows.
        if alone.is_question or before is None or before.asks is not None:
            return [segment], alone
        joined = self.judge(join([before, segment]), segment.language)
        return ([before, segment], joined) if joined.is_question else ([segment], alone)

    def _goes_on(self, segment: Segment, verdict: Verdict, unanswered: list[Segment]) -> bool:
        """Whether a final that asks nothing by itself belongs to the question just asked: "... of the red one"."""
        last = unanswered[-1] if unanswered else None
        if last is None or last.speaker != segment.speaker or last.asks is None:
            return False
        if last.asks.is_complete and not verdict.is_continuation:
            return False
        is_next = self.transcript.of(segment.speaker)[0] is segment  # nothing was said between the two
        began_at = segment.heard_at if segment.began_at is None else segment.began_at
        return is_next and began_at - last.heard_at <= self.settings.merge_seconds

    def _extended(self, segment: Segment) -> Ask:
        mine = self.transcript.of(segment.speaker)
        verdict = self.judge(join(mine), segment.language)
        for known in mine:
            known.asks = known.asks or verdict
        return Ask(segment.speaker, verdict, extends=True)

    def _wait_for(self, verdict: Verdict) -> float:
        """Seconds to wait for more: none for a complete, sure question, the longest for an open one."""
        if verdict.is_complete and verdict.confidence >= SURE:
            return 0.0
        shortest, longest = self.settings.wait_min_ms / 1000, self.settings.wait_max_ms / 1000
        doubt = 1.0 if not verdict.is_complete else 1 - verdict.confidence / SURE
        return shortest + (longest - shortest) * doubt
