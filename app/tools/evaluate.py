"""Measures the question detector on a folder of labelled utterances and dialogues: `python -m app evaluate DIR`."""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from app.models.verdicts import Verdict
from app.services.question_detector import judge
from app.tools.dialogues import SUFFIX, Dialogue, Hearing, read_dialogue
from app.tools.dialogues import report as replay

Part = Literal["all", "tune", "aside"]

# dev-en-swda.asr.tsv: anything, language, source, variant.
_FILE_NAME = re.compile(r"(?:.*-)?(?P<language>[a-z]{2,3})-(?P<source>[^-.]+)\.(?P<variant>[^-.]+)\.tsv")
_HEAD = f"{'':28}{'rows':>6}{'prec':>7}{'recall':>8}{'F1':>7}{'FA/100':>8}{'µs':>7}"


class BadInput(Exception):
    """A folder or a row that cannot be read; the text is for the person who gave it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled utterance."""

    asks: bool
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """One file of utterances."""

    name: str
    language: str
    variant: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Figures:
    """How well one file was judged."""

    rows: int
    precision: float
    recall: float
    f1: float
    false_alarms: float
    microseconds: float


@dataclass(frozen=True, slots=True)
class Miss:
    """A row that was judged wrong."""

    row: Row
    verdict: Verdict

    @property
    def family(self) -> str:
        """What such misses have in common: the kind of error, the rule, how the text begins."""
        kind = "missed" if self.row.asks else "false alarm"
        words = self.row.text.lower().split()
        start = " ".join(words[:2]) if len(words) > 1 else self.row.text[:2]
        return f"{kind:11} {self.verdict.rule:24} {start}"


def is_aside(text: str) -> bool:
    """Whether a row belongs to the third that rules are never tuned on."""
    return blake2b(text.encode()).digest()[0] % 3 == 0


def read_source(path: Path, part: Part = "all") -> Source:
    """Read one file of `label<TAB>text`; its name tells language and variant."""
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        raise BadInput(f"{path.name}: the name is not NAME-LANGUAGE-SOURCE.VARIANT.tsv")
    try:
        lines = path.read_bytes().decode().split("\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path.name}: not UTF-8 at byte {error.start}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        label, tab, text = line.rstrip("\r").partition("\t")
        if label not in {"0", "1"} or not tab or not text:
            raise BadInput(f"{path.name}, line {number}: not 0 or 1, a tab and a text")
        if part == "all" or is_aside(text) == (part == "aside"):
            rows.append(Row(label == "1", text))
    return Source(f"{name['language']}-{name['source']}.{name['variant']}", name["language"], name["variant"], rows)


def read_folder(folder: Path, part: Part = "all") -> list[Source]:
    """Read every `.tsv` of a folder."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder")
    paths = sorted(folder.glob("*.tsv"))
    if not paths:
        raise BadInput(f"{folder}: no .tsv file in it")
    return [read_source(path, part) for path in paths if not path.name.endswith(SUFFIX)]


def read_dialogues(folder: Path) -> list[Dialogue]:
    """Read every dialogue of a folder."""
    dialogues = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        name = _FILE_NAME.fullmatch(path.name)
        if name is None:
            raise BadInput(f"{path.name}: the name is not NAME-LANGUAGE-SOURCE{SUFFIX}")
        try:
            dialogues.append(read_dialogue(path, name["language"]))
        except ValueError as error:
            raise BadInput(str(error)) from error
    return dialogues


def measure(source: Source, language: str | None) -> tuple[Figures, list[Miss]]:
    """Judge every row, each by itself, with `language` as the hint."""
    misses: list[Miss] = []
    times: list[int] = []
    hits = 0
    for row in source.rows:
        start = time.perf_counter_ns()
        verdict = judge(row.text, language)
        times.append(time.perf_counter_ns() - start)
        if verdict.is_question != row.asks:
            misses.append(Miss(row, verdict))
        elif row.asks:
            hits += 1
    questions = sum(row.asks for row in source.rows)
    false_alarms = sum(not miss.row.asks for miss in misses)
    precision = _share(hits, hits + false_alarms)
    recall = _share(hits, questions)
    figures = Figures(
        rows=len(source.rows),
        precision=precision,
        recall=recall,
        f1=_share(2 * precision * recall, precision + recall),
        false_alarms=100 * _share(false_alarms, len(source.rows) - questions),
        microseconds=statistics.median(times) / 1000 if times else 0.0,
    )
    return figures, misses


def mean(figures: Sequence[Figures]) -> Figures:
    """The mean over sources, each source counting the same; rows are added up."""
    return Figures(
        rows=sum(each.rows for each in figures),
        precision=statistics.fmean(each.precision for each in figures),
        recall=statistics.fmean(each.recall for each in figures),
        f1=statistics.fmean(each.f1 for each in figures),
        false_alarms=statistics.fmean(each.false_alarms for each in figures),
        microseconds=statistics.fmean(each.microseconds for each in figures),
    )


def report(sources: Iterable[Source], *, guess: bool, families: int, examples: int) -> list[str]:
    """The table, and below it the families of errors."""
    lines = [_HEAD]
    groups: defaultdict[tuple[str, str], list[Figures]] = defaultdict(list)
    misses: defaultdict[str, list[Miss]] = defaultdict(list)
    for source in sources:
        figures, missed = measure(source, None if guess else source.language)
        lines.append(_line(source.name, figures))
        groups[source.language, source.variant].append(figures)
        misses[source.language] += missed
    lines += ["", "mean over sources"]
    lines += [_line(f"{language} {variant}", mean(group)) for (language, variant), group in groups.items()]
    for language, missed in misses.items():
        lines += ["", f"{language}: {len(missed)} errors, worst families"]
        lines += _families(missed, families, examples)
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; the exit status is 2 when the input cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m app evaluate", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of NAME-LANGUAGE-SOURCE.VARIANT.tsv")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--tune", dest="part", action="store_const", const="tune", help="two thirds, by hash")
    parts.add_argument("--aside", dest="part", action="store_const", const="aside", help="the other third")
    parser.add_argument("--guess", action="store_true", help="do not tell the detector the language")
    parser.add_argument("--families", type=int, default=8, metavar="N", help="families shown per language")
    parser.add_argument("--errors", type=int, default=0, metavar="N", help="examples shown per family")
    parser.add_argument("--word-errors", type=float, default=0.1, metavar="SHARE", help="of dialogues, misheard words")
    parser.add_argument("--cuts", type=float, default=0.2, metavar="SHARE", help="of dialogues, finals cut in two")
    parser.add_argument("--times", type=int, default=10, metavar="N", help="each dialogue is heard, always differently")
    options = parser.parse_args(arguments)
    try:
        sources = read_folder(options.folder, options.part or "all")
        dialogues = read_dialogues(options.folder)
    except (BadInput, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    lines = report(sources, guess=options.guess, families=options.families, examples=options.errors) if sources else []
    for marks in (False, True) if dialogues else ():
        hearing = Hearing(options.word_errors, options.cuts, marks)
        lines += [*([""] if lines else []), f"dialogues {'with' if marks else 'without'} marks"]
        lines += replay(dialogues, hearing, max(1, options.times))
    print("\n".join(lines))
    return 0


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _line(name: str, figures: Figures) -> str:
    return (
        f"{name:28}{figures.rows:6}{figures.precision:7.3f}{figures.recall:8.3f}{figures.f1:7.3f}"
        f"{figures.false_alarms:8.1f}{figures.microseconds:7.1f}"
    )


def _families(misses: Sequence[Miss], families: int, examples: int) -> list[str]:
    lines = []
    for family, count in Counter(miss.family for miss in misses).most_common(families):
        lines.append(f"{count:6}  {family}")
        texts = [miss.row.text for miss in misses if miss.family == family]
        lines += [f"            {text}" for text in texts[:examples]]
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
