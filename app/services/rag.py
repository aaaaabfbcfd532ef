"""The seam between the service and whatever answers its questions, with all that a provider of one's own needs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

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
    "Offers",
    "Progress",
    "Question",
    "RagProvider",
    "Source",
    "TextDelta",
    "TextReplaced",
    "Turn",
]


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
