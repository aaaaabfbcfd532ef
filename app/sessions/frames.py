"""The latest frames of one session: what its sockets send from, each at a position of its own."""

from __future__ import annotations

import sys
from collections import deque

from app.models.messages import NotResumed


class NotKept(Exception):
    """What a client has come back for cannot be had."""

    def __init__(self, reason: NotResumed) -> None:
        super().__init__(reason)
        self.reason = reason


class FrameLog:
    """The latest frames of one session, as text.

    A frame's position counts from the beginning of the log; `seq` counts from that of the session, and a client may
    switch to another one. Beyond `max_frames` or `max_bytes` of memory the oldest go, but none that is still needed.
    It is read for every token: `frames` are those from the position `first` up to `end`, that of the next frame.
    """

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self.frames: deque[str] = deque()
        self.first = 0
        self.end = 0
        self._sessions: deque[tuple[str, int]] = deque()
        """The names of the sessions whose frames these are, and where each begins."""
        self.size = 0
        """Bytes of memory that the frames take."""
        self.written = 0
        """Bytes of all frames that there ever were."""

    def begin_session(self, session_id: str) -> None:
        """From here on `seq` counts anew."""
        self._sessions.append((session_id, self.end))

    def append(self, frame: str, needed: int) -> None:
        """Add a frame; what stands before the position `needed` may go."""
        self.frames.append(frame)
        self.end += 1
        size = sys.getsizeof(frame)
        self.size += size
        self.written += size
        self.trim(needed)

    def trim(self, needed: int) -> None:
        frames = self.frames
        while self.first < needed and (len(frames) > self._max_frames or self.size > self._max_bytes):
            self.size -= sys.getsizeof(frames.popleft())
            self.first += 1
        while len(self._sessions) > 1 and self._sessions[1][1] < self.first:
            self._sessions.popleft()

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
