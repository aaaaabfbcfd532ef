"""What a connection to a recogniser is, whatever is behind it.

Above it is `hearing.py`. Below it are `recogniser.py` (a WebSocket, lines over TCP, Wyoming, pocketsphinx in this
process) and `bots.py` (meeting bots, which dial or post).
"""

from __future__ import annotations

from typing import Protocol

from app.tools.listen.ears import Message


class Lost(Exception):
    """The connection is lost or was not made; the text is for a person. `is_hopeless`: so would be another one."""

    def __init__(self, problem: str, *, is_hopeless: bool = False) -> None:
        super().__init__(problem)
        self.is_hopeless = is_hopeless


class Refused(Lost):
    """The recogniser does not want to: the key, the quota, or what it was told."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem, is_hopeless=True)


class Recogniser(Protocol):
    async def send(self, piece: bytes) -> None:
        """Take a piece of sound. Raises `Lost`."""

    async def finish(self) -> None:
        """There is no more sound. Raises `Lost`."""

    async def hear(self) -> Message | None:
        """The next message, None after the last one. Raises `Lost`."""
