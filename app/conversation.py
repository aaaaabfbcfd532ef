"""Carries out what a session decides: owns the tasks of one connection and the order of its frames."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from starlette.websockets import WebSocketDisconnect

from app import logs
from app.config import Settings
from app.errors import ClientError, InvalidJson, MessageTooLarge, RagBrokenStream, RagError, RagFailed
from app.models.effects import CancelQuery, Close, Effect, LogBug, Send, StartQuery
from app.models.messages import FinalAnswer, ServerMessage, Timing, parse
from app.models.session import SessionState
from app.services.rag import AnswerEnd, AnswerEvent, RagProvider
from app.services.text_utils import split_event

logger = logging.getLogger(__name__)

# How many frames may wait for the socket before no more messages are read.
UNSENT_FRAMES = 1000


class Conversation:
    """One client's connection, from the first frame to the last.

    `send` puts one text frame on the socket, waiting while the client does not read, and raises
    `WebSocketDisconnect` when the client has left.
    """

    def __init__(
        self,
        session: SessionState,
        provider: RagProvider,
        settings: Settings,
        send: Callable[[str], Awaitable[None]],
    ) -> None:
        self._session = session
        self._provider = provider
        self._settings = settings
        self._send = send
        self._unsent: deque[ServerMessage] = deque()
        self._is_sending = False
        self._sent = asyncio.Event()
        self._query: asyncio.Task[None] | None = None
        self._queries: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        self._is_over = False
        self._close_code: int | None = None

    async def run(self, receive: Callable[[], Awaitable[str | bytes | None]]) -> int | None:
        """Serve the client; return the code to close with, or None when it has left, as `receive` tells by None.

        Raises an `ExceptionGroup` of `WebSocketDisconnect` when it left while something was sent.
        """
        logs.session_id.set(self._session.session_id)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                try:
                    await self._carry_out(self._session.connect())
                    while (raw := await receive()) is not None:
                        effects = self._take(raw)
                        self._arm()
                        await self._carry_out(effects)
                        if self._close_code is not None:
                            break
                    else:
                        if (effect := self._session.disconnect(time.monotonic())) is not None:
                            self._cancel(effect)
                finally:
                    self._is_over = True
                    self._disarm()
        finally:
            # A socket that broke under a send has ended the query already: here it is only told.
            if (effect := self._session.disconnect(time.monotonic())) is not None:
                _log_interrupt(effect)
        return self._close_code

    def _take(self, raw: str | bytes) -> list[Effect]:
        try:
            if isinstance(raw, bytes):
                raise InvalidJson("Binary frames are not read: send JSON as text.")
            limit = self._settings.max_message_bytes
            # A code point has at most four bytes: few messages have to be measured.
            if len(raw) * 4 > limit and len(raw.encode()) > limit:
                raise MessageTooLarge(f"A message may have {limit} bytes at most.", details={"limit": limit})
            effects = self._session.receive(parse(raw), time.monotonic())
        except ClientError as error:
            return self._session.refuse(error)
        except Exception as bug:
            return self._session.report_bug(bug)
        if logs.session_id.get() is not self._session.session_id:
            logs.session_id.set(self._session.session_id)
        return effects

    def _arm(self) -> None:
        """See to it that the session is ticked when it is due."""
        due = None if self._is_over else self._session.deadline()
        # A timer that rings early only looks again.
        if due is not None and (self._timer is None or due < self._rings_at):
            self._disarm()
            self._rings_at = due
            self._timer = asyncio.get_running_loop().call_later(due - time.monotonic(), self._ring)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._tasks.create_task(self._tick())

    async def _tick(self) -> None:
        if self._is_over:  # the client left, or was told goodbye, since the timer rang
            return
        effects = self._session.tick(time.monotonic())
        self._arm()
        await self._carry_out(effects)

    async def _carry_out(self, effects: list[Effect]) -> None:
        # Up to the flush nothing waits: the frames of two callers cannot mix, and those of a query
        # that is cancelled here cannot follow, for the session makes no more of them.
        for effect in effects:
            match effect:
                case Send(frame):
                    self._unsent.append(frame)
                    if isinstance(frame, FinalAnswer):
                        _log_answer(frame)
                case StartQuery():
                    self._start(effect)
                case CancelQuery():
                    self._cancel(effect)
                case LogBug(error):
                    logger.error("a message could not be handled", exc_info=error)
                case Close(code):
                    self._close_code, self._is_over = code, True
        await self._flush()

    async def _flush(self) -> None:
        """Send what is unsent, in order: whoever finds the socket free does it for all.

        A query waits for its turn, which holds its provider back while the client does not read. The reader does not
        wait for a running query: `stop` and `cancel` must get through.
        """
        while self._is_sending:
            is_reader = asyncio.current_task() is not self._query
            if is_reader and self._session.query is not None and len(self._unsent) < UNSENT_FRAMES:
                return
            self._sent.clear()
            await self._sent.wait()
        self._is_sending = True
        try:
            while self._unsent:
                # Taken off only when it is out: a cancelled send has sent nothing.
                await self._send(self._unsent[0].to_json())
                self._unsent.popleft()
        finally:
            self._is_sending = False
            self._sent.set()

    def _start(self, effect: StartQuery) -> None:
        self._query = self._tasks.create_task(self._answer(effect, self._queries.copy()))
        self._queries.add(self._query)
        self._query.add_done_callback(self._queries.discard)

    def _cancel(self, effect: CancelQuery) -> None:
        _log_interrupt(effect)
        if self._query is not None:
            self._query.cancel()
            self._query = None

    async def _answer(self, start: StartQuery, earlier: set[asyncio.Task[None]]) -> None:
        """Ask the provider and pass its answer on, as a task of this connection."""
        logs.query_id.set(start.query_id)
        logger.debug("asking: %s", start.question.text)
        await self._flush()  # what a query cancelled in mid-send has left
        if earlier:
            await asyncio.wait(earlier)  # one query at a time, upstream too
        try:
            await self._relay(start)
        except WebSocketDisconnect:
            raise
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

    async def _relay(self, start: StartQuery) -> None:
        async with aclosing(self._provider.query(start.question)) as events:
            async for event in events:
                for part in split_event(event, self._settings.answer_chunk_chars):
                    await self._pass_on(start.query_id, part)
                if isinstance(event, AnswerEnd):
                    return
        raise RagBrokenStream("the provider ended without AnswerEnd")

    async def _pass_on(self, query_id: str, event: AnswerEvent) -> None:
        await self._carry_out(self._session.answer_event(query_id, event, time.monotonic()))

    async def _fail(self, start: StartQuery, error: RagError) -> None:
        logger.warning("the question failed: %s: %s", error.code, error)
        await self._carry_out(self._session.answer_failed(start.query_id, error, time.monotonic()))


def _log_answer(frame: FinalAnswer) -> None:
    outcome = "failed" if frame.error else "incomplete" if frame.incomplete else "answered"
    _log_outcome(outcome, frame.error.code if frame.error else None, frame.query_id, frame.timing, frame.provider)


def _log_interrupt(effect: CancelQuery) -> None:
    _log_outcome("interrupted", effect.reason, effect.query_id, effect.timing)


def _log_outcome(outcome: str, reason: str | None, query_id: str, timing: Timing, provider: str | None = None) -> None:
    """The one record at INFO that every query leaves behind."""
    fields = {"query_id": query_id, "outcome": outcome, "reason": reason, **timing.model_dump()}
    if provider is not None:
        fields["provider"] = provider
    what = f"{outcome} ({reason})" if reason else outcome
    logger.info("question %s after %d ms", what, timing.total_ms, extra=fields)
