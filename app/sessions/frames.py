"""The latest frames of one session: what its sockets send from, each at a position of its own."""

from __future__ import annotations

from collections import deque
from sys import getsizeof
from typing import Any, Protocol

from app.models.messages import NotResumed
from app.models.pieces import Sent


class NotKept(Exception):
    """What a client has come back for cannot be had."""

    def __init__(self, reason: NotResumed) -> None:
        super().__init__(reason)
        self.reason = reason


class Reader(Protocol):
    """Somebody who reads a log: it has yet to be given what stands from `position` on."""

    position: int


class Owner(Protocol):
    """The session whose log it is."""

    def write_down(self) -> tuple[dict[str, Any], list[str]]:
        """What another process needs to know to go on with it, and hashes of the tokens that open it."""

    def frames_are_ready(self) -> None:
        """More may be sent than a moment ago."""

    def lose(self) -> None:
        """Somebody else has it now: it ends here without a word."""


class FrameLog:
    """The latest frames of one session, as text: all that is kept of it in this process, and a store's to share.

    A frame's position counts from the beginning of the log; `seq` counts from that of the session, and a client may
    switch to another one. Beyond `max_frames` or `max_bytes` of memory the oldest go, but none that one of its
    `readers` has yet to get. It is read for every token: `frames` are those from the position `first` up to `end`,
    that of the next frame, and up to `ready` they may be sent. Here that is all of them; in a log that is shared, those
    that the store has.
    """

    is_shared = False

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self.frames: deque[str] = deque()
        self.readers: list[Reader] = []
        self.owner: Owner | None = None
        self.first = 0
        self.end = 0
        self.ready = 0
        self._sessions: list[tuple[str, int]] = []
        """The names of the sessions whose frames these are, and where each begins."""
        self.size = 0
        """Bytes of memory that the frames take."""
        self.written = 0
        """Bytes of all frames that there ever were."""

    def begin_session(self, session_id: str) -> None:
        """From here on `seq` counts anew."""
        self._sessions.append((session_id, self.end))

    @property
    def names(self) -> list[tuple[str, int]]:
        """The sessions whose frames these are, and where each begins."""
        return list(self._sessions)

    def append(self, text: str, frame: Sent | None = None) -> None:
        """Add a frame as it goes on the wire; `frame` is what it says."""
        self.frames.append(text)  # as `_add` does: this is called for every frame
        self.ready = self.end = self.end + 1
        size = getsizeof(text)
        self.size += size
        self.written += size
        if len(self.frames) > self._max_frames or self.size > self._max_bytes:
            self.trim()

    def _add(self, frame: str) -> None:
        self.frames.append(frame)
        self.end += 1
        size = getsizeof(frame)
        self.size += size
        self.written += size

    def trim(self) -> None:
        """Let go what is too much."""
        needed = self.ready
        for reader in self.readers:
            if reader.position < needed:
                needed = reader.position
        frames = self.frames
        while self.first < needed and (len(frames) > self._max_frames or self.size > self._max_bytes):
            self.size -= getsizeof(frames.popleft())
            self.first += 1
        while len(self._sessions) > 1 and self._sessions[1][1] < self.first:
            del self._sessions[0]

    def after(self, seq: int, session_id: str | None = None) -> int:
        """The position after the frame `seq` of the session with this name, by default of the current one.

        Raises `NotKept`: `frames_lost` when a frame from there on is gone, `unknown_frame` when that session has not
        had `seq`.
        """
        end = self.end
        for name, begin in reversed(self._sessions):
            if session_id is None or name == session_id:
                if begin + seq > end:
                    raise NotKept("unknown_frame")
                if begin + seq < self.first:
                    break
                return begin + seq
            end = begin
        raise NotKept("frames_lost")

    # Where others may have the session, too

    def touch(self) -> None:
        """What the session knows has changed, by more than what its frames tell."""

    async def settle(self, behind: int = 0) -> None:
        """Wait until the store knows of all but so many frames, or is not there."""

    async def seal(self) -> bool:
        """Write all of it down and leave it to whoever comes for it. False if that cannot be."""
        return False

    def forget(self) -> None:
        """The session is over: nothing is left of it."""
        self.owner = None
