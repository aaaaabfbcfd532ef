"""Carries out what a session decides: owns the session's tasks and the order of its frames."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextvars import copy_context
from functools import partial
from typing import Any

from starlette import types as asgi

from app.codes import CloseCode, ErrorCode
from app.config import Settings
from app.errors import ClientError
from app.models.effects import CancelQuery, Close, Effect, LogBug, Rate, Send, StartQuery
from app.models.lifetime import Ending
from app.models.messages import AsrChunk, NotResumed
from app.models.pieces import INTERIM_ACK, Sent
from app.models.session import SessionState
from app.observability import logs
from app.observability.observer import Observer, Observers
from app.services.rag import RagProvider
from app.services.waiting import Alarm
from app.sessions.connection import ClientLeft, Connection, Start
from app.sessions.direct import DirectSocket
from app.sessions.frames import FrameLog, NotKept
from app.sessions.intake import Intake
from app.sessions.limits import QueryLimits
from app.sessions.presence import Parking, Presence
from app.sessions.query import Queries
from app.sessions.resume import Tokens, hash_of, new_token

logger = logging.getLogger(__name__)

# How many frames may be on their way to the store before a query waits for it.
UNSETTLED_FRAMES = 16


class LiveSession:
    """One session, from its first frame to its last, whatever sockets it has meanwhile.

    `live` is its life, as one task; `attend` serves one socket after the other.
    """

    def __init__(
        self,
        key: str,
        session: SessionState,
        provider: RagProvider,
        settings: Settings,
        log: FrameLog,
        presence: Presence,
        limits: QueryLimits,
        observers: Sequence[Observer] = (),
        *,
        tenant: str | None = None,
    ) -> None:
        self.key = key
        self.session = session
        self.tenant = tenant
        self.has_begun, self._over = _event(), _event()
        self.log = log
        self.tokens = Tokens()
        self._provider = provider
        self._settings = settings
        self._presence = presence
        self._observers = Observers(observers)
        self._intake = Intake(settings)
        self._connection: Connection | None = None
        self.queries = Queries(session, provider, limits, settings.answer_chunk_chars, log, self._observers)
        self._alarm = Alarm(session.deadline, self._ring)
        self.limits = limits
        self._parking = Parking(key, settings.resume_seconds, presence)
        log.owner = self

    async def live(self) -> None:
        """Own the tasks of the session until it is over and they have ended."""
        logs.session_id.set(self.session.session_id)
        try:
            async with asyncio.TaskGroup() as self.tasks:
                _fulfil(self.has_begun)
                await self._over
        finally:
            # A bug has broken the group: then this is the end, too.
            self.close(CloseCode.FAILED, ErrorCode.INTERNAL_ERROR)

    @property
    def is_over(self) -> bool:
        return self._over.done()

    def wind_down(self, ending: Ending) -> None:
        """End it when its running answer is finished, at `ending.at` at the latest; at once if nobody listens."""
        if self.is_over:
            return
        if self._connection is None:
            self.end()
        else:
            # Not in the task: whoever runs before it would put its frames before these.
            self._apply(self.session.wind_down(ending, time.monotonic()))
            self._arm()
            self.tasks.create_task(self.carry_out())

    def end(self, code: CloseCode = CloseCode.TAKEN_OVER, reason: str = "") -> None:
        """End it without a word: nobody comes back for it, or there is no time left."""
        if (effect := self.session.disconnect(time.monotonic())) is not None:
            self.queries.cancel(effect)
        self.close(code, reason)

    def close(self, code: CloseCode, reason: str) -> None:
        """It is over, and has said what there was to say."""
        _fulfil(self._over)
        self.tokens.revoke()
        self.log.forget()
        self._alarm.end()
        self._parking.end()
        if self._connection is not None:
            self._connection.close(code, reason)

    # Moving to another process

    def go_on(self) -> None:
        """Do what another process has left to do, and wait for the client."""
        self._parking.begin(self.end)
        query, stop = self.session.query, self._provider.offers.stop
        self._apply(self.session.go_on(time.monotonic()))
        self._arm()
        if query is not None and query.run is not None and stop is not None:
            stop(query.run, query.user)

    def write_down(self) -> tuple[dict[str, Any], list[str]]:
        now = time.monotonic()
        written = {"session": self.session.snapshot(now), "questions": self.limits.own.left(now)}
        return written, self.tokens.hashes

    def frames_are_ready(self) -> None:
        connection = self._connection
        if connection is not None and not self.is_over and not connection.send_now():
            self.tasks.create_task(self.carry_out())

    def lose(self) -> None:
        self.end(CloseCode.RESTART, "another process has the session")

    # One socket

    def begin(self, not_resumed: NotResumed | None) -> Start:
        """Where its first client enters; `not_resumed` says why one that came back gets a new session."""
        token = new_token(self.key) if self._settings.resume_seconds else None
        if token is not None:
            self._admit(hash_of(token))
        return Start(effects=self.session.connect(time.monotonic(), resume_token=token, not_resumed=not_resumed))

    def resume(self, last_seq: int, session_id: str | None, held: str, hashed: str, token: str | None = None) -> Start:
        """Where a client that came by the token `held` goes on; `token` is its next one. Of both the hash is known.

        Raises `NotKept`; then nobody else can have the session, either.
        """
        try:
            position = self.log.after(last_seq, session_id)
        except NotKept:
            self.end()
            raise
        self._admit(hashed, held)
        return Start(position, self.session.resume(session_id, last_seq, token, time.monotonic()).to_json())

    def _admit(self, hashed: str, held: str | None = None) -> None:
        self.tokens.add(hashed, held)
        self.log.touch()

    def expire_in(self, seconds: float) -> None:
        """The proof of who the client is will have expired then."""
        self.session.expire_at(time.monotonic() + seconds)

    async def attend(
        self, start: Start, receive: asgi.Receive, send: asgi.Send, direct: DirectSocket | None = None
    ) -> Connection:
        """Serve the client at this socket, in place of any other, until one of them is done with it.

        Then `close_code` of what is returned says what to close the socket with, if the client has not left.
        """
        connection = Connection(self.log, start, receive, send, self._settings, self._presence.behind, direct)
        self._take_over(connection)
        self._observers.attended()
        if self.is_over:  # it has ended in the meantime
            connection.close(CloseCode.RESTART, "draining")
        logs.session_id.set(self.session.session_id)
        self._arm()
        try:
            async with connection.reading:
                if start.greeting is not None:
                    await self.log.settle()  # nobody hears of a token that may get lost
                await self.carry_out(start.effects)
                await self._read(connection)
            await self.log.settle()
            await connection.flush()
        except ClientLeft:
            self._leave(connection, is_for_good=connection.left_with == CloseCode.STOPPED)
        finally:
            self._leave(connection)
        return connection

    def _take_over(self, connection: Connection) -> None:
        former, self._connection = self._connection, connection
        if former is not None:
            former.close(CloseCode.TAKEN_OVER, "another connection took over")
            former.leave()
        self._parking.end()

    def _leave(self, connection: Connection, *, is_for_good: bool = False) -> None:
        """The socket is lost, and the session waits for its client, unless there is nothing to wait for."""
        connection.leave()
        if connection is not self._connection:
            return
        self._connection = None
        if self.is_over:
            return
        if is_for_good or not self._settings.resume_seconds or self.session.is_ending or self.session.is_blank:
            self.end()
        else:
            self._parking.begin(self.end)

    async def _read(self, connection: Connection) -> None:
        connection.listen(partial(copy_context().run, partial(_hear, self, connection)))
        while connection.close_code is None:
            raw = await connection.receive()
            if connection.close_code is not None:
                return  # the session is over, or another connection's: this came in the same moment
            effects = self._take(raw)
            self._arm()
            await self.carry_out(effects)

    def _take(self, raw: str | bytes) -> list[Effect]:
        """What a message asks for; nothing, where it changes so little that it is answered already."""
        if self.tokens.confirm():
            self.log.touch()
        now = time.monotonic()
        try:
            message, details = self._intake.read(raw, now)
            if details is None and type(message) is AsrChunk and (frames := self.session.hear(message, now)):
                for text in frames:
                    self.log.append(text, None if message.is_final else INTERIM_ACK)
                self._presence.chunks_heard += 1
                return []
            effects = self.session.receive(message, now, details)
        except ClientError as error:
            effects = self.session.refuse(error, now)
            if self._intake.messages.is_flooded(now):
                effects += self.session.wind_down(Ending("rate_limited", CloseCode.FLOODED, now), now)
            return effects
        except Exception as bug:
            return self.session.report_bug(bug)
        if logs.session_id.get() is not self.session.session_id:
            logs.session_id.set(self.session.session_id)
        return effects

    # Effects

    def _arm(self) -> None:
        """See to it that the session is ticked when it is due."""
        if self.session.deadline() < self._alarm.looks_at and not self.is_over:
            self._alarm.set()

    def _ring(self) -> None:
        self.tasks.create_task(self._tick())

    async def _tick(self) -> None:
        if self.is_over:  # it ended since the alarm rang
            return
        effects = self.session.tick(time.monotonic())
        self._arm()
        await self.carry_out(effects)

    async def carry_out(self, effects: Sequence[Effect] = (), *, waits: bool = False) -> None:
        """Do this, then send what is unsent.

        A query waits for its turn, which holds its provider back while the client does not read. The reader does not
        wait while a query runs: `stop` and `cancel` must get through.
        """
        self._apply(effects)
        if self.log.end - self.log.ready > UNSETTLED_FRAMES:
            await self.log.settle(UNSETTLED_FRAMES)
        connection = self._connection
        if connection is not None and connection.send_now():
            return
        if connection is None:
            await asyncio.sleep(0)  # nothing else holds a provider back that never waits
            return
        waits = waits or self.queries.is_asking or self.session.query is None
        is_idle = await connection.flush(waits=waits)
        if connection is not self._connection:
            return
        if connection.is_stuck:
            self._leave_stuck(connection)
        elif is_idle:
            self.tasks.create_task(self.carry_out(waits=True))

    def _apply(self, effects: Sequence[Effect]) -> None:
        # Nothing waits here: the frames of two callers cannot mix, and those of a query
        # that is cancelled here cannot follow, for the session makes no more of them.
        for effect in effects:
            if isinstance(effect, Send):  # most are, and this is sooner known than by `match`
                self._write(effect.frame)
                continue
            match effect:
                case StartQuery():
                    self.queries.start(effect, self.tasks, self.carry_out, partial(_hear_text, self))
                    if self._connection is not None:
                        self._connection.asked()
                case CancelQuery():
                    self.queries.cancel(effect)
                case Rate(feedback):
                    self.queries.rate(feedback)
                case LogBug(error):
                    logger.error("a message could not be handled", exc_info=error)
                case Close(code, reason):
                    self.close(code, reason)

    def _write(self, frame: Sent) -> None:
        """Put the frame into the log; the connection sends it from there."""
        if frame.seq == 1:
            self.log.begin_session(frame.session_id)
        self.log.append(frame.to_json(), frame)
        self._observers.sent(frame)

    def _leave_stuck(self, connection: Connection) -> None:
        """Close a connection whose client does not read; the session waits for it to come back."""
        connection.close(CloseCode.SLOW_CONSUMER, ErrorCode.SLOW_CONSUMER)
        self._leave(connection)
        for effect in self.session.too_slow():
            self._write(effect.frame)


def _hear(live: LiveSession, connection: Connection, texts: Sequence[str]) -> int:
    """What the reader does with messages, as far as nothing of them has to wait; what answers them leaves at once."""
    if not connection.is_free:
        return 0
    may_be_due = False
    for heard, text in enumerate(texts, 1):  # noqa: B007  # the last is how many
        if effects := live._take(text):
            live._apply(effects)
            may_be_due = True
            if connection.close_code is not None or connection is not live._connection:
                break
    if may_be_due:
        live._arm()
    if not connection.send_now():
        live.tasks.create_task(live.carry_out())
    return heard


def _hear_text(live: LiveSession, query_id: str, text: str) -> bool:
    """`carry_out` for one more text of a query, as far as nothing of it has to wait; else it is to come by that."""
    connection, log = live._connection, live.log
    if connection is None or not connection.is_clear or log.end - log.ready > UNSETTLED_FRAMES:
        return False
    frame = live.session.answer_text(query_id, text, time.monotonic())
    if frame is None:
        return False
    live._write(frame)
    if not connection.send_now():
        live.tasks.create_task(live.carry_out())
    return True


def _event() -> asyncio.Future[None]:
    """In place of an `asyncio.Event`, which has a queue of 760 bytes: sessions come by the thousand."""
    return asyncio.get_running_loop().create_future()


def _fulfil(future: asyncio.Future[None]) -> None:
    if not future.done():  # who waits for it may have been cancelled, and it with them
        future.set_result(None)
