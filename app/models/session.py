"""Decides what one session does: messages and answer events in, effects out; no clock, socket or task."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

import regex

from app.config import Settings
from app.errors import ClientError, RagError, RagFailed
from app.models.answers import (
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Progress,
    Question,
    TextDelta,
    TextReplaced,
)
from app.models.effects import CancelQuery, Close, Effect, LogBug, Send, StartQuery
from app.models.messages import (
    Ack,
    Answer,
    AnswerFailure,
    AsrChunk,
    ClientMessage,
    Configure,
    Control,
    Error,
    FinalAnswer,
    Keepalive,
    OnNewQuestion,
    ServerMessage,
    Stage,
    Status,
    Timing,
)

# How many segments are remembered after they left the buffer, so that a late repetition is known as one.
REMEMBERED_SEGMENTS = 256

_HAN = regex.compile(r"\p{Han}")


@dataclass(slots=True)
class Segment:
    """One final piece of transcript, `heard_at` in seconds of the conversation's clock."""

    text: str
    segment_id: str | int | None
    heard_at: float
    is_question: bool = False


@dataclass(slots=True)
class RunningQuery:
    query_id: str
    question: str
    asked_at: float
    mode: Literal["instant"] | None
    frames: int = 0
    first_text_at: float | None = None

    def timing(self, now: float) -> Timing:
        first_text = None if self.first_text_at is None else round((self.first_text_at - self.asked_at) * 1000)
        return Timing(first_text_ms=first_text, total_ms=round((now - self.asked_at) * 1000))


@dataclass(slots=True)
class Transcript:
    """What was said and not yet asked: whole segments, the oldest of which drop first."""

    limit: int
    segments: list[Segment] = field(default_factory=list)
    _gone: OrderedDict[str | int, None] = field(default_factory=OrderedDict)

    def put(self, segment: Segment) -> int | None:
        """Place a segment and return its index; None when that segment left the buffer before."""
        if segment.segment_id in self._gone:
            return None
        for index, known in enumerate(self.segments):
            if segment.segment_id is not None and known.segment_id == segment.segment_id:
                self.segments[index] = segment
                return index
        self.segments.append(segment)
        while len(self.segments) > 1 and len(self.text()) > self.limit:
            self.drop(0)
        return len(self.segments) - 1

    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)

    def drop(self, index: int) -> None:
        segment_id = self.segments.pop(index).segment_id
        if segment_id is not None:
            self._gone[segment_id] = None
            if len(self._gone) > REMEMBERED_SEGMENTS:
                self._gone.popitem(last=False)

    def take(self) -> str:
        """Hand out all text; it leaves the buffer."""
        text = self.text()
        while self.segments:
            self.drop(0)
        return text


class SessionState:
    """The whole behaviour of one connection, as plain calls.

    `connection_id` makes query ids unique beyond this connection. All times are seconds of one clock.
    """

    def __init__(
        self,
        session_id: str,
        settings: Settings,
        *,
        is_question: Callable[[str], bool],
        connection_id: str = "c",
    ) -> None:
        self._settings = settings
        self._is_question = is_question
        self._connection_id = connection_id
        self._queries = 0
        self._on_new_question: OnNewQuestion = settings.on_new_question
        self._auto_detect = True
        self._inputs: dict[str, Any] = {}
        self._begin(session_id)

    def _begin(self, session_id: str) -> None:
        self.session_id = session_id
        self.query: RunningQuery | None = None
        self._seq = 0
        self._paused = False
        self._forget()

    def _forget(self) -> None:
        self._transcript = Transcript(self._settings.context_max_chars)
        self._last_final: Segment | None = None
        self._conversation_id: str | None = None
        self._is_pending = False
        self._reported_empty = False

    def _send(self, frame: ServerMessage) -> Send:
        # Counted only when the frame exists: one that could not be made leaves no gap.
        self._seq = frame.seq
        return Send(frame)

    def _status(self, stage: Stage, **fields: Any) -> Send:
        return self._send(Status(session_id=self.session_id, seq=self._seq + 1, stage=stage, **fields))

    def _error(self, code: str, message: str, **fields: Any) -> Send:
        seq = self._seq + 1
        return self._send(Error(session_id=self.session_id, seq=seq, code=code, message=message, **fields))

    # What the connection brings

    def connect(self) -> list[Effect]:
        ack = Ack(session_id=self.session_id, seq=self._seq + 1, message="connected", protocol="1")
        return [self._send(ack), self._status("listening", note="Send asr_chunk messages.")]

    def refuse(self, error: ClientError) -> list[Effect]:
        """Answer a message that could not be taken; nothing else changes."""
        return [self._error(error.code, error.message, details=error.details, id=error.message_id)]

    def report_bug(self, bug: Exception) -> list[Effect]:
        """Tell the client that the service failed, and nothing of how."""
        text = "Something went wrong in the service; the session goes on."
        return [LogBug(bug), self._error("INTERNAL_ERROR", text)]

    def disconnect(self, now: float) -> CancelQuery | None:
        """The client is gone: what still runs for it ends, and there is nobody to tell."""
        query, self.query = self.query, None
        return None if query is None else CancelQuery(query.query_id, "disconnected", query.timing(now))

    def receive(self, message: ClientMessage, now: float) -> list[Effect]:
        effects: list[Effect] = []
        if message.session_id is not None and message.session_id != self.session_id:
            effects += self._interrupt("session_switched", now)
            self._begin(message.session_id)
        effects.append(self._ack(message))
        seq = self._seq
        try:
            return effects + self._react(message, now)
        except Exception as bug:
            self._seq = seq  # what it began to say is not said
            return effects + self.report_bug(bug)

    def _ack(self, message: ClientMessage) -> Send:
        is_final = bool(message.is_final) if isinstance(message, AsrChunk) else None
        return self._send(
            Ack(
                session_id=self.session_id,
                seq=self._seq + 1,
                received_type=message.type,
                is_final=is_final,
                id=message.id,
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
        if message.on_new_question is not None:
            self._on_new_question = message.on_new_question
        if message.auto_detect is not None:
            self._auto_detect = message.auto_detect
        if message.inputs is not None:
            self._inputs = message.inputs

    # From chunk to question

    def _hear(self, chunk: AsrChunk, now: float) -> list[Effect]:
        text = chunk.text.replace("\0", " ").strip()
        if self._paused:
            return [self._status("paused", reason="chunk_ignored", note="Paused: this chunk is not kept.")]
        if text:
            self._reported_empty = False
        if not chunk.is_final:
            return []
        if not text:
            return self._hear_nothing(chunk)
        segment = Segment(text, chunk.segment_id, now)
        index = self._transcript.put(segment)
        if index is None:
            return [self._waiting("duplicate", "This segment was dealt with before.")]
        is_newest = index == len(self._transcript.segments) - 1
        if is_newest:
            self._last_final = segment
        if not self._auto_detect:
            return [self._waiting("auto_detect_off", "Questions are only asked by instant_query.")]
        asking = self._asking_segments(index)
        if not asking:
            return [self._waiting("not_a_question", "No question so far.")]
        if self.query is None:
            return self._ask_transcript(now)
        match self._on_new_question:
            case "queue":
                self._is_pending = True
                return [
                    self._waiting(
                        "answer_in_progress",
                        "Asked after the running answer.",
                        question=self._transcript.text(),
                    )
                ]
            case "interrupt":
                return [*self._interrupt("new_question", now), *self._ask_transcript(now)]
            case "ignore":
                for _ in range(asking):
                    self._transcript.drop(index)
                    index -= 1
                return [self._waiting("answer_in_progress", "Ignored: an answer is running.")]
            case mode:
                assert_never(mode)

    def _hear_nothing(self, chunk: AsrChunk) -> list[Effect]:
        # Recognisers send empty finals all through a silence: one error says it.
        if chunk.end_of_turn or self._reported_empty:
            return []
        self._reported_empty = True
        return [self._error("EMPTY_QUESTION", "A final chunk came without text.", id=chunk.id)]

    def _asking_segments(self, index: int) -> int:
        """How many segments, counted back from `index`, ask a question: 0, 1 or 2."""
        segments = self._transcript.segments
        newest = segments[index]
        if self._is_question(newest.text):
            newest.is_question = True
            return 1
        before = segments[index - 1] if index > 0 else None
        # What was a question by itself does not become one again with every word that follows.
        if before is None or before.is_question or newest.heard_at - before.heard_at > self._settings.merge_seconds:
            return 0
        before.is_question = newest.is_question = self._is_question(f"{before.text} {newest.text}")
        return 2 if newest.is_question else 0

    def _waiting(self, reason: str, note: str, **fields: Any) -> Send:
        return self._status("waiting_for_question", reason=reason, note=note, **fields)

    # Asking

    def _ask_transcript(self, now: float) -> list[Effect]:
        self._is_pending = False
        return self._ask(self._transcript.take(), now, stage="analyzing")

    def _ask_pending(self, now: float) -> list[Effect]:
        if self._is_pending and not self._paused and self.query is None:
            return self._ask_transcript(now)
        return []

    def _ask(self, text: str, now: float, stage: Literal["analyzing", "instant_query"]) -> list[Effect]:
        self._queries += 1
        query_id = f"{self._connection_id}-{self._queries}"
        mode: Literal["instant"] | None = "instant" if stage == "instant_query" else None
        self.query = RunningQuery(query_id, text, now, mode)
        question = Question(
            text=text,
            user=f"ws-user-{self.session_id}",
            conversation_id=self._conversation_id,
            inputs=self._inputs,
        )
        return [
            self._status(stage, question=text, mode=mode, query_id=query_id, note="A question was heard."),
            self._status("querying_rag", question=text, mode=mode, query_id=query_id, note="Looking for an answer."),
            StartQuery(query_id, question),
        ]

    def _interrupt(self, reason: str, now: float) -> list[Effect]:
        """End the running query, if any: first the cancel, then the word, so that nothing can follow it."""
        if self.query is None:
            return []
        query, self.query = self.query, None
        return [
            CancelQuery(query.query_id, reason, query.timing(now)),
            self._status("interrupting", reason=reason, query_id=query.query_id, note="The running answer ends here."),
        ]

    # Controls

    def _control(self, message: Control, now: float) -> list[Effect]:
        match message.action:
            case "pause":
                self._paused = True
                return [self._status("paused", note="Chunks are ignored until resume.")]
            case "resume":
                self._paused = False
                return [self._status("listening", note="Listening again."), *self._ask_pending(now)]
            case "cancel":
                self._is_pending = False
                return [*self._interrupt("cancelled", now), self._status("idle", reason="cancelled")]
            case "reset":
                effects = self._interrupt("reset", now)
                self._forget()
                self._paused = False
                return [*effects, self._status("listening", reason="reset", note="Everything is forgotten.")]
            case "stop":
                effects = self._interrupt("stopped", now)
                self._is_pending = False
                return [*effects, self._status("closed", reason="stopped", note="Goodbye."), Close(1000)]
            case "instant_query":
                return self._instant_query(message, now)
            case action:
                assert_never(action)

    def _instant_query(self, message: Control, now: float) -> list[Effect]:
        if message.text is not None:
            text = message.text.replace("\0", " ").strip()
            if not text:
                return [self._error("EMPTY_QUESTION", "The instant query has no text.", id=message.id)]
        elif self._last_final is None:
            return [self._error("NO_FINAL_ASR", "Nothing final has been heard yet.", id=message.id)]
        else:
            text = self._last_final.text
            if self._transcript.segments and self._transcript.segments[-1] is self._last_final:
                self._transcript.drop(-1)
        self._is_pending = False
        return [*self._interrupt("instant_query", now), *self._ask(text, now, stage="instant_query")]

    # What the provider brings

    def answer_event(self, query_id: str, event: AnswerEvent, now: float) -> list[Effect]:
        """Take one event of a query; those of a query that is no longer running change nothing."""
        query = self.query
        if query is None or query.query_id != query_id:
            return []
        match event:
            case TextDelta(text):
                return self._answer_text(query, text, now) if text else []
            case TextReplaced(text):
                return self._answer_text(query, text, now, replace=True)
            case Progress(note):
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
                if not query.frames and not event.incomplete:
                    return self.answer_failed(query_id, RagFailed("the answer is empty"), now)
                return self._finish(query, now, event, reason="answered")
            case _:
                assert_never(event)

    def answer_failed(self, query_id: str, error: RagError, now: float) -> list[Effect]:
        """End a query that has no answer, or no more of it: the one place where an error becomes text."""
        query = self.query
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
        return [self._send(frame)]

    def _finish(
        self,
        query: RunningQuery,
        now: float,
        end: AnswerEnd,
        reason: Literal["answered", "failed"],
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
                sources=end.sources,
                usage=end.usage,
                timing=query.timing(now),
                conversation_id=self._conversation_id,
                error=None if error is None else AnswerFailure.of(error),
                incomplete=end.incomplete or None,
            )
        )
        self.query = None
        idle = self._status("idle", reason=reason, query_id=query.query_id)
        return [final, idle, *self._ask_pending(now)]
