"""Random and mutated frames, by the million: no dead session, no INTERNAL_ERROR, no traceback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.rules import Frame, Rules
from tests.service import ROOT
from tests.soak.process import watched
from tests.soak.report import Part, Row, info, log_rows, none_of
from tests.soak.tally import Tally
from tests.soak.upstream import Trouble
from tests.standin.dify import StandInDify

PATIENCE = 30.0
BATCH = 40
BATCHES = 25
"""Batches of one connection."""
CLIENTS = 8
LARGEST = 131_000
"""Just under what the WebSocket layer lets through, twice MAX_MESSAGE_BYTES."""

SETTINGS: dict[str, Any] = {
    "MESSAGES_PER_SECOND": 1_000_000,
    "QUERIES_PER_MINUTE": 10_000_000,
    "UNREAD_FRAMES": 100_000,
    "DIFY_API_KEY": "app-stand-in",
    "RESUME_SECONDS": 0.5,
    "WAIT_MIN_MS": 1,
    "WAIT_MAX_MS": 20,
    "STALE_PARTIAL_SECONDS": 0.05,
    "SPECULATE": "true",
    "KNOWLEDGE_DIR": ROOT / "docs",
}

KEYS = (
    *("type", "text", "is_final", "segment_id", "end_of_turn", "speaker", "language", "confidence", "end_ms"),
    *("action", "session_id", "id", "on_new_question", "auto_detect", "speakers", "inputs", "", "__proto__", "\0"),
)
WORDS = (
    *("asr_chunk", "control", "configure", "keepalive", "pause", "resume", "cancel", "reset", "instant_query"),
    *("queue", "interrupt", "ignore", "en", "zh", "de-CH", "ja", "anna", "ben", "What is RAG?", "why", "and of it?"),
    *(
        "什么是检索？",
        "ですか",
        "¿Qué es?",
        "",
        " ",
        "\0",
        "\u2028",
        "🧑‍🚀" * 9,
        "e\u0301" * 40,
        "a" * 700,
        "OR NEAR(",
        '"',
    ),
    *("' OR 1=1 --", "<think>", "data: x\n\n", "\r\n", "\ufeff", "\u202e", "\uffff", "%s {0}", "../..", "so " * 300),
)
NUMBERS = (0, 1, -1, 0.5, 1e-320, 1e308, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, True, False, None)
SCRAPS = (
    *(b"\\ud800", b"\\udc00\\ud800", b"\\u0000", b"NaN", b"-Infinity", b"1e999", b"[" * 300, b"{" * 50, b"}", b"]"),
    *(b'"', b",", b":", b"\\", b"null", b"\xef\xbb\xbf", b"\t", b"//", b"'", b"9" * 400, b'{"a":' * 260, b"\x7f"),
)


class Fuzzer:
    """Frames by chance: a bit of everything between a proper message and noise."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def frame(self) -> str | bytes:
        pick = self._random.random()
        if pick < 0.4:
            return self._dump(self._message())
        if pick < 0.6:
            return self._dump({**self._message(), self._word(KEYS): self._value(3)})
        if pick < 0.9:
            return self._mutated(self._dump(self._message()))
        if pick < 0.94:
            return self._dump(self._value(4))
        if pick < 0.97:
            return self._random.randbytes(self._random.randrange(200))
        if pick < 0.999:
            return "".join(chr(self._random.randrange(0xD800)) for _ in range(self._random.randrange(100)))
        return (
            self._dump({**self._message(), "text": self._word(WORDS)[:9] * 20_000})
            .encode()[:LARGEST]
            .decode(errors="ignore")
        )

    def _message(self) -> dict[str, Any]:
        """A message that is right, or nearly."""
        random = self._random
        message: dict[str, Any]
        optional: dict[str, Any]
        match random.randrange(6):
            case 0 | 1 | 2:
                message = {"type": "asr_chunk", "text": self._text(), "is_final": random.random() < 0.6}
                optional = {
                    "segment_id": random.choice([1, 2, "a", None]),
                    "end_of_turn": random.random() < 0.5,
                    "speaker": random.choice(["anna", "ben", self._word(WORDS)[:128]]),
                    "language": random.choice(["en", "zh", "ko", "xx", self._word(WORDS)[:128]]),
                    "confidence": random.random(),
                    "end_ms": random.randrange(-5, 10**6),
                }
            case 3:
                action = random.choice(["pause", "resume", "resume", "cancel", "reset", "instant_query"])
                message = {"type": "control", "action": "stop" if random.random() < 0.01 else action}
                optional = {"text": self._word(WORDS)}
            case 4:
                message = {"type": "configure"}
                optional = {
                    "on_new_question": random.choice(["queue", "interrupt", "ignore"]),
                    "auto_detect": random.random() < 0.9,
                    "speakers": random.choice([[], [], [], ["anna"], self._words(70)]),
                    "inputs": {word: self._value(2) for word in self._words(4)},
                }
            case _:
                message, optional = {"type": "keepalive"}, {}
        optional |= {"id": self._word(WORDS)[:128]}
        if random.random() < 0.05:
            optional["session_id"] = random.choice(["one", "two", "bad name", self._word(WORDS)])
        return message | {name: value for name, value in optional.items() if random.random() < 0.3}

    def _text(self) -> str:
        if self._random.random() < 0.3:
            return f"What is number {self._random.randrange(1_000)}?"
        return " ".join(self._words(3))

    def _value(self, depth: int) -> Any:
        match self._random.randrange(6 if depth else 4):
            case 0 | 1:
                return self._word(WORDS)
            case 2 | 3:
                return self._random.choice(NUMBERS)
            case 4:
                return [self._value(depth - 1) for _ in range(self._random.randrange(4))]
            case _:
                return {self._word(KEYS + WORDS): self._value(depth - 1) for _ in range(self._random.randrange(4))}

    def _word(self, words: Sequence[str]) -> str:
        return self._random.choice(words)

    def _words(self, most: int) -> list[str]:
        return [self._word(WORDS) for _ in range(self._random.randrange(most + 1))]

    def _dump(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=self._random.random() < 0.2)

    def _mutated(self, text: str) -> str | bytes:
        data = bytearray(text, "utf-8", "replace")
        for _ in range(self._random.randrange(1, 5)):
            at, end = sorted(self._random.randrange(len(data) + 1) for _ in range(2))
            match self._random.randrange(5):
                case 0:
                    data[at:at] = self._random.choice(SCRAPS)
                case 1:
                    del data[at : min(end, at + 9)]
                case 2:
                    data[at:at] = data[at : min(end, at + 40)]
                case 3:
                    data[at : at + 1] = self._random.randbytes(1)
                case _:
                    del data[end:]
        # A text frame that is not UTF-8 is the WebSocket layer's to refuse, with 1007.
        return data.decode(errors="ignore")


class Talker:
    """One socket that gets a batch of frames after the other, and has each answered."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._rules = Rules()
        self._settled = 0
        self._sent = 0
        self.frames: list[Frame] = []

    @classmethod
    async def connect(cls, url: str) -> Talker:
        # Reads all the time: what is not taken would in the end hold up what is sent.
        return cls(await connect(url, proxy=None, compression=None, max_size=None, max_queue=None))

    async def close(self) -> None:
        await self._socket.close()

    async def send(self, frames: Sequence[str | bytes]) -> bool:
        """Send these and see each answered once; False when one of them was a `stop`, which ends the session.

        Raises `AssertionError` when the service breaks a rule, or fails.
        """
        self.frames.clear()
        self._settled += 1
        id = f"settled {self._settled}"
        try:
            for frame in frames:
                await self._socket.send(frame)
            await self._socket.send(json.dumps({"type": "keepalive", "id": id}))
            self._sent += len(frames) + 1
            while (await self._receive()).get("id") != id:
                pass
        except ConnectionClosed as closed:
            if not self._is_stopped() or self._socket.close_code != 1000:
                raise AssertionError(f"a dead session: {closed!r}") from closed
            return False
        assert self._rules.replies == self._sent + 1, f"{self._sent} messages, {self._rules.replies} replies"
        return True

    async def _receive(self) -> Frame:
        async with asyncio.timeout(PATIENCE):
            frame: Frame = json.loads(await self._socket.recv())
        self._rules.check(frame)
        assert frame.get("code") != "INTERNAL_ERROR", frame
        self.frames.append(frame)
        return frame

    def _is_stopped(self) -> bool:
        return bool(self.frames) and self.frames[-1].get("reason") == "stopped"


async def fuzz(*, frames: int = 1_000_000, seed: str = "0") -> Part:
    """Half of the frames go to a service in front of the stand-in Dify, half to one with the local provider."""
    halves = [await _half(provider, frames // 2, f"{seed}-{provider}") for provider in ("dify", "local")]
    rows = [row for half, _ in halves for row in half]
    problems = [problem for _, half in halves for problem in half]
    return Part(f"{frames:,} random and mutated frames, seed {seed}", rows, problems)


async def _half(provider: str, frames: int, seed: str) -> tuple[list[Row], list[str]]:
    tally = Tally()
    trouble = Trouble(Random(seed), fault_rate=0, slowness=0)
    settings: dict[str, Any] = {**SETTINGS, "RAG_PROVIDER": provider}
    async with (
        StandInDify(default=trouble, keeps_records=False) as dify,
        watched(DIFY_BASE_URL=dify.base_url, **settings) as (watch, service),
        asyncio.TaskGroup() as clients,
    ):
        for number in range(CLIENTS):
            fuzzer = Fuzzer(Random(f"{seed}-{number}"))
            clients.create_task(_talk(service.ws_url, fuzzer, frames // CLIENTS, tally))
    rows = [
        info(f"frames, with the provider {provider}", tally.sent),
        info("… questions that came of them", tally.asked),
        none_of("dead sessions, broken rules, INTERNAL_ERROR", len(tally.problems)),
        *log_rows(watch),
    ]
    return rows, [*tally.problems, *watch.faults[:20]]


async def _talk(url: str, fuzzer: Fuzzer, frames: int, tally: Tally) -> None:
    left = frames
    while left > 0:
        talker = await Talker.connect(url)
        for _ in range(BATCHES):
            batch = [fuzzer.frame() for _ in range(min(BATCH, left))]
            if not batch:
                break
            left -= len(batch)
            tally.sent += len(batch)
            try:
                goes_on = await talker.send(batch)
            except (AssertionError, KeyError, TimeoutError) as problem:
                tally.report(f"{problem!r:.600} after {batch!r:.20000}")
                break
            finally:
                tally.frames += len(talker.frames)
                tally.asked += sum(frame.get("stage") in {"analyzing", "instant_query"} for frame in talker.frames)
            if not goes_on:
                break
        await talker.close()
