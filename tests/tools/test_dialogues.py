"""Dialogues said to a session on a simulated clock: what is found, what is asked wrongly, twice, and how late."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.config import Settings
from app.tools.dialogues import Count, Dialogue, Hearing, Line, Replay, hear, read_dialogue, report
from app.tools.evaluate import main
from tests.service import make_settings

DIALOGUES = Path(__file__).parents[1] / "services" / "dialogues"
CLEAR = Hearing(errors=0, cuts=0)


def replay(*lines: Line, hearing: Hearing = CLEAR, language: str = "en", settings: Settings | None = None) -> Count:
    dialogue = Dialogue("made", language, lines)
    return Replay(dialogue, settings or make_settings()).run(hear(dialogue, hearing))


def test_what_is_found_and_what_is_asked_wrongly_is_counted() -> None:
    count = replay(
        Line(0, "a", "where is the station", True),
        Line(5, "b", "do you like it", False),
        Line(10, "a", "you came alone", True),
        Line(15, "b", "i live here", False),
    )
    assert (count.questions, count.found, count.wrong, count.twice) == (2, 1, 1, 0)
    assert count.delays == [pytest.approx(0.3)]
    assert (count.words, count.other) == (8, 0)
    assert count.hours == pytest.approx((15 + 3 * 0.35 + 0.3 + 30) / 3600)
    assert count.line("made").split() == ["made", "0.50", f"{1 / count.hours:.1f}", "0.0", "0.30", "4.0", "0.00"]


def test_what_is_asked_with_other_talk_is_counted_in_words() -> None:
    lines = Line(0, "a", "i lost my card", False), Line(2, "a", "what should i do", True)
    assert replay(*lines).other == 0
    count = replay(Line(0, "a", "we go skiing", False), Line(3, "a", "why", True))
    assert (count.found, count.words, count.other) == (1, 4, 3)


def test_a_question_that_is_extended_is_one() -> None:
    lines = Line(0, "a", "what is the price", True), Line(1.3, "a", "of wood", False)
    count = replay(*lines)
    assert (count.found, count.wrong, count.twice) == (1, 0, 0)


def test_a_question_that_is_cut_in_two_is_found() -> None:
    hearing = Hearing(errors=0, cuts=1)
    count = replay(Line(0, "a", "what is the price of the red one in the window", True), hearing=hearing)
    assert (count.found, count.wrong, count.twice) == (1, 0, 0)


def test_a_second_question_of_the_same_utterance_is_not_the_first_one_again() -> None:
    count = replay(Line(0, "a", "What is it? Where are my keys?", True), hearing=Hearing(errors=0, cuts=0, marks=True))
    assert (count.found, count.twice, count.words) == (1, 0, 7)


def test_a_question_asked_again_is_counted_as_one_asked_twice() -> None:
    lines = [Line(0, "a", "where is the station", True), Line(9, "a", "no", False)]
    dialogue = Dialogue("made", "en", lines)
    heard = hear(dialogue, CLEAR)
    late = replace(heard[3], time=8, chunk=heard[3].chunk.model_copy(update={"is_final": True, "segment_id": "0.2"}))
    count = Replay(dialogue, make_settings()).run(sorted([*heard, late], key=lambda each: each.time))
    assert (count.found, count.twice) == (1, 1)


def test_a_recogniser_hears_the_same_every_time_and_sets_marks_only_when_told() -> None:
    dialogue = read_dialogue(DIALOGUES / "made-en-reservation.talk.tsv", "en")
    heard = hear(dialogue, Hearing())
    assert heard == hear(dialogue, Hearing())
    assert heard != hear(dialogue, Hearing(), 1)
    finals = [each.chunk.text for each in heard if each.chunk.is_final]
    assert len(finals) > len(dialogue.lines)  # some are cut
    assert not any("?" in text for text in finals)
    assert any("?" in each.chunk.text for each in hear(dialogue, Hearing(marks=True)))
    clear = [each.chunk.text for each in hear(dialogue, CLEAR) if each.chunk.is_final]
    assert sorted(clear) != sorted(finals)
    assert "is breakfast included in the price" in clear


def test_what_comes_of_several_hearings_is_their_mean() -> None:
    dialogue = read_dialogue(DIALOGUES / "made-en-standup.talk.tsv", "en")
    assert report([dialogue], CLEAR, 3) == report([dialogue], CLEAR, 1)
    assert report([dialogue], Hearing(), 3) != report([dialogue], Hearing(), 1)


def test_where_there_are_no_spaces_signs_are_heard() -> None:
    heard = hear(Dialogue("made", "zh", [Line(0, "a", "多少钱？", True)]), CLEAR)
    assert [each.chunk.text for each in heard] == ["多", "多少", "多少钱", "多少钱"]


def test_nothing_heard_is_nothing_asked() -> None:
    assert replay() == Count(hours=30 / 3600)


@pytest.mark.no_cover  # many times the same lines
def test_the_dialogues_are_measured_with_and_without_marks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(DIALOGUES)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if line.startswith("dialogues")] == ["dialogues without marks", "dialogues with marks"]
    figures = [(line.split()[0], float(line.split()[1])) for line in out if line.startswith("made-")]
    assert len(figures) == 2 * len(list(DIALOGUES.iterdir()))
    assert min(found for _, found in figures) >= 0.75


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("made-en-x.talk.tsv", "1.0\ta\thello\t2", "line 1: not a time"),
        ("made-en-x.talk.tsv", "soon\ta\thello\t1", "line 1: not a time"),
        ("made-en-x.talk.tsv", "1\ta\t \t1", "line 1: not a time"),
        ("made-en-x.talk.tsv", "\n1\thello", "line 2: not a time"),
        ("dialogue.talk.tsv", "", "NAME-LANGUAGE-SOURCE.talk.tsv"),
    ],
)
def test_what_is_no_dialogue_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, told: str
) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    assert main([str(tmp_path)]) == 2
    assert told in capsys.readouterr().err
