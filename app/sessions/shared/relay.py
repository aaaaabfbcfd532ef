"""A client at one process whose session lives, and answers, in another: both ends, and the messages between them."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.types import Message, Receive, Send

from app.codes import CloseCode
from app.models.messages import Ack
from app.sessions.direct import DirectSocket
from app.sessions.frames import NotKept
from app.sessions.moving import hand_over
from app.sessions.resume import hash_of, new_token
from app.sessions.store import Claim
from app.sessions.table import Sessions

logger = logging.getLogger(__name__)

# How many frames, and how many messages of the client, may be on their way before the other end has said that it has
# passed them on; it says so after each quarter.
WINDOW = 64
QUARTER = WINDOW // 4

Letter = dict[str, Any]


class Line:
    """One end of the way: it counts what goes and what comes, so that a letter that got lost is noticed."""

    def __init__(self, tell: Callable[[Letter], None]) -> None:
        self._tell = tell
        self._sent = self._heard = self._passed = 0
        self._is_lost = False
        self._letters: asyncio.Queue[Letter | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._taken = 0

    def tell(self, **letter: Any) -> None:
        self._tell({**letter, "n": self._sent})
        self._sent += 1

    def take(self, letter: Letter) -> None:
        """One has come from the other end."""
        if letter["n"] != self._heard:
            self.lose()
            return
        self._heard += 1
        if letter["kind"] == "passed":
            self._passed = letter["count"]
            self._room.set()
        elif letter["kind"] != "there":
            self._letters.put_nowait(letter)

    def lose(self) -> None:
        """The other end is gone, or something on the way to it."""
        self._is_lost = True
        self._letters.put_nowait(None)
        self._room.set()

    async def next(self) -> Letter | None:
        return await self._letters.get()

    async def give(self, count: int, **letter: Any) -> None:
        """Tell it when there is room for it, the `count`th of its kind."""
        while count - self._passed >= WINDOW and not self._is_lost:
            self._room.clear()
            await self._room.wait()
        self.tell(**letter)

    def passed(self) -> None:
        """One letter of the other end has gone where it belongs."""
        self._taken += 1
        if not self._taken % QUARTER:
            self.tell(kind="passed", count=self._taken)


class Guest(Line):
    """The owner's end: a socket, as ASGI has it, whose client is elsewhere."""

    _frames = 0

    async def receive(self) -> Message:
        letter = await self.next()
        if letter is None or letter["kind"] != "say":
            return {"type": "websocket.disconnect", "code": 1006 if letter is None else letter["code"]}
        self.passed()
        return {"type": "websocket.receive", "text": letter["text"]}

    async def send(self, message: Message) -> None:
        if self._is_lost:
            raise OSError("the other process is gone")
        if message["type"] == "websocket.close":
            self.tell(kind="close", code=message["code"], reason=message["reason"])
        else:
            self._frames += 1
            await self.give(self._frames, kind="frame", text=message["text"])


class Relay(Line):
    """The client's end: a `Visit` of a session that is elsewhere."""

    def __init__(self, tell: Callable[[Letter], None], key: str, claim: Claim, done: Callable[[], None]) -> None:
        super().__init__(tell)
        self.close_code: CloseCode | None = None
        self.close_reason = ""
        self.left_with = 1006
        self._key = key
        self._claim = claim
        self._done = done

    def ask(self) -> None:
        """Whether the owner answers a question at the moment; else it leaves the session to whoever comes."""
        claim = self._claim
        self.tell(kind="ask", key=self._key, last_seq=claim.last_seq, session_id=claim.session_id)

    async def attend(self, receive: Receive, send: Send, direct: DirectSocket | None = None) -> Relay:
        claim, token = self._claim, new_token(self._key)
        self.tell(
            kind="attend",
            key=self._key,
            last_seq=claim.last_seq,
            session_id=claim.session_id,
            held=hash_of(claim.token),
            hash=hash_of(token),
            expires_in=None if math.isinf(claim.expires_in) else claim.expires_in,
        )
        self._send = send
        hearing = asyncio.create_task(self._hear(receive))
        try:
            await self._pass_on(token)
        except OSError:
            pass  # the client is gone
        finally:
            hearing.cancel()
            self.let_go()
        return self

    def let_go(self) -> None:
        self.tell(kind="left", code=self.left_with)
        self._done()

    async def _hear(self, receive: Receive) -> None:
        said = 0
        while (message := await receive())["type"] == "websocket.receive":
            said += 1
            text = message.get("text")
            # What is no text is refused, whatever it is.
            await self.give(said, kind="say", text="\0" if text is None else text)
        self.left_with = message.get("code", 1006)
        self._letters.put_nowait({"kind": "gone"})

    async def _pass_on(self, token: str | None) -> None:
        while (letter := await self.next()) is not None:
            if letter["kind"] == "frame":
                text = letter["text"]
                if token is not None:  # the greeting, which the owner could not write: the token is only known here
                    told = Ack.model_validate_json(text)
                    text, token = told.model_copy(update={"resume_token": token}).to_json(), None
                await self._transmit({"type": "websocket.send", "text": text})
                self.passed()
            elif letter["kind"] == "close":
                self.close_code = CloseCode(letter["code"])  # type: ignore[call-arg]  # by its value
                self.close_reason = letter["reason"]
                return
            else:
                return
        self.close_code, self.close_reason = CloseCode.RESTART, "come back"

    async def _transmit(self, message: Message) -> None:
        try:
            await self._send(message)
        except RuntimeError as error:
            raise OSError("the socket is closed") from error

    async def say_goodbye(self) -> None:
        if self.close_code is not None:
            await self._transmit({"type": "websocket.close", "code": self.close_code, "reason": self.close_reason})


class Post:
    """All ends of this process, by their lines. `send` takes a letter to another process; `run` is for tasks."""

    def __init__(
        self,
        replica: str,
        sessions: Sessions,
        send: Callable[[str, str], None],
        run: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._sessions = sessions
        self._replica = replica
        self._send = send
        self._run = run
        self._lines: dict[str, tuple[str, Line]] = {}
        """Each with the process at its other end."""

    @property
    def peers(self) -> set[str]:
        return {peer for peer, _ in self._lines.values()}

    def lose(self, peer: str | None = None) -> None:
        """This process is gone, or the way to all of them."""
        for other, line in list(self._lines.values()):
            if peer in {None, other}:
                line.lose()

    def ask_around(self) -> None:
        """Let each other end say if it has given this one up: it may have taken this process for dead."""
        for _, line in list(self._lines.values()):
            line.tell(kind="there")

    def leave(self) -> None:
        """This process takes no more clients of other ones; its own answers elsewhere go on until they end."""
        for _, line in list(self._lines.values()):
            if isinstance(line, Relay):
                line.lose()

    def relay(self, owner: str, key: str, claim: Claim) -> Relay:
        name = uuid.uuid4().hex
        relay = Relay(self._teller(owner, name), key, claim, lambda: self.close(relay))
        self._lines[name] = owner, relay
        return relay

    def close(self, line: Line) -> None:
        self._lines = {name: entry for name, entry in self._lines.items() if entry[1] is not line}

    def _teller(self, to: str, name: str) -> Callable[[Letter], None]:
        def tell(letter: Letter) -> None:
            self._send(to, json.dumps({**letter, "line": name, "from": self._replica}))

        return tell

    def deliver(self, text: bytes) -> None:
        letter: Letter = json.loads(text)
        name, peer = letter["line"], letter["from"]
        if (entry := self._lines.get(name)) is None:
            if letter["kind"] in {"left", "close"}:
                return  # it knows
            if letter["kind"] != "ask":
                self._teller(peer, name)({"kind": "close", "n": -1})  # whatever it waits for, nobody will say it
                return
            guest = Guest(self._teller(peer, name))
            self._lines[name] = entry = peer, guest
            self._run(self._host(guest))
        entry[1].take(letter)

    async def _host(self, guest: Guest) -> None:
        try:
            while (letter := await guest.next()) is not None and letter["kind"] == "ask":
                guest.tell(kind=await self._answer(letter))
            if letter is not None and letter["kind"] == "attend":
                async with self._sessions.attending(""):
                    await self._attend(guest, letter)
        except OSError:
            pass  # the other process is gone
        except Exception:
            logger.exception("a client at another process could not be served")
        finally:
            self.close(guest)

    async def _answer(self, letter: Letter) -> str:
        live = self._sessions.by_key(letter["key"])
        if live is None:
            return "gone"
        try:
            live.log.after(letter["last_seq"], letter["session_id"])
        except NotKept as error:
            live.end()
            return error.reason
        if await hand_over(live, CloseCode.TAKEN_OVER, "another connection took over"):
            return "left"
        return "busy"

    async def _attend(self, guest: Guest, letter: Letter) -> None:
        live = self._sessions.by_key(letter["key"])
        try:
            if live is None:
                raise NotKept("unknown_token")
            start = live.resume(letter["last_seq"], letter["session_id"], letter["held"], letter["hash"])
        except NotKept:  # since it was asked: who comes back is told so
            guest.tell(kind="close", code=CloseCode.RESTART, reason="come back")
            return
        live.expire_in(math.inf if letter["expires_in"] is None else letter["expires_in"])
        connection = await live.attend(start, guest.receive, guest.send)
        await connection.say_goodbye()
