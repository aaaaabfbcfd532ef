"""The vocabulary of question and answer, shared by the session and every provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True, slots=True)
class Question:
    """What a provider is asked.

    `user` is a stable pseudonym of the speaker, `conversation_id` what the provider called the conversation
    in an earlier answer, `context` the talk that led to the question, `inputs` the session's own variables.
    """

    text: str
    user: str
    conversation_id: str | None = None
    context: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)


class Source(BaseModel):
    """One passage an answer rests on. `position` counts from 1 in the order the answer cites."""

    model_config = ConfigDict(frozen=True)

    position: int
    title: str
    source: str
    score: float | None = None
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class ConversationNamed:
    """The provider named the conversation. Sent as early as it is known, so that it outlives an interrupt.

    None: the conversation is of no more use, and the next question begins another.
    """

    conversation_id: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Something a person may see while no text has come yet."""

    note: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class TextReplaced:
    """All text so far is void; this stands in its place and may be continued."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """The answer is over; nothing follows. `incomplete`: the provider itself stopped before the end.

    `provider` names who answered, where that is not who was asked first.
    """

    conversation_id: str | None = None
    sources: tuple[Source, ...] = ()
    usage: dict[str, Any] | None = None
    incomplete: bool = False
    provider: str | None = None


AnswerEvent = ConversationNamed | Progress | TextDelta | TextReplaced | AnswerEnd
