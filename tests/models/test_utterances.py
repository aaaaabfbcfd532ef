"""Which words are one utterance, as recognisers repeat, correct, cut and restart, and two channels hear one voice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.answers import AnswerEnd
from app.models.effects import LogBug
from app.models.likeness import copies, corrects, plain
from app.services.question_detector import judge
from tests.models.judges import judge_by_words
from tests.models.talking import Talk, asked, reasons, statuses

WARRANTY = "how long is the warranty of the red pump"


# One id, one utterance


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ("so what is RAG, then", "so what is rack then", True),
        ("are there 21 pumps", "are there twenty one pumps", True),
        ("are there twenty one pumps", "are there 21 pumps", True),
        ("有21台吗", "有二十一台吗", True),
        ("what does the pump cost", "what does the the pump cost", True),  # one word less
        ("这个红色的泵多少钱", "这个红色的棒多少钱", True),
        ("what does it cost", "what does he cost", False),  # one of four
        ("what does the red pump cost", "what does the pump cost", False),  # more
        ("are the pumps not for sale here", "are the pumps now for sale here", False),  # the opposite
        ("who was here in 2020 and why", "who was here in 2019 and why", False),
        ("a b c d e f g h i j", "a x c d e f g y i j", True),  # two of ten
        ("a b c d e f g h i j", "a x c d z f g y i j", False),
        ("", "", True),
    ],
)
def test_what_a_correction_is(new: str, old: str, expected: bool) -> None:
    assert corrects(plain(new), plain(old)) is expected


@given(st.text(), st.text())
def test_likeness_takes_any_text(one: str, other: str) -> None:
    one, other = plain(one), plain(other)
    assert corrects(one, one)
    assert copies(one, other) is copies(other, one)


@pytest.mark.parametrize("begun", [False, True], ids=["before its first text", "after it"])
def test_a_correction_under_its_id_is_asked_in_its_place_or_is_nothing_new(begun: bool) -> None:
    talk = Talk(judge)
    talk.say("how long is the warranty of the red bump", segment_id=1)
    if begun:
        talk.answers()
    told = reasons(talk.say(WARRANTY, segment_id=1))
    assert told[0] == ("duplicate" if begun else "question_extended")
    assert talk.asked[1:] == ([] if begun else [WARRANTY])


@pytest.mark.parametrize("more", [WARRANTY, "how long is the warranty"], ids=["words", "the last word"])
@pytest.mark.parametrize("begun", [False, True], ids=["before its first text", "after it"])
def test_more_under_the_same_id_is_one_question_or_one_of_its_own(more: str, begun: bool) -> None:
    talk = Talk(judge_by_words("how long is the war", "how long is the warranty", WARRANTY))
    talk.say("how long is the war", segment_id=1)
    if begun:
        talk.answers()
    talk.later(0.7)
    assert reasons(talk.say(more, segment_id=1))[0] == ("answer_in_progress" if begun else "question_extended")
    assert begun or talk.asked[1:] == [more]


def test_other_words_under_the_same_id_are_judged_anew() -> None:
    talk = Talk(judge)
    talk.say("how long is the war", segment_id=1)
    talk.answers()
    assert reasons(talk.say("how many pumps are there", segment_id=1)) == ["answer_in_progress"]
    assert reasons(talk.say("the meeting begins at nine", segment_id=1)) == ["not_a_question"]


def test_an_id_outweighs_the_speaker_who_was_guessed_first() -> None:
    talk = Talk(judge)
    talk.begin("how long is the warranty of the red bump", segment_id=1, speaker="1")
    talk.say(WARRANTY, segment_id=1, speaker="2")
    assert reasons(talk.say(WARRANTY, segment_id=1, speaker="1")) == ["duplicate"]
    talk.later(60)
    assert talk.asked == [WARRANTY]


# A partial without a final


@pytest.mark.parametrize("fields", [{}, {"segment_id": 7}], ids=["without id", "with id"])
def test_what_flickers_behind_a_question_does_not_keep_it_waiting(fields: dict[str, Any]) -> None:
    """As noise keeps a recogniser's utterance open: it is asked once, and no later than it would be in silence."""
    talk = Talk(judge)
    question = "what should I do when the connection is lost"
    talk.begin(question, **fields)
    for ending in ["if", "thigh", "if", "", "thigh", "if", "the", "if"] * 3:
        talk.later(0.5)
        talk.begin(f"{question} {ending}".strip(), **fields)
    assert len(talk.asked) == 1
    assert talk.asked[0].startswith(question)
    assert talk.session.query is not None
    assert talk.session.query.asked_at == pytest.approx(4.0)


def test_a_partial_that_grows_slowly_is_not_taken_for_all_that_is_said() -> None:
    talk = Talk(judge)
    words = WARRANTY.split(" ")
    for size in range(3, len(words) + 1):
        talk.begin(" ".join(words[:size]))
        assert talk.asked == []
        talk.later(1.9)
    talk.later(4)
    assert talk.asked == [WARRANTY]


def test_a_final_with_a_promoted_partials_words_is_the_same_at_any_time() -> None:
    talk = Talk(judge)
    talk.begin(WARRANTY)
    talk.later(300)
    talk.answers()
    assert reasons(talk.say("How long is the warranty of the red bump?")) == ["duplicate"]
    assert len(talk.asked) == 1


def test_a_partial_is_not_lost_when_its_recogniser_begins_anew() -> None:
    talk = Talk(judge)
    talk.begin(WARRANTY, segment_id="a1")
    talk.later(0.5)
    effects = talk.begin("and", segment_id="b1")
    assert asked(effects) == [WARRANTY]
    assert reasons(effects)[0] == "stale_partial"
    assert reasons(talk.say(WARRANTY, segment_id="a1")) == ["duplicate"]


def test_a_partial_that_goes_on_under_another_id_is_one() -> None:
    talk = Talk(judge)
    talk.begin("how long is the", segment_id="a1")
    assert talk.begin(WARRANTY, segment_id="b1")[1:] == []
    talk.say(WARRANTY, segment_id="b1")
    talk.later(60)
    assert talk.asked == [WARRANTY]


@pytest.mark.parametrize("fields", [{}, {"segment_id": 1}], ids=["without id", "with id"])
@pytest.mark.parametrize(
    "empty",
    [{"is_final": False}, {"is_final": True}, {"is_final": True, "end_of_turn": True}],
    ids=["partial", "final", "flush"],
)
def test_an_empty_result_takes_a_partial_back(empty: dict[str, Any], fields: dict[str, Any]) -> None:
    talk = Talk(judge)
    talk.begin(WARRANTY, segment_id=1)
    talk.hear("", **empty, **fields)
    assert talk.later(60) == []


def test_an_empty_result_of_another_segment_takes_nothing_back() -> None:
    talk = Talk(judge)
    talk.begin(WARRANTY, segment_id=1)
    talk.begin("", segment_id=2)
    talk.later(4)
    assert talk.asked == [WARRANTY]


def test_what_the_recogniser_was_not_sure_of_joins_no_question() -> None:
    talk = Talk(judge, min_confidence=0.4, query_scope="aggregated")
    talk.say("hell do i shard the key", confidence=0.2)
    assert asked(talk.say("and where do i put the key")) == ["and where do i put the key"]


# One voice on two channels


@pytest.mark.parametrize("gap", [0.04, 1.2])
@pytest.mark.parametrize("copy", [WARRANTY, "how long is the warranty of the red bump", "how long is the warranty"])
@pytest.mark.parametrize("mode", ["queue", "interrupt"])
def test_a_question_that_two_channels_hear_is_asked_once(copy: str, gap: float, mode: str) -> None:
    talk = Talk(judge, on_new_question=mode)
    talk.say(WARRANTY, speaker="others")
    talk.answers()
    talk.later(gap)
    assert reasons(talk.say(copy, speaker="me")) == ["echo"]
    talk.control("cancel")
    assert talk.asked == [WARRANTY]


def test_the_more_complete_of_two_copies_is_asked() -> None:
    talk = Talk(judge)
    talk.say("how long is the warranty", speaker="others")
    talk.later(0.04)
    assert reasons(talk.say(WARRANTY, speaker="me"))[0] == "question_extended"
    assert talk.asked == ["how long is the warranty", WARRANTY]

    waiting = Talk(judge)
    waiting.say("how long is the warranty of the", speaker="others")
    waiting.say(WARRANTY, speaker="me")
    waiting.later(60)
    assert waiting.asked == [WARRANTY]


def test_a_late_copy_of_a_partial_without_a_final_is_an_echo() -> None:
    talk = Talk(judge)
    talk.begin(WARRANTY, speaker="me")
    talk.later(0.5)
    talk.say(WARRANTY, speaker="others")
    talk.later(60)
    assert talk.asked == [WARRANTY]


LESS = "how long is the warranty"


def fails(talk: Talk) -> bool:
    return any(isinstance(effect, LogBug) for effect in talk.effects)


@pytest.mark.parametrize("mode", [True, "suggest"])
def test_two_copies_without_finals_are_one_question(mode: bool | str) -> None:
    talk = Talk(judge)
    talk.configure(auto_detect=mode)
    talk.begin(LESS, speaker="others")
    talk.begin(WARRANTY, speaker="me")
    talk.now = 60  # late: both are looked at together
    talk.effects += talk.session.tick(talk.now)
    assert not fails(talk)
    assert [
        status.question for status in statuses(talk.effects) if status.stage in {"analyzing", "waiting_for_question"}
    ] == [WARRANTY]


def test_of_two_copies_that_wait_for_their_turn_the_more_complete_one_is_asked() -> None:
    talk = Talk(judge)
    talk.say("where is the manual of the blue valve", speaker="guest")
    talk.answers()
    assert reasons(talk.say(LESS, speaker="others")) == ["answer_in_progress"]
    assert reasons(talk.say(WARRANTY, speaker="me")) == ["answer_in_progress"]
    assert talk.session.query is not None
    talk.effects += talk.session.answer_event(talk.session.query.query_id, AnswerEnd(), talk.now)
    assert talk.asked[1:] == [WARRANTY]
    assert not fails(talk)


def test_a_suggestion_that_was_heard_better_is_none_any_more() -> None:
    talk = Talk(judge)
    talk.configure(auto_detect="suggest")
    (first,) = statuses(talk.say(LESS, speaker="others"))
    (second,) = statuses(talk.say(WARRANTY, speaker="me"))
    for suggestion in (first, second):
        talk.control("instant_query", query_id=suggestion.query_id)
    assert talk.asked == [WARRANTY]
    assert not fails(talk)


@pytest.mark.parametrize(
    ("first", "second", "gap"),
    [
        ("how much is it", "how much was he", 0.1),  # others
        ("really why so", "really why so", 0.1),  # short
        ("are the pumps for sale in spring", "are the pumps not for sale in spring", 0.1),
        (WARRANTY, WARRANTY, 4.0),
    ],
    ids=["other words", "short", "the opposite", "later"],
)
def test_who_asks_what_another_has_asked_is_asked(first: str, second: str, gap: float) -> None:
    talk = Talk(judge_by_words(first, second))
    talk.say(first, speaker="others")
    talk.answers()
    talk.later(gap)
    assert reasons(talk.say(second, speaker="me")) == ["answer_in_progress"]


def test_a_copy_of_somebody_who_does_not_count_is_none() -> None:
    talk = Talk(judge)
    talk.configure(speakers=["me"])
    talk.say(WARRANTY, speaker="others")
    assert asked(talk.say(WARRANTY, speaker="me")) == [WARRANTY]


@pytest.mark.parametrize("ended", [0, 9, 11], ids=["while it runs", "soon after", "later"])
@pytest.mark.parametrize("named", [False, True], ids=["anybody", "a speaker that counts"])
def test_the_answer_heard_back_is_no_question(ended: int, named: bool) -> None:
    talk = Talk(judge)
    if named:
        talk.configure(speakers=["me"])
    talk.say(WARRANTY, speaker="me")
    talk.answers("It has two years. How long is the warranty of yours? Look at the bill.")
    if ended:
        talk.control("cancel")
        talk.later(ended)
    told = reasons(talk.say("how long is the warranty of yours", speaker="me"))
    is_asked = named or ended > 10
    assert (told == ["echo"]) is not is_asked
    assert len(talk.asked) == 1 + (is_asked and ended > 0)
