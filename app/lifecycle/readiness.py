"""Says whether this process should get clients, and if not, why."""

from __future__ import annotations

from typing import Literal

from app.config import Settings
from app.lifecycle.probe import Probe
from app.services.guarded import GuardedProvider
from app.services.indexing import IndexState
from app.sessions.table import Sessions

Reason = Literal[
    "draining",
    "full",
    "provider_not_configured",
    "indexing",
    "knowledge_empty",
    "upstream_not_asked_yet",
    "upstream_failed",
]
Check = Literal["ok"] | Reason


class Readiness:
    """Looks at what is known already; asks nobody. `probe` is what asks, if anybody does."""

    def __init__(
        self, settings: Settings, sessions: Sessions, provider: GuardedProvider, probe: Probe | None = None
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._provider = provider
        self._probe = probe

    def checks(self) -> dict[str, Check]:
        """What was looked at, each `ok` or the reason why this process is not ready, the weightiest first."""
        checks: dict[str, Check] = {"accepting": self._accepting()}
        if self._settings.fallback_provider:
            return {**checks, "provider": "ok"}  # somebody answers, whatever becomes of the first
        checks["provider"] = "ok" if self._settings.is_provider_configured else "provider_not_configured"
        if (index := self.index) is not None:
            checks["knowledge"] = "indexing" if index.is_indexing else "ok" if index.passages else "knowledge_empty"
        if self._probe is not None:
            checks["upstream"] = self._probe.outcome
        return checks

    @property
    def index(self) -> IndexState | None:
        """What there is to answer from, if that is an index."""
        return None if self._provider.offers.index is None else self._provider.offers.index.state

    @property
    def is_left_alone(self) -> bool:
        """The provider failed too often in a row: it is not asked until its time has come."""
        return not self._provider.breaker.is_closed

    def _accepting(self) -> Check:
        if self._sessions.is_draining:
            return "draining"
        return "full" if self._sessions.is_full else "ok"

    @property
    def reason(self) -> Reason | None:
        """Why it is not ready; None if it is."""
        return next((outcome for outcome in self.checks().values() if outcome != "ok"), None)
