"""One query: it waits for its turn, asks, and cuts what comes into pieces that fit a frame."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

from app.errors import RagBrokenStream, RagError, RagFailed, TooManyQuestions
from app.models.answers import AnswerEnd, AnswerEvent, Progress, Question, TextDelta, TextReplaced
from app.services.rag import RagProvider
from app.services.text_utils import split_event
from app.sessions.limits import QueryLimits

logger = logging.getLogger(__name__)


async def answer(
    question: Question, provider: RagProvider, limits: QueryLimits, most_chars: int
) -> AsyncGenerator[AnswerEvent, None]:
    """Yield the answer as it arrives, no text of it longer than `most_chars`, and `AnswerEnd` last."""
    if wait := limits.take(time.monotonic()):
        raise TooManyQuestions("more than QUERIES_PER_MINUTE", retry_after_ms=math.ceil(wait * 1000))
    task = asyncio.current_task()
    async with AsyncExitStack() as held:
        for slots in limits.slots:
            if slots.is_full:
                yield Progress("queued")
            await held.enter_async_context(slots.take())
        events = await held.enter_async_context(aclosing(provider.query(question)))
        async for event in events:
            if task is not None and task.cancelling():
                return  # its cancellation was swallowed
            if isinstance(event, TextDelta | TextReplaced) and len(event.text) > most_chars:
                for part in split_event(event, most_chars):
                    yield part
                    await asyncio.sleep(0)  # however long the text is, the turn of others comes
            else:
                yield event
            if isinstance(event, AnswerEnd):
                return
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
