"""How a session asks: what is asked now, what waits for its turn, and what is begun early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.config import Settings
from app.models.answering import Answers
from app.models.answers import Question
from app.models.effects import CancelQuery, Effect, StartQuery
from app.models.listening import Ask, Guess, Listener
from app.models.messages import VerdictNote
from app.models.numbering import Frames
from app.models.queries import MAX_ASKED_CHARS, Asked, RunningQuery, newest, phrase
from app.models.speculation import Early
from app.models.transcript import Segment, ending
from app.models.verdicts import Verdict


@dataclass(slots=True)
class Asker:
    """Who asks, whatever else is forgotten: `user_prefix` and the session's name, with inputs beyond the client's.

    `key` makes query ids unique beyond this session, `count` within it. `is_stateless`: the provider remembers nothing
    of a conversation, so a question may be taken back.
    """

    key: str
    is_stateless: bool
    user_prefix: str
    fixed_inputs: Mapping[str, Any]
    count: int = 0


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
    last_question: str = ""

    @property
    def unanswered(self) -> list[Segment]:
        """The segments of the running question while none of its answer has left."""
        query = self.answers.query
        return query.segments if query is not None and not query.frames else []

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
        return self._shown(self._phrase(self.listener.until(ask), ask.verdict))

    def _drop(self, ask: Ask) -> None:
        """It will not be asked: the next status says so. Its text stays in the talk."""
        if segments := self.listener.until(ask):
            self.frames.dropped.append(self._shown(self._phrase(segments, ask.verdict)))

    def drop_crowded_out(self) -> None:
        """The same for what waits and had to make room in the talk."""
        for ask in self.pending.copy():
            if gone := [segment for segment in self.listener.transcript.crowded_out if segment.asks is ask.verdict]:
                self.pending.remove(ask)
                self.frames.dropped.append(self._shown(self._phrase(gone, ask.verdict)))

    def give_up(self) -> None:
        """Nothing that was heard asks any more by itself; its text stays in the talk."""
        for ask in self.pending:
            self._drop(ask)
        self.pending.clear()
        self.listener.give_up()

    def ask_pending(self, now: float) -> list[Effect]:
        while self.pending and self.answers.query is None:
            if effects := self.ask(self.pending.pop(0), now):
                return effects
        return []

    # Asking

    def ask(self, ask: Ask, now: float) -> list[Effect]:
        """Ask it with the talk before it."""
        return self._ask_heard(ask, self.listener.take_question(ask), now)

    def ask_further(self, ask: Ask, now: float) -> list[Effect]:
        """Ask what is on its way once more, with what has been added to it."""
        segments = self.listener.take(ask.speaker, *(segment.speaker for segment in self.unanswered))
        return [*self.interrupt("question_extended", now), *self._ask_heard(ask, segments, now)]

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
        verdict = VerdictNote.of(ask.verdict, ask.waited)
        effects += self._announce(query, "analyzing", reason=ask.reason, verdict=verdict)
        if guess is None:
            return [*effects, self._start(query)]
        for event in guess.held:
            effects += self.answers.take_event(query.query_id, event, now)
        return effects

    def ask_instantly(self, text: str, now: float) -> list[Effect]:
        query = self._new_query(Asked(text), now)
        query.mode = "instant"
        return [*self._announce(query, "instant_query"), self._start(query)]

    def ask_early(self, guess: Guess, now: float) -> list[Effect]:
        """Begin on a partial, unless a guess that is taken back would stay in the provider's memory."""
        forgets = self.asker.is_stateless or self.answers.conversation_id is None
        if self.answers.query is not None or self.pending or not forgets or not self.early.may_begin():
            return []
        query = self._new_query(self._phrase(guess.segments, guess.verdict), now)
        self.early.begin(query, guess)
        return [self._start(query)]

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

    def _new_query(self, asked: Asked, now: float) -> RunningQuery:
        self.asker.count += 1
        return RunningQuery(f"{self.asker.key}-{self.asker.count}", asked, self._shown(asked), now)

    def _announce(
        self, query: RunningQuery, stage: Literal["analyzing", "instant_query"], **fields: Any
    ) -> list[Effect]:
        self.answers.query, self.last_question = query, query.asked.text
        told = {"question": query.question, "mode": query.mode, "query_id": query.query_id}
        return [
            self.frames.status(stage, note="A question was heard.", **told, **fields),
            self.frames.status("querying_rag", note="Looking for an answer.", **told),
        ]

    def _start(self, query: RunningQuery) -> StartQuery:
        wishes = self.listener.wishes
        question = Question(
            text=query.asked.text,
            user=f"{self.asker.user_prefix}ws-user-{self.frames.session_id}",
            conversation_id=self.answers.conversation_id,
            context=query.asked.context,
            inputs={**(wishes.inputs or {}), **self.asker.fixed_inputs},
            history=self.answers.history,
            talk=self.listener.talk.apart_from(query.asked.text),
            answer_language=wishes.answer_language or "",
            answer_style=wishes.answer_style,
        )
        return StartQuery(query.query_id, question)
