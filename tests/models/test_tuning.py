"""How a client tunes its own session, within the bounds of the settings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.models.effects import Effect, Send, StartQuery
from app.models.messages import Configure, Tuning, read
from app.models.pieces import MessageAck
from app.models.session import SessionState
from tests.models.judges import judge_by_signs, judge_by_words
from tests.models.talking import Talk, asked, reasons
from tests.service import make_settings


def tuned(**values: Any) -> Talk:
    talk = Talk()
    talk.configure(tuning=Tuning(**values))
    return talk


def details(effects: list[Effect]) -> Any:
    (ack,) = [each.frame for each in effects if isinstance(each, Send) and isinstance(each.frame, MessageAck)]
    return ack.details


def test_what_the_recogniser_is_not_sure_of_is_the_sessions_own_affair() -> None:
    assert reasons(Talk().say("Why?", confidence=0.6)) != ["low_confidence"]
    assert reasons(tuned(min_confidence=0.7).say("Why?", confidence=0.6)) == ["low_confidence"]


def test_how_long_is_waited_and_what_is_joined() -> None:
    talk = tuned(wait_max_ms=600)
    assert asked(talk.say("Why? ...")) == []
    assert asked(talk.later(0.59)) == []
    assert asked(talk.later(0.02)) == ["Why? ..."]
    for seconds, expected in ((None, []), (10.0, ["what is it"])):
        talk = Talk(judge_by_words("what is it"))
        talk.configure(tuning=Tuning(merge_seconds=seconds))
        talk.say("what is")
        talk.later(5)
        assert asked(talk.say("it")) == expected


def test_the_talk_goes_along_where_the_session_wants_it() -> None:
    talk = tuned(query_scope="aggregated")
    talk.say("We have a pump.")
    (start,) = [effect for effect in talk.say("Why?") if isinstance(effect, StartQuery)]
    assert start.question.scope == "aggregated"
    assert (start.question.context, start.question.text) == ("We have a pump.", "Why?")


def test_it_lasts_over_reset_a_switch_and_a_move_and_ends_with_an_empty_object() -> None:
    talk = tuned(min_confidence=0.7)
    talk.control("reset")
    assert reasons(talk.say("Why?", confidence=0.6)) == ["low_confidence"]
    assert reasons(talk.say("How?", confidence=0.6, session_id="s2")) == ["low_confidence"]
    moved = SessionState("start", make_settings(), judge=judge_by_signs)
    moved.restore(json.loads(json.dumps(talk.session.snapshot(talk.now))), talk.now)
    talk.session = moved
    assert reasons(talk.say("Who?", confidence=0.6)) == ["low_confidence"]
    talk.configure(answer_style="short")
    assert reasons(talk.say("Where?", confidence=0.6)) == ["low_confidence"]
    talk.configure(tuning=Tuning())
    assert asked(talk.say("When?", confidence=0.6)) == ["When?"]


@pytest.mark.parametrize(
    "tuning",
    [
        {"wait_min_ms": -1},
        {"wait_max_ms": 60_001},
        {"merge_seconds": 0},
        {"min_confidence": 1.5},
        {"query_scope": "everything"},
        {"wait_max_ms": "soon"},
        "fast",
    ],
)
def test_what_is_out_of_bounds_is_ignored(tuning: Any) -> None:
    message, found = read(json.dumps({"type": "configure", "answer_style": "short", "tuning": tuning}))
    assert found == {"tuning": "ignored"}
    assert isinstance(message, Configure)
    assert (message.answer_style, message.tuning) == ("short", None)


def test_a_longest_wait_below_the_shortest_is_ignored_and_the_former_tuning_stays() -> None:
    talk = tuned(min_confidence=0.7)
    # Alone it is sound; beside the setting WAIT_MIN_MS (250) it is not.
    assert details(talk.configure(tuning=Tuning(wait_max_ms=100), answer_style="short")) == {"tuning": "ignored"}
    assert reasons(talk.say("Why?", confidence=0.6)) == ["low_confidence"]
    assert details(talk.configure(tuning=Tuning(wait_min_ms=0, wait_max_ms=100))) is None
