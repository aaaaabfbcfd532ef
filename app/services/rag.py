"""The seam between the service and whatever answers its questions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from app.models.answers import (
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Progress,
    Question,
    Source,
    TextDelta,
    TextReplaced,
    Turn,
)

__all__ = [
    "AnswerEnd",
    "AnswerEvent",
    "ConversationNamed",
    "Progress",
    "Question",
    "RagProvider",
    "Source",
    "TextDelta",
    "TextReplaced",
    "Turn",
]


class RagProvider(Protocol):
    """Anything that answers questions. One instance serves all sessions at once.

    One that remembers nothing of a conversation may say so with an attribute `is_stateless = True`: then a question may
    be begun early and taken back at any time (`SPECULATE`). One that answers from an index may show it as its
    attribute `index` (`app.services.indexing`). One that can find out whether it could answer may have
    `async def probe(self) -> None`, which raises `RagError` if not (`READY_PROBE_SECONDS`).
    """

    def query(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """Yield the answer as it arrives, `AnswerEnd` last.

        Raises `app.errors.RagError` when there is no answer, or no more of it. The caller closes the
        generator to interrupt: whatever it holds is to be released then.
        """
        ...
