"""Counts what happens in one session, from its frames and from how its queries begin and end."""

from __future__ import annotations

import time
from contextvars import ContextVar
from functools import cache

from app.models.answers import Feedback
from app.models.effects import CancelQuery, StartQuery
from app.models.messages import CLIENT_TYPES, Error, FinalAnswer, Timing
from app.models.pieces import AnswerPiece, MessageAck, Sent, StatusPiece
from app.models.verdicts import LANGUAGES
from app.observability.metrics import Metrics, codes
from app.observability.observer import Observer

_current: ContextVar[Metrics | None] = ContextVar("metrics", default=None)


def count_retry() -> None:
    """The question that runs in this context is sent once more."""
    if (metrics := _current.get()) is not None:
        metrics.retries.inc()


def count_renewal() -> None:
    """The question that runs in this context begins a new conversation in the place of one that is gone."""
    if (metrics := _current.get()) is not None:
        metrics.renewals.inc()


class AccountMetrics:
    """The metrics of one provider and tenant, their labels looked up once: a session adds little to it."""

    def __init__(self, metrics: Metrics, provider: str, tenant: str | None) -> None:
        self.metrics = metrics
        self.provider = provider
        self._tenant = metrics.of_tenant(tenant)
        self.opened = metrics.sessions_opened.labels(*self._tenant) if self._tenant else metrics.sessions_opened
        self.asked = metrics.asked.labels(provider, *self._tenant)
        self.gap = metrics.gap.observe
        self.messages = {kind: metrics.messages.labels(kind) for kind in CLIENT_TYPES}
        # Of each question these are looked up: a lock, a tuple and new texts each time.
        self._questions, self.verdicts = cache(metrics.questions.labels), cache(metrics.verdicts.labels)
        self._first_text, self._answer = cache(metrics.first_text.labels), cache(metrics.answer.labels)
        for code in codes():  # shown from the beginning: the first failure is an increase, too
            metrics.questions.labels("failed", code, provider, *self._tenant)

    def count_end(self, outcome: str, code: str, timing: Timing, provider: str | None = None) -> None:
        labels = (provider or self.provider, *self._tenant)
        self._questions(outcome, code, *labels).inc()
        self.metrics.wait.observe(timing.wait_ms / 1000)
        if timing.first_text_ms is not None:
            self._first_text(*labels).observe(timing.first_text_ms / 1000)
        if outcome == "answered":
            self._answer(*labels).observe(timing.total_ms / 1000)


class SessionMetrics(Observer):
    """The `Observer` that counts."""

    __slots__ = ("_account", "_announced", "_characters", "_guess", "_text_at")

    def __init__(self, account: AccountMetrics) -> None:
        self._account = account
        self._announced = ""
        self._guess = ""
        self._text_at = 0.0
        self._characters = 0
        account.opened.inc()

    def sent(self, frame: Sent) -> None:
        match frame:
            case AnswerPiece():
                self._count_text(frame)
            case MessageAck():
                self._account.messages[frame.received_type].inc()
            case FinalAnswer():
                self._count_answer(frame)
            case StatusPiece():
                self._count_status(frame)
            case Error():
                self._account.metrics.errors.labels(frame.code).inc()

    def started(self, effect: StartQuery) -> None:
        _current.set(self._account.metrics)
        if effect.query_id != self._announced:  # asked before it was announced: a guess
            self._count_guess("wasted")
            self._guess = effect.query_id

    def cancelled(self, effect: CancelQuery) -> None:
        if effect.query_id == self._guess:
            self._count_guess("wasted")
        else:
            self._account.count_end("interrupted", effect.reason, effect.timing)

    def rated(self, feedback: Feedback) -> None:
        self._account.metrics.feedback.labels(feedback.rating or "none").inc()

    def _count_text(self, frame: AnswerPiece) -> None:
        # The way of every token: what follows is measured by tests/benchmarks/metrics.py.
        now = time.monotonic()
        if frame.stream_index:
            self._account.gap(now - self._text_at)
        self._text_at = now
        self._characters = len(frame.content) + (0 if frame.replace else self._characters)

    def _count_status(self, frame: StatusPiece) -> None:
        if frame.verdict is not None:
            language = frame.verdict.language
            # A sender may name any.
            language = language if language in LANGUAGES or language == "und" else "other"
            self._account.verdicts(frame.verdict.reason, language).inc()
        if frame.stage in ("analyzing", "instant_query") and frame.query_id is not None:
            self._announced = frame.query_id
            self._characters = 0
            self._account.asked.inc()
            self._count_guess("won" if frame.query_id == self._guess else "wasted")

    def _count_guess(self, result: str) -> None:
        """What was asked early, if anything, has come to this."""
        if self._guess:
            self._account.metrics.speculations.labels(result).inc()
            self._guess = ""

    def _count_answer(self, frame: FinalAnswer) -> None:
        outcome = "failed" if frame.error else "incomplete" if frame.incomplete else "answered"
        self._account.count_end(outcome, frame.error.code if frame.error else "", frame.timing, frame.provider)
        if outcome == "answered":
            self._account.metrics.characters.observe(self._characters + len(frame.content))
