"""How often the embedded provider is right: `python -m tests.benchmarks.answers FOLDER QUESTIONS.tsv`.

A line of the questions is `question<TAB>pattern`: a regular expression that the quoted text has to hold somewhere, or
nothing, when nothing in the folder answers it. Without arguments it is asked about this project's own docs. What was
answered wrongly is shown.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path

from app.config import Settings
from app.models.answers import AnswerEnd, Question, TextDelta
from tests.service import ROOT, indexed

OWN = (ROOT / "docs", ROOT / "tests" / "services" / "answers" / "docs.tsv")
TALK = "We are moving to the new office on Monday. The budget for the summer party is still open."


async def measure(folder: Path, questions: list[str], talk: str = "") -> tuple[Counter[str], list[str]]:
    """Ask all; return how many answers were `right`, `wrong`, `silent`, `refused` (rightly silent) or `false`, how many
    had it in the first quote, and what was wrong."""
    counts: Counter[str] = Counter()
    misses: list[str] = []
    async with indexed(Settings(_env_file=None, rag_provider="local", knowledge_dir=folder)) as rag:
        for line in questions:
            text, _, pattern = line.partition("\t")
            *events, end = [event async for event in rag.query(Question(text, user="benchmark", context=talk))]
            assert isinstance(end, AnswerEnd)
            answer = "".join(event.text for event in events if isinstance(event, TextDelta)).replace("**", "")
            if not pattern:
                outcome = "false" if end.found else "refused"
            else:
                outcome = "silent" if not end.found else "right" if re.search(pattern, answer) else "wrong"
                counts["first"] += bool(end.found and re.search(pattern, answer.partition("\n\n— ")[0]))
            counts[outcome] += 1
            if outcome not in {"right", "refused"}:
                misses.append(f"{outcome:7} {text}: {' '.join(answer.split())[:120]}")
    return counts, misses


def main(folder: Path, file: Path) -> None:
    questions = file.read_text(encoding="utf-8").splitlines()
    for name, talk in (("alone", ""), ("with talk before", TALK)):
        counts, misses = asyncio.run(measure(folder, questions, talk))
        asked = counts["right"] + counts["wrong"] + counts["silent"]
        print(f"{name}: right {counts['right']} of {asked}, in the first quote {counts['first']}, ", end="")
        print(f"silent {counts['silent']}; false {counts['false']} of {counts['false'] + counts['refused']}")
        print(*misses, sep="\n")


if __name__ == "__main__":
    main(*(map(Path, sys.argv[1:3]) if len(sys.argv) > 2 else OWN))
