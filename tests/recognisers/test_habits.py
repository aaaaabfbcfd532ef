"""Real recognisers repeat, grow, correct and cut what they heard: one utterance stays one question.

Each file next to this one is a habit: its first line says which and what should be asked, the others are frames with
their time in seconds.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.models.answers import AnswerEnd, TextDelta
from app.models.effects import CancelQuery, Effect, StartQuery
from app.models.messages import parse
from app.models.session import SessionState
from app.services.question_detector import judge
from tests.service import make_settings

HABITS = sorted(Path(__file__).parent.glob("*.jsonl"))


class Replay:
    """A session on the file's clock, with a provider that answers half a second after it is asked."""

    def __init__(self, speculate: bool) -> None:
        self.session = SessionState("s", make_settings(speculate=speculate), judge=judge)
        self.asked: dict[str, str] = {}
        self.answers_at: dict[str, float] = {}

    def carry_out(self, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, StartQuery):
                self.asked[effect.query_id] = effect.question.text
                self.answers_at[effect.query_id] = now + 0.5
            elif isinstance(effect, CancelQuery):
                del self.asked[effect.query_id]
                self.answers_at.pop(effect.query_id, None)

    def until(self, end: float) -> None:
        while True:
            due = self.session.deadline()
            answer = min(self.answers_at.items(), key=lambda item: item[1], default=None)
            if answer is not None and answer[1] <= min(end, due if due is not None else end):
                query_id, now = answer
                del self.answers_at[query_id]
                self.carry_out(self.session.answer_event(query_id, TextDelta("text"), now), now)
                self.carry_out(self.session.answer_event(query_id, AnswerEnd(), now), now)
            elif due is not None and due <= end:
                self.carry_out(self.session.tick(due), due)
            else:
                return


@pytest.mark.parametrize("speculate", [False, True], ids=["plain", "speculating"])
@pytest.mark.parametrize("habit", HABITS, ids=[path.stem for path in HABITS])
def test_one_utterance_is_one_question(habit: Path, speculate: bool) -> None:
    first, *lines = (json.loads(line) for line in habit.read_text(encoding="utf-8").splitlines())
    replay = Replay(speculate)
    for line in lines:
        replay.until(line["at"])
        replay.carry_out(replay.session.receive(parse(json.dumps(line["frame"])), line["at"]), line["at"])
    replay.until(lines[-1]["at"] + 60)
    assert [text.rstrip("?？") for text in replay.asked.values()] == [text.rstrip("?") for text in first["expect"]]


def test_the_habits_are_there() -> None:
    assert len(HABITS) >= 8
