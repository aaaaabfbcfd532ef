"""What a session needs to be found again: who holds it, and the frames it has made lately."""

from __future__ import annotations

import secrets
import sys
from collections import deque
from typing import Literal, Protocol

from app.config import Settings


class FrameLog:
    """The latest frames of one session, as text.

    A frame's position counts from the beginning of the log; `seq` counts from that of the session, and a client may
    switch to another one. Beyond `max_frames` or `max_bytes` of memory the oldest go, but none that is still needed.
    """

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[str] = deque()
        self._first = 0
        self._sessions: deque[tuple[str, int]] = deque()
        """The names of the sessions whose frames these are, and where each begins."""
        self.size = 0
        """Bytes of memory that the frames take."""
        self.written = 0
        """Bytes of all frames that there ever were."""

    @property
    def end(self) -> int:
        """The position of the next frame."""
        return self._first + len(self._frames)

    def begin_session(self, session_id: str) -> None:
        """From here on `seq` counts anew."""
        self._sessions.append((session_id, self.end))

    def append(self, frame: str, needed: int) -> None:
        """Add a frame; what stands before the position `needed` may go."""
        self._frames.append(frame)
        size = sys.getsizeof(frame)
        self.size += size
        self.written += size
        self.trim(needed)

    def trim(self, needed: int) -> None:
        frames = self._frames
        while self._first < needed and (len(frames) > self._max_frames or self.size > self._max_bytes):
            self.size -= sys.getsizeof(frames.popleft())
            self._first += 1
        while len(self._sessions) > 1 and self._sessions[1][1] < self._first:
            self._sessions.popleft()

    def get(self, position: int) -> str | None:
        """The frame there; None if it is not written yet."""
        index = position - self._first
        return self._frames[index] if 0 <= index < len(self._frames) else None

    def after(self, seq: int, session_id: str | None = None) -> int | Literal["frames_lost", "unknown_frame"]:
        """The position after the frame `seq` of the session with this name, by default of the current one.

        `"frames_lost"` when a frame from there on is gone, `"unknown_frame"` when that session has not had `seq`.
        """
        end = self.end
        for name, begin in reversed(self._sessions):
            if session_id is None or name == session_id:
                if begin + seq > end:
                    return "unknown_frame"
                return begin + seq if begin + seq >= self._first else "frames_lost"
            end = begin
        return "frames_lost"


class Record(Protocol):
    """One session in an archive."""

    @property
    def log(self) -> FrameLog: ...

    def issue(self, held: str | None = None) -> str:
        """A new token for a client that came by `held`, which stays good until `confirm`.

        The frame that brings the new one may get lost, and so may the next: only `held` is sure to be known.
        """
        ...

    def confirm(self) -> None:
        """The client has the newest token: the one it came by is void."""
        ...

    def close(self) -> None:
        """Forget the session: its tokens open nothing."""
        ...


class Archive(Protocol):
    """Keeps records under the keys of their sessions."""

    def open(self, key: str) -> Record: ...

    def holder(self, token: str) -> str | None:
        """The key of the session that this token opens."""
        ...


class LocalArchive:
    """An `Archive` in the memory of one process."""

    def __init__(self, settings: Settings) -> None:
        self._max_frames = settings.resume_frames if settings.resume_seconds else 0
        self._max_bytes = settings.resume_bytes
        self._holders: dict[str, str] = {}

    def open(self, key: str) -> Record:
        return _LocalRecord(key, FrameLog(self._max_frames, self._max_bytes), self._holders)

    def holder(self, token: str) -> str | None:
        return self._holders.get(token)


class _LocalRecord:
    def __init__(self, key: str, log: FrameLog, holders: dict[str, str]) -> None:
        self.log = log
        self._key = key
        self._holders = holders
        self._tokens: list[str] = []

    def issue(self, held: str | None = None) -> str:
        token = secrets.token_urlsafe(32)
        self._keep([each for each in self._tokens if each == held])
        self._tokens.append(token)
        self._holders[token] = self._key
        return token

    def confirm(self) -> None:
        if len(self._tokens) > 1:  # asked for every message
            self._keep(self._tokens[-1:])

    def close(self) -> None:
        self._keep([])

    def _keep(self, tokens: list[str]) -> None:
        for token in self._tokens:
            if token not in tokens:
                del self._holders[token]
        self._tokens = tokens
