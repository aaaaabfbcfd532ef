"""What is counted and measured, in a registry of the application's own, and how it is shown to Prometheus."""

from __future__ import annotations

import os
import platform
import struct
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args, get_type_hints

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from app import __version__
from app.codes import CloseCode, ErrorCode
from app.config import Settings
from app.errors import RagError, StartError
from app.models.messages import NotResumed

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

# Made for speech: from what nobody notices to what nobody waits for.
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 13, 20, 30, 60)
LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
CHARACTERS = (50, 100, 200, 400, 800, 1600, 3200, 6400, 12800)

# Of the other side come also 1001 (a page goes), 1005 (no code) and 1006 (lost). A client may close with any code it
# likes: what is not here is `other`.
CLOSE_CODES = frozenset({*CloseCode, 1001, 1005, 1006})

LIMITS = ("too_many_sessions", "too_many_connections", "session_limit")
# Requests that the edge refuses before the service sees them.
EDGE = ("malformed", "too_large", "too_slow")
REFUSALS = ("foreign_origin", "unauthorized", "draining", "store_away", *LIMITS, *EDGE)
RESUMES = ("resumed", *get_args(NotResumed))

# When a counter began says nothing here, and would double the number of series.
prometheus_client.disable_created_metrics()


@dataclass(frozen=True, slots=True)
class State:
    """How things stand in this process at one moment: each number with a meaning is a gauge of this name."""

    sessions_open: Annotated[int, "Sessions, parked ones included"]
    sessions_parked: Annotated[int, "Sessions that wait for their client to come back"]
    queries_running: Annotated[int, "Questions that are being asked"]
    queries_queued: Annotated[int, "Questions that wait for their turn"]
    frames_unread: Annotated[int, "Frames that wait for a client to read"]
    ready_processes: Annotated[int, "Processes that are ready to answer"]
    chunks_heard: int
    """Chunks that were answered so far without a word to an observer."""
    open_breakers: Mapping[str, int]
    """By the provider behind them."""


GAUGES = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(State, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}


class MetricsUnreadable(Exception):
    """What the processes have counted cannot be read."""


class _OfAll(Collector):
    """`MultiProcessCollector`, but for a file that a process has just made and not yet written to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        begun = [str(file) for file in self._folder.iterdir() if file.suffix == ".db" and file.stat().st_size]
        merged: Iterable[Metric] = MultiProcessCollector.merge(begun)
        return merged


class Metrics:
    """All metrics of one process. Raises `StartError` if `PROMETHEUS_MULTIPROC_DIR` is set and no folder.

    With that variable, which prometheus-client reads itself and only from the environment, every process counts into
    files there, and whichever is asked shows the sum of all.
    """

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        self._folder = _folder()
        self._names_tenants = settings.metrics_tenants
        tenant = ("tenant",) if settings.metrics_tenants else ()
        if self._folder is None:
            ProcessCollector(registry=self.registry)

        self.sessions_opened = self.counter("sessions_opened", "Sessions begun", *tenant)
        self.resumes = self.counter("resumes", "Clients that came back with a token", "result")
        self.refused = self.counter("handshakes_refused", "Clients that were not let in", "reason")
        self.closed = self.counter("connections_closed", "Connections that ended, by WebSocket close code", "code")
        self.messages = self.counter("messages", "Client messages that were taken", "type")
        self._chunks_heard = 0
        self.errors = self.counter("errors", "Error frames, refused messages among them", "code")
        self.verdicts = self.counter("verdicts", "Verdicts that clients were told", "reason", "language")
        self.asked = self.counter("questions_asked", "Questions announced to clients", "provider", *tenant)
        self.questions = self.counter("questions", "Questions that ended", "outcome", "code", "provider", *tenant)
        self.speculations = self.counter("speculations", "Questions that were asked early", "result")
        self.retries = self.counter("retries", "Questions that were sent to the backend once more")
        self.feedback = self.counter("feedback", "What people thought of answers", "rating")
        self.renewals = self.counter("conversations_renewed", "Conversations that Dify had forgotten")

        self.wait = self._seconds("question_wait", "From the last word to the asking")
        self.first_text = self._seconds("first_text", "From the asking to the first text", "provider", *tenant)
        self.gap = self._seconds("text_gap", "Between two texts of an answer")
        self.answer = self._seconds("answer", "From the asking to the end of a whole answer", "provider", *tenant)
        self.characters = self._histogram("answer_characters", "Code points of a whole answer", buckets=CHARACTERS)
        lag = "How late the event loop gets to what is due"
        self.lag = self._histogram("event_loop_lag_seconds", lag, buckets=LAGS)

        self.redis = RedisMetrics(self) if settings.redis_url is not None else None

        self._gauges = {name: self.gauge(name, meaning) for name, meaning in GAUGES.items()}
        self._breakers = self.gauge("breakers_open", "Circuit breakers that keep questions back", "provider")
        self._build = self.gauge("build_info", "1 for each process; version and Python as labels", "version", "python")
        self._build.labels(__version__, platform.python_version()).set(1)
        self._begin_at_zero(settings)

    def _begin_at_zero(self, settings: Settings) -> None:
        """Show from the beginning what may never happen: the first time is an increase, too."""
        self._breakers.labels(settings.rag_provider).set(0)
        for reason in REFUSALS:
            self.refused.labels(reason)
        for result in RESUMES:
            self.resumes.labels(result)
        for result in ("won", "wasted"):
            self.speculations.labels(result)
        for rating in ("like", "dislike", "none"):
            self.feedback.labels(rating)
        for code in CLOSE_CODES:
            self.closed.labels(str(code))
        self.errors.labels(ErrorCode.INTERNAL_ERROR)

    def counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"realtime_rag_{name}", f"{help}.", labels, registry=self.registry)

    def _seconds(self, name: str, help: str, *labels: str) -> Histogram:
        return self._histogram(f"{name}_seconds", f"{help}, in seconds", *labels, buckets=SECONDS)

    def _histogram(self, name: str, help: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"realtime_rag_{name}", f"{help}.", labels, buckets=buckets, registry=self.registry)

    def gauge(self, name: str, help: str, *labels: str) -> Gauge:
        name = f"realtime_rag_{name}"
        return Gauge(name, f"{help}.", labels, registry=self.registry, multiprocess_mode="livesum")

    def of_tenant(self, name: str | None) -> tuple[str, ...]:
        """The values of the label `tenant`: none unless tenants are asked for."""
        return (name or "",) if self._names_tenants else ()

    def count_close(self, code: int) -> None:
        self.closed.labels(str(code) if code in CLOSE_CODES else "other").inc()

    @property
    def is_shared(self) -> bool:
        """Several processes count together."""
        return self._folder is not None

    def show(self, state: State) -> None:
        """Set the gauges to how things stand, and count what was not counted when it happened."""
        self.messages.labels("asr_chunk").inc(state.chunks_heard - self._chunks_heard)
        self._chunks_heard = state.chunks_heard
        for name, gauge in self._gauges.items():
            gauge.set(getattr(state, name))
        for provider, count in state.open_breakers.items():
            self._breakers.labels(provider).set(count)

    def page(self) -> bytes:
        """Everything in Prometheus' text format, with several processes that of all. Raises `MetricsUnreadable`."""
        if self._folder is None:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        try:
            _forget_the_dead(self._folder)
            registry.register(_OfAll(self._folder))
            return generate_latest(registry)
        except (OSError, ValueError, LookupError, RuntimeError, struct.error) as error:
            # Somebody removed the folder, or put files of their own into it: prometheus-client fails in as many ways.
            raise MetricsUnreadable(f"PROMETHEUS_MULTIPROC_DIR: {self._folder} cannot be read: {error!r}") from error

    def close(self) -> None:
        """This process ends: its gauges count no more."""
        if self._folder is not None:
            mark_process_dead(os.getpid(), str(self._folder))


class RedisMetrics:
    """What is counted where processes share their sessions."""

    def __init__(self, metrics: Metrics) -> None:
        self.up = metrics.gauge("redis_up", "Processes for which Redis is there")
        self.frames = metrics.counter("redis_frames", "Frames that were written to Redis")
        self.moved = metrics.counter("sessions_moved", "Sessions that came from another process")
        self.seized = metrics.counter("sessions_seized", "Sessions that came from a process that is gone")
        self.relayed = metrics.counter("sessions_relayed", "Clients served from another process, which was answering")
        self.fenced = metrics.counter("sessions_fenced", "Sessions that another process had taken")
        self.rewritten = metrics.counter("sessions_rewritten", "Sessions that Redis had lost, and got again")


def codes(root: type[RagError] = RagError) -> set[str]:
    """Every code with which a question can fail."""
    return {root.code}.union(*map(codes, root.__subclasses__()))


def _folder() -> Path | None:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return None
    if not os.path.isdir(folder):
        raise StartError("PROMETHEUS_MULTIPROC_DIR", f"{folder} is not a folder")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StartError("PROMETHEUS_MULTIPROC_DIR", f"{folder} cannot be written to: {error.strerror}") from error
    return Path(folder)


def _forget_the_dead(folder: Path) -> None:
    """Drop the gauges of processes that ended without a word; what they counted stays."""
    for process in {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_live*.db")}:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            mark_process_dead(process, str(folder))
        except PermissionError:
            pass  # it lives, as another user
