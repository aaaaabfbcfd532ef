"""Whether learned weights would mend the verdicts of the rules: `python -m tests.benchmarks.second_opinion DIR`.

`DIR` is a folder as `python -m app evaluate` takes it. A logistic regression over hashed pieces of a sentence, and what
the rules say of it, learns from the sources `--learn`, of each all but the third kept aside, and our own gold
sentences. It may turn a statement into a question and an unsure question into none, where it is sure enough of it.
How sure is chosen on the very rows that are judged: no honest choice does better.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from random import Random
from typing import Final, NamedTuple
from zlib import crc32

from app.models.verdicts import Verdict
from app.services.question_detector import judge
from app.services.question_detector.english import normalise
from app.tools.evaluate import Source, is_aside, read_folder

GOLD: Final = Path(__file__).parents[1] / "services" / "gold" / "en.tsv"
WEIGHTS: Final = 1 << 16
EPOCHS: Final = 10
STEP: Final = 0.3
# Rules this sure are left alone.
SURE: Final = 0.95
# How far apart the odds of yes and no must be, as logarithms, to take a question back and to ask.
BACK: Final = (-math.inf, -3.0, -2.0, -1.0, 0.0)
ASK: Final = (math.inf, 4.0, 3.0, 2.0, 1.0)


class Example(NamedTuple):
    asks: bool
    verdict: Verdict
    pieces: Sequence[int]


class Figures(NamedTuple):
    f1: float
    recall: float
    false_alarms: float


def pieces_of(text: str, verdict: Verdict) -> Iterator[str]:
    words = normalise(text).split()
    for length in (1, 2, 3):
        yield from ("w " + " ".join(words[at : at + length]) for at in range(len(words) - length + 1))
    yield from (f"front{at} {word}" for at, word in enumerate(words[:4]))
    yield from (f"end{at} {word}" for at, word in enumerate(reversed(words[-2:])))
    yield from ("front " + " ".join(words[:count]) for count in (2, 3))
    yield f"rule {verdict.is_question} {verdict.rule}"
    yield f"length {min(len(words), 12)}"


def example(asks: bool, text: str) -> Example:
    verdict = judge(text, "en")
    return Example(asks, verdict, sorted({crc32(piece.encode()) % WEIGHTS for piece in pieces_of(text, verdict)}))


def learn(examples: Sequence[Example]) -> list[float]:
    """Weights by AdaGrad, the same every time."""
    chance, weights, slopes = Random(1), [0.0] * WEIGHTS, [1e-3] * WEIGHTS
    for _ in range(EPOCHS):
        for each in chance.sample(examples, len(examples)):
            error = 1 / (1 + math.exp(-sum(weights[piece] for piece in each.pieces))) - each.asks
            for piece in each.pieces:
                slopes[piece] += error * error
                weights[piece] -= STEP * error / math.sqrt(slopes[piece])
    return weights


def figures(examples: Sequence[Example], asked: Sequence[bool]) -> Figures:
    hits = sum(each.asks and said for each, said in zip(examples, asked, strict=True))
    questions = sum(each.asks for each in examples)
    wrong = sum(asked) - hits
    return Figures(2 * hits / (sum(asked) + questions), hits / questions, 100 * wrong / (len(examples) - questions))


def seconded(each: Example, odds: float, back: float, ask: float) -> bool:
    if each.verdict.is_question:
        return each.verdict.confidence >= SURE or odds >= back
    return each.verdict.reason == "statement" and odds > ask


def table(sources: Sequence[Source], learned: Sequence[str]) -> Iterator[str]:
    """A line for each source that nothing was learned from, or for its rows kept aside: by rules, and seconded."""
    rows = [row for each in sources if of(each) in learned for row in each.rows]
    taught = [example(row.asks, row.text) for row in rows if not is_aside(row.text)]
    for line in GOLD.read_text("utf-8").splitlines():
        label, _, text = line.split("\t")
        taught.append(example(label == "1", text))
    weights = learn(taught)
    yield f"{'':16}{'rows':>6}  {'rules: F1, recall, false alarms':34}seconded, at its best"
    for source in sources:
        aside = of(source) in learned
        judged = [example(row.asks, row.text) for row in source.rows if not aside or is_aside(row.text)]
        odds = [sum(weights[piece] for piece in each.pieces) for each in judged]
        best = max(
            figures(judged, [seconded(each, odd, *bounds) for each, odd in zip(judged, odds, strict=True)])
            for bounds in product(BACK, ASK)
        )
        ruled = figures(judged, [each.verdict.is_question for each in judged])
        row = "".join(f"{each.f1:8.3f}{each.recall:9.3f}{each.false_alarms:8.2f}{'':9}" for each in (ruled, best))
        yield f"{of(source):16}{len(judged):6}  {row}".rstrip()


def of(source: Source) -> str:
    return source.name.partition("-")[2]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.second_opinion", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--learn", default="slurp.asr", metavar="SOURCES", help="with commas between; slurp.asr")
    options = parser.parse_args()
    sources = [each for each in read_folder(options.folder) if each.language == "en" and each.variant == "asr"]
    print("\n".join(table(sources, options.learn.split(","))))


if __name__ == "__main__":
    main()
