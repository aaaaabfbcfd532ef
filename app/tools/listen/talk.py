"""One session with the service, over as many connections as it takes: what is said goes out, and no frame is lost."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from app.tools.replay.player import WAIT_SECONDS, Trouble, farewell, open_socket
from app.tools.replay.recording import Step
from app.tools.replay.tracker import Frame, Tracker

KEEPALIVE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 8.0
MOST_KEPT = 1000
# Another try would end the same way, or take the session from somebody.
_FINAL = frozenset({1000, 1002, 1003, 1007, 1010, 4401, 4408, 4409, 4429})


class Talk:
    """What `say` is given is sent once it can be, again if it was lost; frames go to the tracker, then to `on_frame`.

    `patience` is how many seconds the service may stay away, or be silent while it owes something.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        tracker: Tracker,
        *,
        patience: float,
        on_sent: Callable[[Step], None],
        on_frame: Callable[[Frame], None],
        note: Callable[[str], None],
    ) -> None:
        self._url, self._token, self._tracker, self._patience = url, token, tracker, patience
        self._on_sent, self._on_frame, self._note = on_sent, on_frame, note
        self._lines = 0
        self._started = _now()
        self._kept: dict[str, Step] = {}
        """What has no reply yet, by id."""
        self._socket: ClientConnection | None = None
        self._is_ready = False
        """Whether what is said may be sent at once: not before all is known that was missed."""
        self._is_back = False
        self._newest = 0
        self._last_seq = 0
        self._resume_token = ""
        self._news = asyncio.Event()

    async def run(self, say_all: Callable[[Talk], Any]) -> None:
        """Connect, let `say_all` say what it has to say, and wait for what becomes of it. Raises `Trouble`."""
        self._socket = await open_socket(self._url, self._token)
        reading = asyncio.create_task(self._read())
        speaking = asyncio.create_task(self._speak(say_all))
        try:
            await asyncio.wait([reading, speaking], return_when=asyncio.FIRST_COMPLETED)
            if speaking.done():
                speaking.result()
                await self._end()
                async with asyncio.timeout(self._patience):
                    await reading
            await reading
        except TimeoutError as error:
            raise Trouble(f"the service did not close the connection within {self._patience:g} s of stop") from error
        finally:
            for task in (reading, speaking):
                task.cancel()
            await asyncio.gather(reading, speaking, return_exceptions=True)
            await self._socket.close()

    async def _speak(self, say_all: Callable[[Talk], Any]) -> None:
        keeping = asyncio.create_task(self._keep_alive())
        try:
            await say_all(self)
            await self._settle()
        finally:
            keeping.cancel()

    async def say(self, frame: Mapping[str, Any]) -> None:
        self._lines += 1
        step = Step(self._lines, _now() - self._started, frame)
        self._tracker.sent(step)
        self._kept[step.id] = step
        if len(self._kept) > MOST_KEPT:
            self._forget(next((each for each in self._kept.values() if not each.is_final), step))
        self._on_sent(step)
        if self._is_ready:
            await self._send(step)

    async def _send(self, step: Step) -> None:
        assert self._socket is not None
        with suppress(ConnectionClosed):  # it is kept, and the reader comes back
            await self._socket.send(json.dumps({**step.frame, "id": step.id}))

    def _forget(self, step: Step) -> None:
        self._kept.pop(step.id, None)
        self._tracker.forget(step)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEPALIVE_SECONDS)
            if self._is_ready and self._socket is not None:
                with suppress(ConnectionClosed):
                    await self._socket.send('{"type": "keepalive", "id": "alive"}')

    async def _read(self) -> None:
        """Take frames until the session is over."""
        while True:
            assert self._socket is not None
            closed: ConnectionClosed | None = None
            try:
                while True:
                    await self._take(await self._socket.recv())
            except ConnectionClosed as error:
                closed = error
            if self._tracker.is_over:
                return
            if self._socket.close_code in _FINAL:
                raise Trouble(farewell(closed, self._tracker)) from closed
            self._is_ready = False
            self._note(f"{farewell(closed, self._tracker)}; connecting again")
            await self._come_back()

    async def _come_back(self) -> None:
        url = self._url
        if self._resume_token:
            known = {"last_seq": self._last_seq, "session_id": self._tracker.session_id or ""}
            query = urlencode({"resume_token": self._resume_token, **known})
            url += f"{'&' if urlsplit(url).query else '?'}{query}"
        self._is_back = True
        pause, end = 0.5, _now() + self._patience
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            try:
                self._socket = await open_socket(url, self._token)
                return
            except Trouble:
                if _now() > end:
                    raise
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _take(self, message: str | bytes) -> None:
        try:
            frame = json.loads(message)
            is_greeting = frame.get("message") == "connected"
            if is_greeting and self._is_back and not frame.get("resumed"):
                self._tracker.begin_anew()
                self._note("another session has begun: what was said and has no reply is said again")
            if not frame.get("resumed"):  # that one is no new frame
                self._tracker.take(frame)
                self._last_seq = frame.get("seq", self._last_seq)
            self._kept.pop(str(frame.get("id")), None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Trouble(f"this is no frame of the protocol: {message[:80]!r}") from error
        if is_greeting:
            self._resume_token = frame.get("resume_token", "")
            self._newest = frame.get("newest_seq", 0)
        self._on_frame(frame)
        self._news.set()
        if not self._is_ready and self._tracker.is_listening and self._last_seq >= self._newest:
            await self._send_what_is_kept()

    async def _send_what_is_kept(self) -> None:
        """All that has no reply now has not arrived; a partial that was overtaken is of no use."""
        newest = {step.frame.get("speaker"): step for step in self._kept.values() if step.is_chunk}
        for step in list(self._kept.values()):
            if step.is_chunk and not step.is_final and newest[step.frame.get("speaker")] is not step:
                self._forget(step)
        sent = set[str]()
        # What is said meanwhile goes into what is kept.
        while late := [step for step in self._kept.values() if step.id not in sent]:
            for step in late:
                sent.add(step.id)
                await self._send(step)
        self._is_ready = True

    async def _settle(self) -> None:
        """Wait until nothing more is to be expected of what was said."""
        # What a message causes at once comes before the ack of the next one.
        await self.say({"type": "keepalive"})
        while True:
            while self._tracker.is_owed:
                if not await self._hear(self._patience):
                    raise Trouble(f"the service owes an answer and has been silent for {self._patience:g} s")
            if not (self._tracker.may_ask and await self._hear(self._tracker.waits_s + WAIT_SECONDS)):
                return

    async def _hear(self, seconds: float) -> bool:
        """Wait for a frame; false if none comes in time."""
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _end(self) -> None:
        assert self._socket is not None
        with suppress(ConnectionClosed):
            await self._socket.send('{"type": "control", "action": "stop"}')


def _now() -> float:
    return asyncio.get_running_loop().time()
