"""What the stand-in Dify does in the soak: answers that name who asked what, and every fault it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from tests.standin import events, scripts
from tests.standin.exchange import Exchange, Script, perform
from tests.standin.scripts import Text

PIECE = 24
GARBAGE = b"data: {not JSON\n\n"


def echo(user: str, query: str) -> str:
    """The one right answer to this question of this user; long questions have long answers."""
    lamps = " ".join(f"lamp {n} of 灯 is lit,\n" for n in range(3 + len(query) % 20))
    return f"[{user}] {query}\n{lamps} and that is all."


def _answer(texts: list[Text]) -> Script:
    return scripts.answer(*texts)


def _midway(texts: list[Text], *steps: Script) -> Script:
    """Begin the answer, then do this in its middle."""
    return [scripts.send(*(events.message(text) for text in texts[: len(texts) // 2] if isinstance(text, str))), *steps]


def _whole(texts: list[Text]) -> str:
    return "".join(text for text in texts if isinstance(text, str))


FAULTS: dict[str, Callable[[list[Text]], Script]] = {
    "status 500": lambda _: scripts.status(500),
    "status 503": lambda _: scripts.status(503),
    "status 429": lambda _: scripts.status(429),
    "status 400": lambda _: scripts.status(400),
    "status 404": lambda _: scripts.status(404),
    "HTML with status 200": lambda _: scripts.status(200, html="<h1>Welcome</h1>"),
    "HTML with status 502": lambda _: scripts.status(502, html="<h1>Bad gateway</h1>"),
    "closed before the head": lambda _: scripts.close_before_head(),
    "reset before the head": lambda _: scripts.reset_before_head(),
    "silent before the head": lambda _: scripts.hang(head=False),
    "silent after the head": lambda _: scripts.hang(),
    "pings and no text": lambda _: scripts.pings_forever(0.05),
    "empty answer": lambda _: scripts.answer(""),
    "error event": lambda _: scripts.error_event(),
    "error event in mid-text": lambda texts: scripts.error_event(after=texts[:2]),
    "bare error": lambda _: scripts.bare_error(),
    "failed workflow": lambda _: scripts.chatflow_failed(),
    "workflow that waits for a person": lambda _: scripts.chatflow_paused(),
    "cut in mid-text": lambda texts: _midway(texts, scripts.cut()),
    "reset in mid-text": lambda texts: _midway(texts, scripts.reset()),
    "silent in mid-text": lambda texts: _midway(texts, scripts.hang()),
    "deaf and silent in mid-text": lambda texts: _midway(texts, scripts.hang(deaf=True)),
    "garbage in mid-text": lambda texts: _midway(texts, scripts.send(GARBAGE)),
    "body ends in mid-text": lambda texts: _midway(texts, scripts.end()),
    "open after the end": lambda texts: [scripts.answer(*texts), scripts.keep_open()],
}
GOOD: dict[str, Callable[[list[Text]], Script]] = {
    "chat": _answer,
    "chatflow": lambda texts: scripts.chatflow(*texts),
    "agent": lambda texts: scripts.agent_answer(*texts),
    "new agent": lambda texts: scripts.new_agent_answer(*texts),
    "reasoning": lambda texts: scripts.think_answer("Who asks?", *texts),
    "replaced": lambda texts: scripts.replaced_answer(_whole(texts)[:9], _whole(texts)),
    "classic style": lambda texts: scripts.answer(*texts, style="classic"),
    "in small pieces": lambda texts: [scripts.trickle(7, 1, 300), scripts.answer(*texts)],
}


class Trouble:
    """A script: an answer to who asked, in an uneven rhythm, or a fault, by chance of `fault_rate`."""

    def __init__(self, random: Random, *, fault_rate: float = 0.3, slowness: float = 0.03) -> None:
        self.done: Counter[str] = Counter()
        self._random = random
        self._fault_rate = fault_rate
        self._slowness = slowness

    @property
    def faults(self) -> int:
        return sum(count for name, count in self.done.items() if name in FAULTS)

    async def __call__(self, exchange: Exchange) -> None:
        choices = FAULTS if self._random.random() < self._fault_rate else GOOD
        name = self._random.choice([*choices])
        self.done[name] += 1
        await perform(choices[name](self._texts(exchange)), exchange)

    def _texts(self, exchange: Exchange) -> list[Text]:
        text = echo(exchange.recorded.user, exchange.recorded.query)
        texts: list[Text] = []
        for start in range(0, len(text), PIECE):
            texts += [scripts.pause(self._random.random() * self._slowness), text[start : start + PIECE]]
        return texts
