"""How many spoken questions are asked, with voices of flite and the ears of pocketsphinx.

`python -m tests.benchmarks.spoken` needs both, and takes as long as it takes to say all, a minute and a half a voice.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import subprocess
import tempfile
import wave
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from app.config import Settings
from app.tools.listen.audio import Source
from app.tools.listen.ears import EARS, Wishes
from app.tools.listen.hearing import Hearing
from app.tools.listen.mappers import Chunk
from app.tools.listen.talk import Talk
from app.tools.replay.tracker import Frame, Tracker
from tests.service import ROOT, make_settings, serve

PAUSE_SECONDS = 1.2
DIALOGUES = [
    [
        "Good morning everybody.",
        "What happens when the connection is lost?",
        "I have read the whole manual.",
        "How can I change the port?",
        "We should talk about the price.",
        "What does it cost?",
    ],
    [
        "The meeting begins at nine.",
        "Where do I find the answer?",
        "That is a good idea.",
        "Can I use it without a network?",
        "We had some trouble last week.",
        "How long does it take?",
    ],
    [
        "Thank you for coming.",
        "How many people can use it?",
        "Nobody told me about that.",
        "What is the difference between them?",
        "I will send you a letter.",
        "When will it be finished?",
    ],
    [
        "The weather is very nice today.",
        "Does it work in other languages?",
        "My brother works in a bank.",
        "Who will be there on monday?",
        "I am going to the office now.",
        "Why is it so slow?",
    ],
]


@dataclass
class Result:
    """What came of the sentences; `delays` are seconds from the last word to the asking."""

    questions: int = 0
    statements: int = 0
    asked: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    def add(self, sentence: str, asked: list[tuple[float, str]], end: float) -> None:
        if not sentence.endswith("?"):
            self.statements += 1
            self.false += [text for _, text in asked]
            return
        self.questions += 1
        if not asked:
            self.missed.append(sentence)
            return
        self.asked.append(sentence)
        self.double += [text for _, text in asked[1:]]
        self.delays.append(asked[0][0] - end)


def speak(sentence: str, voice: str, folder: Path) -> bytes:
    """The samples of a sentence, 16 bits at 16 kHz."""
    path = folder / "sentence.wav"
    subprocess.run(["flite", "-voice", voice, "-t", sentence, "-o", str(path)], check=True)
    with wave.open(str(path)) as sound:
        assert sound.getframerate() == 16_000
        return bytes(sound.readframes(sound.getnframes()))


async def hear(dialogue: list[str], voice: str, url: str, result: Result) -> None:
    tracker = Tracker()
    loop = asyncio.get_running_loop()
    asked: list[tuple[float, str]] = []

    def on_frame(frame: Frame) -> None:
        if frame.get("stage") == "analyzing" and not tracker.questions[-1].is_extended:
            asked.append((loop.time(), frame["question"]))
        elif frame.get("reason") == "question_extended":
            asked.pop()

    with tempfile.TemporaryDirectory() as folder:
        pause, ends, sound = bytes(int(PAUSE_SECONDS * 16_000) * 2), list[float](), b""
        for sentence in dialogue:
            sound += pause + await asyncio.to_thread(speak, sentence, voice, Path(folder))
            ends.append(len(sound) / 32_000)
        path = Path(folder) / "dialogue.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(sound + pause)
        source, start = Source(str(path), 16_000), 0.0

        async def say_all(talk: Talk) -> None:
            async def hand_on(chunk: Chunk) -> None:
                await talk.say({"type": "asr_chunk", **chunk})

            async def note_the_start() -> None:
                nonlocal start
                await source.ready.wait()
                start = loop.time()

            hearing = Hearing(EARS["pocketsphinx"], "", Wishes(), source, hand_on, print)
            await asyncio.gather(hearing.run(), source.read(), note_the_start())

        talk = Talk(url, None, tracker, patience=60, on_sent=lambda step: None, on_frame=on_frame, note=print)
        await talk.run(say_all)
    meant = [max(range(len(dialogue)), key=lambda at: meaning(dialogue[at], text)) for _, text in asked]
    for at, (sentence, end) in enumerate(zip(dialogue, ends, strict=True)):
        result.add(sentence, [each for each, its in zip(asked, meant, strict=True) if its == at], start + end)


def meaning(sentence: str, asked: str) -> tuple[bool, float]:
    """How likely this sentence is asked: what is asked may take along what was said before or after a question."""
    words, heard = re.findall(r"[\w']+", sentence.lower()), asked.lower().split()
    pieces = (heard[at : at + len(words)] for at in range(max(1, len(heard) - len(words) + 1)))
    likeness = max(SequenceMatcher(None, words, piece).ratio() for piece in pieces)
    return sentence.endswith("?") and likeness >= 0.5, likeness


async def measure(voice: str, settings: Settings) -> Result:
    result = Result()
    async with serve(settings) as service:
        for dialogue in DIALOGUES:
            await hear(dialogue, voice, service.ws_url, result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voices", nargs="+", default=["rms", "slt"], help="of flite")
    options = parser.parse_args()
    print("| voice | questions asked | false, of the statements | double | last word → asked, median (worst) |")
    print("|---|---|---|---|---|")
    for voice in options.voices:
        result = asyncio.run(measure(voice, make_settings(rag_provider="local", knowledge_dir=ROOT / "docs")))
        delays = [round(1000 * delay) for delay in result.delays] or [0]
        asked = f"{len(result.asked)} of {result.questions} | {len(result.false)} of {result.statements}"
        print(f"| {voice} | {asked} | {len(result.double)} | {statistics.median(delays):.0f} ms ({max(delays)}) |")
        for name in ("missed", "false", "double"):
            for text in getattr(result, name):
                print(f"  {name}: {text}")


if __name__ == "__main__":
    main()
