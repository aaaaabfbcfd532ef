"""Real recognisers repeat, grow, correct and cut what they heard: one utterance stays one question.

Each file next to this one is a habit: its first line says which and what should be asked, the others are frames with
their time in seconds.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recognisers.replaying import Replay

HABITS = sorted(Path(__file__).parent.glob("*.jsonl"))


@pytest.mark.parametrize("speculate", [False, True], ids=["plain", "speculating"])
@pytest.mark.parametrize("habit", HABITS, ids=[path.stem for path in HABITS])
def test_one_utterance_is_one_question(habit: Path, speculate: bool) -> None:
    first, *lines = (json.loads(line) for line in habit.read_text(encoding="utf-8").splitlines())
    replay = Replay(speculate)
    for line in lines:
        replay.hear(line["frame"], line["at"])
    replay.until(lines[-1]["at"] + 60)
    assert replay.questions == [text.rstrip("?") for text in first["expect"]]
    # However often it is said anew, it is asked twice at most; who speculates asks more often, and forgets it.
    assert speculate or replay.count <= 2 * len(first["expect"])


def test_the_habits_are_there() -> None:
    assert len(HABITS) >= 8
