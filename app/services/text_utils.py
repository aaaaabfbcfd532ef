"""Long answers in pieces that fit a frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from app.models.answers import AnswerEvent, TextDelta, TextReplaced
from app.services.cuts import split_text


def split_event(event: AnswerEvent, limit: int) -> Iterator[AnswerEvent]:
    """Cut an event with a long text into several; only the first of a replacement replaces."""
    if isinstance(event, TextDelta | TextReplaced) and len(event.text) > limit:
        pieces = split_text(event.text, limit)
        yield type(event)(next(pieces))
        yield from map(TextDelta, pieces)
    else:
        yield event


async def stream_answer(text: str, limit: int) -> AsyncIterator[str]:
    """Yield a finished answer in pieces, leaving the event loop to others between two of them."""
    for piece in split_text(text, limit):
        yield piece
        await asyncio.sleep(0)
