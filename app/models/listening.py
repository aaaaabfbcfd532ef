"""Decides when somebody has asked: hears chunks, waits for what may go on, and says what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.config import Settings
from app.models.addressing import call_of, is_named
from app.models.beginnings import may_begin
from app.models.likeness import ends_in_a_mark, extends, is_long_enough, lingers
from app.models.messages import AsrChunk, Configure
from app.models.partials import Partial, are_two
from app.models.talk import Talk
from app.models.transcript import MAX_SPEAKERS, Segment, Speaker, Transcript, join
from app.models.verdicts import Verdict

Judge = Callable[[str, str | None], Verdict]

# A partial that stands still for so long, in seconds, may be all that is said.
STANDSTILL = 0.3
# Of its last five finals so many end in a mark where a recogniser punctuates: then one without is not finished.
MARKED = 3
FINALS_LOOKED_AT = 5
# A final that grows so soon, in seconds, was none: its recogniser calls final what it is still hearing. The question is
# taken back, and asked when it has stood still for as long.
GROWING = 0.6
# From this confidence on, a question that looks complete is asked without a wait.
SURE = 0.7


@dataclass(frozen=True, slots=True)
class Keep:
    """The text is kept; nothing is asked."""

    reason: str
    note: str
    verdict: Verdict | None = None


SAID_BEFORE = Keep("duplicate", "This was said before.")


@dataclass(frozen=True, slots=True)
class Wait:
    """A question that may go on: it is asked when nothing more comes for `seconds`.

    `takes_back`: it is the one that has just been asked, and grows.
    """

    verdict: Verdict
    seconds: float
    reason: str = "may_continue"
    takes_back: bool = False


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
    is_over: bool = False

    @property
    def said(self) -> str:
        """What of the partial has to stay as it is: all of it, or, if another sentence has begun, the question."""
        text = self.segments[-1].text
        before, question, _ = text.rpartition(self.verdict.question)
        return before + question if self.is_over and question else text


Decision = Keep | Wait | Ask | Guess


@dataclass(slots=True)
class Waiting:
    """A question that may go on, from its `first` segment; `is_growing`: under one id, or without any."""

    first: Segment
    verdict: Verdict
    heard_at: float
    seconds: float
    deadline: float
    is_growing: bool = False

    @classmethod
    def begin(cls, first: Segment, newest: Segment, verdict: Verdict, seconds: float, is_growing: bool) -> Waiting:
        return cls(first, verdict, newest.heard_at, seconds, newest.heard_at + seconds, is_growing)


def _is_growing(segment: Segment, older: Segment, verdict: Verdict) -> bool:
    """Whether a final that was asked is what its recogniser still hears."""
    is_soon = segment.heard_at - older.heard_at <= GROWING
    return is_soon and not older.is_provisional and not ends_in_a_mark(older.text) and not verdict.others


def marked(finals: list[bool], text: str) -> list[bool]:
    """Which of the newest finals end in a mark, with one more."""
    return [*finals, ends_in_a_mark(text)][-FINALS_LOOKED_AT:]


def _stale(decision: Keep | Wait | Ask, waited: float) -> Decision:
    if isinstance(decision, Ask):
        return replace(decision, reason="stale_partial", waited=waited)
    return replace(decision, reason="stale_partial")


def seconds_to_wait(verdict: Verdict, settings: Settings) -> float:
    """Seconds to wait for more: none for a complete, sure question, the longest for an open one."""
    if verdict.is_complete and verdict.confidence >= SURE:
        return settings.wait_min_ms / 1000 if may_begin(verdict) else 0.0
    shortest, longest = settings.wait_min_ms / 1000, settings.wait_max_ms / 1000
    doubt = 1.0 if not verdict.is_complete else 1 - verdict.confidence / SURE
    return shortest + (longest - shortest) * doubt


def names_of(wishes: Configure, settings: Settings) -> Sequence[str]:
    """What the assistant is called."""
    return settings.names if wishes.names is None else wishes.names


def tuned(settings: Settings, wishes: Configure) -> Settings:
    """The settings as the client wants them in its session."""
    return (
        settings if wishes.tuning is None else settings.model_copy(update=wishes.tuning.model_dump(exclude_none=True))
    )


def _next_due(settings: Settings, partials: Collection[Partial], waits: Collection[Waiting]) -> float | None:
    times = [partial.grown_at + settings.stale_partial_seconds for partial in partials]
    if settings.speculate:
        times += [partial.still_since + STANDSTILL for partial in partials if not partial.was_weighed]
    return min(times + [wait.deadline for wait in waits], default=None)


class Answered(Protocol):
    """What has to be known of answers while one listens."""

    def hold(self, words: str, now: float) -> bool:
        """Whether plain words lie in the answer that runs, or in one that has just ended."""

    def followed_by(self, speaker: Speaker, now: float, seconds: float) -> bool:
        """Whether this speaker was answered at most so many seconds ago."""


@dataclass(slots=True)
class Listener:
    """All that is heard in one session. Times are seconds of one clock.

    `wishes` is what the client has configured, all its messages in one; `answers` are what it was told.
    """

    settings: Settings
    wishes: Configure
    judge: Judge
    answers: Answered
    transcript: Transcript = field(init=False)
    talk: Talk = field(init=False)
    last_final: Segment | None = None
    partials: dict[Speaker, Partial] = field(default_factory=dict)
    # Which of the newest finals end in a mark.
    marked: list[bool] = field(default_factory=list)
    # When `tick` has something to do, or finds that what was due has moved.
    due: float | None = None
    waits: dict[Speaker, Waiting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.settings
        self.talk = Talk(settings.talk_chars)
        self.transcript = Transcript(settings.context_max_chars, settings.merge_seconds, settings.stale_partial_seconds)

    def _look_at(self, time: float) -> None:
        if self.due is None or time < self.due:
            self.due = time

    def hear_partial(self, chunk: AsrChunk, text: str, now: float, unanswered: list[Segment]) -> list[Decision]:
        """Remember what is being said: it stretches a wait, and stands for a final that never comes."""
        if not text:
            self.take_back(chunk)
            return []
        before = self.partials.pop(chunk.speaker, None)
        decisions: list[Decision] = []
        if before is not None and before.is_left_by(chunk, text):
            decisions.append(self._promote(before, now, unanswered))
            before = None
        if self.transcript.recalls(text, chunk.speaker, now):
            return decisions
        partial = Partial.begin(chunk, text, now) if before is None else before.go_on(chunk, text, now)
        self.partials[chunk.speaker] = partial
        self._look_at(now + (STANDSTILL if self.settings.speculate else self.settings.stale_partial_seconds))
        if len(self.partials) > MAX_SPEAKERS:
            del self.partials[next(iter(self.partials))]
        if (wait := self.waits.get(chunk.speaker)) is not None:
            wait.deadline = now + wait.seconds
        is_over = partial.holds_a_question
        if self.settings.speculate and (chunk.end_of_turn or is_over) and (guess := self._guess(partial)) is not None:
            decisions.append(guess)
        return decisions

    def take_back(self, chunk: AsrChunk) -> None:
        """The recogniser has found nothing in what it took for words."""
        if (partial := self.partials.get(chunk.speaker)) is not None and not are_two(partial.chunk, chunk):
            del self.partials[chunk.speaker]

    def hear_final(self, chunk: AsrChunk, text: str, now: float, unanswered: list[Segment]) -> Keep | Wait | Ask:
        """Place a final and judge it. `unanswered`: the segments of a running question that has no text yet."""
        segment = Segment(text, now, chunk.segment_id, chunk.speaker, chunk.language)
        partial = self.partials.pop(chunk.speaker, None)
        segment.began_at = now if partial is None else partial.began_at
        # Some recognisers know who speaks only at the end: the partial came under another name.
        for speaker, other in list(self.partials.items()):
            if other.became(segment.words, chunk.segment_id):
                del self.partials[speaker]
        decision = self._take(segment, chunk, unanswered)
        self.marked = marked(self.marked, text)
        return decision

    def end_turn(self, speaker: Speaker, now: float) -> Ask | None:
        """The speaker is done: a question that waits is asked now."""
        wait = self.waits.pop(speaker, None)
        return None if wait is None else Ask(speaker, wait.verdict, now - wait.heard_at)

    def tick(self, now: float, unanswered: list[Segment]) -> list[Decision]:
        """Decide what time has decided: waits that are over, partials that no final followed."""
        decisions: list[Decision] = []
        self.due = None
        over = [speaker for speaker, wait in self.waits.items() if wait.deadline <= now]
        decisions += filter(None, [self.end_turn(speaker, now) for speaker in over])
        if self.settings.speculate:
            for partial in self.partials.values():
                if partial.still_since + STANDSTILL <= now and (guess := self._guess(partial)) is not None:
                    decisions.append(guess)
        stale = self.settings.stale_partial_seconds
        for speaker in [speaker for speaker, partial in self.partials.items() if partial.grown_at + stale <= now]:
            decisions.append(self._promote(self.partials.pop(speaker), now, unanswered))
        self.due = _next_due(self.settings, self.partials.values(), self.waits.values())
        return decisions

    def _promote(self, partial: Partial, now: float, unanswered: list[Segment]) -> Decision:
        """Take a partial for the final that does not come."""
        chunk, said_at = partial.chunk, partial.grown_at
        text = partial.settled(now)
        segment = Segment(text, said_at, chunk.segment_id, chunk.speaker, chunk.language, is_provisional=True)
        segment.began_at = partial.began_at
        return _stale(self._take(segment, chunk, unanswered), now - said_at)

    def give_up(self) -> None:
        """No wait asks any more; what was said stays in the talk."""
        self.waits.clear()

    def ignore(self, ask: Ask) -> None:
        """Take a question out of the talk; what was said around it stays."""
        self.transcript.drop([segment for segment in self.transcript.of(ask.speaker) if segment.raises(ask.verdict)])

    def take(self, *speakers: Speaker) -> list[Segment]:
        """Hand out what these speakers have said; it leaves the talk."""
        for speaker in speakers:
            self.waits.pop(speaker, None)
        segments = self.transcript.of(*speakers)
        self.transcript.drop(segments)
        return segments

    def until(self, ask: Ask) -> list[Segment]:
        """What its speaker has said up to that question; empty if it was taken back since."""
        return self.transcript.until(ask.verdict, ask.speaker)

    def take_question(self, ask: Ask, pending: Sequence[Ask] = ()) -> list[Segment]:
        """Hand out a question with the talk before it; both leave the talk, what else is asked in them stays."""
        segments = self.transcript.take(ask.verdict, ask.speaker, [other.verdict for other in pending])
        if (wait := self.waits.get(ask.speaker)) is not None and wait.first in segments:
            del self.waits[ask.speaker]
        return segments

    def _guess(self, partial: Partial) -> Guess | None:
        chunk, was_weighed = partial.chunk, partial.was_weighed
        partial.was_weighed = True
        if was_weighed or self.wishes.auto_detect in {False, "suggest"} or not self.wishes.counts(chunk.speaker):
            return None
        verdict = self._weigh(partial.text, chunk.language)
        if self._unasked(partial.text, verdict, chunk.speaker, partial.still_since):
            return None
        is_sure = verdict.is_complete and verdict.confidence >= SURE
        if not verdict.is_question or not (is_sure or chunk.end_of_turn):
            return None
        segment = Segment(
            partial.text, partial.still_since, chunk.segment_id, chunk.speaker, chunk.language, asks=verdict
        )
        return Guess(chunk.speaker, verdict, self.transcript.with_(segment), partial.holds_a_question)

    def _take(self, segment: Segment, chunk: AsrChunk, unanswered: list[Segment]) -> Keep | Wait | Ask:
        placement, older = self.transcript.put(segment)
        if self.talk.limit:
            self.talk.put(placement, older, segment)
        wait = self.waits.get(segment.speaker)
        is_sure = chunk.confidence is None or chunk.confidence >= self.settings.min_confidence
        is_extension = placement in {"extended", "corrected"} and older in unanswered and is_sure
        says_more = placement == "extended" and not (older.is_provisional and lingers(segment.words, older.words))
        if not is_extension and not says_more and placement in {"repeated", "corrected", "extended"}:
            ended = self.end_turn(segment.speaker, segment.heard_at) if chunk.end_of_turn else None
            return ended or SAID_BEFORE
        if placement == "replaced":
            if wait is not None and wait.first is older:
                wait.first = segment
        elif is_extension:
            self.transcript.put_back(unanswered)
            self.transcript.replace(older, segment)
        elif says_more:
            self.transcript.drop_parts(older)
            self.transcript.append(segment)  # its answer has begun: this is a question of its own
        if not self.wishes.counts(segment.speaker):
            return Keep("other_speaker", "Questions of this speaker do not count.")
        if placement == "new" and (is_echo := self._hear_echo(segment, unanswered)) is not None:
            if is_echo:
                return Keep("echo", "This was heard before, from somebody else.")
            return self._extended(segment)
        if placement != "replaced" or older is self.last_final:
            self.last_final = segment
        if self.wishes.auto_detect is False:
            return Keep("auto_detect_off", "Questions are only asked by instant_query.")
        if not is_sure:
            segment.is_apart = True
            return Keep("low_confidence", "The recogniser is not sure of these words.")
        if is_extension:
            ask = self._extended(segment)
            if placement != "extended" or chunk.end_of_turn or not _is_growing(segment, older, ask.verdict):
                return ask
            seconds = max(GROWING, seconds_to_wait(ask.verdict, self.settings))
            first = self.transcript.of(segment.speaker)[0]
            return replace(
                self._wait(segment, Waiting.begin(first, segment, ask.verdict, seconds, True)), takes_back=True
            )
        return self._decide(segment, bool(chunk.end_of_turn), unanswered)

    def _hear_echo(self, segment: Segment, unanswered: list[Segment]) -> bool | None:
        """Whether one voice is heard on two channels, or the answer is heard back; None if neither.

        False if this is the better half of the two, and takes the place of the other one in the running question.
        """
        is_named = self.wishes.speakers is not None and segment.speaker in self.wishes.speakers
        if not is_named and is_long_enough(segment.words) and self.answers.hold(segment.words, segment.heard_at):
            segment.is_apart = True
            return True
        known = self.transcript.echoed(segment)
        if known is None or not self.wishes.counts(known.speaker):
            return None
        is_more = extends(segment.words, known.words)
        if is_more and known in unanswered:
            self.transcript.drop([segment])
            self.transcript.put_back(unanswered)
            self.transcript.replace(known, segment)
            return False
        if is_more and known in self.transcript.segments:
            known.is_apart = True
            self.waits.pop(known.speaker, None)
            return None
        segment.is_apart = True
        return True

    def _decide(self, segment: Segment, is_end: bool, unanswered: list[Segment]) -> Keep | Wait | Ask:
        wait = self.waits.pop(segment.speaker, None)
        asking, verdict = self._judge(segment, wait)
        if not verdict.is_question and wait is None:
            if self._goes_on(segment, verdict, unanswered):
                self.transcript.put_back(unanswered)
                return self._extended(segment)
            seconds = self.settings.follow_up_seconds
            if not verdict.is_follow_up or not self.answers.followed_by(segment.speaker, segment.heard_at, seconds):
                return Keep("not_a_question", "No question so far.", verdict)
            verdict = verdict.asked_after_an_answer(segment.text)
        elif not verdict.is_question and wait is not None:
            if wait.first is segment:  # what was waited for has been corrected
                return Keep("not_a_question", "No question so far.", verdict)
            # Another sentence has begun: the question before it is over.
            return Ask(segment.speaker, wait.verdict, segment.heard_at - wait.heard_at)
        if (unasked := self._unasked(join(asking), verdict, segment.speaker, segment.heard_at)) is not None:
            return unasked
        if not is_end and sum(self.marked) >= MARKED and not ends_in_a_mark(verdict.each[-1].question):
            verdict = replace(verdict, is_complete=False)
        for known in asking:
            known.asks = verdict
        is_over = is_end and verdict.is_complete and not may_begin(verdict)
        seconds = 0.0 if is_over else seconds_to_wait(verdict, self.settings)
        is_growing = wait is not None and wait.is_growing and not is_end
        if not seconds and not is_growing:
            return Ask(segment.speaker, verdict)
        seconds = max(seconds, GROWING if is_growing else 0)
        return self._wait(segment, Waiting.begin(asking[0], segment, verdict, seconds, is_growing))

    def _wait(self, newest: Segment, wait: Waiting) -> Wait:
        self.waits[newest.speaker] = wait
        self._look_at(wait.deadline)
        return Wait(wait.verdict, wait.seconds)

    def _weigh(self, text: str, language: str | None) -> Verdict:
        verdict = self.judge(text[call_of(text, names_of(self.wishes, self.settings)) :], language)
        # What asks with all the talk has nothing left to ask apart.
        return replace(verdict, others=()) if self.settings.query_scope == "aggregated" else verdict

    def _unasked(self, text: str, verdict: Verdict, speaker: Speaker, now: float) -> Keep | None:
        """Why a question is not asked by itself; None if it is."""
        wishes, settings = self.wishes, self.settings
        if verdict.confidence < (settings.ask_above if wishes.ask_above is None else wishes.ask_above):
            return Keep("not_sure", "This may be a question.", verdict)
        if wishes.address != "named" or is_named(text, names_of(self.wishes, self.settings)):
            return None
        if self.answers.followed_by(speaker, now, settings.follow_up_seconds):
            return None
        return Keep("not_addressed", "Nobody called the assistant.", verdict)

    def _judge(self, segment: Segment, wait: Waiting | None) -> tuple[list[Segment], Verdict]:
        """Judge the newest final alone, and its join with the one before: never all that was said.

        Ten joined statements look like a question nine times out of ten.
        """
        if wait is not None:
            mine = self.transcript.of(segment.speaker)
            start = mine.index(wait.first) if wait.first in mine else len(mine) - 1
            asking = [known for known in mine[start:] if not known.is_apart]
            return asking, self._weigh(join(asking), segment.language)
        alone = self._weigh(segment.text, segment.language)
        before = self.transcript.before(segment)
        # What was a question by itself does not become one again with every word that follows.
        if alone.is_question or before is None or before.asks is not None:
            return [segment], alone
        joined = self._weigh(join([before, segment]), segment.language)
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
        verdict = self._weigh(join(mine), segment.language)
        for known in mine:
            known.asks = known.asks or verdict
        return Ask(segment.speaker, verdict, extends=True)
