"""The vocabulary of question and answer, shared by the session and every provider."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticSerializationError, from_json, to_json

logger = logging.getLogger(__name__)

AnswerStyle = Literal["short", "full"]
QueryScope = Literal["question", "aggregated"]
Rating = Literal["like", "dislike"]
TALK = "talk"
"""The `source` of what was said in the talk itself."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier question of a session and its answer, as far as it was shown; not whole if it broke off."""

    question: str
    answer: str
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Said:
    """One final of a talk, `seconds` after its beginning; `question` is what of the text asks, if anything does."""

    text: str
    speaker: str | None
    seconds: float
    question: str = ""

    @property
    def label(self) -> str:
        """Who said it and when, as in "Anna, 2:05"."""
        minutes, seconds = divmod(int(self.seconds), 60)
        hours, minutes = divmod(minutes, 60)
        time = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
        return f"{self.speaker}, {time}" if self.speaker else time

    def as_source(self, position: int, score: float | None = None) -> Source:
        return Source(
            position=position,
            title=self.label,
            source=TALK,
            score=score,
            snippet=self.text[:SNIPPET_CHARS],
            speaker=self.speaker,
            time_ms=round(self.seconds * 1000),
        )


@dataclass(frozen=True, slots=True)
class Question:
    """What a provider is asked.

    `text` is the question alone, `context` the talk that led to it, whatever `QUERY_SCOPE` says. One that cannot stand
    alone begins with what was said just before; then `leans_on` is that beginning.
    `user` is a stable pseudonym of the speaker, `conversation_id` what the provider called the conversation
    in an earlier answer, `inputs` the session's own variables, `history` its last questions with their answers.
    `scope` is the session's own `QUERY_SCOPE`, where it has one.
    `talk` is what everybody has said, the question left out (`TALK_CHARS`).
    `answer_language` (BCP 47) and `answer_style` are how the client wants to be answered, where it has said so.
    """

    text: str
    user: str
    conversation_id: str | None = None
    context: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Turn, ...] = ()
    talk: tuple[Said, ...] = ()
    answer_language: str = ""
    answer_style: AnswerStyle | None = None
    scope: QueryScope | None = None
    leans_on: str = ""

    @property
    def whole(self) -> str:
        """The talk and the question, as one text."""
        return f"{self.context} {self.text}".lstrip()

    @property
    def itself(self) -> str:
        """The question without what it leans on."""
        return self.text.removeprefix(self.leans_on).lstrip()


class Source(BaseModel):
    """One passage an answer rests on. `position` counts from 1 in the order the answer cites.

    Of what was said in the talk itself, `speaker` and `time_ms` tell who said it and when.
    """

    model_config = ConfigDict(frozen=True)

    position: int
    title: str
    source: str
    score: float | None = None
    snippet: str = ""
    speaker: str | None = None
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody thinks of an answer; without a `rating`, what they thought is void."""

    message_id: str
    user: str
    rating: Rating | None
    text: str


@dataclass(frozen=True, slots=True)
class ConversationNamed:
    """The provider named the conversation. Sent as early as it is known, so that it outlives an interrupt.

    None: the conversation is of no more use, and the next question begins another. `run` is what the provider calls its
    work on this answer, if it can be stopped by that from elsewhere (`Offers.stop`).
    """

    conversation_id: str | None
    run: str | None = field(default=None, compare=False)


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

    `found` is false when the provider knows nothing that fits; then there may be no text. `provider` names who
    answered, where that is not who was asked first. `message_id`: by this name the answer can be rated.
    """

    conversation_id: str | None = None
    sources: tuple[Source, ...] = ()
    usage: dict[str, Any] | None = None
    incomplete: bool = False
    found: bool = True
    provider: str | None = None
    message_id: str | None = None


AnswerEvent = ConversationNamed | Progress | TextDelta | TextReplaced | AnswerEnd


# What of an answer is no text is bounded: the frame that carries it has to be read by clients that take 1 MiB.
MAX_NOTE_CHARS = 500
MAX_SOURCES = 50
MAX_SOURCE_CHARS = {"title": 300, "source": 2_000, "snippet": 2_000}
SNIPPET_CHARS = 300  # as the providers of the house quote
MAX_SOURCES_BYTES = 96 * 1024
MAX_USAGE_BYTES = 16 * 1024


def bounded_sources(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """The first sources, shortened, as many as fit into a frame."""
    kept: list[Source] = []
    size = 0
    for source in sources[:MAX_SOURCES]:
        short = source.model_copy(update={name: getattr(source, name)[:n] for name, n in MAX_SOURCE_CHARS.items()})
        size += len(short.model_dump_json().encode())
        if size > MAX_SOURCES_BYTES:
            break
        kept.append(short)
    return tuple(kept)


def bounded_usage(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the answer cost, if it is told in few words; what JSON cannot say of it must not spoil the answer."""
    if usage is None:
        return None
    try:
        told = to_json(usage, inf_nan_mode="null")
    except PydanticSerializationError as error:
        logger.warning("the usage of an answer is left out: %s", error)
        return None
    return from_json(told) if len(told) <= MAX_USAGE_BYTES else None
