"""How a session asks: what is asked now, what waits for its turn, and what is begun early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from app.config import Settings
from app.models.answering import Answers
from app.models.answers import Question
from app.models.effects import CancelQuery, Effect, Send, StartQuery
from app.models.listening import Ask, Guess, Listener
from app.models.numbering import Frames
from app.models.pieces import VerdictPiece
from app.models.queries import MAX_ASKED_CHARS, Asked, RunningQuery, newest, phrase
from app.models.speculation import Early
from app.models.transcript import Segment, ending
from app.models.verdicts import Verdict


@dataclass(slots=True)
class Asker:
    """Who asks, whatever else is forgotten: `user_prefix` and the session's name, with inputs beyond the client's.

    `key` makes query ids unique beyond this session, `count` within it. `is_stateless`: the provider remembers nothing
    of a conversation, so a question may be taken back. While it is `held` nothing is asked that is not on its way
    already: what is heard waits.
    """

    key: str
    is_stateless: bool
    user_prefix: str
    fixed_inputs: Mapping[str, Any]
    count: int = 0
    held: bool = False


@dataclass(slots=True)
class Questions:
    """The questions of one talk: what is asked leaves the talk of `listener`, and is answered by `answers`."""

    settings: Settings
    asker: Asker
    frames: Frames
    listener: Listener
    answers: Answers
    early: Early
    pending: list[Ask] = field(default_factory=list)
    suggested: dict[str, Ask] = field(default_factory=dict)
    last_question: str = ""

    @property
    def unanswered(self) -> list[Segment]:
        """The segments of the running question while none of its answer has left."""
        query = self.answers.query
        return query.segments if query is not None and not query.frames else []

    @property
    def is_free(self) -> bool:
        """A question would be asked at once."""
        return self.answers.query is None and not self.asker.held

    # Waiting for a turn

    def queue(self, ask: Ask) -> str:
        """Let a question wait for its turn; return how it will be shown."""
        corrected = next((known for known in self.pending if not self.listener.until(known)), None)
        if corrected is not None and corrected.speaker == ask.speaker:
            self.pending[self.pending.index(corrected)] = ask
        else:
            if len(self.pending) >= self.settings.queued_questions:
                self._drop(self.pending.pop())
            self.pending.append(ask)
        return self._waits_as(ask)

    def _waits_as(self, ask: Ask) -> str:
        """How it will be shown when the questions that wait before it have been asked: their words are gone then."""
        segments = self.listener.until(ask)
        before = self.pending[: self.pending.index(ask)] if ask in self.pending else self.pending
        gone = max((len(self.listener.until(each)) for each in before if each.speaker == ask.speaker), default=0)
        return self._shown(self._phrase(segments[gone:], ask.verdict)) if segments[gone:] else ""

    def _drop(self, ask: Ask) -> None:
        """It will not be asked: the next status says so. Its text stays in the talk."""
        if shown := self._waits_as(ask):
            self.frames.dropped.append(shown)

    def drop_crowded_out(self) -> None:
        """The same for what waits and had to make room in the talk."""
        for ask in self.pending.copy():
            if gone := [segment for segment in self.listener.transcript.crowded_out if segment.raises(ask.verdict)]:
                self.pending.remove(ask)
                self.frames.dropped.append(self._shown(self._phrase(gone, ask.verdict)))

    def give_up(self) -> None:
        """Nothing that was heard asks any more by itself; its text stays in the talk."""
        for ask in self.pending:
            self._drop(ask)
        self.pending.clear()
        self.listener.give_up()

    def ask_pending(self, now: float) -> list[Effect]:
        while self.pending and self.is_free:
            if effects := self.ask(self.pending.pop(0), now):
                return effects
        return []

    # Asking

    def ask(self, ask: Ask, now: float) -> list[Effect]:
        """Ask it with the talk before it."""
        return self._ask_heard(ask, self.listener.take_question(ask, self.pending), now)

    def queue_others(self, ask: Ask) -> list[Effect]:
        """Let the further questions of the same final wait for their turns."""
        others = [replace(ask, verdict=verdict, extends=False) for verdict in ask.verdict.others]
        return [self.wait_for_turn(other) for other in others]

    def wait_for_turn(self, ask: Ask) -> Send:
        shown, note = self.queue(ask), "Asked after the running answer."
        return self.frames.waiting("answer_in_progress", note, ask.verdict, question=shown)

    def wait_for_resume(self, ask: Ask) -> list[Send]:
        """The same of each of its questions, while the session is paused."""
        told = [self.queue(replace(ask, verdict=verdict)) for verdict in ask.verdict.each]
        note = "Asked when the session resumes."
        return [self.frames.status("paused", note=note, question=shown) for shown in told]

    def ask_further(self, ask: Ask, now: float) -> list[Effect]:
        """Ask what is on its way once more, with what has been added to it."""
        segments = self.listener.take(ask.speaker, *(segment.speaker for segment in self.unanswered))
        effects = [*self.interrupt("question_extended", now), *self._ask_heard(ask, segments, now)]
        if segments:
            self.listener.transcript.keep_parts(segments[-1], ask.verdict)
        return [*effects, *self.queue_others(ask)]

    def _ask_heard(self, ask: Ask, segments: list[Segment], now: float) -> list[Effect]:
        segments = newest(segments)
        if not segments:
            return []
        asked = self._phrase(segments, ask.verdict)
        guess = self.early.confirm(asked)
        effects = self.early.discard(now)
        query = self._new_query(asked, now) if guess is None else guess.query
        query.asked, query.question, query.asked_at = asked, self._shown(asked), now
        query.segments, query.waited = segments, ask.waited
        verdict = VerdictPiece.of(ask.verdict, ask.waited)
        effects += self._announce(query, "analyzing", reason=ask.reason, verdict=verdict)
        if guess is None:
            return [*effects, self._start(query, ask.verdict)]
        for event in guess.held:
            effects += self.answers.take_event(query.query_id, event, now)
        return effects

    def suggest(self, ask: Ask) -> list[Effect]:
        """Show what was asked: it waits until somebody wants it asked; the newest few are remembered."""
        return [self._suggest(replace(ask, verdict=verdict)) for verdict in ask.verdict.each]

    def _suggest(self, ask: Ask) -> Send:
        self.suggested[query_id := self._new_id()] = ask
        while len(self.suggested) > self.settings.queued_questions:
            del self.suggested[next(iter(self.suggested))]
        shown = self._shown(self._phrase(self.listener.until(ask), ask.verdict))
        note = "Asked when instant_query names it."
        return self.frames.waiting("suggested", note, ask.verdict, question=shown, query_id=query_id)

    def ask_suggested(self, query_id: str, now: float) -> list[Effect] | None:
        """Ask what was suggested; None if it is not known, or was taken back since."""
        ask = self.suggested.pop(query_id, None)
        segments = [] if ask is None else newest(self.listener.take_question(ask))
        if ask is None or not segments:
            return None
        effects = self.interrupt("instant_query", now)
        query = self._new_query(self._phrase(segments, ask.verdict), now, query_id)
        query.mode, query.segments = "instant", segments
        return [*effects, *self._announce(query, "instant_query"), self._start(query, ask.verdict)]

    def ask_instantly(self, text: str, now: float) -> list[Effect]:
        query = self._new_query(Asked(text), now)
        query.mode = "instant"
        return [*self._announce(query, "instant_query"), self._start(query)]

    def ask_early(self, guess: Guess, now: float) -> list[Effect]:
        """Begin on a partial, unless a guess that is taken back would stay in the provider's memory."""
        forgets = self.asker.is_stateless or self.answers.conversation_id is None
        if not self.is_free or self.pending or not forgets or not self.early.may_begin():
            return []
        query = self._new_query(self._phrase(guess.segments, guess.verdict), now)
        self.early.begin(query, guess)
        return [self._start(query, guess.verdict)]

    def interrupt(self, reason: str, now: float) -> list[Effect]:
        """End what is on its way, if anything is."""
        query = self.answers.query
        return self.early.discard(now) if query is None else self.answers.interrupt(query, reason, now)

    def leave(self, now: float) -> CancelQuery | None:
        """The same without a word: nobody is there to tell."""
        guess = self.early.take()
        query, self.answers.query = self.answers.query or (None if guess is None else guess.query), None
        return None if query is None else query.cancel("disconnected", now)

    def _phrase(self, segments: list[Segment], verdict: Verdict) -> Asked:
        asked = phrase(segments, verdict, with_talk=self.settings.query_scope == "aggregated")
        if verdict.is_follow_up and self.asker.is_stateless and not asked.context and asked.text == verdict.question:
            # Nobody else remembers what it follows.
            return Asked(ending(f"{self.last_question} {asked.text}".lstrip(), MAX_ASKED_CHARS))
        return asked

    def _shown(self, asked: Asked) -> str:
        return ending(asked.whole, MAX_ASKED_CHARS) if self.settings.query_scope == "aggregated" else asked.text

    def _new_query(self, asked: Asked, now: float, query_id: str | None = None) -> RunningQuery:
        return RunningQuery(query_id or self._new_id(), asked, self._shown(asked), now)

    def _new_id(self) -> str:
        self.asker.count += 1
        return f"{self.asker.key}-{self.asker.count}"

    def _announce(
        self, query: RunningQuery, stage: Literal["analyzing", "instant_query"], **fields: Any
    ) -> list[Effect]:
        self.answers.query, self.last_question = query, query.asked.text
        repeats = self.answers.answered_before(query.asked.text)
        told = {"question": query.question, "mode": query.mode, "query_id": query.query_id}
        return [
            self.frames.status(stage, note="A question was heard.", repeats=repeats, **told, **fields),
            self.frames.status("querying_rag", note="Looking for an answer.", **told),
        ]

    def _start(self, query: RunningQuery, verdict: Verdict | None = None) -> StartQuery:
        wishes = self.listener.wishes
        query.user = f"{self.asker.user_prefix}ws-user-{self.frames.session_id}"
        question = Question(
            text=query.asked.text,
            user=query.user,
            conversation_id=self.answers.conversation_id,
            context=query.asked.context,
            inputs={**(wishes.inputs or {}), **self.asker.fixed_inputs},
            history=self.answers.history,
            talk=self.listener.talk.apart_from(query.asked.text),
            answer_language=wishes.answer_language or "",
            answer_style=wishes.answer_style,
            scope=None if wishes.tuning is None else wishes.tuning.query_scope,
            leans_on="" if verdict is None else query.asked.before(verdict),
        )
        return StartQuery(query.query_id, question)
