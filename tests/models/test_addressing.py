"""Whom a question is for: names in front of it, and sessions where only what is addressed, or chosen, is asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.codes import ErrorCode
from app.models.addressing import call_of, is_named
from app.models.effects import Send
from app.models.messages import Error
from app.services.question_detector import judge
from tests.models.talking import Talk, asked, reasons, statuses

NAMES = ["Dora", "小问", "Mr Robot", "Bo"]


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("Dora, what does it cost", "what does it cost"),
        ("dora what does it cost", "what does it cost"),
        ("okay hey DORA: what does it cost", "what does it cost"),
        ("小问多少钱", "多少钱"),
        ("嘿小问，多少钱", "多少钱"),
        ("mr robot what now", "what now"),
        ("hey dorah what does it cost", "what does it cost"),  # one letter more, behind a greeting
        ("dara, what does it cost", "what does it cost"),  # another one, before a pause
        ("ora, what does it cost", "what does it cost"),  # one less
        ("dara what does it cost", "dara what does it cost"),  # neither
        ("olá dorah quanto custa", "quanto custa"),
        ("привет, Dora, сколько стоит", "сколько стоит"),
        ("merhaba dora, ne kadar", "ne kadar"),
        ("يا dora، كم السعر", "كم السعر"),
        ("hey to what does it cost", "hey to what does it cost"),  # too short a name for that
        ("doramat what does it cost", "doramat what does it cost"),
        ("what does dora cost", "what does dora cost"),
        ("hey dora", "hey dora"),  # nothing but the call
        ("", ""),
    ],
)
def test_a_call_in_front_is_no_part_of_what_is_asked(text: str, rest: str) -> None:
    assert text[call_of(text, NAMES) :] == rest


@given(st.text(), st.lists(st.text(min_size=1)))
def test_any_text_and_any_names_will_do(text: str, names: list[str]) -> None:
    assert 0 <= call_of(text, names) <= len(text)
    assert call_of(text, []) == 0
    assert is_named(text, []) is False


def named(**fields: Any) -> Talk:
    talk = Talk(judge, query_scope="question")
    talk.configure(**{"names": NAMES, "address": "named", **fields})
    return talk


@pytest.mark.parametrize(
    "text", ["dora where is the office", "where is the office, dora", "hey dora is the office open", "小问办公室在哪里"]
)
def test_a_question_that_names_the_assistant_is_asked(text: str) -> None:
    talk = named()
    assert asked(talk.say("how are the children, ben?")) == []
    assert reasons(talk.effects)[-1] == "not_addressed"
    assert len(asked(talk.say(text))) == 1


def test_the_name_in_front_is_not_asked() -> None:
    talk = Talk(judge)
    talk.configure(names=NAMES)
    talk.say("Dora, where is the office?")
    assert talk.session.query is not None
    assert talk.session.query.question == "where is the office?"


@pytest.mark.parametrize(
    ("speaker", "seconds", "is_asked"), [("anna", 14, True), ("anna", 16, False), ("ben", 1, False)]
)
def test_who_was_answered_may_go_on_without_the_name(speaker: str, seconds: float, is_asked: bool) -> None:
    talk = named()
    talk.say("dora where is the office", speaker="anna")
    talk.control("cancel")
    talk.later(seconds)
    assert bool(asked(talk.say("how do I get there", speaker=speaker))) is is_asked


def test_the_names_of_the_settings_hold_until_others_are_told() -> None:
    talk = Talk(judge, names="Dora, Theodora")
    talk.configure(address="named")
    assert asked(talk.say("theodora where is the office"))
    talk.control("reset")
    talk.configure(names=["Max"])
    assert reasons(talk.say("theodora where is the office")) == ["not_addressed"]


def test_nobody_is_guessed_at_who_did_not_call() -> None:
    talk = Talk(judge, speculate=True, is_stateless=True)
    talk.configure(names=NAMES, address="named")
    talk.begin("where is the office?", end_of_turn=True)
    talk.later(1)
    assert talk.asked == []


@pytest.mark.parametrize("by", ["configure", "settings"])
def test_a_question_below_the_bound_does_not_ask_by_itself(by: str) -> None:
    talk = Talk(ask_above=0.5) if by == "settings" else Talk()
    if by == "configure":
        talk.configure(ask_above=0.5)
    assert reasons(talk.say("RAG (?)")) == ["not_sure"]
    assert talk.later(60) == []
    assert asked(talk.say("RAG?"))[-1].endswith("RAG?")


def test_a_suggested_question_is_asked_when_it_is_chosen() -> None:
    talk = Talk(judge)
    talk.configure(auto_detect="suggest")
    talk.say("The pump is red.")
    (shown,) = statuses(talk.say("what does it cost"))
    talk.say("who made it")
    assert talk.asked == []
    assert (shown.reason, shown.question) == ("suggested", "The pump is red. what does it cost")
    effects = talk.control("instant_query", query_id=shown.query_id)
    assert [status.stage for status in statuses(effects)] == ["instant_query", "querying_rag"]
    assert {status.query_id for status in statuses(effects)} == {shown.query_id}
    assert asked(effects) == ["The pump is red. what does it cost"]
    again = talk.control("instant_query", query_id=shown.query_id)
    assert [e.frame.code for e in again if isinstance(e, Send) and isinstance(e.frame, Error)] == [
        ErrorCode.NO_FINAL_ASR
    ]
    assert talk.session.query is not None  # who asks for nothing disturbs nothing


def test_only_the_newest_suggestions_are_known() -> None:
    talk = Talk(judge, queued_questions=2)
    talk.configure(auto_detect="suggest")
    shown = [statuses(talk.say(f"what does pump {number} cost"))[0].query_id for number in "abc"]
    assert asked(talk.control("instant_query", query_id=shown[0])) == []
    assert asked(talk.control("instant_query", query_id=shown[1]))


def test_a_suggestion_that_was_asked_with_another_is_gone() -> None:
    talk = Talk(judge, query_scope="aggregated")
    talk.configure(auto_detect="suggest")
    first = statuses(talk.say("what does it cost"))[0].query_id
    second = statuses(talk.say("who made it"))[0].query_id
    assert asked(talk.control("instant_query", query_id=second)) == ["what does it cost who made it"]
    assert asked(talk.control("instant_query", query_id=first)) == []
