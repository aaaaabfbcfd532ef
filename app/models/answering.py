"""Turns what a provider brings into the frames of an answer, and remembers what was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import regex

from app.errors import RagError
from app.models.answers import (
    MAX_NOTE_CHARS,
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Progress,
    TextDelta,
    TextReplaced,
    Turn,
    bounded_sources,
    bounded_usage,
)
from app.models.effects import Effect
from app.models.messages import AnswerFailure, FinalAnswer
from app.models.numbering import Frames
from app.models.pieces import AnswerPiece
from app.models.queries import RunningQuery

# How many questions with their answers are remembered for providers that remember nothing, and how much of an answer.
MAX_TURNS = 4
MAX_SAID_CHARS = 500

_HAN = regex.compile(r"\p{Han}")


@dataclass(slots=True)
class Answers:
    """The answer to `query`, the one question on its way, and what is known of those before."""

    frames: Frames
    query: RunningQuery | None = None
    conversation_id: str | None = None
    history: tuple[Turn, ...] = ()

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
            case ConversationNamed(conversation_id):
                self.conversation_id = conversation_id
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
        self.query = None
        self._remember(query, is_whole=False)
        note = "The running answer ends here."
        told = self.frames.status("interrupting", reason=reason, query_id=query.query_id, note=note)
        return [query.cancel(reason, now), told]

    def _text(self, query: RunningQuery, text: str, now: float, replace: bool = False) -> list[Effect]:
        if text and query.first_text_at is None:
            query.first_text_at = now
        session_id, seq = self.frames.session_id, self.frames.seq + 1
        frame = AnswerPiece(session_id, seq, query.query_id, query.frames, text, replace or None)
        query.frames += 1
        query.said = (text if replace else query.said + text)[:MAX_SAID_CHARS]
        return [self.frames.send(frame)]

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
        self.query = None
        if end.found:
            self._remember(query, is_whole=error is None and not end.incomplete)
        return [final, self.frames.status("idle", reason=reason, query_id=query.query_id)]

    def _remember(self, query: RunningQuery, *, is_whole: bool) -> None:
        if query.said.strip():
            self.history = (*self.history, Turn(query.asked.text, query.said, is_whole))[-MAX_TURNS:]
