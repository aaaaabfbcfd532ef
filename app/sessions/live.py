"""Carries out what a session decides: owns the session's tasks and the order of its frames."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import aclosing
from contextvars import copy_context
from functools import partial

from starlette import types as asgi

from app.codes import CloseCode, ErrorCode
from app.config import Settings
from app.errors import ClientError
from app.models.effects import CancelQuery, Close, Effect, LogBug, Send, StartQuery
from app.models.lifetime import Ending
from app.models.messages import NotResumed
from app.models.pieces import Sent
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
from app.sessions.presence import Presence
from app.sessions.query import answer, failure_of
from app.sessions.resume import Tokens

logger = logging.getLogger(__name__)

# After a standstill of the process of this length, as much longer a session waits for its client, in seconds.
LATE_SECONDS = 1.0


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
        tokens: Tokens,
        presence: Presence,
        limits: QueryLimits,
        observers: Sequence[Observer] = (),
        *,
        tenant: str | None = None,
    ) -> None:
        self.key = key
        self.session = session
        self.tenant = tenant
        self.has_begun = asyncio.Event()
        self.log = FrameLog(settings.resume_frames if settings.resume_seconds else 0, settings.resume_bytes)
        self._provider = provider
        self._settings = settings
        self._tokens = tokens
        self._presence = presence
        self._limits = limits
        self._observers = Observers(observers)
        self._intake = Intake(settings)
        self._over = asyncio.Event()
        self._connection: Connection | None = None
        self._query: asyncio.Task[None] | None = None
        self._queries: set[asyncio.Task[None]] = set()
        self._alarm = Alarm(session.deadline, self._ring)
        self._parked_until: asyncio.TimerHandle | None = None

    async def live(self) -> None:
        """Own the tasks of the session until it is over and they have ended."""
        logs.session_id.set(self.session.session_id)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self.has_begun.set()
                await self._over.wait()
        finally:
            # A bug has broken the group: then this is the end, too.
            self._close(CloseCode.FAILED, ErrorCode.INTERNAL_ERROR)

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

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
            self._tasks.create_task(self._carry_out())

    def end(self, code: CloseCode = CloseCode.TAKEN_OVER, reason: str = "") -> None:
        """End it without a word: nobody comes back for it, or there is no time left."""
        if (effect := self.session.disconnect(time.monotonic())) is not None:
            self._cancel(effect)
        self._close(code, reason)

    def _close(self, code: CloseCode, reason: str) -> None:
        """It is over, and has said what there was to say."""
        self._over.set()
        self._tokens.revoke(self.key)
        self._alarm.stop()
        self._unpark()
        if self._connection is not None:
            self._connection.close(code, reason)

    # One socket

    def begin(self, not_resumed: NotResumed | None) -> Start:
        """Where its first client enters; `not_resumed` says why one that came back gets a new session."""
        token = self._tokens.issue(self.key) if self._settings.resume_seconds else None
        return Start(effects=self.session.connect(time.monotonic(), resume_token=token, not_resumed=not_resumed))

    def resume(self, token: str, last_seq: int, session_id: str | None) -> Start:
        """Where a client that came by this token goes on. Raises `NotKept`; then nobody else can have it, either."""
        try:
            position = self.log.after(last_seq, session_id)
        except NotKept:
            self.end()
            raise
        ack = self.session.resume(session_id, last_seq, self._tokens.issue(self.key, token), time.monotonic())
        return Start(position, ack.to_json())

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
                await self._carry_out(start.effects)
                await self._read(connection)
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
        self._unpark()

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
            self._presence.parked[self.key] = None
            loop = asyncio.get_running_loop()
            due = loop.time() + self._settings.resume_seconds
            self._parked_until = loop.call_at(due, self._end_parked, due)

    def _unpark(self) -> None:
        if self._parked_until is not None:
            self._parked_until.cancel()
            self._presence.parked.pop(self.key, None)

    def _end_parked(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < due + LATE_SECONDS:
            self.end()
        else:  # the process stood still: who came back in time may be at the door
            self._parked_until = loop.call_later(LATE_SECONDS, self.end)

    async def _read(self, connection: Connection) -> None:
        connection.listen(partial(copy_context().run, partial(self._hear, connection)))
        while connection.close_code is None:
            raw = await connection.receive()
            if connection.close_code is not None:
                return  # the session is over, or another connection's: this came in the same moment
            effects = self._take(raw)
            self._arm()
            await self._carry_out(effects)

    def _hear(self, connection: Connection, raw: str) -> bool:
        """What `_read` does with a message, if nothing of it has to wait."""
        if not connection.is_free:
            return False
        effects = self._take(raw)
        self._arm()
        self._apply(effects)
        if not connection.send_now():
            self._tasks.create_task(self._carry_out())
        return True

    def _take(self, raw: str | bytes) -> list[Effect]:
        self._tokens.confirm(self.key)
        now = time.monotonic()
        try:
            message, details = self._intake.read(raw, now)
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
        if not self.is_over:
            self._alarm.set()

    def _ring(self) -> None:
        self._tasks.create_task(self._tick())

    async def _tick(self) -> None:
        if self.is_over:  # it ended since the alarm rang
            return
        effects = self.session.tick(time.monotonic())
        self._arm()
        await self._carry_out(effects)

    async def _carry_out(self, effects: Sequence[Effect] = (), *, waits: bool = False) -> None:
        """Do this, then send what is unsent.

        A query waits for its turn, which holds its provider back while the client does not read. The reader does not
        wait while a query runs: `stop` and `cancel` must get through.
        """
        self._apply(effects)
        connection = self._connection
        if connection is not None and connection.send_now():
            return
        if connection is None:
            await asyncio.sleep(0)  # nothing else holds a provider back that never waits
            return
        waits = waits or asyncio.current_task() is self._query or self.session.query is None
        is_idle = await connection.flush(waits=waits)
        if connection is not self._connection:
            return
        if connection.is_stuck:
            self._leave_stuck(connection)
        elif is_idle:
            self._tasks.create_task(self._carry_out(waits=True))

    def _apply(self, effects: Sequence[Effect]) -> None:
        # Nothing waits here: the frames of two callers cannot mix, and those of a query
        # that is cancelled here cannot follow, for the session makes no more of them.
        for effect in effects:
            match effect:
                case Send(frame):
                    self._write(frame)
                case StartQuery():
                    self._start(effect)
                case CancelQuery():
                    self._cancel(effect)
                case LogBug(error):
                    logger.error("a message could not be handled", exc_info=error)
                case Close(code, reason):
                    self._close(code, reason)

    def _write(self, frame: Sent) -> None:
        """Put the frame into the log; the connection sends it from there."""
        if frame.seq == 1:
            self.log.begin_session(frame.session_id)
        connection = self._connection
        self.log.append(frame.to_json(), self.log.end if connection is None else connection.position)
        self._observers.sent(frame)

    def _leave_stuck(self, connection: Connection) -> None:
        """Close a connection whose client does not read; the session waits for it to come back."""
        connection.close(CloseCode.SLOW_CONSUMER, ErrorCode.SLOW_CONSUMER)
        self._leave(connection)
        for effect in self.session.too_slow():
            self._write(effect.frame)

    def _start(self, effect: StartQuery) -> None:
        context = copy_context()
        context.run(self._observers.started, effect)
        self._query = self._tasks.create_task(self._answer(effect, self._queries.copy()), context=context)
        self._queries.add(self._query)
        self._query.add_done_callback(self._queries.discard)

    def _cancel(self, effect: CancelQuery) -> None:
        self._observers.cancelled(effect)
        if self._query is not None:
            self._query.cancel()
            self._query = None

    async def _answer(self, start: StartQuery, earlier: set[asyncio.Task[None]]) -> None:
        """Ask the provider and pass its answer on, as a task of this session."""
        logs.session_id.set(self.session.session_id)
        logs.query_id.set(start.query_id)
        logger.debug("asking: %s", start.question.text)
        await self._carry_out()  # what a query cancelled in mid-send has left
        if earlier:
            await asyncio.wait(earlier)  # one query at a time, upstream too
        try:
            async with aclosing(
                answer(start.question, self._provider, self._limits, self._settings.answer_chunk_chars)
            ) as events:
                async for event in events:
                    await self._carry_out(self.session.answer_event(start.query_id, event, time.monotonic()))
        except (Exception, asyncio.CancelledError) as error:
            failure = failure_of(error)
            logger.warning("the question failed: %s: %s", failure.code, failure)
            await self._carry_out(self.session.answer_failed(start.query_id, failure, time.monotonic()))
