"""The short ways of two chunks that change little: somebody goes on speaking, or a recogniser repeats its final."""

from __future__ import annotations

from collections.abc import Sequence

from app.models.listening import SAID_BEFORE, marked
from app.models.memory import Memory
from app.models.messages import AsrChunk
from app.models.pieces import MessageAck, interim_ack, waiting
from app.models.spelling import said


class Heard(Memory):
    """Saves a session most of what it asks about each message, for most of what it hears.

    Each way returns the frames that answer a chunk, as JSON, and nothing falls due sooner than before. None of them,
    with nothing done, where the chunk may be more than that: then it is to be received.
    """

    def hear(self, chunk: AsrChunk, now: float) -> Sequence[str]:
        return self.hear_again(chunk, now) if chunk.is_final else self.hear_on(chunk, now)

    def hear_on(self, chunk: AsrChunk, now: float) -> Sequence[str]:
        """Let somebody go on speaking, by an interim chunk: its ack is all that follows."""
        listener, speaker, text = self._listener, chunk.speaker, chunk.text
        partial = listener.partials.get(speaker)
        if (
            partial is None
            or chunk.session_id not in (None, self._frames.session_id)
            or listener.waits
            or listener.settings.speculate
            or len(text) > self._settings.segment_max_chars
        ):
            return ()
        text = said(text)
        if not text or (partial.chunk.segment_id != chunk.segment_id and partial.is_left_by(chunk, text)):
            return ()
        if listener.transcript.finals and listener.transcript.recalls(text, speaker, now):
            return ()
        self._life.heard_at = now
        self._reported_empty = False
        # There is none while the session is paused. When something is due for it was set when it began: no later than
        # what would be set now.
        partial.go_on(chunk, text, now)
        if len(listener.partials) > 1:
            listener.partials[speaker] = listener.partials.pop(speaker)  # who has just spoken stands last
        frames = self._frames
        frames.seq = seq = frames.seq + 1
        return (interim_ack(frames.session_id, seq, chunk.id),)

    def hear_again(self, chunk: AsrChunk, now: float) -> Sequence[str]:
        """Take a final that says what the newest one has said, word for word: an ack and a status follow."""
        listener, frames = self._listener, self._frames
        transcript = listener.transcript
        known = transcript.segments[-1] if transcript.segments else None
        if (
            known is None
            or chunk.text != known.text
            or len(chunk.text) > self._settings.segment_max_chars
            or chunk.speaker != known.speaker
            or known.is_provisional
            or chunk.end_of_turn
            or chunk.session_id not in (None, frames.session_id)
            or listener.partials
            or listener.waits
            or self._paused
            or self._early.running
            or self._questions.pending
            or frames.dropped
        ):
            return ()
        if chunk.segment_id is None:
            # By its words alone it may be a new one.
            newest = transcript.finals[-1] if transcript.finals else None
            if newest is not known or now - known.heard_at > transcript.merge_seconds:
                return ()
        elif next((each for each in transcript.segments if each.segment_id == chunk.segment_id), None) is not known:
            return ()
        self._life.heard_at = known.heard_at = now
        self._reported_empty = False
        self._early.count = 0
        listener.marked = marked(listener.marked, known.text)
        frames.seq = seq = frames.seq + 2
        ack = MessageAck(frames.session_id, seq - 1, "asr_chunk", True, chunk.id)
        return ack.to_json(), waiting(frames.session_id, seq, SAID_BEFORE.reason, SAID_BEFORE.note)
