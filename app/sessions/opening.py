"""Gives a client its session back, or a new one."""

from __future__ import annotations

import logging
import math
import time
import uuid
from dataclasses import dataclass, replace

from starlette.types import Receive, Send

from app.config import Settings
from app.identity import Identity
from app.models.messages import NotResumed
from app.models.session import SessionState
from app.models.snapshot import Unreadable
from app.observability.metrics import Metrics
from app.observability.observer import Observer
from app.observability.outcomes import OutcomeLog
from app.observability.session_metrics import SessionMetrics
from app.observability.tracing import SessionTrace
from app.services.question_detector import judge
from app.sessions.accounts import Account, Accounts
from app.sessions.connection import Connection, Start
from app.sessions.direct import DirectSocket
from app.sessions.frames import FrameLog, NotKept
from app.sessions.limits import QueryLimits, TokenBucket
from app.sessions.live import LiveSession
from app.sessions.resume import hash_of, new_token
from app.sessions.store import Claim, FarVisit, Store, Taken
from app.sessions.table import Sessions

logger = logging.getLogger(__name__)


class NoRoom(Exception):
    """The client's tenant has as many sessions as it may have."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """The `Visit` of a session that lives here."""

    live: LiveSession
    start: Start

    async def attend(self, receive: Receive, send: Send, direct: DirectSocket | None = None) -> Connection:
        return await self.live.attend(self.start, receive, send, direct)


class Opening:
    """Where clients that were let in get their sessions."""

    def __init__(
        self, settings: Settings, accounts: Accounts, sessions: Sessions, metrics: Metrics, store: Store
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._sessions = sessions
        self._metrics = metrics
        self._store = store

    async def look_up(self, identity: Identity, claim: Claim) -> FarVisit | None:
        """Bring the session of a client that comes back here, or find the way to where it is.

        None if it is here, or nowhere. Raises `NotKept` if it could not give back what is missed, or `StoreAway`.
        """
        tenant = identity.tenant_name
        if not self._store.is_shared or self._sessions.find(claim.token, tenant) is not None:
            return None
        try:
            found = await self._store.claim(replace(claim, expires_in=_seconds_of(identity)), tenant)
            if isinstance(found, Taken):
                await self._restore(await self._accounts.of(identity.tenant), identity, found)
                return None
        except NotKept as error:
            if error.reason == "unknown_token":
                return None
            self._metrics.resumes.labels(error.reason).inc()
            raise
        self._metrics.resumes.labels("resumed").inc()
        return found

    async def _restore(self, account: Account, identity: Identity, taken: Taken) -> None:
        """Let a session live here that another process has written down. Raises `NotKept`."""
        live = self._make(account, identity, taken.key, taken.log)
        live.tokens.hashes = list(taken.hashes)
        try:
            written_at = time.monotonic() - taken.age
            live.limits.own.go_on_from(taken.questions, written_at)
            live.session.restore(taken.written, written_at)
            live.session.catch_up(taken.frames)
        except Unreadable as error:
            logger.warning("a session cannot be read: %s", error)
            taken.log.forget()
            raise NotKept("unknown_token") from error
        await self._sessions.open(live, is_new=False)
        live.go_on()

    async def enter(self, identity: Identity, claim: Claim | None, not_resumed: NotResumed | None = None) -> Entrance:
        """The session of this client, and where it goes on in it. Raises `NoRoom`.

        `not_resumed` says why it cannot have its former one, if that is known already: then there is no `claim`.
        """
        account = await self._accounts.of(identity.tenant)
        if claim is not None:
            try:
                live, start = self._resume(account, claim)
            except NotKept as error:
                not_resumed = error.reason
            self._metrics.resumes.labels(not_resumed or "resumed").inc()
        if claim is None or not_resumed is not None:
            # The session that could not be given back is over, though its tasks may still be ending.
            replaced = not_resumed in {"frames_lost", "unknown_frame"}
            async with account.quota.entering(lambda: self._sessions.count(account.name) - replaced) as has_room:
                if not has_room and not self._sessions.make_room(account.name):
                    raise NoRoom
                key = uuid.uuid4().hex
                live = self._make(account, identity, key, self._store.new_log(key, account.name))
                await self._sessions.open(live)
            start = live.begin(not_resumed)
        live.expire_in(_seconds_of(identity))
        return Entrance(live, start)

    def _resume(self, account: Account, claim: Claim) -> tuple[LiveSession, Start]:
        if not self._settings.resume_seconds:
            raise NotKept("resume_off")
        live = self._sessions.find(claim.token, account.name)
        if live is None:
            raise NotKept("unknown_token")
        token = new_token(live.key)
        return live, live.resume(claim.last_seq, claim.session_id, hash_of(claim.token), hash_of(token), token)

    def _make(self, account: Account, identity: Identity, key: str, log: FrameLog) -> LiveSession:
        settings, tenant = self._settings, account.tenant
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
        limits = QueryLimits(own, account.quota, self._sessions.running)
        observers: list[Observer] = [OutcomeLog(), SessionMetrics(account.metrics)]
        if settings.tracing:
            observers.append(SessionTrace(account.provider.name, account.name))
        return LiveSession(
            key,
            session,
            account.provider,
            settings,
            log,
            self._sessions.presence,
            limits,
            observers,
            tenant=account.name,
        )


def _seconds_of(identity: Identity) -> float:
    """How long the proof of who the client is will be good."""
    return math.inf if identity.expires_at is None else identity.expires_at - time.time()
