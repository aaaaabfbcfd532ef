"""What is kept of a talk to answer from, as plain calls with times in seconds."""

from __future__ import annotations

from typing import Any

import pytest

from app.models.answers import AnswerEnd, Said
from app.models.effects import Effect, StartQuery
from app.models.messages import AsrChunk, Control
from app.models.session import SessionState
from app.models.talk import LINE_CHARS
from app.services.question_detector import judge
from tests.service import make_settings


class Meeting:
    def __init__(self, **settings: Any) -> None:
        self.session = SessionState("s1", make_settings(talk_chars=2_000, **settings), judge=judge)
        self.session.connect(0.0)
        self.now = 100.0

    def say(self, text: str, speaker: str | None = None, **fields: Any) -> list[Effect]:
        self.now += 60
        return self.session.receive(AsrChunk(text=text, is_final=True, speaker=speaker, **fields), self.now)

    def ask(self, text: str = "What is the price?", **fields: Any) -> tuple[Said, ...]:
        """What the provider gets of the talk with this question, which is answered."""
        return self.talk_of(self.say(text, **fields))

    def talk_of(self, effects: list[Effect]) -> tuple[Said, ...]:
        (query,) = (effect for effect in effects if isinstance(effect, StartQuery))
        self.session.answer_event(query.query_id, AnswerEnd(), self.now)
        return query.question.talk


def texts(talk: tuple[Said, ...]) -> list[str]:
    return [said.text for said in talk]


def test_the_finals_of_everybody_are_kept_with_speaker_and_time() -> None:
    meeting = Meeting()
    meeting.say("The price stays.", "Anna")
    meeting.say("For everybody.")
    assert meeting.ask(speaker="Ben") == (Said("The price stays.", "Anna", 0.0), Said("For everybody.", None, 60.0))


@pytest.mark.parametrize(
    ("seconds", "speaker", "label"),
    [(0.4, None, "0:00"), (125.0, "Anna", "Anna, 2:05"), (3725.0, "Anna", "Anna, 1:02:05")],
)
def test_a_line_is_called_by_its_speaker_and_time(seconds: float, speaker: str | None, label: str) -> None:
    assert Said("Yes.", speaker, seconds).label == label


def test_without_talk_chars_nothing_is_kept() -> None:
    session = SessionState("s1", make_settings(), judge=judge)
    session.receive(AsrChunk(text="The price stays.", is_final=True), 1.0)
    (query,) = (
        effect
        for effect in session.receive(AsrChunk(text="What is the price?", is_final=True), 9.0)
        if isinstance(effect, StartQuery)
    )
    assert query.question.talk == ()


def test_what_is_asked_is_no_part_of_it_and_what_was_asked_is_marked() -> None:
    meeting = Meeting()
    assert texts(meeting.ask("It stays. What is the price?")) == ["It stays."]
    earlier, last = meeting.ask("Hm. And who told you?")
    assert (earlier.text, earlier.question) == ("It stays. What is the price?", "What is the price?")
    assert (last.text, last.question) == ("Hm.", "")


def test_one_question_in_two_finals_is_marked_in_both() -> None:
    meeting = Meeting()
    meeting.say("how much does")
    meeting.now -= 59
    assert texts(meeting.talk_of(meeting.say("the red pump cost?"))) == []
    assert [(said.text, said.question) for said in meeting.ask("Who told you?")] == [
        ("how much does", "how much does"),
        ("the red pump cost?", "the red pump cost?"),
    ]


def test_what_a_question_leans_on_stays() -> None:
    meeting = Meeting()
    meeting.say("The price stays.")
    assert texts(meeting.ask("Since when is that so?")) == ["The price stays."]


def test_it_keeps_what_was_asked_and_what_only_the_last_final_was_asked_for() -> None:
    meeting = Meeting()
    meeting.say("The price stays.")
    meeting.say("Tell me more.")
    effects = meeting.session.receive(Control(action="instant_query"), meeting.now)
    assert texts(meeting.talk_of(effects)) == ["The price stays."]
    effects = meeting.session.receive(Control(action="instant_query", text="The weather"), meeting.now)
    assert texts(meeting.talk_of(effects)) == ["The price stays.", "Tell me more."]


def test_a_correction_takes_the_place_of_what_it_corrects_and_a_repetition_none() -> None:
    meeting = Meeting()
    meeting.say("The prize stays.", segment_id=1)
    meeting.say("For everybody.", segment_id=2)
    meeting.say("The price stays.", segment_id=1)
    meeting.say("For everybody.", segment_id=2)
    assert texts(meeting.ask(segment_id=3)) == ["The price stays.", "For everybody."]
    meeting.say("For everybody. In the north.", segment_id=2)  # more of what has left the buffer
    assert texts(meeting.ask("Who told you?", segment_id=4)) == [
        "The price stays.",
        "For everybody. In the north.",
        "What is the price?",
    ]


@pytest.mark.parametrize("action", ["reset", "switch"])
def test_it_is_forgotten_with_the_session(action: str) -> None:
    meeting = Meeting()
    meeting.say("The price stays.")
    if action == "reset":
        meeting.session.receive(Control(action="reset"), meeting.now)
        assert meeting.ask() == ()
    else:
        assert meeting.ask(session_id="s2") == ()


def test_what_is_heard_while_paused_is_no_part_of_it() -> None:
    meeting = Meeting()
    meeting.session.receive(Control(action="pause"), meeting.now)
    meeting.say("The price stays.")
    meeting.session.receive(Control(action="resume"), meeting.now)
    assert meeting.ask() == ()


@pytest.mark.parametrize(("length", "kept"), [(1, (2_000 - 35) // (LINE_CHARS + 2)), (960, 2), (2_000, 0)])
def test_the_oldest_go_when_there_is_no_more_room(length: int, kept: int) -> None:
    """The question takes room, too, until it is left out."""
    meeting = Meeting(context_max_chars=10_000)
    lines = [f"{number:0{length}}"[-length:] for number in range(200)]
    for number, line in enumerate(lines):
        meeting.say(line, speaker="A", segment_id=number)
    assert texts(meeting.ask("What is the price?", speaker="B")) == lines[len(lines) - kept :]
