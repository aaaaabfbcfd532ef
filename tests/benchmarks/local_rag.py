"""How long the embedded provider takes to read a folder and to answer: `python -m tests.benchmarks.local_rag`."""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from app.config import Settings
from app.models.answers import Question
from app.services.local_rag import LocalRag, open_local

SECTIONS = 50  # of a file, one passage each
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
    """As many sentences as one passage takes. Few words stand in many passages and most in few, as in real text."""
    common = ["limit", "request", "account", "minutes", "report", "office", "backup", "invoice"]
    rows = []
    for _ in range(8):
        filler = " ".join([*chance.choices(common, k=3), *(word(chance) for _ in range(4))])
        rows.append(f"{chance.choice(SUBJECTS).capitalize()} is checked before the {filler} is sent.")
    return " ".join(rows)


def chinese(chance: random.Random) -> str:
    return "".join(f"处理{''.join(chance.choices(CHARACTERS, FREQUENCIES, k=18))}之前需要检查。" for _ in range(9))


def write_folder(folder: Path, files: int, chance: random.Random) -> list[str]:
    """Write the files; return questions about some of their passages."""
    questions = []
    folder.mkdir()
    for file in range(files):
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


class Took(NamedTuple):
    """Milliseconds by the clock, and of the processor: others may have had it in between."""

    clock: float
    processor: float


async def took(rag: LocalRag, text: str) -> Took:
    started = time.perf_counter(), time.process_time()
    async for _ in rag.query(Question(text, user="benchmark")):
        pass
    return Took((time.perf_counter() - started[0]) * 1000, (time.process_time() - started[1]) * 1000)


def resident() -> float:
    """Megabytes of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1_000_000


def seconds_of(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.local_rag", description=__doc__)
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--file", action="store_true", help="keep the index in a file, and open it again")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "folder")
        questions = write_folder(folder, args.passages // SECTIONS, random.Random(1))
        index = Path(place, "index") if args.file else None
        settings = Settings(_env_file=None, knowledge_dir=folder, knowledge_index=index)
        before, started, own = resident(), time.perf_counter(), time.process_time()
        async with open_local(settings) as rag:
            await rag.is_complete.wait()
            seconds, own = time.perf_counter() - started, time.process_time() - own
            passages = rag.index.state.passages
            times = [await took(rag, text) for text in questions]
            talk = [await took(rag, " ".join(questions[i : i + 12])[-600:]) for i in range(0, 384, 12)]
            memory = resident()
        size = index.stat().st_size / 1_000_000 if index else 0
        started, again = time.perf_counter(), time.process_time()
        if index:
            async with open_local(settings) as rag:
                opened = time.perf_counter() - started
                await took(rag, questions[0])
                first, again = time.perf_counter() - started, time.process_time() - again
    print(f"passages             {passages:>8,}")
    print(f"index                {seconds:>8.2f} s")
    print(f"processor, writing   {own:>8.2f} s")
    print(f"processor, reading   {seconds_of(resource.RUSAGE_CHILDREN):>8.2f} s")
    print(f"memory of the index  {memory - before:>8.0f} MB")
    print(f"memory of all        {memory:>8.0f} MB")
    if index:
        print(f"file                 {size:>8.0f} MB")
        print(f"reopen               {opened * 1000:>8.0f} ms")
        print(f"reopen, first answer {first * 1000:>8.0f} ms")
        print(f"... of the processor {again * 1000:>8.0f} ms")
    for name, each in (("question", times), ("600 characters", talk)):
        for kind in Took._fields:
            figures = [getattr(one, kind) for one in each]
            p50, p95 = statistics.median(figures), statistics.quantiles(figures, n=20)[-1]
            print(f"{name}, {kind:<{18 - len(name)}} p50 {p50:>8.1f} ms   p95 {p95:>8.1f} ms")


if __name__ == "__main__":
    asyncio.run(main())
