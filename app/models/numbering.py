"""Makes the frames of a session, each with its number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.codes import ErrorCode
from app.errors import ClientError
from app.models.effects import Effect, LogBug, Send
from app.models.messages import Ack, AsrChunk, ClientMessage, Details, Error, Stage
from app.models.pieces import MessageAck, Sent, StatusPiece, VerdictPiece
from app.models.verdicts import Verdict

# The stages whose status says what will not be asked.
TELLING: frozenset[Stage] = frozenset({"waiting_for_question", "analyzing", "instant_query", "idle"})


@dataclass(slots=True)
class Frames:
    """`seq` is the number of the newest frame, `dropped` what the next status that tells will say is not asked."""

    session_id: str
    seq: int = 0
    dropped: list[str] = field(default_factory=list)

    def send(self, frame: Sent) -> Send:
        # Counted only when the frame exists: one that could not be made leaves no gap.
        self.seq = frame.seq
        return Send(frame)

    def status(self, stage: Stage, **fields: Any) -> Send:
        if self.dropped and stage in TELLING:
            fields["dropped"], self.dropped = tuple(self.dropped), []
        return self.send(StatusPiece(self.session_id, self.seq + 1, stage, **fields))

    def unless_bug(self, steps: Iterator[list[Effect]]) -> list[Effect]:
        """What these steps bring; of one that meets a bug, only that it did: what it began to say is not said."""
        effects: list[Effect] = []
        seq = self.seq
        try:
            for step in steps:
                effects += step
                seq = self.seq
        except Exception as bug:
            effects += self.bug(bug, seq)
        return effects

    def or_bug(self, step: Callable[..., list[Effect]], *arguments: Any) -> list[Effect]:
        """`unless_bug` for one step, at less than half its cost: once for each message."""
        seq = self.seq
        try:
            return step(*arguments)
        except Exception as bug:
            return self.bug(bug, seq)

    def bug(self, bug: Exception, seq: int) -> list[Effect]:
        """Only that there is one: what was begun to be said after the frame `seq` is not said."""
        self.seq = seq
        text = "Something went wrong in the service; the session goes on."
        return [LogBug(bug), self.error(ErrorCode.INTERNAL_ERROR, text)]

    def waiting(
        self, reason: str, note: str, verdict: Verdict | None, seconds: float = 0.0, **fields: str | None
    ) -> Send:
        told = verdict and VerdictPiece.of(verdict, seconds)
        return self.status("waiting_for_question", reason=reason, note=note, verdict=told, **fields)

    def error(self, code: ErrorCode, message: str, **fields: Any) -> Send:
        return self.send(Error(session_id=self.session_id, seq=self.seq + 1, code=code, message=message, **fields))

    def refusal(self, error: ClientError) -> Send:
        wait, message_id = error.retry_after_ms, error.message_id
        told = {"details": error.details, "id": message_id, "retry_after_ms": wait, "retryable": wait is not None}
        return self.error(error.code, error.message, **told)

    def ack(self, message: ClientMessage, details: Details | None) -> Send:
        return self.send(
            MessageAck(
                self.session_id,
                self.seq + 1,
                message.type,
                bool(message.is_final) if isinstance(message, AsrChunk) else None,
                message.id,
                details,
            )
        )

    def greeting(self, seq: int, session_id: str | None = None, /, **fields: Any) -> Ack:
        return Ack(session_id=session_id or self.session_id, seq=seq, message="connected", protocol="1", **fields)
