"""How long the embedded provider takes to read a folder and to answer: `python -m tests.benchmarks.local_rag`."""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

from app.config import Settings
from app.models.answers import Question
from app.services.local_rag import LocalRag
from tests.service import indexed

FILES = 200
SECTIONS = 50  # one passage each: 10,000 in all
QUESTIONS = 400

SYLLABLES = (
    "ba",
    "cor",
    "den",
    "fi",
    "gal",
    "hum",
    "jo",
    "ker",
    "lin",
    "mov",
    "nar",
    "pel",
    "qui",
    "ros",
    "tam",
    "vel",
)
SUBJECTS = ("the gateway", "the printer", "a parcel", "the archive", "every session", "the front desk")
# The most used characters stand in many passages, the others in few.
CHARACTERS = [chr(code) for code in range(0x4E00, 0x4E00 + 2_000)]
FREQUENCIES = [1 / rank for rank in range(1, len(CHARACTERS) + 1)]


def word(chance: random.Random) -> str:
    return "".join(chance.choices(SYLLABLES, k=chance.randint(2, 3)))


def english(chance: random.Random) -> str:
    """Nine sentences. Few words stand in many passages and most in few, as in real text."""
    common = ["limit", "request", "account", "minutes", "report", "office", "backup", "invoice"]
    rows = []
    for _ in range(9):
        filler = " ".join([*chance.choices(common, k=3), *(word(chance) for _ in range(4))])
        rows.append(f"{chance.choice(SUBJECTS).capitalize()} is checked before the {filler} is sent.")
    return " ".join(rows)


def chinese(chance: random.Random) -> str:
    return "".join(f"处理{''.join(chance.choices(CHARACTERS, FREQUENCIES, k=18))}之前需要检查。" for _ in range(9))


def write_folder(folder: Path, chance: random.Random) -> list[str]:
    """Write the files; return questions about some of their passages."""
    questions = []
    for file in range(FILES):
        text = english if file % 2 == 0 else chinese
        sections = [text(chance) for _ in range(SECTIONS)]
        body = "".join(f"## Part {number}\n\n{section}\n\n" for number, section in enumerate(sections))
        Path(folder, f"file-{file}.md").write_text(f"# File {file}\n\n{body}", encoding="utf-8")
        questions += [question(chance, text, sections[0]), question(chance, text, sections[-1])]
    return questions[:QUESTIONS]


def question(chance: random.Random, text: object, section: str) -> str:
    if text is english:
        words = section.split()
        return f"so what happens before the {' '.join(chance.sample(words, k=4))} is sent"
    start = chance.randrange(len(section) - 6)
    return f"请问{section[start : start + 6]}怎么处理"


async def milliseconds(rag: LocalRag, text: str) -> float:
    started = time.perf_counter()
    async for _ in rag.query(Question(text, user="benchmark")):
        pass
    return (time.perf_counter() - started) * 1000


async def main() -> None:
    argparse.ArgumentParser(prog="python -m tests.benchmarks.local_rag", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        questions = write_folder(Path(folder), random.Random(1))
        settings = Settings(_env_file=None, knowledge_dir=Path(folder))
        started = time.perf_counter()
        async with indexed(settings) as rag:
            seconds = time.perf_counter() - started
            times = [await milliseconds(rag, text) for text in questions]
            talk = [await milliseconds(rag, " ".join(questions[i : i + 12])[-600:]) for i in range(0, 384, 12)]
    print(f"passages            {FILES * SECTIONS:>8,}")
    print(f"index               {seconds:>8.2f} s")
    for name, took in (("question", times), ("600 characters", talk)):
        print(f"{name:<15} p50 {statistics.median(took):>8.1f} ms")
        print(f"{name:<15} p95 {statistics.quantiles(took, n=20)[-1]:>8.1f} ms")


if __name__ == "__main__":
    asyncio.run(main())
