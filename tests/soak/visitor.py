"""One person who talks to the service over one socket after the other, and believes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.rules import REFUSALS, Frame, Rules
from tests.soak.tally import Tally
from tests.soak.upstream import echo

PATIENCE = 30.0
"""Seconds that no frame may take: longer than every deadline of the service in the soak."""


@dataclass
class Asked:
    """A question that the service has announced."""

    user: str
    text: str
    answer: str = ""
    outcome: str | None = None


class Visitor:
    def __init__(self, name: str, url: str, tally: Tally) -> None:
        self.name = name
        self.socket: ClientConnection
        self.questions: dict[str, Asked] = {}
        """Those of this session, by query id."""
        self._url = url
        self._tally = tally
        self._messages = 0
        self._token = ""
        self._rules = Rules()
        self._unanswered: set[str] = set()
        self._greeting: Frame = {}

    # Sockets

    async def arrive(self, query: str = "") -> Frame:
        """Begin a session, or try to resume what `query` says and be told that it is a new one."""
        self._abandon()
        self._rules, self.questions = Rules(), {}
        greeting = await self._open(query)
        assert greeting.get("resumed") is (False if query else None), f"not a new session: {greeting}"
        self._take(greeting)
        await self.until(lambda frame: frame.get("stage") == "listening")
        return greeting

    async def come_back(self) -> None:
        """Go on with the session, from the last frame that was read."""
        greeting = await self._open(self.claim)
        assert greeting["resumed"] is True, f"the session is lost: {greeting}"
        assert (greeting["session_id"], greeting["seq"]) == (self.session_id, self.last_seq)
        self._tally.resumed += 1

    async def _open(self, query: str) -> Frame:
        # What was on its way when the former socket was lost may or may not have arrived.
        self._unanswered.clear()
        self.socket = await connect(
            f"{self._url}?{query}", proxy=None, compression=None, max_size=None, open_timeout=PATIENCE
        )
        greeting = await self._next()
        self._token = greeting["resume_token"]
        return greeting

    @property
    def claim(self) -> str:
        """What gives the session back, as a query string."""
        return f"resume_token={self._token}&last_seq={self.last_seq}"

    @property
    def session_id(self) -> str:
        assert self._rules.session_id is not None
        return self._rules.session_id

    @property
    def last_seq(self) -> int:
        return self._rules.seq[self.session_id]

    def lose(self) -> None:
        """Lose the socket, with all that is unread on it."""
        self.socket.transport.abort()

    async def stumble(self) -> None:
        """Come back, and lose the socket again before its first frame is read."""
        socket = await connect(f"{self._url}?{self.claim}", proxy=None, compression=None, open_timeout=PATIENCE)
        socket.transport.abort()

    async def closed(self, socket: ClientConnection) -> int | None:
        """The code that the server closes this socket with."""
        async with asyncio.timeout(PATIENCE):
            try:
                while True:
                    await socket.recv()
            except ConnectionClosed:
                return socket.close_code

    def _abandon(self) -> None:
        for asked in self.questions.values():
            if asked.outcome is None:
                asked.outcome = "left"
                self._tally.outcomes["left"] += 1

    # Messages

    async def send(self, type: str, **fields: Any) -> str:
        self._messages += 1
        id = f"{self.name}-{self._messages}"
        await self.send_raw(json.dumps({"type": type, "id": id, **fields}), id)
        return id

    async def send_raw(self, text: str | bytes, id: str) -> None:
        self._tally.sent += 1
        self._unanswered.add(id)
        await self.socket.send(text)

    async def say(self, text: str, **fields: Any) -> None:
        await self.send("asr_chunk", text=text, is_final=True, **fields)

    async def control(self, action: str, **fields: Any) -> None:
        await self.send("control", action=action, **fields)

    # Frames

    async def receive(self) -> Frame:
        frame = await self._next()
        self._take(frame)
        return frame

    async def _next(self) -> Frame:
        async with asyncio.timeout(PATIENCE):
            frame: Frame = json.loads(await self.socket.recv())
        self._tally.frames += 1
        return frame

    async def until(self, is_it: Callable[[Frame], bool]) -> Frame:
        while not is_it(frame := await self.receive()):
            pass
        return frame

    async def settle(self) -> None:
        """Receive until every message of this socket is answered, and see that each was answered once."""
        id = await self.send("keepalive")
        await self.until(lambda frame: frame.get("id") == id)
        assert not self._unanswered, f"never answered: {self._unanswered}"

    def _take(self, frame: Frame) -> None:
        self._rules.check(frame)
        match frame:
            case {"type": "ack", "id": id}:
                self._unanswered.remove(id)
            case {"type": "error", "code": code}:
                assert code != "INTERNAL_ERROR", frame
                if code in REFUSALS:
                    self._unanswered.remove(frame.get("id", "nameless"))
            case {"stage": "analyzing" | "instant_query", "query_id": id, "question": question}:
                self._tally.asked += 1
                self.questions[id] = Asked(f"ws-user-{frame['session_id']}", question)
            case {"type": "answer", "query_id": id}:
                self._hear(self.questions[id], frame)
            case {"stage": "interrupting", "query_id": id}:
                self._end(self.questions[id], "interrupted")

    def _hear(self, asked: Asked, frame: Frame) -> None:
        right = echo(asked.user, asked.text)
        if "error" in frame:
            self._tally.failures[frame["error"]["code"]] += 1
            self._end(asked, "failed")
            return
        asked.answer = frame["content"] if frame.get("replace") else asked.answer + frame["content"]
        assert right.startswith(asked.answer), f"not an answer to {asked}: {frame}"
        if frame["final"]:
            assert asked.answer == right or frame.get("incomplete"), f"only a part is there of {right!r}: {asked}"
            self._end(asked, "answered")

    def _end(self, asked: Asked, outcome: str) -> None:
        assert asked.outcome is None, f"a second outcome, {outcome}: {asked}"
        asked.outcome = outcome
        self._tally.outcomes[outcome] += 1

    def find(self, word: str) -> list[Asked]:
        """The announced questions that this word stands in."""
        return [asked for asked in self.questions.values() if word in asked.text]

    async def announced(self, word: str) -> None:
        while not self.find(word):
            await self.receive()

    async def outcome_of(self, word: str) -> None:
        """Receive until the question with this word has ended, and nothing runs for it."""
        await self.announced(word)
        while any(asked.outcome is None for asked in self.questions.values()):
            await self.receive()
        # A final answer has its idle after it.
        while "final" in self._rules.states.values():
            await self.receive()
