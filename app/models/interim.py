"""The short way of an interim chunk, which mostly says a little more than the last one: its ack is all that follows."""

from __future__ import annotations

from app.models.memory import Memory
from app.models.messages import AsrChunk
from app.models.pieces import interim_ack
from app.models.spelling import said


class Interim(Memory):
    """Saves a session what it asks about each message: a quarter of what the service does for such a chunk."""

    def hear_on(self, chunk: AsrChunk, now: float) -> str | None:
        """Let somebody go on speaking, by an interim chunk: its ack, as JSON; nothing falls due sooner than before.

        None, with nothing done, where the chunk may be more than that: then it is to be received.
        """
        listener, speaker, text = self._listener, chunk.speaker, chunk.text
        partial = listener.partials.get(speaker)
        if (
            partial is None
            or chunk.session_id not in (None, self._frames.session_id)
            or listener.waits
            or listener.settings.speculate
            or len(text) > self._settings.segment_max_chars
        ):
            return None
        text = said(text)
        if not text or (partial.chunk.segment_id != chunk.segment_id and partial.is_left_by(chunk, text)):
            return None
        if listener.transcript.finals and listener.transcript.recalls(text, speaker, now):
            return None
        self._life.heard_at = now
        self._reported_empty = False
        # There is none while the session is paused. When something is due for it was set when it began: no later than
        # what would be set now.
        partial.go_on(chunk, text, now)
        if len(listener.partials) > 1:
            listener.partials[speaker] = listener.partials.pop(speaker)  # who has just spoken stands last
        frames = self._frames
        frames.seq = seq = frames.seq + 1
        return interim_ack(frames.session_id, seq, chunk.id)
