"""What a session wants done, in this order; the conversation does it."""

from __future__ import annotations

from dataclasses import dataclass

from app.models.answers import Question
from app.models.messages import ServerMessage, Timing


@dataclass(frozen=True, slots=True)
class Send:
    frame: ServerMessage


@dataclass(frozen=True, slots=True)
class StartQuery:
    query_id: str
    question: Question


@dataclass(frozen=True, slots=True)
class CancelQuery:
    """End the running query and wait until it has ended; `reason` and `timing` are for the log."""

    query_id: str
    reason: str
    timing: Timing


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection with this WebSocket code; nothing follows."""

    code: int


Effect = Send | StartQuery | CancelQuery | Close
