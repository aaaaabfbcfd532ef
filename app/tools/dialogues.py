"""Replays labelled dialogues as a recogniser would send them, and counts what is asked: by `python -m app evaluate`."""

from __future__ import annotations

import heapq
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import count
from pathlib import Path
from random import Random
from typing import Final

from app.config import Settings
from app.models.answers import AnswerEnd, TextDelta
from app.models.effects import CancelQuery, Effect, StartQuery
from app.models.messages import AsrChunk
from app.models.session import SessionState
from app.services.question_detector import judge

SUFFIX: Final = ".talk.tsv"
HEAD: Final = f"{'':28}{'found':>7}{'wrong/h':>9}{'twice':>7}{'delay s':>9}{'words':>7}{'other':>7}"

# A simulated recogniser: seconds a word takes, or a character where there are no spaces; when a final follows the last
# word; where it cuts an utterance in two, and for how long. A simulated answer: its first text, and its end.
_WORD_SECONDS: Final = 0.35
_SIGN_SECONDS: Final = 0.2
_FINAL_SECONDS: Final = 0.3
_CUT_FROM: Final = 6
_PAUSE_SECONDS: Final = (0.4, 1.2)
_FIRST_TEXT_SECONDS: Final = 0.8
_ANSWER_SECONDS: Final = 2.0

_UNSPACED: Final = frozenset({"zh", "ja"})
_MARKS: Final = re.compile(r"[^\w\s'’]|_")


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance, from `time` on, in seconds."""

    time: float
    speaker: str
    text: str
    asks: bool


@dataclass(frozen=True, slots=True)
class Dialogue:
    name: str
    language: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Hearing:
    """How a recogniser hears: the share of words it gets wrong, of utterances it cuts in two; whether it sets marks."""

    errors: float = 0.1
    cuts: float = 0.2
    marks: bool = False


@dataclass(slots=True)
class Count:
    """What came of a dialogue; `delays` are seconds from the end of an utterance to its asking."""

    heard: int = 1
    questions: int = 0
    hours: float = 0.0
    found: int = 0
    wrong: int = 0
    twice: int = 0
    delays: list[float] = field(default_factory=list)
    words: int = 0
    other: int = 0

    def add(self, other: Count) -> None:
        """Count what came of it when it was heard again."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def line(self, name: str) -> str:
        """Its row of the table."""
        delay = statistics.median(self.delays) if self.delays else 0.0
        asked = max(1, self.found + self.wrong + self.twice)
        found, wrong = self.found / max(1, self.questions), self.wrong / max(self.hours, 1e-9)
        figures = f"{found:7.2f}{wrong:9.1f}{self.twice / self.heard:7.1f}{delay:9.2f}"
        return f"{name:28}{figures}{self.words / asked:7.1f}{self.other / max(1, self.words):7.2f}"


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of the recogniser about the utterance number `line`, which ended at `end`."""

    time: float
    chunk: AsrChunk
    line: int
    end: float


def read_line(text: str) -> Line:
    """Read `time<TAB>speaker<TAB>text<TAB>label`; raises `ValueError`."""
    time, speaker, said, label = text.split("\t")
    if label not in {"0", "1"} or not said.strip():
        raise ValueError(label)
    return Line(float(time), speaker, said, label == "1")


def read_dialogue(path: Path, language: str) -> Dialogue:
    """Read a file of such lines; raises `ValueError` with the number of the first that is none."""
    lines = []
    for number, text in enumerate(path.read_text("utf-8").splitlines(), 1):
        if text:
            try:
                lines.append(read_line(text))
            except ValueError as error:
                problem = f"{path.name}, line {number}: not a time, a speaker, a text and 0 or 1, with tabs between"
                raise ValueError(problem) from error
    return Dialogue(path.name.removesuffix(SUFFIX), language, lines)


def hear(dialogue: Dialogue, hearing: Hearing, number: int = 0) -> list[Heard]:
    """What a recogniser sends: partials as words come, a final or two; the same every time for the same `number`."""
    chance = Random(f"{dialogue.name} {number}")
    unspaced = dialogue.language in _UNSPACED
    known = [word for line in dialogue.lines for word in _words(line.text, unspaced, hearing.marks)]
    seconds, joint = (_SIGN_SECONDS, "") if unspaced else (_WORD_SECONDS, " ")
    heard: list[Heard] = []
    for number, line in enumerate(dialogue.lines):
        words = list(_misheard(_words(line.text, unspaced, hearing.marks), known, hearing.errors, chance))
        cut = chance.randrange(2, len(words) - 1) if len(words) >= _CUT_FROM and chance.random() < hearing.cuts else 0
        pause = chance.uniform(*_PAUSE_SECONDS) if cut else 0.0
        end = line.time + seconds * len(words) + pause
        time = line.time
        for part, piece in enumerate((words[:cut], words[cut:])):
            for place in range(1, len(piece) + 1):
                time += seconds
                said = AsrChunk(text=joint.join(piece[:place]), speaker=line.speaker, segment_id=f"{number}.{part}")
                heard.append(Heard(time, said, number, end))
            if piece:
                final = said.model_copy(update={"is_final": True})
                heard.append(Heard(time + _FINAL_SECONDS, final, number, end))
                time += pause if part == 0 else 0.0
    return sorted(heard, key=lambda each: each.time)


def _words(text: str, unspaced: bool, marks: bool) -> list[str]:
    said = text if marks else _MARKS.sub(" ", text.lower())
    return list("".join(said.split())) if unspaced else said.split()


def _misheard(words: Sequence[str], known: Sequence[str], errors: float, chance: Random) -> Iterator[str]:
    for word in words:
        kind = chance.choice(("lost", "other", "twice")) if chance.random() < errors else ""
        if kind != "lost":
            yield chance.choice(known) if kind == "other" else word
        if kind == "twice":
            yield word


class Replay:
    """One dialogue, said to a session on a simulated clock."""

    def __init__(self, dialogue: Dialogue, settings: Settings) -> None:
        self.count = Count(questions=sum(line.asks for line in dialogue.lines))
        self._dialogue = dialogue
        self._session = SessionState("evaluate", settings, judge=judge)
        self._session.connect(0.0)
        self._answers: list[tuple[float, int, str, TextDelta | AnswerEnd]] = []
        self._order = count()
        self._ends: dict[int, float] = {}
        self._asked: Counter[int] = Counter()

    def run(self, heard: Sequence[Heard]) -> Count:
        for each in heard:
            self._pass(each.time)
            self._ends[each.line] = each.end
            self._follow(self._session.receive(each.chunk, each.time), each.time)
        end = (heard[-1].time if heard else 0.0) + 30.0
        self._pass(end)
        self.count.hours = end / 3600
        return self.count

    def _pass(self, until: float) -> None:
        """Let time pass: waits end, answers come."""
        while True:
            answer = self._answers[0][0] if self._answers else until
            due = min(self._session.deadline(), answer)
            if due > until or (due == until and not self._answers and self._session.deadline() > until):
                return
            if self._answers and answer <= due:
                _, _, query_id, event = heapq.heappop(self._answers)
                self._follow(self._session.answer_event(query_id, event, due), due)
            else:
                self._follow(self._session.tick(due), due)

    def _follow(self, effects: Sequence[Effect], now: float) -> None:
        is_again = False
        for effect in effects:
            if isinstance(effect, CancelQuery):
                # what is asked once more, with what was added, took the place of the former
                is_again = effect.reason == "question_extended"
                self._answers = [each for each in self._answers if each[2] != effect.query_id]
                heapq.heapify(self._answers)
            elif isinstance(effect, StartQuery):
                for seconds, event in ((_FIRST_TEXT_SECONDS, TextDelta("text")), (_ANSWER_SECONDS, AnswerEnd())):
                    heapq.heappush(self._answers, (now + seconds, next(self._order), effect.query_id, event))
                if not is_again:
                    self._note(effect.question.text, now)

    def _note(self, text: str, now: float) -> None:
        query = self._session.query
        if query is None or not query.segments:
            return
        segment = query.segments[-1]
        is_further = segment.part_of is not None
        segment = segment.part_of or segment
        number = int(str(segment.segment_id).partition(".")[0])
        line, counted = self._dialogue.lines[number], self.count
        unspaced = self._dialogue.language in _UNSPACED
        words = _words(text, unspaced, marks=False)
        counted.words += len(words)
        counted.other += (Counter(words) - Counter(_words(line.text, unspaced, marks=False))).total()
        if not line.asks:
            counted.wrong += 1
        elif self._asked[number]:
            counted.twice += not is_further
        else:
            counted.found += 1
            counted.delays.append(max(0.0, now - self._ends[number]))
        self._asked[number] += 1


def report(dialogues: Sequence[Dialogue], hearing: Hearing, times: int) -> list[str]:
    """The table of dialogues, each heard so many times: which words are misheard is chance."""
    settings = Settings()
    lines = [HEAD]
    for each in dialogues:
        first, *others = (Replay(each, settings).run(hear(each, hearing, number)) for number in range(times))
        for other in others:
            first.add(other)
        lines.append(first.line(each.name))
    return lines
