"""Carries out what a session decides: owns the session's tasks and the order of its frames."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from contextvars import copy_context

from app.codes import CloseCode, ErrorCode
from app.config import Settings
from app.errors import (
    ClientError,
    InvalidJson,
    MessageTooLarge,
    RagBrokenStream,
    RagError,
    RagFailed,
    RateLimited,
    TooManyQuestions,
)
from app.models.answers import AnswerEnd, AnswerEvent, Progress
from app.models.effects import CancelQuery, Close, Effect, LogBug, Send, StartQuery
from app.models.lifetime import Ending
from app.models.messages import AsrChunk, ClientMessage, Details, ServerMessage, id_of, read
from app.models.session import SessionState
from app.observability import logs
from app.observability.observer import Observer, Observers
from app.services.rag import RagProvider
from app.services.text_utils import split_event
from app.sessions.archive import Record
from app.sessions.connection import Connection
from app.sessions.limits import MessageLimit, QueryLimits, TokenBucket

logger = logging.getLogger(__name__)

# After a standstill of the process of this length, as much longer a session waits for its client, in seconds.
LATE_SECONDS = 1.0


class ClientLeft(Exception):
    """The socket is closed; `code` is what the client closed it with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    @property
    def is_for_good(self) -> bool:
        return self.code == CloseCode.STOPPED


class Conversation:
    """One session, from its first frame to its last, whatever sockets it has meanwhile.

    `live` is its life, as one task; `attend` serves one socket after the other.
    """

    def __init__(
        self,
        session: SessionState,
        provider: RagProvider,
        settings: Settings,
        record: Record,
        limits: QueryLimits,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.session = session
        self.record = record
        self.has_begun = asyncio.Event()
        self._provider = provider
        self._settings = settings
        self._log = record.log
        self._limits = limits
        self._observers = Observers(observers)
        rate = settings.messages_per_second
        self._partials, self._messages = TokenBucket(rate, burst=2 * rate), MessageLimit(rate)
        self._over = asyncio.Event()
        self._connection: Connection | None = None
        self._query: asyncio.Task[None] | None = None
        self._queries: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._parked_until: asyncio.TimerHandle | None = None
        self.parked_at = 0.0
        """When it lost its client, on the clock of the event loop."""

    async def live(self) -> None:
        """Own the tasks of the session until it is over and they have ended."""
        logs.session_id.set(self.session.session_id)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self.has_begun.set()
                await self._over.wait()
        finally:
            # A bug has broken the group: then this is the end, too.
            self._leave_off(CloseCode.FAILED, ErrorCode.INTERNAL_ERROR)

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    @property
    def is_parked(self) -> bool:
        """Without a socket, waiting for its client to come back."""
        return self._connection is None and not self.is_over

    @property
    def unread(self) -> int:
        """Frames that wait for the client to read."""
        return 0 if self._connection is None else self._connection.unread

    def end(self, code: CloseCode = CloseCode.TAKEN_OVER, reason: str = "") -> None:
        """End it without a word: nobody comes back for it, or there is no time left."""
        if (effect := self.session.disconnect(time.monotonic())) is not None:
            self._cancel(effect)
        self._leave_off(code, reason)

    def wind_down(self, ending: Ending) -> None:
        """End it when its running answer is finished, at `ending.at` at the latest; at once if nobody listens."""
        if self.is_parked:
            self.end()
        elif not self.is_over:
            # Not in the task: whoever runs before it would put its frames before these.
            self._apply(self.session.wind_down(ending, time.monotonic()))
            self._arm()
            self._tasks.create_task(self._flush())

    def _leave_off(self, code: CloseCode, reason: str) -> None:
        self._over.set()
        self.record.close()
        for timer in (self._timer, self._parked_until):
            if timer is not None:
                timer.cancel()
        if self._connection is not None:
            self._connection.close(code, reason)

    # One socket

    async def attend(
        self, connection: Connection, receive: Callable[[], Awaitable[str | bytes]], effects: list[Effect]
    ) -> None:
        """Serve the client at this socket, in place of any other, until one of them is done with it.

        Then `connection.close_code` says what to close the socket with, if the client has not left, as `receive` tells
        by `ClientLeft`. `effects` are what the session begins with.
        """
        self._take_over(connection)
        self._observers.attended()
        if self.is_over:  # it has ended in the meantime
            connection.close(CloseCode.RESTART, "draining")
        logs.session_id.set(self.session.session_id)
        self._arm()
        is_for_good = False
        try:
            async with connection.reading():
                await self._carry_out(effects)
                await self._read(connection, receive)
            await connection.flush()
        except ClientLeft as left:
            is_for_good = left.is_for_good
        finally:
            self._detach(connection, is_for_good)

    def _take_over(self, connection: Connection) -> None:
        former, self._connection = self._connection, connection
        if former is not None:
            former.close(CloseCode.TAKEN_OVER, "another connection took over")
            former.leave()
        if self._parked_until is not None:
            self._parked_until.cancel()
            self._parked_until = None

    def _detach(self, connection: Connection, is_for_good: bool = False) -> None:
        connection.leave()
        if connection is not self._connection:
            return
        self._connection = None
        if self.is_over:
            return
        if is_for_good or not self._settings.resume_seconds or self.session.is_ending or self.session.is_blank:
            self.end()
        else:
            loop = asyncio.get_running_loop()
            self.parked_at = loop.time()
            due = self.parked_at + self._settings.resume_seconds
            self._parked_until = loop.call_at(due, self._give_up_waiting, due)

    def _give_up_waiting(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < due + LATE_SECONDS:
            self.end()
        else:  # the process stood still: who came back in time may be at the door
            self._parked_until = loop.call_later(LATE_SECONDS, self.end)

    async def _read(self, connection: Connection, receive: Callable[[], Awaitable[str | bytes]]) -> None:
        while connection.close_code is None:
            raw = await receive()
            if connection.close_code is not None:
                return  # the session is over, or another connection's: this came in the same moment
            self.record.confirm()
            effects = self._take(raw)
            self._arm()
            await self._carry_out(effects)

    def _take(self, raw: str | bytes) -> list[Effect]:
        now = time.monotonic()
        try:
            message, details = self._make_out(raw, now)
            effects = self.session.receive(message, now, details)
        except ClientError as error:
            effects = self.session.refuse(error, now)
            if self._messages.is_flooded(now):
                effects += self.session.wind_down(Ending("rate_limited", CloseCode.FLOODED, now), now)
            return effects
        except Exception as bug:
            return self.session.report_bug(bug)
        if logs.session_id.get() is not self.session.session_id:
            logs.session_id.set(self.session.session_id)
        return effects

    def _make_out(self, raw: str | bytes, now: float) -> tuple[ClientMessage, Details | None]:
        """Read a message, unless too many have come. Partials are counted apart: no other message suffers for them."""
        try:
            if isinstance(raw, bytes):
                raise InvalidJson("Binary frames are not read: send JSON as text.", message_id=id_of(raw))
            limit = self._settings.max_message_bytes
            # A code point has at most four bytes: few messages have to be measured.
            if len(raw) * 4 > limit and len(raw.encode()) > limit:
                text = f"A message may have {limit} bytes at most."
                raise MessageTooLarge(text, details={"limit": limit}, message_id=id_of(raw))
            message, details = read(raw)
        except ClientError as error:
            if wait := self._messages.take(now):
                raise RateLimited(wait, error.message_id) from error
            raise
        is_partial = isinstance(message, AsrChunk) and not message.is_final
        if wait := (self._partials if is_partial else self._messages).take(now):
            raise RateLimited(wait, message.id)
        return message, details

    # Effects

    def _arm(self) -> None:
        """See to it that the session is ticked when it is due."""
        due = self.session.deadline()
        # A timer that rings early only looks again.
        if self.is_over or (self._timer is not None and due >= self._rings_at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = due
        self._timer = asyncio.get_running_loop().call_later(due - time.monotonic(), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._tasks.create_task(self._tick())

    async def _tick(self) -> None:
        if self.is_over:  # it ended since the timer rang
            return
        effects = self.session.tick(time.monotonic())
        self._arm()
        await self._carry_out(effects)

    async def _carry_out(self, effects: list[Effect]) -> None:
        self._apply(effects)
        await self._flush()

    def _apply(self, effects: list[Effect]) -> None:
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
                    self._leave_off(code, reason)
        connection = self._connection
        if connection is not None and (
            connection.unread > self._settings.unread_frames or connection.unread_bytes > self._settings.unread_bytes
        ):
            self._give_up(connection)

    def _write(self, frame: ServerMessage) -> None:
        """Put the frame into the log; the connection sends it from there."""
        if frame.seq == 1:
            self._log.begin_session(frame.session_id)
        connection = self._connection
        self._log.append(frame.to_json(), self._log.end if connection is None else connection.position)
        self._observers.sent(frame)

    def _give_up(self, connection: Connection) -> None:
        """Close a connection whose client does not read; the session waits for it to come back."""
        connection.close(CloseCode.SLOW_CONSUMER, ErrorCode.SLOW_CONSUMER)
        self._detach(connection)
        for effect in self.session.too_slow():
            self._write(effect.frame)

    async def _flush(self, *, waits: bool = False) -> None:
        """Send what is unsent.

        A query waits for its turn, which holds its provider back while the client does not read. The reader does not
        wait while a query runs: `stop` and `cancel` must get through.
        """
        connection = self._connection
        if connection is None:
            await asyncio.sleep(0)  # nothing else holds a provider back that never waits
            return
        await connection.flush(waits=waits or self.session.query is None or asyncio.current_task() is self._query)
        if connection is not self._connection:
            return
        if connection.is_stuck:
            self._give_up(connection)
        elif connection.is_idle:
            self._tasks.create_task(self._flush(waits=True))

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
        await self._flush()  # what a query cancelled in mid-send has left
        if earlier:
            await asyncio.wait(earlier)  # one query at a time, upstream too
        try:
            await self._ask_in_turn(start)
        except RagError as error:
            await self._fail(start, error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            await self._fail(start, RagFailed("the provider was cancelled from within"))
        except Exception:
            logger.exception("answering failed")
            await self._fail(start, RagFailed("an unexpected error, see above"))

    async def _ask_in_turn(self, start: StartQuery) -> None:
        if wait := self._limits.take(time.monotonic()):
            raise TooManyQuestions("more than QUERIES_PER_MINUTE", retry_after_ms=math.ceil(wait * 1000))
        async with AsyncExitStack() as held:
            for slots in self._limits.slots:
                if slots.is_full:
                    await self._pass_on(start.query_id, Progress("queued"))
                await held.enter_async_context(slots.take())
            await self._relay(start)

    async def _relay(self, start: StartQuery) -> None:
        task = asyncio.current_task()
        async with aclosing(self._provider.query(start.question)) as events:
            async for event in events:
                if task is not None and task.cancelling():
                    return  # its cancellation was swallowed
                for number, part in enumerate(split_event(event, self._settings.answer_chunk_chars)):
                    if number:
                        await asyncio.sleep(0)  # however long the text is, the turn of others comes
                    await self._pass_on(start.query_id, part)
                if isinstance(event, AnswerEnd):
                    return
        raise RagBrokenStream("the provider ended without AnswerEnd")

    async def _pass_on(self, query_id: str, event: AnswerEvent) -> None:
        await self._carry_out(self.session.answer_event(query_id, event, time.monotonic()))

    async def _fail(self, start: StartQuery, error: RagError) -> None:
        logger.warning("the question failed: %s: %s", error.code, error)
        await self._carry_out(self.session.answer_failed(start.query_id, error, time.monotonic()))
