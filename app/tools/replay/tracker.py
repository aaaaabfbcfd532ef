"""Follows a replay from frame to frame: which line became which question, what came of it, what is still owed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from app.tools.replay.recording import Step

Frame = dict[str, Any]
Outcome = Literal["running", "answered", "incomplete", "failed", "interrupted"]

# These refuse a message before its `id` is known.
_UNREAD = {"INVALID_JSON", "MESSAGE_TOO_LARGE", "RATE_LIMITED"}
# With these ends of a query nothing that waited behind it is asked.
_GIVES_UP = {"cancelled", "reset", "stopped", "instant_query", "session_switched"}


@dataclass(slots=True)
class Question:
    """One query, as the client saw it. Times are those of the service, in milliseconds."""

    query_id: str
    text: str
    line: int | None
    outcome: Outcome = "running"
    reason: str | None = None
    answer: str = ""
    sources: int = 0
    wait_ms: int | None = None
    first_text_ms: int | None = None
    total_ms: int | None = None

    @property
    def is_extended(self) -> bool:
        """It went on before its answer had text: the next question is this one, whole."""
        return self.reason == "question_extended"


@dataclass(frozen=True, slots=True)
class Fault:
    """An `error` frame."""

    code: str
    message: str


@dataclass(slots=True)
class Tracker:
    """Takes what is sent and what comes back, in the order in which it happened."""

    questions: list[Question] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)
    """Lines that became a question."""
    extended: set[int] = field(default_factory=set)
    """Lines whose question went on in a later line."""
    session_id: str | None = None
    running: Question | None = None
    is_listening: bool = False
    is_paused: bool = False
    is_over: bool = False
    """The session ended as it should, with `stop`."""
    waits_s: float = 0.0
    """How long the service waits for more of a question that may go on, in seconds."""
    _unanswered: dict[str, Step] = field(default_factory=dict)
    _finals: list[Step] = field(default_factory=list)
    _queued: list[Step | None] = field(default_factory=list)
    _partial: Step | None = None

    @property
    def is_owed(self) -> bool:
        """Whether the service has still to send something."""
        has_more = self._queued and not self.is_paused
        return not self.is_listening or bool(self._unanswered or self.running or has_more)

    @property
    def may_ask(self) -> bool:
        """Whether what was said may still become a question, without another word."""
        return not self.is_paused and self.waits_s > 0

    @property
    def has_open_partial(self) -> bool:
        return not self.is_paused and self._partial is not None

    def sent(self, step: Step) -> None:
        self._unanswered[step.id] = step

    def forget(self, step: Step) -> None:
        """It is not sent, after all."""
        self._unanswered.pop(step.id, None)

    def begin_anew(self) -> None:
        """The session is gone, and another one has begun."""
        self._interrupt("session_switched")
        self.is_listening, self.waits_s, self._partial = False, 0.0, None

    def take(self, frame: Frame) -> None:
        match frame.get("type"):
            case "ack":
                self.session_id = frame["session_id"]
                if "received_type" in frame and (step := self._answered(frame.get("id"))) is not None:
                    self._heard(step)
            case "status":
                self._status(frame)
            case "answer":
                self._answer(frame)
            case "error":
                self._error(frame)

    def _heard(self, step: Step) -> None:
        if step.is_final:
            self._finals.append(step)
            self._partial = None
        elif step.is_chunk:
            self._partial = step if step.text else None

    def _error(self, frame: Frame) -> None:
        self.faults.append(Fault(frame["code"], frame["message"]))
        if "id" in frame or frame["code"] in _UNREAD:
            self._answered(frame.get("id"))

    def _answered(self, id: str | None) -> Step | None:
        """What a reply is to; one that names nothing is to what was sent first."""
        return self._unanswered.pop(next(iter(self._unanswered), "") if id is None else id, None)

    def _status(self, frame: Frame) -> None:
        reason = frame.get("reason")
        match frame["stage"]:
            case "listening":
                self.is_listening, self.is_paused = True, False
                if reason == "reset":
                    self.waits_s = 0.0
            case "paused":
                self.is_paused = True
            case "waiting_for_question":
                self._wait(frame, reason)
            case "analyzing" | "instant_query":
                self._begin(frame, reason)
            case "interrupting":
                self._interrupt(reason)
            case "idle" if reason == "cancelled":
                self.waits_s = 0.0
            case "closed":
                self.is_over = reason == "stopped"

    def _wait(self, frame: Frame, reason: str | None) -> None:
        self.waits_s = frame.get("verdict", {}).get("wait_ms", 0) / 1000
        if reason == "stale_partial":
            self._partial = None
        if reason == "answer_in_progress" and "question" in frame:
            self._queued.append(self._mark(self._step_of(frame["question"])))

    def _begin(self, frame: Frame, reason: str | None) -> None:
        self.waits_s = 0.0
        step = None
        if reason == "stale_partial":
            step, self._partial = self._partial, None
        elif self._queued:
            step = self._queued[-1]
        elif frame["stage"] == "analyzing":
            step = self._mark(self._step_of(frame["question"]))
        self._queued.clear()
        self.running = Question(frame["query_id"], frame["question"], None if step is None else step.line)
        self.questions.append(self.running)

    def _step_of(self, question: str) -> Step | None:
        """The newest final whose words end the question: one that was waited for may be asked after the next final."""
        for step in reversed(self._finals):
            if step.text and (question.endswith(step.text) or step.text.endswith(question)):
                return step
        return self._finals[-1] if self._finals else None

    def _mark(self, step: Step | None) -> Step | None:
        if step is not None:
            self.asked.add(step.line)
        return step

    def _interrupt(self, reason: str | None) -> None:
        if self.running is not None:
            self.running.outcome, self.running.reason = "interrupted", reason
            if self.running.is_extended and self.running.line is not None:
                self.extended.add(self.running.line)
            self.running = None
        if reason in _GIVES_UP:
            self.asked -= {step.line for step in self._queued if step is not None}
            self._queued.clear()

    def _answer(self, frame: Frame) -> None:
        if (question := self.running) is None:
            return
        question.answer = frame["content"] if frame.get("replace") else question.answer + frame["content"]
        if not frame["final"]:
            return
        error = frame.get("error")
        question.outcome = "failed" if error else "incomplete" if frame.get("incomplete") else "answered"
        question.reason = error["code"] if error else None
        question.sources = len(frame["sources"])
        timing = frame["timing"]
        question.wait_ms, question.total_ms = timing.get("wait_ms"), timing["total_ms"]
        question.first_text_ms = timing["first_text_ms"]
        self.running = None
