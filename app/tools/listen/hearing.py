"""Takes one input to its recogniser, over as many connections as that takes, and hands on what is heard, as chunks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from app.tools.listen.audio import PIECE_SECONDS, Source
from app.tools.listen.complaints import complaint
from app.tools.listen.connection import Lost, Recogniser, Refused
from app.tools.listen.ears import Ear, Message, Wishes
from app.tools.listen.mappers import DONE, Chunk, Mapper
from app.tools.listen.recogniser import open_recogniser

KEPT_SECONDS = 30.0
"""How much of the sound that no final has followed is said again to a new connection."""
FAREWELL_SECONDS = 1.0
TRIES = 8
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 8.0


@dataclass
class Hearing:
    """One input and its recogniser. `hand_on` takes each chunk, `note` what a person should know."""

    ear: Ear
    url: str
    wishes: Wishes
    source: Source
    hand_on: Callable[[Chunk], Awaitable[None]]
    note: Callable[[str], None]
    speaker: str | None = None
    _recent: deque[bytes] = field(default_factory=lambda: deque(maxlen=int(KEPT_SECONDS / PIECE_SECONDS)))
    _open: dict[str, Chunk] = field(default_factory=dict)
    """The partials that nothing has followed, by speaker."""
    _was_heard: bool = False
    """On this connection; `_has_heard`: on any."""
    _has_heard: bool = False
    _complaint: str = ""
    """The last one on this connection that no words have followed."""
    _is_over: bool = False
    """All sound was taken."""

    async def run(self) -> None:
        """Hear all of the input. Raises `Lost` when the recogniser stays away."""
        try:
            await self._hear_all()
            if self._complaint and not self._has_heard:
                raise Refused("")
        except Lost as lost:
            problem = Refused(f"the recogniser says: {self._complaint}") if self._complaint else lost
            raise type(problem)(self._hidden(str(problem))) from lost
        # Some recognisers never end what was said last.
        for partial in list(self._open.values()):
            await self._say(partial | {"is_final": True})

    async def _hear_all(self) -> None:
        tries = 0
        while True:
            self._was_heard, self._complaint = False, ""
            try:
                async with open_recogniser(self.ear, self.url, self.wishes) as recogniser:
                    if self.wishes.port:
                        self._tell(f"listening at port {self.wishes.port} for whom dials it")
                    await self._converse(recogniser, self.ear.mapper())
                return
            except Lost as lost:
                tries = 1 if self._was_heard else tries + 1
                is_first = tries == 1 and not self._recent
                is_refused = bool(self._complaint) and not self._has_heard
                if tries >= TRIES or ((lost.is_hopeless or is_first or is_refused) and not self._was_heard):
                    raise
                self._tell(f"{lost}; connecting again")
                await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (tries - 1)))

    async def _converse(self, recogniser: Recogniser, chunks_of: Mapper) -> None:
        pump = asyncio.create_task(self._pump(recogniser))
        listen = asyncio.create_task(self._listen(recogniser, chunks_of))
        try:
            await asyncio.wait([pump, listen], return_when=asyncio.FIRST_EXCEPTION)
            if not listen.done():  # who has gone may have said why, and what it heard, before it went
                await asyncio.wait([listen], timeout=FAREWELL_SECONDS)
            for task in (listen, pump):
                if task.done():
                    task.result()
        finally:
            pump.cancel()
            listen.cancel()
            await asyncio.gather(pump, listen, return_exceptions=True)

    async def _pump(self, recogniser: Recogniser) -> None:
        self.source.ready.set()
        for known in list(self._recent):
            await recogniser.send(known)
        while not self._is_over:
            piece = await self.source.pieces.get()
            if piece is None:
                self._is_over = True
                break
            self._recent.append(piece)
            await recogniser.send(piece)
        await recogniser.finish()

    async def _listen(self, recogniser: Recogniser, chunks_of: Mapper) -> None:
        while (message := await recogniser.hear()) is not None:
            await self._take(message, chunks_of)
        self.source.stop()
        # For servers that only close at the end of the sound.
        await self._take(DONE, chunks_of)

    async def _take(self, message: Message, chunks_of: Mapper) -> None:
        if (told := complaint(message)) is not None:
            self._tell(f"the recogniser says: {told.text}")
            if told.is_fatal:
                self._complaint = told.text
        for chunk in chunks_of(message):
            self._was_heard = self._has_heard = True
            self._complaint = ""
            if chunk["is_final"]:
                self._recent.clear()
            await self._say(chunk)

    def _tell(self, words: str) -> None:
        self.note(self._hidden(words))

    def _hidden(self, words: str) -> str:
        """Without the key, which some recognisers repeat."""
        return words.replace(self.wishes.key, "…") if self.wishes.key else words

    async def _say(self, chunk: Chunk) -> None:
        who = chunk.get("speaker", "")
        self._open.pop(who, None)
        if chunk["text"] and not chunk["is_final"]:
            self._open[who] = chunk
        await self.hand_on(chunk if self.speaker is None else chunk | {"speaker": self.speaker})
