"""What visitors do: each act is a few messages and what has to come of them."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

from websockets.exceptions import ConnectionClosed

from tests.soak.tally import Tally
from tests.soak.visitor import Visitor

NONSENSE: list[tuple[str | bytes, str]] = [
    ("not JSON", "INVALID_JSON"),
    (b"\x00\x01", "INVALID_JSON"),
    ("[]", "INVALID_JSON"),
    ('{"type": "asr_chunk", "text": 1}', "INVALID_MESSAGE"),
    ('{"type": "song"}', "UNSUPPORTED_TYPE"),
    ('{"type": "control", "action": "fly"}', "UNKNOWN_ACTION"),
    ('{"type": "keepalive", "more": "' + "x" * 70_000 + '"}', "MESSAGE_TOO_LARGE"),
]


class Guest:
    """A visitor that acts at random until told to stop."""

    def __init__(self, name: str, url: str, tally: Tally, random: Random, think_seconds: float, absence: float) -> None:
        self.visitor = Visitor(name, url, tally)
        self._name = name
        self._tally = tally
        self._random = random
        self._think_seconds = think_seconds
        self._absence = absence
        self._words = 0
        self._names = 0

    async def visit(self, over: asyncio.Event) -> None:
        """Act until `over`, then leave, by a close or by losing the socket."""
        await self.visitor.arrive()
        while not over.is_set():
            act = self._random.choices(*self._choices)[0]
            self._tally.acts[act.__name__] += 1
            try:
                await act(self)
                await self.visitor.settle()
            except (AssertionError, KeyError, OSError, ConnectionClosed) as problem:
                where = traceback.extract_tb(problem.__traceback__)[-1]
                self._tally.report(f"{self._name}, {act.__name__}: {problem!r:.600} ({where.name})")
                self.visitor.lose()
                await self.visitor.arrive()
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self._random.random() * self._think_seconds)
        if self._random.random() < 0.5:
            self.visitor.lose()
        else:
            await self.visitor.socket.close()

    def _new_word(self) -> str:
        """A word that no other question has."""
        self._words += 1
        return f"K{self._name}x{self._words}e"

    async def _ask(self, **fields: object) -> str:
        """Ask aloud and wait until the service has understood it."""
        word = self._new_word()
        forms = ("What is the price of lamp {}?", "How do I switch on lamp {}?", "灯{}的价格是多少？")
        await self.visitor.say(self._random.choice(forms).format(word), end_of_turn=True, **fields)
        return word

    async def _asked(self) -> str:
        """A question that runs, perhaps with some of its answer."""
        word = await self._ask()
        await self.visitor.announced(word)
        for _ in range(self._random.randrange(6)):
            if all(asked.outcome for asked in self.visitor.find(word)):
                break
            await self.visitor.receive()
        return word

    # Acts

    async def ask(self) -> None:
        await self.visitor.outcome_of(await self._ask())

    async def ask_in_pieces(self) -> None:
        word = self._new_word()
        words = f"so can you tell me what is the price of lamp {word}".split()
        for count in range(3, len(words), 2):
            await self.visitor.send("asr_chunk", text=" ".join(words[:count]), is_final=False)
        await self.visitor.say(" ".join(words))
        await self.visitor.outcome_of(word)

    async def ask_at_once(self) -> None:
        word = self._new_word()
        await self.visitor.control("instant_query", text=f"lamp {word}")
        await self.visitor.outcome_of(word)

    async def ask_twice(self) -> None:
        mode = self._random.choice(["queue", "interrupt"])
        await self.visitor.send("configure", on_new_question=mode)
        first = await self._asked()
        second = await self._ask()
        await self.visitor.outcome_of(first)
        await self.visitor.outcome_of(second)

    async def talk(self) -> None:
        word = self._new_word()
        text = f"The lamps of hall {word} were lit at dusk"
        for end in range(10, len(text), 12):
            await self.visitor.send("asr_chunk", text=text[:end])
        await self.visitor.say(f"{text}.", speaker=self._random.choice(["anna", "ben"]))

    async def nonsense(self) -> None:
        text, code = self._random.choice(NONSENSE)
        await self.visitor.send_raw(text, "nameless")
        await self.visitor.until(lambda frame: frame.get("code") == code)

    async def cancel(self) -> None:
        word = await self._asked()
        await self.visitor.control("cancel")
        await self.visitor.outcome_of(word)

    async def reset(self) -> None:
        word = await self._asked()
        await self.visitor.control("reset")
        await self.visitor.outcome_of(word)

    async def pause(self) -> None:
        await self.visitor.control("pause")
        await self._ask()
        await self.visitor.until(lambda frame: frame.get("reason") == "chunk_ignored")
        await self.visitor.control("resume")

    async def switch(self) -> None:
        word = await self._asked()
        self._names += 1
        await self.visitor.send("keepalive", session_id=f"{self._name}.{self._names % 3}")
        await self.visitor.outcome_of(word)

    async def stop(self) -> None:
        await self._asked()
        claim = self.visitor.claim
        await self.visitor.control("stop")
        await self.visitor.until(lambda frame: frame.get("stage") == "closed")
        assert await self.visitor.closed(self.visitor.socket) == 1000
        greeting = await self.visitor.arrive(claim)
        assert greeting["reason"] == "unknown_token", greeting

    async def lose_and_come_back(self) -> None:
        word = await self._asked()
        self.visitor.lose()
        await asyncio.sleep(self._random.random() * self._absence)
        if self._random.random() < 0.2:
            await self.visitor.stumble()
        await self.visitor.come_back()
        await self.visitor.outcome_of(word)

    async def take_over(self) -> None:
        """A second socket while the first is still there."""
        word = await self._asked()
        first = self.visitor.socket
        await self.visitor.come_back()
        code = await self.visitor.closed(first)
        assert code == 4409, f"the former socket was closed with {code}"
        await self.visitor.outcome_of(word)

    async def leave(self) -> None:
        await self._asked()
        if self._random.random() < 0.5:
            self.visitor.lose()
        else:
            await self.visitor.socket.close()
        await self.visitor.arrive()

    _choices: tuple[list[Callable[[Guest], Awaitable[None]]], list[int]] = (
        [
            *(ask, ask_in_pieces, ask_at_once, ask_twice, talk, nonsense, cancel, reset, pause),
            *(switch, stop, lose_and_come_back, take_over, leave),
        ],
        [8, 4, 4, 6, 6, 2, 4, 2, 2, 3, 2, 8, 3, 2],
    )
