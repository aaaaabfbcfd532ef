"""Decides what one session does: messages and answer events in, effects out; no clock, socket or task."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

import regex

from app.codes import CloseCode, ErrorCode
from app.config import Settings
from app.errors import ClientError, RagError, RagFailed
from app.models.answers import (
    MAX_NOTE_CHARS,
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Progress,
    Question,
    TextDelta,
    TextReplaced,
    Turn,
    bounded_sources,
    bounded_usage,
)
from app.models.asked import Asked, phrase
from app.models.effects import CancelQuery, Close, Effect, LogBug, Send, StartQuery
from app.models.lifetime import Ending, Lifetime
from app.models.listening import Ask, Attention, Decision, Guess, Judge, Keep, Listener, Wait
from app.models.messages import (
    Ack,
    Answer,
    AnswerFailure,
    AsrChunk,
    ClientMessage,
    Configure,
    Control,
    Details,
    Error,
    FinalAnswer,
    Keepalive,
    NotResumed,
    OnNewQuestion,
    ServerMessage,
    Stage,
    Status,
    Timing,
    VerdictNote,
)
from app.models.spelling import compared
from app.models.transcript import Segment, Speaker, ending, plain
from app.models.verdicts import Verdict

# How often one turn may be asked early, and how much of an unconfirmed answer is held, in characters.
MAX_SPECULATIONS = 2
MAX_HELD_CHARS = 100_000
# What is asked at most, in characters: several speakers' segments may wait to be asked as one question.
MAX_ASKED_CHARS = 8_000
# How many questions with their answers are remembered for providers that remember nothing, and how much of an answer.
MAX_TURNS = 4
MAX_SAID_CHARS = 500

# The stages whose status says what will not be asked.
TELLING: frozenset[Stage] = frozenset({"waiting_for_question", "analyzing", "instant_query", "idle"})

_HAN = regex.compile(r"\p{Han}")


def _newest(segments: list[Segment]) -> list[Segment]:
    """As many of the last segments as make a question."""
    size = -1
    for index in range(len(segments) - 1, -1, -1):
        size += 1 + len(segments[index].text)
        if size > MAX_ASKED_CHARS:
            return segments[index + 1 :]
    return segments


def _said(text: str) -> str:
    """What was said, as it came; empty if there is nothing to see."""
    text = text.replace("\0", " ").strip()
    return text if text.isascii() or compared(text).strip() else ""


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

    def timing(self, now: float) -> Timing:
        first_text = None if self.first_text_at is None else round((self.first_text_at - self.asked_at) * 1000)
        total = round((now - self.asked_at) * 1000)
        return Timing(wait_ms=round(self.waited * 1000), first_text_ms=first_text, total_ms=total)


@dataclass(slots=True)
class Speculation:
    """A query begun on a partial. What it brings is held until a final says the same words."""

    query: RunningQuery
    speaker: Speaker
    said: str
    held: list[AnswerEvent] = field(default_factory=list)
    size: int = 0


class SessionState:
    """The whole behaviour of one session, as plain calls.

    `connection_id` makes query ids unique beyond this session. `is_stateless`: the provider remembers nothing of a
    conversation, so a question may be taken back. What is asked is asked for `user_prefix` and the
    session's name, with `fixed_inputs`, which a client cannot change. All times are seconds of one clock.
    """

    def __init__(
        self,
        session_id: str,
        settings: Settings,
        *,
        judge: Judge,
        connection_id: str = "c",
        is_stateless: bool = False,
        user_prefix: str = "",
        fixed_inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings = settings
        self._asks_with_talk = settings.query_scope == "aggregated"
        self._judge = judge
        self._connection_id = connection_id
        self._is_stateless = is_stateless
        self._user = f"{user_prefix}ws-user-"
        self._fixed_inputs = fixed_inputs or {}
        self._life = Lifetime(settings)
        self._queries = 0
        self._is_configured = False
        self._on_new_question: OnNewQuestion = settings.on_new_question
        self._attention = Attention()
        self._inputs: dict[str, Any] = dict(self._fixed_inputs)
        self._begin(session_id)

    def _begin(self, session_id: str) -> None:
        self.session_id = session_id
        self.query: RunningQuery | None = None
        self._seq = 0
        self._paused = False
        self._forget()

    def _forget(self) -> None:
        self._listener = Listener(self._settings, self._attention, self._judge)
        self._conversation_id: str | None = None
        self._pending: list[Ask] = []
        self._dropped: list[str] = []
        self._speculation: Speculation | None = None
        self._speculations = 0
        self._last_question = ""
        self._history: deque[Turn] = deque(maxlen=MAX_TURNS)
        self._reported_empty = False

    def _send(self, frame: ServerMessage) -> Send:
        # Counted only when the frame exists: one that could not be made leaves no gap.
        self._seq = frame.seq
        return Send(frame)

    def _status(self, stage: Stage, **fields: Any) -> Send:
        if self._dropped and stage in TELLING:
            fields["dropped"], self._dropped = tuple(self._dropped), []
        return self._send(Status(session_id=self.session_id, seq=self._seq + 1, stage=stage, **fields))

    def _error(self, code: ErrorCode, message: str, **fields: Any) -> Send:
        seq = self._seq + 1
        return self._send(Error(session_id=self.session_id, seq=seq, code=code, message=message, **fields))

    # What the connection brings

    def connect(
        self, now: float, *, resume_token: str | None = None, not_resumed: NotResumed | None = None
    ) -> list[Effect]:
        """Begin; `not_resumed` says why a client that came back gets this new session."""
        self._life.begin(now)
        ack = Ack(
            session_id=self.session_id,
            seq=self._seq + 1,
            message="connected",
            protocol="1",
            resumed=None if not_resumed is None else False,
            resume_token=resume_token,
            reason=not_resumed,
        )
        return [self._send(ack), self._status("listening", note="Send asr_chunk messages.")]

    def resume(self, session_id: str | None, last_seq: int, resume_token: str, now: float) -> Ack:
        """Greet the client that came back. What it has missed is sent as it was: this frame counts for nothing.

        `session_id` is the name that the session had when it made the frame `last_seq`, by default that of now.
        """
        self._life.heard(now)
        return Ack(
            session_id=session_id or self.session_id,
            seq=last_seq,
            message="connected",
            protocol="1",
            resumed=True,
            resume_token=resume_token,
            newest_seq=self._seq,
        )

    def expire_at(self, time: float) -> None:
        """When the proof of who the client is will have expired."""
        self._life.expires_at = time

    def refuse(self, error: ClientError, now: float) -> list[Effect]:
        """Answer a message that could not be taken; nothing else changes."""
        self._life.heard(now)
        return [
            self._error(
                error.code,
                error.message,
                details=error.details,
                id=error.message_id,
                retry_after_ms=error.retry_after_ms,
                retryable=error.retry_after_ms is not None,
            )
        ]

    def too_slow(self) -> list[Send]:
        """The client does not read: said in the log of frames, for when it comes back."""
        return [self._error(ErrorCode.SLOW_CONSUMER, "The connection was closed: too much was unread.", retryable=True)]

    def report_bug(self, bug: Exception) -> list[Effect]:
        """Tell the client that the service failed, and nothing of how."""
        text = "Something went wrong in the service; the session goes on."
        return [LogBug(bug), self._error(ErrorCode.INTERNAL_ERROR, text)]

    def disconnect(self, now: float) -> CancelQuery | None:
        """The client is gone: what still runs for it ends, and there is nobody to tell."""
        guess, self._speculation = self._speculation, None
        query, self.query = self.query or (guess.query if guess is not None else None), None
        return None if query is None else CancelQuery(query.query_id, "disconnected", query.timing(now))

    def receive(self, message: ClientMessage, now: float, details: Details | None = None) -> list[Effect]:
        """Take a message; `details` tells which of its fields could not be taken as they came."""
        self._life.heard(now)
        effects: list[Effect] = []
        message, details = self._bounded(message, details)
        if message.session_id is not None and message.session_id != self.session_id:
            effects += self._interrupt("session_switched", now)
            self._begin(message.session_id)
        effects.append(self._ack(message, details))
        seq = self._seq
        try:
            return effects + self._react(message, now)
        except Exception as bug:
            self._seq = seq  # what it began to say is not said
            return effects + self.report_bug(bug)

    def _bounded(self, message: ClientMessage, details: Details | None) -> tuple[ClientMessage, Details | None]:
        """The message with as much text as is kept of one, and what has become of it."""
        match message:
            case AsrChunk(text=text):
                limit = self._settings.segment_max_chars
            case Control(text=str(text)):
                limit = MAX_ASKED_CHARS
            case _:
                return message, details
        if len(text) <= limit:
            return message, details
        return message.model_copy(update={"text": ending(text, limit)}), {**(details or {}), "text": "cut"}

    def _ack(self, message: ClientMessage, details: Details | None) -> Send:
        is_final = bool(message.is_final) if isinstance(message, AsrChunk) else None
        return self._send(
            Ack(
                session_id=self.session_id,
                seq=self._seq + 1,
                received_type=message.type,
                is_final=is_final,
                id=message.id,
                details=details,
            )
        )

    def _react(self, message: ClientMessage, now: float) -> list[Effect]:
        match message:
            case AsrChunk():
                return self._hear(message, now)
            case Control():
                return self._control(message, now)
            case Configure():
                self._configure(message)
                return []
            case Keepalive():
                return []
            case _:
                assert_never(message)

    def _configure(self, message: Configure) -> None:
        self._is_configured = True
        if message.on_new_question is not None:
            self._on_new_question = message.on_new_question
        if message.auto_detect is not None:
            self._attention.auto_detect = message.auto_detect
            if not message.auto_detect:
                self._listener.give_up()
        if message.speakers is not None:
            self._attention.speakers = frozenset(message.speakers) or None
        if message.inputs is not None:
            self._inputs = {**message.inputs, **self._fixed_inputs}

    # The end

    @property
    def is_ending(self) -> bool:
        return self._life.ending is not None

    @property
    def is_blank(self) -> bool:
        """Nothing final was heard, asked or set: who comes back misses nothing in a new session."""
        is_set = self._is_configured or self._paused
        return not (self._queries or is_set or self._listener.last_final is not None)

    def wind_down(self, ending: Ending, now: float) -> list[Effect]:
        """Take no more questions, let the running answer finish until `ending.at`, and close."""
        if self._life.ending is not None and self._life.ending.at <= ending.at:
            return []
        self._life.ending = ending
        self._give_up_pending()
        effects = self._discard(now)
        return effects if self.query is not None and now < ending.at else effects + self._end(ending, now)

    def _grow_older(self, now: float) -> list[Effect]:
        if (ending := self._life.ending) is not None:
            return self._end(ending, now) if now >= ending.at else []
        if (ending := self._life.ending_of_age(now)) is not None:
            return self.wind_down(ending, now)
        if not self._life.is_idle(now):
            return []
        if self.query is not None:
            self._life.heard(now)  # who waits for an answer, or reads one, is there
            return []
        error = self._error(ErrorCode.IDLE_TIMEOUT, "Nothing was heard for a long time.", retryable=True)
        return [error, *self._end(Ending("idle_timeout", CloseCode.IDLE_TIMEOUT, now), now)]

    def _end(self, ending: Ending, now: float) -> list[Effect]:
        closed = [*self._interrupt(ending.reason, now), self._status("closed", reason=ending.reason, note="Goodbye.")]
        return [*closed, Close(ending.code, ending.reason)]

    def _refuse_to_ask(self, message_id: str | None = None) -> list[Effect]:
        text = "This session is about to end: no more questions are taken."
        return [self._error(ErrorCode.DRAINING, text, retryable=True, id=message_id)]

    # From chunk to question

    def deadline(self) -> float:
        """When `tick` is due at the latest."""
        return self._life.due if self._listener.due is None else min(self._listener.due, self._life.due)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due by now."""
        effects: list[Effect] = []
        seq = self._seq
        try:
            for decision in self._listener.tick(now, self._unanswered()):
                effects += self._follow(decision, now)
                seq = self._seq
        except Exception as bug:
            self._seq = seq
            effects += self.report_bug(bug)
        return effects + self._grow_older(now)

    def _hear(self, chunk: AsrChunk, now: float) -> list[Effect]:
        text = _said(chunk.text)
        if self._paused:
            return [self._status("paused", reason="chunk_ignored", note="Paused: this chunk is not kept.")]
        if text:
            self._reported_empty = False
        if not chunk.is_final:
            effects = self._discard_unless(chunk.speaker, text, now)
            guess = self._listener.hear_partial(chunk, text, now)
            return effects if guess is None else effects + self._speculate(guess, now)
        if not text:
            return self._hear_nothing(chunk, now)
        self._speculations = 0
        decision = self._listener.hear_final(chunk, text, now, self._unanswered())
        self._drop_crowded_out()
        effects = self._follow(decision, now)
        return effects + self._discard_unless(chunk.speaker, "", now)

    def _hear_nothing(self, chunk: AsrChunk, now: float) -> list[Effect]:
        if chunk.end_of_turn:
            ask = self._listener.end_turn(chunk.speaker, now)
            return [] if ask is None else self._follow(ask, now)
        self._listener.partials.pop(chunk.speaker, None)
        # Recognisers send empty finals all through a silence: one error says it.
        if self._reported_empty:
            return []
        self._reported_empty = True
        return [self._error(ErrorCode.EMPTY_QUESTION, "A final chunk came without text.", id=chunk.id)]

    def _unanswered(self) -> list[Segment]:
        """The segments of the running question while none of its answer has left."""
        return self.query.segments if self.query is not None and not self.query.frames else []

    def _follow(self, decision: Decision, now: float) -> list[Effect]:
        match decision:
            case Keep(reason, note, verdict):
                return [self._waiting(reason, note, verdict=verdict and VerdictNote.of(verdict))]
            case Wait(verdict, seconds, reason):
                return [self._waiting(reason, "This may go on.", verdict=VerdictNote.of(verdict, seconds))]
            case Ask():
                return self._decide(decision, now)
            case Guess():
                return self._speculate(decision, now)
            case _:
                assert_never(decision)

    def _decide(self, ask: Ask, now: float) -> list[Effect]:
        if self._life.ending is not None:
            return self._refuse_to_ask()
        if ask.extends:
            speakers = [ask.speaker, *(segment.speaker for segment in self._unanswered())]
            segments = self._listener.take(*speakers)
            return [*self._interrupt("question_extended", now), *self._ask_heard(ask, segments, now)]
        if self._paused:
            self._queue(ask)
            return []
        if self.query is None:
            return self._ask_heard(ask, self._listener.take_question(ask), now)
        match self._on_new_question:
            case "queue":
                text = self._queue(ask)
                note = "Asked after the running answer."
                return [self._waiting("answer_in_progress", note, question=text, verdict=VerdictNote.of(ask.verdict))]
            case "interrupt":
                segments = self._listener.take_question(ask)
                return [*self._interrupt("new_question", now), *self._ask_heard(ask, segments, now)]
            case "ignore":
                transcript = self._listener.transcript
                transcript.drop([segment for segment in transcript.of(ask.speaker) if segment.asks is ask.verdict])
                note = "Ignored: an answer is running."
                return [self._waiting("answer_in_progress", note, verdict=VerdictNote.of(ask.verdict))]
            case mode:
                assert_never(mode)

    def _waiting(self, reason: str, note: str, **fields: Any) -> Send:
        return self._status("waiting_for_question", reason=reason, note=note, **fields)

    # Asking

    def _queue(self, ask: Ask) -> str:
        """Let a question wait for its turn; return how it will be shown."""
        corrected = next((known for known in self._pending if not self._listener.until(known)), None)
        if corrected is not None and corrected.speaker == ask.speaker:
            self._pending[self._pending.index(corrected)] = ask
        else:
            if len(self._pending) >= self._settings.queued_questions:
                self._drop(self._pending.pop())
            self._pending.append(ask)
        return self._shown(self._phrase(self._listener.until(ask), ask.verdict))

    def _drop(self, ask: Ask) -> None:
        """It will not be asked: the next status says so. Its text stays in the talk."""
        if segments := self._listener.until(ask):
            self._dropped.append(self._shown(self._phrase(segments, ask.verdict)))

    def _drop_crowded_out(self) -> None:
        """The same for what waits and had to make room in the talk."""
        for ask in self._pending.copy():
            gone = [segment for segment in self._listener.transcript.crowded_out if segment.asks is ask.verdict]
            if gone:
                self._pending.remove(ask)
                self._dropped.append(self._shown(self._phrase(gone, ask.verdict)))

    def _ask_pending(self, now: float) -> list[Effect]:
        while self._pending and not self._paused and self.query is None:
            ask = self._pending.pop(0)
            if effects := self._ask_heard(ask, self._listener.take_question(ask), now):
                return effects
        return []

    def _ask_heard(self, newest: Ask, segments: list[Segment], now: float) -> list[Effect]:
        """Ask what was said in these segments."""
        segments = _newest(segments)
        if not segments:
            return []
        asked = self._phrase(segments, newest.verdict)
        guess, effects = self._confirm(asked, now)
        query = self._new_query(asked, now) if guess is None else guess.query
        query.asked, query.question, query.asked_at = asked, self._shown(asked), now
        query.segments, query.waited = segments, newest.waited
        self.query = query
        verdict = VerdictNote.of(newest.verdict, newest.waited)
        effects += self._announce(query, "analyzing", reason=newest.reason, verdict=verdict)
        if guess is None:
            return [*effects, self._start(query)]
        for event in guess.held:
            effects += self.answer_event(query.query_id, event, now)
        return effects

    # Asking early

    def _speculate(self, guess: Guess, now: float) -> list[Effect]:
        """Begin on a partial, unless a guess that is taken back would stay in the provider's memory."""
        is_free = self.query is None and self._speculation is None and not self._pending and not self._paused
        forgets = self._is_stateless or self._conversation_id is None
        if not is_free or not forgets or self._speculations >= MAX_SPECULATIONS:
            return []
        self._speculations += 1
        asked = self._phrase(guess.segments, guess.verdict)
        query = self._new_query(asked, now)
        self._speculation = Speculation(query, guess.speaker, plain(guess.segments[-1].text))
        return [self._start(query)]

    def _confirm(self, asked: Asked, now: float) -> tuple[Speculation | None, list[Effect]]:
        """Return what was begun early if it is what is asked now, else what takes it back."""
        guess = self._speculation
        if guess is not None and [plain(text) for text in guess.query.asked] == [plain(text) for text in asked]:
            self._speculation = None
            return guess, []
        return None, self._discard(now)

    def _discard(self, now: float) -> list[Effect]:
        guess, self._speculation = self._speculation, None
        if guess is None:
            return []
        return [CancelQuery(guess.query.query_id, "speculation_discarded", guess.query.timing(now))]

    def _discard_unless(self, speaker: Speaker, text: str, now: float) -> list[Effect]:
        """Take back what was begun early for this speaker, unless these are still the words."""
        guess = self._speculation
        if guess is None or guess.speaker != speaker or guess.said == plain(text):
            return []
        return self._discard(now)

    def _hold(self, guess: Speculation, event: AnswerEvent, now: float) -> list[Effect]:
        guess.held.append(event)
        guess.size += 1 + (len(event.text) if isinstance(event, TextDelta | TextReplaced) else 0)
        return self._discard(now) if guess.size > MAX_HELD_CHARS else []

    def _phrase(self, segments: list[Segment], verdict: Verdict) -> Asked:
        asked = phrase(segments, verdict, with_talk=self._asks_with_talk)
        if verdict.is_follow_up and self._is_stateless and not asked.context and asked.text == verdict.question:
            # Nobody else remembers what it follows.
            return Asked(ending(f"{self._last_question} {asked.text}".lstrip(), MAX_ASKED_CHARS))
        return asked

    def _shown(self, asked: Asked) -> str:
        return ending(asked.whole, MAX_ASKED_CHARS) if self._asks_with_talk else asked.text

    def _new_query(self, asked: Asked, now: float) -> RunningQuery:
        self._queries += 1
        return RunningQuery(f"{self._connection_id}-{self._queries}", asked, self._shown(asked), now)

    def _announce(
        self, query: RunningQuery, stage: Literal["analyzing", "instant_query"], **fields: Any
    ) -> list[Effect]:
        self._last_question = query.asked.text
        told = {"question": query.question, "mode": query.mode, "query_id": query.query_id}
        return [
            self._status(stage, note="A question was heard.", **told, **fields),
            self._status("querying_rag", note="Looking for an answer.", **told),
        ]

    def _start(self, query: RunningQuery) -> StartQuery:
        question = Question(
            text=query.asked.text,
            user=self._user + self.session_id,
            conversation_id=self._conversation_id,
            context=query.asked.context,
            inputs=self._inputs,
            history=tuple(self._history),
        )
        return StartQuery(query.query_id, question)

    def _remember(self, query: RunningQuery, *, is_whole: bool) -> None:
        if query.said.strip():
            self._history.append(Turn(query.asked.text, query.said, is_whole))

    def _interrupt(self, reason: str, now: float) -> list[Effect]:
        """End the running query, if any: first the cancel, then the word, so that nothing can follow it."""
        if self.query is None:
            return self._discard(now)
        query, self.query = self.query, None
        self._remember(query, is_whole=False)
        return [
            CancelQuery(query.query_id, reason, query.timing(now)),
            self._status("interrupting", reason=reason, query_id=query.query_id, note="The running answer ends here."),
        ]

    # Controls

    def _control(self, message: Control, now: float) -> list[Effect]:
        match message.action:
            case "pause":
                self._paused = True
                self._listener.partials.clear()
                return [*self._discard(now), self._status("paused", note="Chunks are ignored until resume.")]
            case "resume":
                self._paused = False
                return [self._status("listening", note="Listening again."), *self._ask_pending(now)]
            case "cancel":
                self._give_up_pending()
                return [*self._interrupt("cancelled", now), self._status("idle", reason="cancelled")]
            case "reset":
                effects = self._interrupt("reset", now)
                self._forget()
                self._paused = False
                return [*effects, self._status("listening", reason="reset", note="Everything is forgotten.")]
            case "stop":
                return self._end(Ending("stopped", CloseCode.STOPPED, now), now)
            case "instant_query":
                return self._instant_query(message, now)
            case action:
                assert_never(action)

    def _instant_query(self, message: Control, now: float) -> list[Effect]:
        if self._life.ending is not None:
            return self._refuse_to_ask(message.id)
        if message.text is not None:
            text = _said(message.text)
            if not text:
                return [self._error(ErrorCode.EMPTY_QUESTION, "The instant query has no text.", id=message.id)]
        elif (last := self._listener.last_final) is None:
            return [self._error(ErrorCode.NO_FINAL_ASR, "Nothing final has been heard yet.", id=message.id)]
        else:
            text = last.text
            self._listener.transcript.drop([last])
        self._give_up_pending()
        effects = self._interrupt("instant_query", now)
        self.query = query = self._new_query(Asked(text), now)
        query.mode = "instant"
        return [*effects, *self._announce(query, "instant_query"), self._start(query)]

    def _give_up_pending(self) -> None:
        """Nothing that was heard asks any more by itself; its text stays in the talk."""
        for ask in self._pending:
            self._drop(ask)
        self._pending.clear()
        self._listener.give_up()

    # What the provider brings

    def answer_event(self, query_id: str, event: AnswerEvent, now: float) -> list[Effect]:
        """Take one event of a query; those of a query that is no longer running change nothing."""
        guess, query = self._speculation, self.query
        if guess is not None and guess.query.query_id == query_id:
            return self._hold(guess, event, now)
        if query is None or query.query_id != query_id:
            return []
        match event:
            case TextDelta(text):
                return self._answer_text(query, text, now) if text else []
            case TextReplaced(text):
                return self._answer_text(query, text, now, replace=True)
            case Progress(note):
                note = note[:MAX_NOTE_CHARS]
                # Stages only move forward: once text runs, a step of the workflow is no news.
                if query.frames:
                    return []
                return [self._status("querying_rag", mode=query.mode, query_id=query_id, note=note, reason="progress")]
            case ConversationNamed(conversation_id):
                self._conversation_id = conversation_id
                return []
            case AnswerEnd():
                if event.conversation_id is not None:
                    self._conversation_id = event.conversation_id
                if not query.frames and not event.incomplete and event.found:
                    return self.answer_failed(query_id, RagFailed("the answer is empty"), now)
                return self._finish(query, now, event, reason="answered" if event.found else "nothing_found")
            case _:
                assert_never(event)

    def answer_failed(self, query_id: str, error: RagError, now: float) -> list[Effect]:
        """End a query that has no answer, or no more of it: the one place where an error becomes text."""
        guess, query = self._speculation, self.query
        if guess is not None and guess.query.query_id == query_id:
            self._speculation = None  # the final will ask again
        if query is None or query.query_id != query_id:
            return []
        content = "" if query.frames else error.sentence_zh if _HAN.search(query.question) else error.sentence
        return self._finish(query, now, AnswerEnd(incomplete=query.frames > 0), "failed", error, content)

    def _answer_text(self, query: RunningQuery, text: str, now: float, replace: bool = False) -> list[Effect]:
        if text and query.first_text_at is None:
            query.first_text_at = now
        frame = Answer(
            session_id=self.session_id,
            seq=self._seq + 1,
            query_id=query.query_id,
            stream_index=query.frames,
            content=text,
            replace=replace or None,
        )
        query.frames += 1
        query.said = (text if replace else query.said + text)[:MAX_SAID_CHARS]
        return [self._send(frame)]

    def _finish(
        self,
        query: RunningQuery,
        now: float,
        end: AnswerEnd,
        reason: Literal["answered", "nothing_found", "failed"],
        error: RagError | None = None,
        content: str = "",
    ) -> list[Effect]:
        final = self._send(
            FinalAnswer(
                session_id=self.session_id,
                seq=self._seq + 1,
                query_id=query.query_id,
                stream_index=query.frames,
                content=content,
                sources=bounded_sources(end.sources),
                usage=bounded_usage(end.usage),
                timing=query.timing(now),
                conversation_id=self._conversation_id,
                error=None if error is None else AnswerFailure.of(error),
                incomplete=end.incomplete or None,
                found=None if end.found else False,
                provider=end.provider,
            )
        )
        self.query = None
        if end.found:
            self._remember(query, is_whole=error is None and not end.incomplete)
        idle = self._status("idle", reason=reason, query_id=query.query_id)
        if (ending := self._life.ending) is not None:
            return [final, idle, *self._end(ending, now)]
        return [final, idle, *self._ask_pending(now)]
