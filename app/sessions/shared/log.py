"""The log of a session that is kept in Redis: its frames are sent once they are there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from app.config import Settings
from app.models.messages import Ack
from app.models.pieces import AnswerPiece, MessageAck, Sent
from app.sessions.frames import FrameLog


def _tells_all(frame: Sent) -> bool:
    """What the session has come to know by this can be read off the frame, or is not worth to be kept."""
    if type(frame) is AnswerPiece:
        return True
    return type(frame) is MessageAck and (frame.is_final is False or frame.received_type == "keepalive")


class Batch(NamedTuple):
    """What goes to the store at once: the frames from `first` up to `stop`.

    Unless these tell all that has changed there is more: `state` and `hashes`, as they are after so many `changes`.
    """

    first: int
    stop: int
    changes: int
    frames: Sequence[str] = ()
    state: str = ""
    hashes: Sequence[str] = ()
    is_whole: bool = False
    is_sealed: bool = False


class KeptLog(FrameLog):
    """`mark` is called when there is something to write; `batch` says what, `took` and `failed` what came of it.

    While it is not `is_kept`, frames wait for nothing: the store is away, or has not yet got it anew. `fence` is the
    number by which this process has the session.
    """

    is_shared = True

    def __init__(
        self,
        key: str,
        tenant: str | None,
        fence: int,
        settings: Settings,
        mark: Callable[[KeptLog], None],
        is_away: Callable[[], bool],
    ) -> None:
        super().__init__(settings.resume_frames, settings.resume_bytes)
        self.key = key
        self.tenant = tenant or ""
        self.fence = fence
        self.is_kept = False
        self.is_whole_due = True
        self.is_over = False
        self._mark = mark
        self._is_away = is_away
        self._token_free: dict[int, str] = {}
        self._sent = 0
        self._changes = self._written_changes = self._known_changes = 0
        self._sealing: asyncio.Future[bool] | None = None
        self._is_seal_sent = False
        self._waiting: list[asyncio.Future[None]] = []
        self._marks = [0, 0, 0, 0]

    def go_on_from(self, written: dict[str, Any], stop: int, frames: Sequence[tuple[int, str]]) -> list[str]:
        """Be what another process had; return the frames that were made since it was written down.

        Raises `ValueError` if some of these are missing.
        """
        kept = [text for _, text in frames]
        if [position for position, _ in frames] != list(range(stop - len(kept), stop)):
            kept = []  # some are gone: a client that misses them is told so
        end = int(written["end"])
        if end < stop - len(kept) or end > stop:
            raise ValueError("the stream of frames is cut")
        self.first = self.end = stop - len(kept)
        for name, position in written["names"]:
            self._sessions.append((name, position))
        for text in kept:
            self._add(text)
        self.ready = self._sent = self.end
        self.is_kept, self.is_whole_due = True, False
        return kept[len(kept) - (stop - end) :] if stop > end else []

    # The session's side

    def append(self, text: str, frame: Sent | None = None) -> None:
        if type(frame) is Ack and frame.resume_token is not None:
            self._token_free[self.end] = frame.model_copy(update={"resume_token": None}).to_json()
        self._add(text)
        if frame is None or not _tells_all(frame):
            self._changes += 1
        self._changed()

    def touch(self) -> None:
        self._changes += 1
        self._changed()

    def _changed(self) -> None:
        if self.is_over or self._sealing is not None:
            return  # nobody gets it, or it is decided whether anybody does
        if not self.is_kept:
            self.ready = self.end
            self.trim()
        self._mark(self)

    async def settle(self, behind: int = 0) -> None:
        stop, changes = self.end - behind, 0 if behind else self._changes
        while self.is_kept and not self.is_over and (self.ready < stop or self._known_changes < changes):
            waits = asyncio.get_running_loop().create_future()
            self._waiting.append(waits)
            await waits

    async def seal(self) -> bool:
        if self.is_over or self._is_away():
            return False
        if self._sealing is None:
            self._changes += 1
            self._mark(self)
            self._sealing = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._sealing)

    def forget(self) -> None:
        if not self.is_over:
            self._end()
            self.ready = self.end
            self._mark(self)

    def _end(self) -> None:
        self.is_over = True
        if self._sealing is not None and not self._sealing.done():
            self._sealing.set_result(True)  # there is nothing left to hand over
        self._wake()

    # The store's side

    def batch(self) -> Batch | None:
        """What is to be written now; None if nothing is."""
        first, end, changes = self._sent, self.end, self._changes
        if self.owner is None or self._is_seal_sent:
            return None
        if changes == self._written_changes and not self.is_whole_due:
            if first == end:
                return None
            self._sent = end
            return Batch(first, end, changes, [self.frames[at - self.first] for at in range(first, end)])
        is_whole, is_sealed = self.is_whole_due, self._sealing is not None
        told, hashes = self.owner.write_down()
        told |= {"end": end, "names": self.names}
        state = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        if is_whole:
            first = self.first
        frames = [self._token_free.get(at, self.frames[at - self.first]) for at in range(first, end)]
        self._sent, self._written_changes = end, changes
        self.is_whole_due, self._is_seal_sent = False, is_sealed
        return Batch(first, end, changes, frames, state, hashes, is_whole, is_sealed)

    def nothing(self) -> Batch:
        """A batch that only shows that the session is still this process's, and lives."""
        return Batch(self._sent, self._sent, self._known_changes)

    @property
    def keep_from(self) -> int:
        """What stands before this was sent so long ago that nobody comes back for it."""
        return max(self.first, self._marks[0])

    def grow_older(self) -> None:
        """A third of the time has passed in which somebody may come back."""
        needed = min([self.ready, *(reader.position for reader in self.readers)])
        self._marks = [*self._marks[1:], needed]

    def took(self, batch: Batch) -> None:
        """The store has it."""
        self._known_changes = max(self._known_changes, batch.changes)
        is_more = batch.stop > self.ready
        self.ready = max(self.ready, batch.stop)
        if batch.is_sealed and self._sealing is not None:
            self._end()
            return
        self.is_kept = self.is_kept or batch.is_whole
        self.trim()
        self._wake()
        if is_more and self.owner is not None:
            self.owner.frames_are_ready()

    def want_whole(self) -> None:
        """The store has lost some of it."""
        self.is_whole_due = True
        self._is_seal_sent = False
        self._mark(self)

    def fail(self) -> None:
        """The store is away: it goes on by itself."""
        if self.is_over:
            return
        self.is_kept, self.is_whole_due = False, True
        if self._sealing is not None:
            self._sealing.set_result(False)
            self._sealing, self._is_seal_sent = None, False
        self.ready = self.end
        self._wake()
        if self.owner is not None:
            self.owner.frames_are_ready()

    def lose(self) -> None:
        """Another process has the session: what is not sent by now is not sent."""
        self._end()
        if self.owner is not None:
            self.owner.lose()

    def _wake(self) -> None:
        for waits in self._waiting:
            if not waits.done():
                waits.set_result(None)
        self._waiting.clear()
