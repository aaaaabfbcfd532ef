"""The seam between the service and whatever answers its questions, with all that a provider of one's own needs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import Protocol, TypeGuard

from app.models.answers import (
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Feedback,
    Progress,
    Question,
    Source,
    TextDelta,
    TextReplaced,
    Turn,
)
from app.services.indexing import Index

__all__ = [
    "AnswerEnd",
    "AnswerEvent",
    "ConversationNamed",
    "Feedback",
    "Hear",
    "Offers",
    "Progress",
    "Question",
    "RagProvider",
    "Source",
    "TextDelta",
    "TextReplaced",
    "Turn",
    "ask",
]

Hear = Callable[[str], bool]
"""Takes a text of the answer off the provider in the callback that has read it, or says that it has to be yielded."""


@dataclass(frozen=True, slots=True)
class Offers:
    """What a provider can do beside answering, once it is opened.

    `is_stateless`: it remembers nothing of a conversation, so a question may be begun early and taken back at any time
    (`SPECULATE`). `index`: the index that it answers from, if it has one (`app.services.indexing`). `probe` finds out
    whether it could answer, and raises `RagError` if not (`READY_PROBE_SECONDS`). `stop` begins to stop a `run` of this
    user, whose process is gone, and returns at once. `feedback` begins to tell what somebody thinks of an answer, whose
    `AnswerEnd` had a `message_id`, and returns at once.
    """

    is_stateless: bool = False
    index: Index | None = None
    probe: Callable[[], Awaitable[None]] | None = None
    stop: Callable[[str, str], None] | None = None
    feedback: Callable[[Feedback], None] | None = None


class RagProvider(Protocol):
    """Anything that answers questions. One instance serves all sessions at once."""

    @property
    def offers(self) -> Offers: ...

    def query(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """Yield the answer as it arrives, `AnswerEnd` last.

        Raises `app.errors.RagError` when there is no answer, or no more of it. The caller closes the
        generator to interrupt: whatever it holds is to be released then.
        """
        ...


class DirectProvider(RagProvider, Protocol):
    """One that need not wake up its generator for every text.

    While that is asked for more, `hear` may be given the next text in its place, but never the first: so whoever
    stands between knows that the answer has begun.
    """

    def query(self, question: Question, hear: Hear | None = None) -> AsyncGenerator[AnswerEvent, None]: ...


def ask(provider: RagProvider, question: Question, hear: Hear | None = None) -> AsyncGenerator[AnswerEvent, None]:
    """Ask, with `hear` if the provider takes it: so one that wraps another sees every text, unless it hands that on."""
    return provider.query(question, hear) if hear is not None and _is_direct(provider) else provider.query(question)


def _is_direct(provider: RagProvider) -> TypeGuard[DirectProvider]:
    return _takes_hear(type(provider))


@cache
def _takes_hear(kind: type) -> bool:
    query = getattr(kind, "query", None)
    return query is not None and "hear" in signature(query).parameters
