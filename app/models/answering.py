"""Turns what a provider brings into the frames of an answer, and remembers what was answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

import regex

from app.errors import RagError
from app.models.answers import (
    MAX_NOTE_CHARS,
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Feedback,
    Progress,
    Rating,
    TextDelta,
    TextReplaced,
    Turn,
    bounded_sources,
    bounded_usage,
)
from app.models.effects import Effect, Rate
from app.models.likeness import holds, plain, plain_again
from app.models.messages import AnswerFailure, FinalAnswer
from app.models.numbering import Frames
from app.models.pieces import AnswerPiece
from app.models.queries import RunningQuery
from app.models.transcript import Speaker

# How many questions with their answers are remembered for providers that remember nothing, and how much of an answer.
MAX_TURNS = 4
MAX_SAID_CHARS = 500
# How many answers can be rated, or be named when their questions are asked again, and how many characters those have.
MAX_ANSWERED = 20
MAX_WORDS_CHARS = 500
# How much of an answer is known when it is heard back, in characters, and for how long after its end, in seconds.
MAX_SPOKEN_CHARS = 4_000
SPOKEN_SECONDS = 10.0

_HAN = regex.compile(r"\p{Han}")


def _keep(known: dict[str, Any], name: str, value: Any) -> None:
    known.pop(name, None)
    known[name] = value
    if len(known) > MAX_ANSWERED:
        del known[next(iter(known))]


@dataclass(slots=True)
class Answers:
    """The answer to `query`, the one question on its way, and what is known of those before."""

    frames: Frames
    query: RunningQuery | None = None
    conversation_id: str | None = None
    history: tuple[Turn, ...] = ()
    spoken: str = ""
    spoken_at: float | None = None
    spoken_to: Speaker = None
    """How the answer before began, when it ended, and who had asked."""
    answered: dict[str, str] = field(default_factory=dict)
    """By the words of a question, which query has answered it."""
    rateable: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By query, the provider's name of the answer, and who had asked."""

    def hold(self, words: str, now: float) -> bool:
        """Whether plain words lie in the answer that runs, or in the one before while somebody may read it aloud."""
        texts = [] if self.query is None else [self.query.said]
        if self.spoken_at is not None and now - self.spoken_at <= SPOKEN_SECONDS:
            texts.append(self.spoken)
        return any(holds(plain_again(text), words) for text in texts if text)

    def followed_by(self, speaker: Speaker, now: float, seconds: float) -> bool:
        """Whether this speaker was answered at most so many seconds ago."""
        return self.spoken_at is not None and speaker == self.spoken_to and now - self.spoken_at <= seconds

    def answered_before(self, question: str) -> str | None:
        """Which query has answered a question of these words."""
        return self.answered.get(plain(question)[:MAX_WORDS_CHARS])

    def rate(self, query_id: str | None, rating: Rating | None, text: str) -> Rate | None:
        """What to tell the provider of an answer; None if it cannot be told."""
        known = None if query_id is None else self.rateable.get(query_id)
        return None if known is None else Rate(Feedback(*known, rating, text))

    def take_event(self, query_id: str, event: AnswerEvent, now: float) -> list[Effect]:
        """Take one event of a query; those of a query that is no longer on its way change nothing."""
        query = self.query
        if query is None or query.query_id != query_id:
            return []
        match event:
            case TextDelta(text):
                return self._text(query, text, now) if text else []
            case TextReplaced(text):
                return self._text(query, text, now, replace=True)
            case Progress(note):
                # Stages only move forward: once text runs, a step of the workflow is no news.
                if query.frames:
                    return []
                told = {"mode": query.mode, "query_id": query_id, "note": note[:MAX_NOTE_CHARS]}
                return [self.frames.status("querying_rag", reason="progress", **told)]
            case ConversationNamed(conversation_id, run):
                self.conversation_id, query.run = conversation_id, run
                return []
            case AnswerEnd():
                if event.conversation_id is not None:
                    self.conversation_id = event.conversation_id
                return self._finish(query, event, now, "answered" if event.found else "nothing_found")
            case _:
                assert_never(event)

    def take_failure(self, query_id: str, error: RagError, now: float) -> list[Effect]:
        """End a query that has no answer, or no more of it: the one place where an error becomes text."""
        query = self.query
        if query is None or query.query_id != query_id:
            return []
        content = "" if query.frames else error.sentence_zh if _HAN.search(query.question) else error.sentence
        return self._finish(query, AnswerEnd(incomplete=query.frames > 0), now, "failed", error, content)

    def interrupt(self, query: RunningQuery, reason: str, now: float) -> list[Effect]:
        """First the cancel, then the word, so that nothing can follow it."""
        self._leave(query, now)
        self._remember(query, is_whole=False)
        note = "The running answer ends here."
        told = self.frames.status("interrupting", reason=reason, query_id=query.query_id, note=note)
        return [query.cancel(reason, now), told]

    def take_text(self, query_id: str, text: str, now: float) -> AnswerPiece | None:
        """`take_event` with a `TextDelta`, for the thousands of them: the one frame that it brings, if it does."""
        query = self.query
        if query is None or query.query_id != query_id or not text:
            return None
        frame = self._piece(query, text, now)
        self.frames.seq = frame.seq
        return frame

    def _text(self, query: RunningQuery, text: str, now: float, replace: bool = False) -> list[Effect]:
        return [self.frames.send(self._piece(query, text, now, replace))]

    def _piece(self, query: RunningQuery, text: str, now: float, replace: bool = False) -> AnswerPiece:
        if text and query.first_text_at is None:
            query.first_text_at = now
        session_id, seq = self.frames.session_id, self.frames.seq + 1
        frame = AnswerPiece(session_id, seq, query.query_id, query.frames, text, replace or None)
        query.frames += 1
        if replace or len(query.said) < MAX_SPOKEN_CHARS:
            query.said = (text if replace else query.said + text)[:MAX_SPOKEN_CHARS]
        return frame

    def _finish(
        self,
        query: RunningQuery,
        end: AnswerEnd,
        now: float,
        reason: Literal["answered", "nothing_found", "failed"],
        error: RagError | None = None,
        content: str = "",
    ) -> list[Effect]:
        final = self.frames.send(
            FinalAnswer(
                session_id=self.frames.session_id,
                seq=self.frames.seq + 1,
                query_id=query.query_id,
                stream_index=query.frames,
                content=content,
                sources=bounded_sources(end.sources),
                usage=bounded_usage(end.usage),
                timing=query.timing(now),
                conversation_id=self.conversation_id,
                error=None if error is None else AnswerFailure.of(error),
                incomplete=end.incomplete or None,
                found=None if end.found else False,
                provider=end.provider,
            )
        )
        self._leave(query, now)
        if error is None:
            _keep(self.answered, plain(query.asked.text)[:MAX_WORDS_CHARS], query.query_id)
        if end.message_id is not None:
            _keep(self.rateable, query.query_id, (end.message_id, query.user))
        if end.found:
            self._remember(query, is_whole=error is None and not end.incomplete)
        return [final, self.frames.status("idle", reason=reason, query_id=query.query_id)]

    def _leave(self, query: RunningQuery, now: float) -> None:
        self.query, self.spoken, self.spoken_at = None, query.said, now
        self.spoken_to = query.segments[-1].speaker if query.segments else None

    def _remember(self, query: RunningQuery, *, is_whole: bool) -> None:
        if query.said.strip():
            self.history = (*self.history, Turn(query.asked.text, query.said[:MAX_SAID_CHARS], is_whole))[-MAX_TURNS:]
