"""How long the question detector takes: `python -m tests.benchmarks.detector`."""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from unicodedata import normalize

from app.services.question_detector import judge

GOLD = Path(__file__).parents[1] / "services" / "gold"
ROUNDS = 20
HOSTILE = {
    "one letter": "a" * 2000,
    "one word": "what " * 400,
    "two words": "is it " * 400,
    "tags": "isn't it " * 250,
    "marks": "?!" * 1000,
    "Chinese": "是不是" * 700,
    "Chinese, too": "一二三四五六七八九十" * 200,
    "sentences": "か。" * 1000,
    "questions": "a? " * 667,
    "letters": "a. " * 667,
    "short forms": "mr. dr. " * 250,
    "apostrophes": "isn't" * 400,
    "two languages": "about the 什么 est-ce is it b Anna, 呢 ? " * 60,
    "in pieces": normalize("NFD", "얼마예요 각 ") * 200,
    "half width": "ｱｲｳ" * 700,
    "one for many": "\ufdfa" * 2000,
    "closers": "'" * 2000 + "a.b",
    "letters, Chinese": "a" * 1999 + "你",
    "closers, spaced": "\u00a0»" * 990 + "a.b",
    "dots in words": "a.b" * 667,
    "each another": "".join(f"about the 什么 est-ce is it {number} Anna, 呢 ? " for number in range(60)),
    "in many ways": "bao nhiêu apa yang mười hai ngày đường dài đi đến nơi xa lắm rồi. " * 30,
    "leaning": "and is it it? " * 140,
    "joined": "图书馆几点开门，" * 37 + "谢谢。" + "图书馆几点开门，" * 37,
    "each asks": "".join(f"图书馆{number}几点开门，what is it，我想问 {number} 一下，请问? " for number in range(80)),
    "English words": "ya ya ya جد " * 166,
    "dots, quotes": "is it 什么?' \"so? " * 120,
    "long answers": "do you know when it opens and where is it and who is it and what is it " * 28,
    "quotes": '"he said "' * 200,
    "spaces": " " * 2000,
    "10 MB": "do you know what i mean " * 420_000,
}


def microseconds(text: str, language: str | None, rounds: int = ROUNDS) -> float:
    """The least of `rounds` calls, of the time this thread had a processor: other work on the machine only adds."""
    times = []
    for _ in range(rounds):
        start = time.thread_time_ns()
        judge(text, language)
        times.append(time.thread_time_ns() - start)
    return min(times) / 1000


def main() -> None:
    """Print the median over the gold sentences of each language, then the time of hostile texts."""
    argparse.ArgumentParser(prog="python -m tests.benchmarks.detector", description=__doc__).parse_args()
    print(f"{'language':12}{'told':>10}{'guessed':>10}  µs a call")
    for path in sorted(GOLD.glob("*.tsv")):
        texts = [line.split("\t")[2] for line in path.read_text("utf-8").splitlines()]
        told = statistics.median(microseconds(text, path.stem) for text in texts)
        guessed = statistics.median(microseconds(text, None) for text in texts)
        print(f"{path.stem:12}{told:10.1f}{guessed:10.1f}")
    print(f"\n{'hostile':12}{'worst language':>20}  µs a call")
    for name, text in HOSTILE.items():
        worst = max(microseconds(text, path.stem, 3) for path in GOLD.glob("*.tsv"))
        print(f"{name:12}{worst:20.1f}")


if __name__ == "__main__":
    main()
