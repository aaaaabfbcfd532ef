"""Gives a client its session back, or a new one."""

from __future__ import annotations

import math
import time
import uuid
from dataclasses import dataclass

from app.config import Settings
from app.identity import Identity
from app.models.messages import NotResumed
from app.models.session import SessionState
from app.observability.metrics import Metrics
from app.observability.observer import Observer
from app.observability.outcomes import OutcomeLog
from app.observability.session_metrics import SessionMetrics
from app.observability.tracing import SessionTrace
from app.services.question_detector import judge
from app.sessions.accounts import Account, Accounts
from app.sessions.connection import Start
from app.sessions.frames import NotKept
from app.sessions.limits import QueryLimits, TokenBucket
from app.sessions.live import LiveSession
from app.sessions.table import Sessions


class NoRoom(Exception):
    """The client's tenant has as many sessions as it may have."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a client that comes back says of its session."""

    token: str
    last_seq: int
    session_id: str | None


class Opening:
    """Where clients that were let in get their sessions."""

    def __init__(self, settings: Settings, accounts: Accounts, sessions: Sessions, metrics: Metrics) -> None:
        self._settings = settings
        self._accounts = accounts
        self._sessions = sessions
        self._metrics = metrics

    async def enter(self, identity: Identity, claim: Claim | None) -> tuple[LiveSession, Start]:
        """The session of this client, and where it goes on in it. Raises `NoRoom`."""
        account = await self._accounts.of(identity.tenant)
        not_resumed: NotResumed | None = None
        if claim is not None:
            try:
                live, start = self._resume(account, claim)
            except NotKept as error:
                not_resumed = error.reason
            self._metrics.resumes.labels(not_resumed or "resumed").inc()
        if claim is None or not_resumed is not None:
            # The session that could not be given back is over, though its tasks may still be ending.
            replaced = not_resumed in {"frames_lost", "unknown_frame"}
            has_room = account.has_room(self._sessions.count(account.name) - replaced)
            if not has_room and not self._sessions.make_room(account.name):
                raise NoRoom
            live = self._make(account, identity)
            await self._sessions.open(live)
            start = live.begin(not_resumed)
        seconds = math.inf if identity.expires_at is None else identity.expires_at - time.time()
        live.session.expire_at(time.monotonic() + seconds)
        return live, start

    def _resume(self, account: Account, claim: Claim) -> tuple[LiveSession, Start]:
        if not self._settings.resume_seconds:
            raise NotKept("resume_off")
        live = self._sessions.find(claim.token, account.name)
        if live is None:
            raise NotKept("unknown_token")
        return live, live.resume(claim.token, claim.last_seq, claim.session_id)

    def _make(self, account: Account, identity: Identity) -> LiveSession:
        settings, tenant = self._settings, account.tenant
        key = uuid.uuid4().hex
        session = SessionState(
            key,
            settings,
            judge=judge,
            key=key[:8],
            is_stateless=account.provider.offers.is_stateless,
            user_prefix=identity.user_prefix,
            fixed_inputs=tenant.inputs if tenant is not None else {},
        )
        own = TokenBucket(settings.queries_per_minute / 60, settings.queries_per_minute)
        limits = QueryLimits((own, *account.buckets), (*account.slots, self._sessions.running))
        observers: list[Observer] = [OutcomeLog(), SessionMetrics(account.metrics)]
        if settings.tracing:
            observers.append(SessionTrace(account.provider.name, account.name))
        return LiveSession(
            key,
            session,
            account.provider,
            settings,
            self._sessions.tokens,
            self._sessions.presence,
            limits,
            observers,
            tenant=account.name,
        )
