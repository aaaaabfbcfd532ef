"""Decides what one session does: messages and answer events in, effects out; no clock, socket or task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from app.codes import CloseCode, ErrorCode
from app.config import Settings
from app.errors import ClientError, RagBrokenStream, RagError
from app.models.answers import AnswerEvent
from app.models.effects import CancelQuery, Close, Effect, Send
from app.models.heard import Heard
from app.models.lifetime import Ending
from app.models.listening import Ask, Decision, Guess, Keep, Wait, tuned
from app.models.messages import Ack, AsrChunk, ClientMessage, Configure, Control, Details, Keepalive, NotResumed
from app.models.queries import MAX_ASKED_CHARS
from app.models.spelling import said
from app.models.transcript import ending


def _bounded(message: ClientMessage, segment_max_chars: int) -> ClientMessage:
    """The message with as much text as is kept of one."""
    if isinstance(message, AsrChunk):
        text, limit = message.text, segment_max_chars
    elif isinstance(message, Control) and message.text is not None:
        text, limit = message.text, MAX_ASKED_CHARS
    else:
        return message
    return message if len(text) <= limit else message.model_copy(update={"text": ending(text, limit)})


def _is_sound(settings: Settings) -> bool:
    return settings.wait_min_ms <= settings.wait_max_ms


class SessionState(Heard):
    """The whole behaviour of one session, as plain calls; all times are seconds of one clock."""

    # What the connection brings

    def connect(
        self, now: float, *, resume_token: str | None = None, not_resumed: NotResumed | None = None
    ) -> list[Effect]:
        """Begin; `not_resumed` says why a client that came back gets this new session."""
        self._life.begin(now)
        told = {"resumed": None if not_resumed is None else False, "resume_token": resume_token, "reason": not_resumed}
        greeting = self._frames.greeting(self._frames.seq + 1, **told)
        return [self._frames.send(greeting), self._frames.status("listening", note="Send asr_chunk messages.")]

    def resume(self, session_id: str | None, last_seq: int, resume_token: str | None, now: float) -> Ack:
        """Greet the client that came back. What it has missed is sent as it was: this frame counts for nothing.

        `session_id` is the name that the session had when it made the frame `last_seq`, by default that of now.
        """
        self._life.heard_at = now
        told = {"resume_token": resume_token, "newest_seq": self._frames.seq}
        return self._frames.greeting(last_seq, session_id, resumed=True, **told)

    def expire_at(self, time: float) -> None:
        """When the proof of who the client is will have expired."""
        self._life.expires_at = time

    def refuse(self, error: ClientError, now: float) -> list[Effect]:
        """Answer a message that could not be taken; nothing else changes."""
        self._life.heard_at = now
        return [self._frames.refusal(error)]

    def too_slow(self) -> list[Send]:
        """The client does not read: said in the log of frames, for when it comes back."""
        text = "The connection was closed: too much was unread."
        return [self._frames.error(ErrorCode.SLOW_CONSUMER, text, retryable=True)]

    def report_bug(self, bug: Exception) -> list[Effect]:
        """Tell the client that the service failed, and nothing of how."""
        return self._frames.bug(bug, self._frames.seq)

    def disconnect(self, now: float) -> CancelQuery | None:
        """The client is gone: what still runs for it ends, and there is nobody to tell."""
        return self._questions.leave(now)

    def receive(self, message: ClientMessage, now: float, details: Details | None = None) -> list[Effect]:
        """Take a message; `details` tells which of its fields could not be taken as they came."""
        self._life.heard_at = now
        bounded = _bounded(message, self._settings.segment_max_chars)
        if bounded is not message:
            message, details = bounded, {**(details or {}), "text": "cut"}
        elif isinstance(message, Configure) and not _is_sound(tuned(self._settings, message)):
            message = message.model_copy(update={"tuning": None})
            details = {**(details or {}), "tuning": "ignored"}
        effects: list[Effect] = []
        if message.session_id is not None and message.session_id != self.session_id:
            effects += self._questions.interrupt("session_switched", now)
            self._begin(message.session_id)
        effects.append(self._frames.ack(message, details))
        return effects + self._frames.or_bug(self._react, message, now)

    def _react(self, message: ClientMessage, now: float) -> list[Effect]:
        match message:
            case AsrChunk():
                return self._hear(message, now)
            case Control():
                return self._control(message, now)
            case Configure():
                self._configure(message)
            case Keepalive():
                pass
            case _:
                assert_never(message)
        return []

    def _configure(self, message: Configure) -> None:
        known = {name: value for name, value in self._wishes if getattr(message, name) is None}
        self._wishes = message.model_copy(update=known)
        self._heed_wishes()
        if message.auto_detect is False:
            self._listener.give_up()

    # Moving to another process

    def hold(self, now: float) -> list[Effect]:
        """Begin no more questions: what is heard waits for who goes on with the session."""
        self._asker.held = True
        return self._early.discard(now)

    def release(self, now: float) -> list[Effect]:
        """It stays: what waits is asked."""
        self._asker.held = False
        return self._go_on(now) if self.query is None else []

    def go_on(self, now: float) -> list[Effect]:
        """Go on from what was read back. What was on its way ends here: nobody asks it again, its fate is unknown."""
        self._early.take()
        if self.query is None:
            return self._go_on(now)
        return self.answer_failed(self.query.query_id, RagBrokenStream("its process is gone"), now)

    # The end

    @property
    def is_ending(self) -> bool:
        return self._life.ending is not None

    @property
    def is_blank(self) -> bool:
        """Nothing final was heard, asked or set: who comes back misses nothing in a new session."""
        return not (self._listener.last_final or self._asker.count or self._paused or self._wishes.model_fields_set)

    def wind_down(self, ending: Ending, now: float) -> list[Effect]:
        """Take no more questions, let the running answer finish until `ending.at`, and close."""
        if self._life.ending is not None and self._life.ending.at <= ending.at:
            return []
        self._life.ending = ending
        self._questions.give_up()
        effects = self._early.discard(now)
        return effects if self.query is not None and now < ending.at else effects + self._end(ending, now)

    def _grow_older(self, now: float) -> list[Effect]:
        if (ending := self._life.ending) is not None:
            return self._end(ending, now) if now >= ending.at else []
        if (ending := self._life.ending_of_age(now)) is not None:
            return self.wind_down(ending, now)
        if now < self._life.idle_at:
            return []
        if self.query is not None:
            self._life.heard_at = now  # who waits for an answer, or reads one, is there
            return []
        error = self._frames.error(ErrorCode.IDLE_TIMEOUT, "Nothing was heard for a long time.", retryable=True)
        return [error, *self._end(Ending("idle_timeout", CloseCode.IDLE_TIMEOUT, now), now)]

    def _end(self, ending: Ending, now: float) -> list[Effect]:
        effects = self._questions.interrupt(ending.reason, now)
        closed = self._frames.status("closed", reason=ending.reason, note="Goodbye.")
        return [*effects, closed, Close(ending.code, ending.reason)]

    def _refuse_to_ask(self, message_id: str | None = None) -> list[Effect]:
        text = "This session is about to end: no more questions are taken."
        return [self._frames.error(ErrorCode.DRAINING, text, retryable=True, id=message_id)]

    # From chunk to question

    def deadline(self) -> float:
        """When `tick` is due at the latest."""
        return self._life.due if self._listener.due is None else min(self._listener.due, self._life.due)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due by now."""
        return self._frames.unless_bug(self._decide_by(now)) + self._grow_older(now)

    def _decide_by(self, now: float) -> Iterator[list[Effect]]:
        for decision in self._listener.tick(now, self._questions.unanswered):
            yield self._follow(decision, now)

    def _hear(self, chunk: AsrChunk, now: float) -> list[Effect]:
        if self._paused:
            return [self._frames.status("paused", reason="chunk_ignored", note="Paused: this chunk is not kept.")]
        text = said(chunk.text)
        if text:
            self._reported_empty = False
        if not chunk.is_final:
            effects = self._early.discard_unless(chunk.speaker, text, now) if self._early.running else []
            decisions = self._listener.hear_partial(chunk, text, now, self._questions.unanswered)
            return effects + [effect for decision in decisions for effect in self._follow(decision, now)]
        if not text:
            return self._hear_nothing(chunk, now)
        self._early.count = 0
        decision = self._listener.hear_final(chunk, text, now, self._questions.unanswered)
        self._questions.drop_crowded_out()
        return [*self._follow(decision, now), *self._early.discard_unless(chunk.speaker, "", now)]

    def _hear_nothing(self, chunk: AsrChunk, now: float) -> list[Effect]:
        self._listener.take_back(chunk)
        if chunk.end_of_turn:
            ask = self._listener.end_turn(chunk.speaker, now)
            return [] if ask is None else self._follow(ask, now)
        # Recognisers send empty finals all through a silence: one error says it.
        if self._reported_empty:
            return []
        self._reported_empty = True
        return [self._frames.error(ErrorCode.EMPTY_QUESTION, "A final chunk came without text.", id=chunk.id)]

    def _follow(self, decision: Decision, now: float) -> list[Effect]:
        match decision:
            case Keep(reason, note, verdict):
                return [self._frames.waiting(reason, note, verdict)]
            case Wait(verdict, seconds, reason, takes_back):
                if takes_back and self._life.ending is not None:
                    return self._refuse_to_ask()
                effects = self._questions.interrupt("question_extended", now) if takes_back else []
                return [*effects, self._frames.waiting(reason, "This may go on.", verdict, seconds)]
            case Ask():
                return self._decide(decision, now)
            case Guess():
                return self._questions.ask_early(decision, now)
            case _:
                assert_never(decision)

    def _decide(self, ask: Ask, now: float) -> list[Effect]:
        if self._life.ending is not None:
            return self._refuse_to_ask()
        if ask.extends:
            return self._questions.ask_further(ask, now)
        if not self._listener.until(ask):
            return []  # taken back by what was decided in the same moment, from another partial that stood still
        if self._wishes.auto_detect == "suggest":
            return self._questions.suggest(ask)
        if self._paused:
            return [*self._questions.wait_for_resume(ask)]
        if self._questions.is_free:
            return [*self._questions.ask(ask, now), *self._questions.queue_others(ask)]
        match "queue" if self._asker.held else self._wishes.on_new_question or self._settings.on_new_question:
            case "queue":
                return [self._questions.wait_for_turn(ask), *self._questions.queue_others(ask)]
            case "interrupt":
                effects = [*self._questions.interrupt("new_question", now), *self._questions.ask(ask, now)]
                return [*effects, *self._questions.queue_others(ask)]
            case "ignore":
                self._listener.ignore(ask)
                return [self._frames.waiting("answer_in_progress", "Ignored: an answer is running.", ask.verdict)]
            case mode:
                assert_never(mode)

    # Controls

    def _control(self, message: Control, now: float) -> list[Effect]:
        match message.action:
            case "pause":
                self._paused = True
                self._listener.partials.clear()
                effects = self._early.discard(now)
                return [*effects, self._frames.status("paused", note="Chunks are ignored until resume.")]
            case "resume":
                self._paused = False
                return [self._frames.status("listening", note="Listening again."), *self._questions.ask_pending(now)]
            case "cancel":
                self._questions.give_up()
                return [*self._questions.interrupt("cancelled", now), self._frames.status("idle", reason="cancelled")]
            case "reset":
                effects = self._questions.interrupt("reset", now)
                self._forget()
                return [*effects, self._frames.status("listening", reason="reset", note="Everything is forgotten.")]
            case "stop":
                return self._end(Ending("stopped", CloseCode.STOPPED, now), now)
            case "instant_query":
                return self._instant_query(message, now)
            case "feedback":
                rate = self._answers.rate(message.query_id, message.rating, message.text or "")
                if rate is not None:
                    return [rate]
                text = "This answer cannot be rated."
                return [self._frames.error(ErrorCode.FEEDBACK_UNSUPPORTED, text, id=message.id)]
            case action:
                assert_never(action)

    def _instant_query(self, message: Control, now: float) -> list[Effect]:
        if self._life.ending is not None or self._asker.held:
            return self._refuse_to_ask(message.id)
        if message.text is not None:
            text = said(message.text)
            if not text:
                return [self._frames.error(ErrorCode.EMPTY_QUESTION, "The instant query has no text.", id=message.id)]
        elif message.query_id is not None:
            if (effects := self._questions.ask_suggested(message.query_id, now)) is not None:
                return effects
            text = "Nothing of this query_id waits to be asked."
            return [self._frames.error(ErrorCode.NO_FINAL_ASR, text, id=message.id)]
        elif (last := self._listener.last_final) is None:
            return [self._frames.error(ErrorCode.NO_FINAL_ASR, "Nothing final has been heard yet.", id=message.id)]
        else:
            text = last.text
            self._listener.transcript.drop([last])
        self._questions.give_up()
        return [*self._questions.interrupt("instant_query", now), *self._questions.ask_instantly(text, now)]

    # What the provider brings

    def answer_event(self, query_id: str, event: AnswerEvent, now: float) -> list[Effect]:
        """Take one event of a query; those of a query that is no longer running change nothing."""
        if self._early.running is not None and self._early.holds(query_id):
            return self._early.hold(event, now)
        effects = self._answers.take_event(query_id, event, now)
        return effects if not effects or self._answers.query is not None else effects + self._go_on(now)

    def answer_failed(self, query_id: str, error: RagError, now: float) -> list[Effect]:
        """End a query that has no answer, or no more of it."""
        if self._early.holds(query_id):
            self._early.take()  # the final will ask again
        effects = self._answers.take_failure(query_id, error, now)
        return effects and effects + self._go_on(now)

    def _go_on(self, now: float) -> list[Effect]:
        """With the end of an answer comes what waited for it."""
        if (ending := self._life.ending) is not None:
            return self._end(ending, now)
        return [] if self._paused else self._questions.ask_pending(now)
