"""Traces questions with OpenTelemetry, each below the connection it came by; nothing of what was said is told."""

from __future__ import annotations

import time
from importlib.util import find_spec

from fastapi.telemetry import TelemetryConfig
from opentelemetry import context, trace
from opentelemetry.trace import Span, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import __version__
from app.config import Settings
from app.errors import StartError
from app.models.effects import CancelQuery, StartQuery
from app.models.messages import FinalAnswer
from app.models.pieces import AnswerPiece, Sent, StatusPiece
from app.observability.observer import Observer

# Only the trace is handed on: what else a client's headers carry (baggage) is not for the backend.
_PROPAGATOR = TraceContextTextMapPropagator()

_MILLISECOND = 1_000_000


def load_telemetry(settings: Settings) -> TelemetryConfig:
    """What FastAPI traces: connections, if `TRACING` is on. Raises `StartError` without the packages for it."""
    if settings.tracing and not _is_installed("opentelemetry.exporter.otlp.proto.http"):
        raise StartError("TRACING", "needs the extra otel: pip install 'realtime-rag[otel]'")
    return {
        "tracing": settings.tracing,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": settings.tracing,
        # A span of an HTTP page would hold its query, in which there may be a token.
        "exclude": lambda scope: scope["type"] != "websocket",
    }


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # nor is what it is part of
        return False


def is_heard() -> bool:
    """Whether anybody takes the spans."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def outgoing() -> tuple[dict[str, str], str | None]:
    """The headers that continue the trace of this context elsewhere, and its id; neither if there is none."""
    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return {}, None
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers)
    return headers, trace.format_trace_id(here.trace_id)


class SessionTrace(Observer):
    """The `Observer` of one session that traces. `provider` is who is asked first."""

    def __init__(self, provider: str, tenant: str | None) -> None:
        self._tracer = trace.get_tracer("realtime_rag", __version__)
        self._attributes = {"realtime_rag.provider": provider}
        if tenant is not None:
            self._attributes["realtime_rag.tenant"] = tenant
        self._connection = context.get_current()
        self._query_id = ""
        self._span: Span = trace.INVALID_SPAN
        self._has_text = False

    def attended(self) -> None:
        self._connection = context.get_current()

    def sent(self, frame: Sent) -> None:
        match frame:
            case FinalAnswer() if frame.query_id == self._query_id:
                if frame.provider is not None:
                    self._span.set_attribute("realtime_rag.provider", frame.provider)
                outcome = "failed" if frame.error else "incomplete" if frame.incomplete else "answered"
                self._end(outcome, frame.error.code if frame.error else None)
            case AnswerPiece() if not self._has_text:
                self._has_text = True
                self._span.add_event("first_text")
            case StatusPiece(stage="analyzing" | "instant_query", query_id=str() as query_id):
                self._announce(query_id, frame)

    def started(self, effect: StartQuery) -> None:
        if effect.query_id != self._query_id:
            self._begin(effect.query_id, time.time_ns())
            self._span.set_attribute("realtime_rag.asked_early", True)
        self._span.add_event("asked")
        # In the context of the query alone, which ends with it: there is nothing to detach.
        context.attach(trace.set_span_in_context(self._span))

    def cancelled(self, effect: CancelQuery) -> None:
        if effect.query_id == self._query_id:
            self._end("interrupted", effect.reason)

    def _announce(self, query_id: str, frame: StatusPiece) -> None:
        heard_at = time.time_ns() - (frame.verdict.wait_ms if frame.verdict is not None else 0) * _MILLISECOND
        if query_id != self._query_id:
            self._begin(query_id, heard_at)
        self._span.add_event("heard", timestamp=heard_at)
        if frame.verdict is not None:
            reason, confidence = frame.verdict.reason, frame.verdict.confidence
            self._span.add_event("judged", {"reason": reason, "confidence": confidence})

    def _begin(self, query_id: str, at: int) -> None:
        self._end("abandoned")  # one that was asked early and failed, unseen
        attributes = {**self._attributes, "realtime_rag.query_id": query_id}
        self._span = self._tracer.start_span("question", self._connection, attributes=attributes, start_time=at)
        self._query_id = query_id
        self._has_text = False

    def _end(self, outcome: str, code: str | None = None) -> None:
        if not self._query_id:
            return
        self._span.add_event("end")
        self._span.set_attribute("realtime_rag.outcome", outcome)
        if outcome == "failed" and code is not None:
            self._span.set_attribute("error.type", code)
            self._span.set_status(StatusCode.ERROR)
        elif code is not None:
            self._span.set_attribute("realtime_rag.reason", code)
        self._span.end()
        self._query_id = ""
