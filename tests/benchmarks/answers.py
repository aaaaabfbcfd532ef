"""How often the embedded provider is right: `python -m tests.benchmarks.answers [FOLDER QUESTIONS.tsv]`.

A line of the questions is `question<TAB>pattern`: a regular expression that the quoted text has to hold somewhere, or
nothing, when nothing in the folder answers it. Without arguments our own sets are asked: about this project's docs, a
handbook in English and Chinese, and a meeting. What was answered wrongly is shown.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from app.models.answers import AnswerEnd, Question, Said, TextDelta
from tests.service import ROOT, indexed, make_settings

ANSWERS = ROOT / "tests" / "services" / "answers"
TALK = "We are moving to the new office on Monday. The budget for the summer party is still open."
HEAD = ("questions", "asked", "right", "first quote", "silent", "given to a model", "others", "quoted falsely")


class QuestionSet(NamedTuple):
    name: str
    folder: Path
    questions: Path
    talk: Path | None = None


OWN = QuestionSet("these docs", ROOT / "docs", ANSWERS / "docs.tsv")
SETS = (
    OWN,
    QuestionSet("a handbook", ANSWERS / "handbook", ANSWERS / "handbook.tsv"),
    QuestionSet("the same in Chinese", ANSWERS / "handbook", ANSWERS / "handbook.zh.tsv"),
    QuestionSet("a meeting", ANSWERS / "handbook", ANSWERS / "meeting.tsv", ANSWERS / "meeting.talk.tsv"),
)


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def talk_of(file: Path | None) -> tuple[Said, ...]:
    """What was said, a line each: who, a tab, and the words."""
    talk: list[Said] = []
    for line in [] if file is None else lines(file):
        speaker, _, text = line.partition("\t")
        asked = re.search(r"[^.?!]*\?$", text)
        talk.append(Said(text, speaker, 10.0 * len(talk), "" if asked is None else asked[0].strip()))
    return tuple(talk)


async def measure(of: QuestionSet, context: str = "", index: Path | None = None) -> tuple[Counter[str], list[str]]:
    """Ask all; return how many answers were `right`, `wrong`, `silent`, `refused` (rightly silent) or `false`, how many
    had it in the first quote or among what is `given` to a model, and what was wrong."""
    counts: Counter[str] = Counter()
    misses: list[str] = []
    talk = talk_of(of.talk)
    async with indexed(make_settings(knowledge_dir=of.folder, knowledge_index=index)) as rag:
        for line in lines(of.questions):
            text, _, pattern = line.partition("\t")
            question = Question(text, user="benchmark", context=context, talk=talk)
            *events, end = [event async for event in rag.query(question)]
            assert isinstance(end, AnswerEnd)
            answer = "".join(event.text for event in events if isinstance(event, TextDelta)).replace("**", "")
            if not pattern:
                outcome = "false" if end.found else "refused"
            else:
                outcome = "silent" if not end.found else "right" if re.search(pattern, answer) else "wrong"
                counts["first"] += bool(end.found and re.search(pattern, answer.partition("\n\n— ")[0]))
                given = [*(quote.passage.text for quote in await rag.passages(question)), *(each.text for each in talk)]
                counts["given"] += any(re.search(pattern, each) for each in given)
            counts[outcome] += 1
            if outcome not in {"right", "refused"}:
                misses.append(f"{outcome:7} {text}: {' '.join(answer.split())[:120]}")
    return counts, misses


def row(name: str, counts: Counter[str]) -> list[str]:
    asked = counts["right"] + counts["wrong"] + counts["silent"]
    others = counts["false"] + counts["refused"]
    kinds = ("right", "first", "silent", "given")
    return [name, *map(str, (asked, *(counts[kind] for kind in kinds), others, counts["false"]))]


def line_of(cells: Sequence[str]) -> str:
    """A line of a table, as docs/providers.md shows it."""
    return f"| {' | '.join(cells)} |"


async def main(sets: Sequence[QuestionSet]) -> None:
    measured = [(each, *(await measure(each))) for each in sets]
    print(line_of(HEAD), "|---" * len(HEAD) + "|", sep="\n")
    print(*(line_of(row(each.name, counts)) for each, counts, _ in measured), sep="\n")
    for each, _, misses in measured:
        print(f"\n{each.name}", *misses, sep="\n")
    for each, counts, _ in measured:
        if (with_talk := (await measure(each, TALK))[0]) != counts:
            print(f"\n{each.name}, with two sentences of talk before each question:", *row("", with_talk)[1:])


if __name__ == "__main__":
    own = [QuestionSet("your own", *map(Path, sys.argv[1:3]))] if len(sys.argv) > 2 else SETS
    asyncio.run(main(own))
