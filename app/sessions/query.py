"""The queries of a session: one waits for its turn, asks, and cuts what comes into pieces that fit a frame."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from contextvars import copy_context
from functools import partial

from app.errors import RagBrokenStream, RagError, RagFailed, TooManyQuestions
from app.models.answers import (
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Feedback,
    Progress,
    Question,
    TextDelta,
    TextReplaced,
)
from app.models.effects import CancelQuery, Effect, StartQuery
from app.models.session import SessionState
from app.observability import logs
from app.observability.observer import Observers
from app.services.rag import Hear, RagProvider, ask
from app.services.text_utils import split_event
from app.sessions.frames import FrameLog
from app.sessions.limits import QueryLimits, Slots

logger = logging.getLogger(__name__)

CarryOut = Callable[[Sequence[Effect]], Awaitable[None]]
HearText = Callable[[str, str], bool]
"""Takes the id of a query, and a text of its answer."""


class Queries:
    """Those of one session, each a task of its own, one asked after the other."""

    def __init__(
        self,
        session: SessionState,
        provider: RagProvider,
        limits: QueryLimits,
        most_chars: int,
        log: FrameLog,
        observers: Observers,
    ) -> None:
        self._session = session
        self._provider = provider
        self._limits = limits
        self._most_chars = most_chars
        self._log = log
        self._observers = observers
        self._newest: asyncio.Task[None] | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        """Those that have not ended, cancelled ones among them."""

    @property
    def is_asking(self) -> bool:
        """The caller is the query that has not been cancelled."""
        return self._newest is not None and asyncio.current_task() is self._newest

    def start(self, effect: StartQuery, group: asyncio.TaskGroup, carry_out: CarryOut, hear: HearText) -> None:
        """Ask it; `carry_out` does what the session wants done then, and waits while its client does not read.

        `hear` sends a text of it at once, or says that it would have to wait.
        """
        context = copy_context()
        context.run(self._observers.started, effect)
        self._newest = group.create_task(self._answer(effect, self.tasks.copy(), carry_out, hear), context=context)
        self.tasks.add(self._newest)
        self._newest.add_done_callback(self.tasks.discard)

    def rate(self, feedback: Feedback) -> None:
        self._observers.rated(feedback)
        if (rate := self._provider.offers.feedback) is not None:
            rate(feedback)

    def cancel(self, effect: CancelQuery) -> None:
        self._observers.cancelled(effect)
        self.drop()

    def drop(self) -> None:
        """End what is being asked; what becomes of it is told by others."""
        if self._newest is not None:
            self._newest.cancel()
            self._newest = None

    async def _answer(
        self, start: StartQuery, earlier: set[asyncio.Task[None]], carry_out: CarryOut, hear_text: HearText
    ) -> None:
        """Ask the provider and pass its answer on, as a task of the session."""
        session = self._session
        logs.session_id.set(session.session_id)
        logs.query_id.set(start.query_id)
        logger.debug("asking: %s", start.question.text)
        await carry_out(())  # what a query cancelled in mid-send has left
        if earlier:
            await asyncio.wait(earlier)  # one query at a time, upstream too
        # In a context of its own: it is called in that of whoever has opened the provider's connection.
        hear = partial(
            copy_context().run, partial(self._hear, asyncio.current_task(), partial(hear_text, start.query_id))
        )

        async def take(event: AnswerEvent) -> None:
            effects = session.answer_event(start.query_id, event, time.monotonic())
            if isinstance(event, ConversationNamed):
                self._log.touch()  # no frame tells it
            await carry_out(effects)

        try:
            await answer(start.question, self._provider, self._limits, self._most_chars, take, hear)
        except (Exception, asyncio.CancelledError) as error:
            failure = failure_of(error)
            logger.warning("the question failed: %s: %s", failure.code, failure)
            await carry_out(session.answer_failed(start.query_id, failure, time.monotonic()))

    def _hear(self, task: asyncio.Task[None] | None, hear: Hear, text: str) -> bool:
        return task is self._newest and len(text) <= self._most_chars and hear(text)


async def answer(
    question: Question,
    provider: RagProvider,
    limits: QueryLimits,
    most_chars: int,
    take: Callable[[AnswerEvent], Awaitable[None]],
    hear: Hear | None = None,
) -> None:
    """Have the answer taken as it arrives, no text of it longer than `most_chars`, and `AnswerEnd` last."""
    if wait := await limits.take(time.monotonic()):
        raise TooManyQuestions("more than QUERIES_PER_MINUTE", retry_after_ms=math.ceil(wait * 1000))
    task = asyncio.current_task()
    held: list[Slots] = []
    try:
        for slots in limits.slots:
            if slots.is_full:
                await take(Progress("queued"))
            await slots.enter()
            held.append(slots)
        async with aclosing(ask(provider, question, hear)) as events:
            async for event in events:
                if task is not None and task.cancelling():
                    return  # its cancellation was swallowed
                if isinstance(event, TextDelta | TextReplaced) and len(event.text) > most_chars:
                    for part in split_event(event, most_chars):
                        await take(part)
                        await asyncio.sleep(0)  # however long the text is, the turn of others comes
                else:
                    await take(event)
                if isinstance(event, AnswerEnd):
                    return
    finally:
        for slots in reversed(held):
            slots.leave()
    raise RagBrokenStream("the provider ended without AnswerEnd")


def failure_of(error: BaseException) -> RagError:
    """What `error`, which is being handled, is to the client. Raises it again if it is the end of this task."""
    if isinstance(error, RagError):
        return error
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise error
        return RagFailed("the provider was cancelled from within")
    logger.exception("answering failed")
    return RagFailed("an unexpected error, see above")
