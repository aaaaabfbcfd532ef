"""Asks a provider through a circuit breaker, and another one when it fails before its first text."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from copy import copy
from dataclasses import replace

from app.errors import RagBrokenStream, RagError, RagFailed
from app.models.answers import AnswerEnd, AnswerEvent, ConversationNamed, Question, TextDelta, TextReplaced
from app.services.breaker import Breaker, Trial
from app.services.rag import Hear, RagProvider, ask

logger = logging.getLogger(__name__)

EMPTY = "the answer is empty"
NO_END = "the provider ended without AnswerEnd"


class GuardedProvider:
    """A `RagProvider` over `first`, with `fallback` in reserve.

    The fallback answers after every failure before the first text, also after a refusal (`RagRejected`): that is a
    wrong key or an app that is not published far more often than something about the question. It is asked without a
    conversation and names none, so that the next question goes on in the conversation of the first. If it fails too
    before its first text, the failure of the first is what is reported. After the first text nobody else answers: two
    halves of two answers are none.
    """

    def __init__(
        self,
        first: RagProvider,
        breaker: Breaker,
        fallback: RagProvider | None = None,
        *,
        name: str,
        fallback_name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.breaker = breaker
        index = first.offers.index or (None if fallback is None else fallback.offers.index)
        self.offers = replace(first.offers, index=index)
        self._first = first
        self._fallback = fallback
        self._fallback_name = fallback_name
        self._clock = clock

    def with_fallback_of(self, other: GuardedProvider) -> GuardedProvider:
        """This provider with the fallback of another one, which stays that one's to close."""
        own = copy(self)
        own._fallback, own._fallback_name = other._fallback, other._fallback_name
        return own

    async def query(self, question: Question, hear: Hear | None = None) -> AsyncGenerator[AnswerEvent, None]:
        has_begun = False
        trial: Trial | None = None
        try:
            trial = self.breaker.admit(self._clock(), question.user)
            async with aclosing(ask(self._first, question, hear)) as events:
                async for event in events:
                    if not has_begun and _is_text(event):
                        has_begun = True
                        self.breaker.text_came(trial)
                    elif isinstance(event, AnswerEnd):
                        if _is_empty(event, has_begun):
                            if event.conversation_id is not None:
                                yield ConversationNamed(event.conversation_id)
                            raise RagFailed(EMPTY)
                        self.breaker.succeed(trial)
                        yield event
                        return
                    yield event
            raise RagBrokenStream(NO_END)
        except Exception as error:
            if trial is not None and isinstance(error, RagError):
                self.breaker.fail(trial, error, self._clock())
            if has_begun or self._fallback is None:
                raise
            failure = error
        finally:
            if trial is not None:
                self.breaker.leave(trial)
        self._log(self.name, failure)
        async with aclosing(self._ask_fallback(self._fallback, question, failure, hear)) as events:
            async for event in events:
                yield event

    async def _ask_fallback(
        self, fallback: RagProvider, question: Question, failure: Exception, hear: Hear | None
    ) -> AsyncGenerator[AnswerEvent, None]:
        has_begun = False
        try:
            async with aclosing(ask(fallback, replace(question, conversation_id=None), hear)) as events:
                async for event in events:
                    has_begun = has_begun or _is_text(event)
                    if isinstance(event, AnswerEnd):
                        if _is_empty(event, has_begun):
                            raise RagFailed(EMPTY)
                        yield replace(event, conversation_id=None, message_id=None, provider=self._fallback_name)
                        return
                    if not isinstance(event, ConversationNamed):
                        yield event
            raise RagBrokenStream(NO_END)
        except Exception as error:
            if has_begun:
                raise
            self._log(self._fallback_name, error)
        raise failure

    def _log(self, name: str, error: Exception) -> None:
        if isinstance(error, RagError):
            logger.warning("%s does not answer: %s: %s", name, error.code, error)
        else:
            logger.error("%s does not answer", name, exc_info=error)


def _is_text(event: AnswerEvent) -> bool:
    # A replacement by nothing is a frame, too.
    return isinstance(event, TextReplaced) or (isinstance(event, TextDelta) and event.text != "")


def _is_empty(end: AnswerEnd, has_begun: bool) -> bool:
    """Whether an answer ends so that it counts as none: then another one can be had."""
    return not has_begun and not end.incomplete and end.found
