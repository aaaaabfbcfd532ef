"""The short way of an interim chunk, which mostly says a little more than the last one: its ack is all that follows."""

from __future__ import annotations

from abc import abstractmethod

from app.models.effects import Effect, Send
from app.models.memory import Memory
from app.models.messages import AsrChunk, ClientMessage, Details
from app.models.pieces import MessageAck
from app.models.spelling import said


class Interim(Memory):
    """Saves a session what it asks about each message: a quarter of what the service does for such a chunk."""

    @abstractmethod
    def receive_fully(self, message: ClientMessage, now: float, details: Details | None = None) -> list[Effect]:
        """`receive`, without the short way."""

    def receive(self, message: ClientMessage, now: float, details: Details | None = None) -> list[Effect]:
        """Take a message; `details` tells which of its fields could not be taken as they came."""
        if details is None and isinstance(message, AsrChunk) and (ack := self.hear_on(message, now)) is not None:
            return [Send(ack)]
        return self.receive_fully(message, now, details)

    def hear_on(self, chunk: AsrChunk, now: float) -> MessageAck | None:
        """Let somebody go on speaking; None, with nothing done, where the chunk may be more than that."""
        listener, speaker, text = self._listener, chunk.speaker, chunk.text
        partial = listener.partials.get(speaker)
        if (
            partial is None
            or chunk.is_final
            or chunk.session_id not in (None, self.session_id)
            or listener.waits
            or listener.settings.speculate
            or len(text) > self._settings.segment_max_chars
        ):
            return None
        text = said(text)
        if not text or partial.is_left_by(chunk, text) or listener.transcript.recalls(text, speaker, now):
            return None
        self._life.heard_at = now
        self._reported_empty = False
        # There is none while the session is paused. When something is due for it was set when it began: no later than
        # what would be set now.
        partial.go_on(chunk, text, now)
        listener.partials[speaker] = listener.partials.pop(speaker)  # who has just spoken stands last
        frames = self._frames
        frames.seq += 1
        return MessageAck(frames.session_id, frames.seq, chunk.type, False, chunk.id)
