"""The moment of asking, and one utterance for one question: plain calls with times, in seconds."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.codes import CloseCode
from app.errors import RagTimeout
from app.models.answers import AnswerEnd, ConversationNamed, Question, TextDelta
from app.models.effects import CancelQuery, Effect, LogBug, Send, StartQuery
from app.models.lifetime import Ending
from app.models.likeness import extends, plain
from app.models.messages import Error
from app.models.speculation import MAX_HELD_CHARS
from app.models.transcript import MAX_SPEAKERS, REMEMBERED_CHARS
from app.models.verdicts import Verdict
from app.services.question_detector import judge
from tests.models.judges import judge_by_signs, judge_by_words
from tests.models.talking import Talk, asked, reasons, statuses

# The moment


def test_a_complete_question_is_asked_at_once_and_says_why() -> None:
    talk = Talk()
    analyzing, _ = statuses(talk.say("RAG?"))
    assert analyzing.verdict is not None
    assert (analyzing.verdict.is_question, analyzing.verdict.wait_ms) == (True, 0)
    assert talk.asked == ["RAG?"]


def test_a_statement_says_why_it_is_none() -> None:
    (waiting,) = statuses(Talk().say("RAG.", language="de"))
    assert waiting.verdict is not None
    assert (waiting.verdict.is_question, waiting.verdict.reason, waiting.verdict.language) == (False, "statement", "de")


@pytest.mark.parametrize(
    ("text", "wait_ms"), [("what is the? ...", 1200), ("RAG (?)", 725)], ids=["not complete", "not sure"]
)
def test_a_question_that_may_go_on_is_waited_for(text: str, wait_ms: int) -> None:
    talk = Talk()
    (waiting,) = statuses(talk.say(text))
    assert waiting.reason == "may_continue"
    assert waiting.verdict is not None
    assert waiting.verdict.wait_ms == wait_ms
    assert asked(talk.later(wait_ms / 1000 - 0.01)) == []
    effects = talk.later(0.01)
    assert asked(effects) == [text]
    verdict = statuses(effects)[0].verdict
    assert verdict is not None
    assert verdict.wait_ms == wait_ms
    assert talk.session.query is not None
    assert talk.session.query.timing(talk.now).wait_ms == wait_ms


def test_the_end_of_the_turn_asks_at_once() -> None:
    talk = Talk()
    talk.say("RAG (?)", end_of_turn=True)
    assert talk.asked == ["RAG (?)"]


def test_an_end_that_leaves_it_open_waits_whatever_is_said_of_the_turn() -> None:
    talk = Talk()
    talk.say("what is the? ...", end_of_turn=True)
    assert talk.asked == []
    talk.say("price", end_of_turn=True)
    assert talk.asked == ["what is the? ... price"]


@pytest.mark.parametrize("finals", [["It is red.", "It leaks!", "Yes."], ["好的。", "可以。", "what", "是的！", "and"]])
def test_where_finals_have_marks_a_question_without_one_is_not_finished(finals: list[str]) -> None:
    talk = Talk(judge_by_words("what does it cost", "what does it cost in winter?", "What does it weigh?"))
    for text in finals:
        talk.say(text)
    assert reasons(talk.say("what does it cost")) == ["may_continue"]
    assert asked(talk.say("in winter?"))[-1].endswith("what does it cost in winter?")
    talk.control("cancel")
    assert asked(talk.say("What does it weigh?"))
    talk.control("cancel")
    talk.later(3)
    talk.say("what does it cost", end_of_turn=True)
    assert talk.asked[-1].endswith("what does it cost")


def test_where_finals_have_no_marks_nothing_is_waited_for() -> None:
    talk = Talk(judge_by_words("what does it cost"))
    for text in ["It is red.", "it leaks", "Yes.", "so", "well"]:
        talk.say(text)
    assert asked(talk.say("what does it cost"))


def test_an_empty_end_of_turn_ends_the_wait() -> None:
    talk = Talk()
    talk.say("what is the? ...")
    assert asked(talk.say("", end_of_turn=True)) == ["what is the? ..."]
    assert talk.say("", end_of_turn=True)[1:] == []
    assert asked(talk.later(10)) == []


def test_a_partial_of_that_speaker_stretches_the_wait() -> None:
    talk = Talk()
    talk.say("what is the? ...", speaker="anna")
    for number in range(5):
        talk.later(1.0)
        talk.begin("price" + " of the" * number, speaker="anna")
        talk.begin("hello", speaker="ben")
    assert talk.asked == []
    talk.later(1.1)
    assert talk.asked == []
    talk.later(0.2)
    assert talk.asked == ["what is the? ..."]


def test_a_final_completes_what_was_waited_for() -> None:
    talk = Talk()
    talk.say("what is the? ...")
    assert asked(talk.say("price")) == ["what is the? ... price"]


def test_another_sentence_ends_the_wait() -> None:
    def judge(text: str, language: str | None) -> Verdict:
        return replace(judge_by_signs(text), is_question=text == "what is the? ...")

    talk = Talk(judge)
    talk.say("what is the? ...")
    talk.later(0.5)
    effects = talk.say("Never mind.")
    assert asked(effects) == ["what is the? ..."]
    verdict = statuses(effects)[0].verdict
    assert verdict is not None
    assert verdict.wait_ms == 500


def test_a_final_that_leaves_it_open_is_waited_for_again() -> None:
    talk = Talk()
    talk.say("what is the? ...")
    talk.later(1)
    assert reasons(talk.say("price of the ...")) == ["may_continue"]
    talk.later(1)
    assert talk.asked == []
    talk.later(0.2)
    assert talk.asked == ["what is the? ... price of the ..."]


def test_the_text_of_a_wait_that_was_given_up_stays_in_the_talk() -> None:
    talk = Talk()
    talk.say("what is the? ...")
    talk.control("cancel")
    assert asked(talk.later(5)) == []
    assert asked(talk.say("price?")) == ["what is the? ... price?"]


def test_a_wait_that_ends_while_paused_is_asked_on_resume() -> None:
    talk = Talk()
    talk.say("what is the? ...")
    talk.control("pause")
    assert [(status.stage, status.question) for status in statuses(talk.later(5))] == [("paused", "what is the? ...")]
    assert asked(talk.control("resume")) == ["what is the? ..."]


def test_a_wait_that_ends_during_an_answer_follows_the_mode() -> None:
    talk = Talk()
    talk.say("RAG?")
    talk.answers()
    talk.later(3)
    talk.say("what is the? ...")
    assert reasons(talk.later(2)) == ["answer_in_progress"]


# A question that went on after it was asked


def test_words_that_go_on_with_a_question_before_its_first_text_make_it_one() -> None:
    talk = Talk()
    talk.say("what is the price?")
    talk.later(1)
    effects = talk.say("of the red one")
    assert [status.stage for status in statuses(effects)] == ["interrupting", "analyzing", "querying_rag"]
    assert reasons(effects)[0] == "question_extended"
    assert any(isinstance(effect, CancelQuery) for effect in effects)
    assert talk.asked[-1] == "what is the price? of the red one"


@pytest.mark.parametrize("text", ["thank you", "of the red one"], ids=["another sentence", "too late"])
def test_other_words_leave_the_running_question_alone(text: str) -> None:
    talk = Talk()
    talk.say("what is the price?")
    talk.later(3 if text.startswith("of") else 1)
    assert reasons(talk.say(text)) == ["not_a_question"]
    assert talk.asked == ["what is the price?"]


def test_another_speaker_does_not_extend_a_question() -> None:
    talk = Talk()
    talk.say("what is the price?", speaker="anna")
    assert reasons(talk.say("of the red one", speaker="ben")) == ["not_a_question"]


def test_words_behind_another_question_do_not_extend_the_running_one() -> None:
    talk = Talk()
    talk.say("what is the price?")
    talk.say("where is it?")
    assert reasons(talk.say("of the red one")) == ["not_a_question"]


def test_a_question_that_waited_is_extended_whole() -> None:
    talk = Talk()
    talk.say("RAG?", speaker="anna")
    talk.say("Why?", speaker="ben")
    talk.say("Where is it?", speaker="anna")
    assert asked(end_of_answer(talk)) == ["Why?"]
    assert asked(end_of_answer(talk)) == ["Where is it?"]
    assert asked(talk.say("of the old one", speaker="anna")) == ["Where is it? of the old one"]


def test_after_the_first_text_a_longer_final_is_a_new_question() -> None:
    talk = Talk()
    talk.say("how do I?")
    talk.answers()
    effects = talk.say("how do I reset it?")
    assert reasons(effects) == ["answer_in_progress"]


# One utterance, one question


@pytest.mark.parametrize(
    "again", ["What is RAG?", "what is rag?", "What is RAG", " what, is RAG ?"], ids=["equal", "case", "mark", "signs"]
)
def test_the_same_words_again_are_no_second_question(again: str) -> None:
    talk = Talk(judge_by_words("What is RAG?", "what is rag?", "What is RAG", "what, is RAG ?"))
    talk.say("What is RAG?")
    talk.later(1.9)
    assert reasons(talk.say(again)) == ["duplicate"]
    assert len(talk.asked) == 1


def test_the_same_words_later_are_a_new_question() -> None:
    talk = Talk()
    talk.say("What is RAG?")
    talk.answers()
    talk.later(2.1)
    assert reasons(talk.say("What is RAG?")) == ["answer_in_progress"]


def test_a_final_that_grows_is_one_segment() -> None:
    talk = Talk(judge_by_words("how do I reset it"))
    for text in ["how", "how do", "how do I", "how do I reset it"]:
        talk.say(text)
        talk.later(0.3)
    assert talk.asked == ["how do I reset it"]


def test_a_question_that_grows_after_it_was_asked_is_asked_again_whole() -> None:
    talk = Talk(judge_by_words("how do I", "how do I reset it"))
    talk.say("First.")
    talk.say("how do I")
    talk.later(0.7)
    assert reasons(talk.say("how do I reset it"))[0] == "question_extended"
    assert talk.asked == ["First. how do I", "First. how do I reset it"]


@pytest.mark.parametrize("segment_id", [1, None])
def test_a_final_that_grows_and_grows_is_taken_back_and_asked_when_it_stands_still(segment_id: int | None) -> None:
    words = ["who was there", "on", "that", "monday", "morning"]
    talk = Talk(judge)
    for count in range(1, len(words) + 1):
        talk.say(" ".join(words[:count]), segment_id=segment_id)
        talk.later(0.4)
    assert talk.asked == ["who was there"]
    assert reasons(talk.effects).count("question_extended") == 1
    assert asked(talk.later(0.2)) == [" ".join(words)]


def test_who_takes_no_more_questions_takes_none_back() -> None:
    talk = Talk(judge)
    talk.say("who was there", segment_id=1)
    talk.session.wind_down(Ending("draining", CloseCode.RESTART, 60.0), talk.now)
    effects = talk.say("who was there on monday", segment_id=1)
    assert not [effect for effect in effects if isinstance(effect, CancelQuery)]
    (error,) = [effect.frame for effect in effects if isinstance(effect, Send) and isinstance(effect.frame, Error)]
    assert error.code == "DRAINING"


def test_a_final_that_grows_up_to_the_end_of_the_turn_is_asked_at_its_end() -> None:
    talk = Talk(judge)
    talk.say("who will be there", segment_id=1)
    talk.say("who will be there on", segment_id=1)
    assert asked(talk.say("who will be there on monday", segment_id=1, end_of_turn=True)) == [
        "who will be there on monday"
    ]
    assert asked(talk.say("who will be there on monday morning", segment_id=1, end_of_turn=True))


def test_a_repetition_with_a_question_mark_ends_the_wait() -> None:
    talk = Talk()
    talk.say("what is the? ...", segment_id=1)
    assert asked(talk.say("What is the?", segment_id=1)) == ["What is the?"]


def test_a_repetition_at_the_end_of_the_turn_ends_the_wait() -> None:
    talk = Talk()
    talk.say("what is the? ...")
    assert asked(talk.say("what is the? ...", end_of_turn=True)) == ["what is the? ..."]


def test_different_ids_are_different_segments_though_the_words_are_equal() -> None:
    talk = Talk()
    talk.say("yes", segment_id=1)
    talk.say("yes", segment_id=2)
    assert asked(talk.say("RAG?")) == ["yes yes RAG?"]


def test_an_asked_segment_that_comes_corrected_is_no_second_question() -> None:
    talk = Talk()
    talk.say("so what is a rack? today", segment_id="t1")
    talk.answers()
    assert reasons(talk.say("So what is a RAG? Today", segment_id="t1")) == ["duplicate"]
    talk.later(60)
    assert reasons(talk.say("So what is a rag? today.", segment_id="t1")) == ["duplicate"]


def test_a_window_of_finals_that_is_sent_again_and_again_asks_once() -> None:
    talk = Talk()
    window = ["We have a pump.", "It is red.", "What does it cost?", "It leaks."]
    for _ in range(20):
        for text in window:
            talk.say(text)
        talk.later(1)
    assert talk.asked == ["We have a pump. It is red. What does it cost?"]


def test_what_is_remembered_of_asked_segments_is_bounded_in_characters() -> None:
    talk = Talk()
    fitting = REMEMBERED_CHARS // 4_000
    for number in range(fitting + 1):
        talk.say(f"{number} " + "x" * 3_997 + "?", segment_id=number)
        talk.control("cancel")
    long = "x" * 3_997 + "?"
    assert reasons(talk.say(f"{fitting} {long}", segment_id=fitting)) == ["duplicate"]
    assert asked(talk.say(f"0 {long}", segment_id=0)) == [f"0 {long}"]


@pytest.mark.parametrize(
    ("longer", "shorter", "expected"),
    [
        ("how do", "how", True),
        ("however", "how", False),
        ("how", "how", False),
        ("怎么配置密钥", "怎么配置", True),
        ("now how", "how", False),
    ],
)
def test_a_text_extends_another_by_whole_words(longer: str, shorter: str, expected: bool) -> None:
    assert extends(plain(longer), plain(shorter)) is expected


# Partials that no final follows


def test_a_partial_that_stands_alone_is_taken_as_final() -> None:
    talk = Talk()
    talk.begin("what")
    talk.begin("what is RAG?")
    assert asked(talk.later(3.9)) == []
    effects = talk.later(0.1)
    assert asked(effects) == ["what is RAG?"]
    assert reasons(effects)[0] == "stale_partial"
    assert reasons(talk.say("What is RAG?")) == ["duplicate"]


def test_its_late_final_is_known_however_late_it_comes() -> None:
    talk = Talk()
    talk.begin("what is RAG?")
    talk.later(30)
    assert reasons(talk.say("What is RAG?")) == ["duplicate"]
    assert talk.asked == ["what is RAG?"]


def test_a_stale_statement_is_kept_in_the_talk() -> None:
    talk = Talk()
    talk.begin("We have a pump")
    assert reasons(talk.later(4)) == ["stale_partial"]
    assert asked(talk.say("what is its price?")) == ["We have a pump what is its price?"]


def test_a_final_or_silence_takes_the_partial_away() -> None:
    talk = Talk()
    talk.begin("what is")
    talk.say("It is.")
    talk.begin("so")
    talk.begin("")
    talk.begin("and")
    talk.control("pause")
    assert talk.later(60) == []


def test_a_bug_found_by_time_is_told_and_leaves_no_gap() -> None:
    def broken(text: str, language: str | None) -> Verdict:
        raise ZeroDivisionError

    talk = Talk(broken)
    talk.begin("what is RAG?")
    bug, error = talk.later(4)
    assert isinstance(bug, LogBug)
    assert isinstance(error, Send)
    assert (error.frame.type, error.frame.seq) == ("error", 4)
    assert talk.later(60) == []


def test_a_final_takes_its_partial_away_though_it_came_under_another_name() -> None:
    talk = Talk()
    talk.begin("what is RAG?", speaker="unknown")
    talk.say("What is RAG?", speaker="guest")
    assert talk.later(60) == []


def test_a_partial_that_comes_after_its_final_asks_nothing() -> None:
    talk = Talk()
    talk.say("what is RAG?")
    talk.later(0.1)
    talk.begin("what is RAG?")
    talk.later(60)
    assert talk.asked == ["what is RAG?"]


@pytest.mark.parametrize(
    ("final", "late"),
    [
        ("请问保修期是多久？", "是多久"),
        ("返品はできますか?", "できますか"),
        ("How long is the warranty?", "the warranty"),
        ("How long is the warranty?", "how long"),
        ("How long is the warranty?", "is the"),
    ],
)
@pytest.mark.parametrize("fields", [{}, {"segment_id": "2"}, {"end_of_turn": True}, {"speaker": "anna"}], ids=str)
@pytest.mark.parametrize("speculate", [False, True], ids=["plain", "speculating"])
def test_a_late_partial_of_what_was_just_heard_is_nothing_new(
    final: str, late: str, fields: dict[str, Any], speculate: bool
) -> None:
    talk = Talk(judge_by_words(final, late), speculate=speculate)
    talk.say(final, segment_id="1")
    for _ in range(5):
        talk.later(1)
        assert talk.begin(late, **fields)[1:] == []
    assert talk.later(60) == []
    assert talk.asked == [final]


def test_a_partial_is_new_when_it_says_more_or_comes_later_or_from_somebody_else() -> None:
    talk = Talk()
    talk.say("How long is the warranty?", speaker="anna")
    talk.begin("the warrant?", speaker="anna")  # no whole word of it
    talk.begin("the warranty?", speaker="ben")
    talk.later(5)
    talk.begin("the warranty?", speaker="anna")
    talk.later(60)
    assert [status.question for status in statuses(talk.effects) if status.reason == "answer_in_progress"] == [
        "the warrant?",
        "the warranty?",
        "the warranty?",
    ]


def test_the_same_words_later_are_a_new_question_though_their_partials_came_sooner() -> None:
    talk = Talk()
    talk.say("What is RAG?")
    talk.control("cancel")
    for text in ("what", "what is"):
        talk.later(1)
        talk.begin(text)
    talk.later(1)
    talk.say("What is RAG?")
    assert talk.asked == ["What is RAG?", "What is RAG?"]


def test_a_partial_that_is_sent_again_and_again_is_asked_once() -> None:
    talk = Talk()
    for _ in range(20):
        talk.begin("what is RAG?")
        talk.later(1)
    talk.answers()
    talk.later(60)
    assert talk.asked == ["what is RAG?"]


def test_an_empty_final_takes_the_partial_away() -> None:
    talk = Talk()
    talk.begin("what is RAG?")
    talk.say("")
    assert talk.later(60) == []


def test_the_same_partial_later_is_a_new_question() -> None:
    talk = Talk()
    for _ in range(2):
        talk.begin("what is RAG?")
        talk.later(600)
        talk.control("cancel")
    assert talk.asked == ["what is RAG?"] * 2


def test_a_final_that_began_in_time_goes_on_with_the_question() -> None:
    talk = Talk()
    talk.say("what is the price?")
    talk.later(1.5)
    talk.begin("of")
    talk.later(1.5)
    talk.say("of the red one")
    assert talk.asked[-1] == "what is the price? of the red one"


def test_whatever_follows_an_open_question_goes_on_with_it() -> None:
    talk = Talk()
    talk.say("what is the? ...")
    talk.later(1.3)
    talk.say("price")
    assert talk.asked == ["what is the? ...", "what is the? ... price"]


def test_a_waiting_question_that_is_corrected_into_a_statement_is_not_asked() -> None:
    talk = Talk()
    talk.say("what is the? ...", segment_id=1)
    assert reasons(talk.say("That is the pump.", segment_id=1)) == ["not_a_question"]
    assert talk.later(60) == []


def test_equal_ids_of_two_speakers_are_two_segments() -> None:
    talk = Talk()
    talk.say("RAG?", speaker="anna", segment_id=1)
    assert reasons(talk.say("Why?", speaker="ben", segment_id=1)) == ["answer_in_progress"]


def test_a_queued_question_outlasts_the_talk_after_it() -> None:
    talk = Talk(context_max_chars=60)
    talk.say("RAG?")
    talk.say("How do I reset it?")
    for number in range(9):
        talk.say(f"statement number {number}")
    talk.session.answer_event("c-1", AnswerEnd(incomplete=True), talk.now)
    assert talk.session.query is not None
    assert talk.session.query.question.startswith("How do I reset it?")


def test_a_question_to_be_ignored_leaves_the_queued_one_alone() -> None:
    talk = Talk()
    talk.say("RAG?")
    talk.say("How much is it?")
    talk.configure(on_new_question="ignore")
    talk.say("Where is it?")
    effects = talk.session.answer_event("c-1", AnswerEnd(incomplete=True), talk.now)
    assert asked(effects) == ["How much is it?"]


def test_switching_detection_off_ends_a_wait() -> None:
    talk = Talk()
    talk.say("what is the? ...")
    talk.configure(auto_detect=False)
    assert talk.later(60) == []


def test_a_wait_whose_words_were_dropped_asks_nothing() -> None:
    talk = Talk()
    talk.say("what is the? ...", speaker="first")
    for number in range(MAX_SPEAKERS):
        talk.say("talk", speaker=f"s{number}")
    assert asked(talk.later(60)) == []


def test_a_low_confidence_does_not_extend_a_question() -> None:
    talk = Talk()
    talk.say("how do I?")
    assert reasons(talk.say("how do I? reset it", confidence=0.1)) == ["low_confidence"]
    assert talk.asked == ["how do I?"]


# Speakers, confidence, push-to-talk


def test_speakers_are_kept_apart() -> None:
    talk = Talk(judge_by_words("where is it", "it?"))
    talk.say("where is", speaker="anna")
    talk.say("I see.", speaker="ben")
    assert asked(talk.say("it?", speaker="ben")) == ["I see. it?"]
    assert asked(talk.control("instant_query")) == ["it?"]


def test_only_the_questions_of_configured_speakers_count() -> None:
    talk = Talk()
    talk.configure(speakers=["guest"])
    assert reasons(talk.say("May I help?", speaker="clerk")) == ["other_speaker"]
    assert reasons(talk.say("May I?")) == ["other_speaker"]
    assert asked(talk.say("RAG?", speaker="guest")) == ["RAG?"]
    talk.control("cancel")
    talk.configure(speakers=[])
    assert asked(talk.say("May I now?", speaker="clerk")) == ["May I help? May I now?"]


def end_of_answer(talk: Talk) -> list[Effect]:
    assert talk.session.query is not None
    return talk.session.answer_event(talk.session.query.query_id, AnswerEnd(incomplete=True), talk.now)


def test_pending_questions_keep_apart_and_are_asked_in_the_order_they_were_said() -> None:
    talk = Talk()
    talk.say("RAG?", speaker="anna")
    talk.say("We have a pump.", speaker="ben")
    talk.say("Why?", speaker="ben")
    talk.say("It is red.", speaker="ben")
    talk.say("Where?", speaker="anna")
    talk.say("Or when?", speaker="ben")
    talk.control("resume")
    assert talk.asked == ["RAG?"]
    questions = [effect.question for _ in range(4) for effect in end_of_answer(talk) if isinstance(effect, StartQuery)]
    assert [(question.text, question.context) for question in questions] == [
        ("Why?", "We have a pump."),
        ("Where?", ""),
        ("Or when?", "It is red."),
    ]


def dropped(effects: list[Effect]) -> list[tuple[str, ...]]:
    return [status.dropped for status in statuses(effects) if status.dropped is not None]


def test_what_waits_is_shown_as_it_will_be_asked() -> None:
    talk = Talk(judge)
    talk.say("RAG?")
    questions = ["What does it cost?", "And where is it made?", "Who makes it?"]
    shown = [status.question for text in questions for status in statuses(talk.say(text))]
    # A question that follows another does not repeat it: that one is asked before.
    assert shown == questions
    assert [asked(end_of_answer(talk)) for _ in questions] == [[question] for question in questions]


def test_only_so_many_questions_wait_and_what_is_dropped_is_said() -> None:
    talk = Talk(queued_questions=2)
    for text in ("One?", "Two?", "Three?"):
        assert dropped(talk.say(text)) == []
    assert dropped(talk.say("Four?")) == [("Three?",)]
    assert asked(end_of_answer(talk)) == ["Two?"]
    # The text stays in the talk.
    assert asked(end_of_answer(talk)) == ["Three? Four?"]


@pytest.mark.parametrize(
    "text",
    [
        "and in winter",
        "and for children",
        "or by bus",
        "and the red one",
        "and if it rains",
        "same for dogs",
        "那上海",
        "如果下雨",
        "じゃあ冬",
        "und im winter",
        "et pour les enfants",
        "y con niños",
        "e in inverno",
    ],
)
def test_a_phrase_asks_right_after_an_answer_and_only_then(text: str) -> None:
    talk = Talk(judge)
    assert starts(talk.say(text)) == starts(talk.later(9)) == []
    talk.say("What is a lease?")
    end_of_answer(talk)
    talk.say(text)
    assert starts(talk.later(2)) == [(text, "")]
    end_of_answer(talk)
    talk.later(16)
    assert starts(talk.say(text)) == starts(talk.later(9)) == []


@pytest.mark.parametrize(
    "text", ["and in winter we go skiing", "and then we left", "and the rest is history", "and so on"]
)
def test_a_sentence_that_begins_alike_asks_nothing_after_an_answer(text: str) -> None:
    talk = Talk(judge)
    talk.say("What is a lease?")
    end_of_answer(talk)
    assert starts(talk.say(text)) == starts(talk.later(9)) == []


TWO = "What are your hours? How much is a ticket?"


def starts(effects: list[Effect]) -> list[tuple[str, str]]:
    return [(e.question.text, e.question.context) for e in effects if isinstance(e, StartQuery)]


@pytest.mark.parametrize("mode", ["queue", "interrupt", "ignore"])
def test_two_questions_of_one_final_are_asked_one_after_the_other(mode: str) -> None:
    talk = Talk(judge, on_new_question=mode)
    effects = talk.say(f"I am here on Monday. {TWO}")
    assert starts(effects) == [("What are your hours?", "I am here on Monday.")]
    waiting = statuses(effects)[-1]
    assert (waiting.stage, waiting.reason) == ("waiting_for_question", "answer_in_progress")
    assert waiting.question == "How much is a ticket?"
    assert starts(end_of_answer(talk)) == [("How much is a ticket?", "")]
    assert starts(end_of_answer(talk)) == []


def test_each_of_several_questions_keeps_the_talk_before_it() -> None:
    talk = Talk(judge)
    talk.say("RAG?")
    talk.say("What are your hours? I come from Rome. How much is a ticket? Where is the gate? Thanks.")
    asked = [each for _ in range(4) for each in starts(end_of_answer(talk))]
    assert asked == [
        ("What are your hours?", ""),
        ("How much is a ticket?", "I come from Rome."),
        ("Where is the gate?", ""),
    ]


def test_questions_that_wait_are_given_up_by_name_and_stay_in_the_talk() -> None:
    talk = Talk(judge)
    talk.say(TWO)
    assert dropped(talk.control("cancel")) == [("How much is a ticket?",)]
    assert starts(talk.say("Where is the gate?")) == [("Where is the gate?", "How much is a ticket?")]


def test_a_new_question_interrupts_the_first_and_leaves_the_second_waiting() -> None:
    talk = Talk(judge, on_new_question="interrupt")
    talk.say(TWO)
    assert starts(talk.say("Where is the gate?")) == [("Where is the gate?", "")]
    assert starts(end_of_answer(talk)) == [("How much is a ticket?", "")]


def test_a_final_with_two_questions_that_grows_is_asked_anew() -> None:
    talk = Talk(judge)
    talk.say(TWO, segment_id=1)
    assert starts(talk.say(f"{TWO} Where is the gate?", segment_id=1)) == [("What are your hours?", "")]
    rest = [each for _ in range(3) for each in starts(end_of_answer(talk))]
    assert rest == [("How much is a ticket?", ""), ("Where is the gate?", "")]


def test_two_questions_that_wait_are_corrected_together() -> None:
    talk = Talk(judge)
    talk.say("RAG?")
    talk.say("What are your ours? How much is a ticket?", segment_id=1)
    talk.say(TWO, segment_id=1)
    rest = [each for _ in range(3) for each in starts(end_of_answer(talk))]
    assert rest == [("What are your hours?", ""), ("How much is a ticket?", "")]


def test_a_second_question_is_not_asked_again_by_a_repetition_of_the_final() -> None:
    talk = Talk(judge)
    talk.say(TWO, segment_id=1)
    talk.answers()
    assert reasons(talk.say(TWO, segment_id=1)) == ["duplicate"]
    assert starts(end_of_answer(talk)) == [("How much is a ticket?", "")]
    assert starts(end_of_answer(talk)) == []


def test_two_questions_heard_before_a_pause_wait_for_its_end() -> None:
    talk = Talk(judge)
    talk.say("What are your hours? How much is a", speaker="anna")
    talk.control("pause")
    talk.later(5)
    assert starts(talk.control("resume")) == [("What are your hours?", "")]
    assert starts(end_of_answer(talk)) == [("How much is a", "")]


def test_two_questions_are_suggested_apart_and_may_be_chosen_in_any_order() -> None:
    talk = Talk(judge)
    talk.configure(auto_detect="suggest")
    first, second = (status.query_id for status in statuses(talk.say(TWO)))
    assert starts(talk.control("instant_query", query_id=second)) == [("How much is a ticket?", "What are your hours?")]
    assert starts(talk.control("instant_query", query_id=first)) == [("What are your hours?", "")]


def test_all_the_talk_asked_as_one_is_asked_once() -> None:
    talk = Talk(judge, query_scope="aggregated")
    assert asked(talk.say(TWO)) == [TWO]
    assert starts(end_of_answer(talk)) == []


@pytest.mark.parametrize(
    ("control", "stage"),
    [({"action": "cancel"}, "idle"), ({"action": "instant_query", "text": "Now"}, "instant_query")],
)
def test_what_a_control_gives_up_is_said(control: dict[str, str], stage: str) -> None:
    talk = Talk()
    for text in ("One?", "Two?", "Three?"):
        talk.say(text)
    effects = talk.control(**control)
    assert dropped(effects) == [("Two?", "Three?")]
    assert [status.stage for status in statuses(effects) if status.dropped] == [stage]


def test_a_queued_question_that_is_corrected_is_asked_as_it_was_corrected() -> None:
    talk = Talk()
    talk.say("One?")
    talk.say("Two?", segment_id=2)
    talk.say("Three?", segment_id=3)
    assert dropped(talk.say("The second?", segment_id=2)) == []
    assert [asked(end_of_answer(talk)) for _ in range(2)] == [["The second?"], ["Three?"]]


def test_a_question_that_has_no_more_room_in_the_talk_is_dropped_and_that_is_said() -> None:
    talk = Talk(context_max_chars=20)
    talk.say("One?")
    talk.say("Is that the second?")
    assert dropped(talk.say("And the third?")) == [("Is that the second?",)]
    assert asked(end_of_answer(talk)) == ["And the third?"]


def test_the_number_of_speakers_is_bounded() -> None:
    talk = Talk()
    for number in range(3 * MAX_SPEAKERS):
        talk.begin("hm", speaker=f"s{number}")
        talk.say("talk", speaker=f"s{number}")
        talk.begin("hm", speaker=f"s{number}")
    assert len(reasons(talk.later(10))) == MAX_SPEAKERS
    assert asked(talk.say("RAG?", speaker="s0")) == ["RAG?"]


def test_a_low_confidence_does_not_ask_by_itself() -> None:
    talk = Talk()
    assert reasons(talk.say("RAG?", confidence=0.39)) == ["low_confidence"]
    assert asked(talk.say("really?", confidence=0.4)) == ["really?"]


# What is asked


def started(talk: Talk) -> Question:
    return [effect for effect in talk.effects if isinstance(effect, StartQuery)][-1].question


def scope(talk: Talk, *texts: str) -> tuple[str, str]:
    effects: list[Effect] = []
    for text in texts:
        effects = talk.say(text)
    (start,) = [effect for effect in effects if isinstance(effect, StartQuery)]
    return start.question.text, start.question.context


@pytest.mark.parametrize(
    ("query_scope", "shown"), [("question", "why?"), ("aggregated", "We have a pump. It is red. why?")]
)
def test_the_question_and_the_talk_before_it_go_apart_and_the_scope_says_what_is_shown(
    query_scope: str, shown: str
) -> None:
    talk = Talk(query_scope=query_scope)
    assert scope(talk, "We have a pump.", "It is red.", "why?") == ("why?", "We have a pump. It is red.")
    assert statuses(talk.effects)[-1].question == shown


def test_only_the_sentence_that_asks_is_asked() -> None:
    def judge(text: str, language: str | None) -> Verdict:
        verdict = judge_by_signs(text, language)
        return replace(verdict, question="why?") if verdict.is_question else verdict

    assert scope(Talk(judge), "Talk.", "It leaks, why? Tell me.") == ("why?", "Talk. It leaks,")
    whole = ("It leaks, why? Tell me.", "Talk.")
    assert scope(Talk(judge, query_scope="aggregated"), "Talk.", "It leaks, why? Tell me.") == whole


def test_a_long_final_is_asked_about_what_it_asks() -> None:
    before, after = "We met on Monday. " * 40, " The pump is red." * 40
    assert scope(Talk(judge), f"{before}How long is the warranty?{after}") == (
        "How long is the warranty?",
        before.strip(),
    )


@pytest.mark.parametrize(
    ("finals", "expected"),
    [
        (["We go skiing.", "and in winter?"], ("We go skiing. and in winter?", "")),
        (["Talk.", "We go skiing.", "and in winter?"], ("We go skiing. and in winter?", "Talk.")),
        (["Talk.", "We go skiing. and in winter?"], ("We go skiing. and in winter?", "Talk.")),
    ],
)
def test_a_follow_up_goes_with_what_was_said_just_before(finals: list[str], expected: tuple[str, str]) -> None:
    def judge(text: str, language: str | None) -> Verdict:
        verdict = judge_by_signs(text, language)
        return replace(verdict, question="and in winter?", is_follow_up=True) if verdict.is_question else verdict

    talk = Talk(judge)
    assert scope(talk, *finals) == expected
    assert (started(talk).leans_on, started(talk).itself) == ("We go skiing.", "and in winter?")


@pytest.mark.parametrize("query_scope", ["question", "aggregated"])
@pytest.mark.parametrize(
    ("is_stateless", "expected"),
    [(True, "how warm is it? and in winter?"), (False, "and in winter?")],
    ids=["forgets", "remembers"],
)
def test_a_provider_that_remembers_nothing_gets_the_question_that_is_followed(
    query_scope: str, is_stateless: bool, expected: str
) -> None:
    talk = Talk(query_scope=query_scope, is_stateless=is_stateless)
    assert scope(talk, "how warm is it?")[0] == "how warm is it?"
    talk.control("cancel")
    assert scope(talk, "and in winter?")[0] == expected
    assert started(talk).itself == "and in winter?"


def test_the_conversation_of_an_extended_question_is_the_same() -> None:
    talk = Talk()
    talk.say("what is the price?")
    assert talk.session.query is not None
    talk.session.answer_event(talk.session.query.query_id, ConversationNamed("c"), talk.now)
    (start,) = [effect for effect in talk.say("of it") if isinstance(effect, StartQuery)]
    assert start.question.conversation_id == "c"


# Asking early


def cancelled(effects: list[Effect]) -> list[str]:
    return [effect.reason for effect in effects if isinstance(effect, CancelQuery)]


def test_nothing_is_asked_early_unless_it_is_switched_on() -> None:
    talk = Talk()
    talk.begin("RAG?", end_of_turn=True)
    assert talk.later(1) == []


@pytest.mark.parametrize("end_of_turn", [True, None])
def test_a_partial_may_be_asked_early_and_shows_nothing_before_its_final(end_of_turn: bool | None) -> None:
    talk = Talk(speculate=True)
    talk.say("We have a pump.")
    effects = talk.begin("what is rag?", end_of_turn=end_of_turn) + talk.later(0.3)
    assert asked(effects) == ["We have a pump. what is rag?"]
    assert statuses(effects) == []
    assert talk.session.answer_event("c-1", TextDelta("It is"), talk.now) == []
    assert talk.session.answer_event("c-1", AnswerEnd(), talk.now) == []
    effects = talk.say("What is RAG?")
    assert asked(effects) == cancelled(effects) == []
    frames = [effect.frame.type for effect in effects if isinstance(effect, Send)]
    assert frames == ["ack", "status", "status", "answer", "answer", "status"]
    assert statuses(effects)[0].question == "What is RAG?"


def test_a_question_with_another_sentence_behind_it_is_asked_early_at_once() -> None:
    talk = Talk(judge, speculate=True)
    talk.hear("I am late. What is")
    effects = talk.hear("I am late. What is the price? I")
    assert starts(effects) == [("What is the price?", "I am late.")]
    effects = talk.hear("I am late. What is the price? I hope it")
    effects += talk.say("I am late. What is the price? I hope it is not much.")
    assert starts(effects) == []
    assert cancelled(effects) == []
    assert statuses(effects)[0].question == "What is the price?"


@pytest.mark.parametrize("text", ["I am late. What is the size? I", "I am late. What was", "What is the price? I"])
def test_a_partial_in_which_the_question_is_another_one_takes_the_guess_back(text: str) -> None:
    talk = Talk(judge, speculate=True)
    talk.hear("I am late. What is the price? I")
    assert cancelled(talk.hear(text)) == ["speculation_discarded"]


def test_a_question_that_has_been_asked_is_not_waited_for_because_more_is_said() -> None:
    talk = Talk(judge)
    assert starts(talk.say("What is the price? I mean if the")) == [("What is the price?", "")]
    talk = Talk(judge)
    assert starts(talk.say("What is the price? Of the")) == []  # it goes on
    talk = Talk(judge)
    for text in ("It is red.", "It is new.", "It is large."):
        talk.say(text)
    assert starts(talk.say("What is the price? I mean")) == [
        ("What is the price?", "It is red. It is new. It is large.")
    ]


def test_what_comes_after_the_final_is_shown_as_it_comes() -> None:
    talk = Talk(speculate=True)
    talk.begin("RAG?", end_of_turn=True)
    talk.say("RAG?")
    talk.answers("now")
    assert talk.session.query is not None
    assert talk.session.query.frames == 1


@pytest.mark.parametrize("final", ["RAG? And more?", "It is.", "what is the? ..."])
def test_a_guess_that_the_final_does_not_confirm_is_taken_back_in_silence(final: str) -> None:
    talk = Talk(speculate=True)
    talk.begin("RAG?", end_of_turn=True)
    effects = talk.say(final)
    assert cancelled(effects) == ["speculation_discarded"]
    assert "interrupting" not in [status.stage for status in statuses(effects)]
    assert talk.session.answer_event("c-1", TextDelta("late"), talk.now) == []


def test_a_partial_with_more_words_takes_the_guess_back() -> None:
    talk = Talk(speculate=True)
    talk.begin("RAG?", end_of_turn=True)
    assert cancelled(talk.begin("RAG?")) == []
    assert cancelled(talk.begin("RAG? and")) == ["speculation_discarded"]


def test_a_turn_is_guessed_at_twice_at_most() -> None:
    talk = Talk(speculate=True)
    for text in ["a?", "a b?", "a b c?"]:
        talk.begin(text, end_of_turn=True)
    assert talk.asked == ["a?", "a b?"]
    talk.say("a b c.")
    talk.begin("d?", end_of_turn=True)
    assert talk.asked == ["a?", "a b?", "a b c. d?"]


@pytest.mark.parametrize(
    ("is_stateless", "expected"), [(False, ["RAG?"]), (True, ["RAG?", "Why?"])], ids=["remembers", "forgets"]
)
def test_a_provider_that_remembers_the_conversation_is_not_asked_early(is_stateless: bool, expected: list[str]) -> None:
    talk = Talk(speculate=True, is_stateless=is_stateless)
    talk.say("RAG?")
    talk.session.answer_event("c-1", ConversationNamed("c"), talk.now)
    talk.answers()
    talk.session.answer_event("c-1", AnswerEnd(), talk.now)
    talk.begin("Why?", end_of_turn=True)
    assert talk.asked == expected


@pytest.mark.parametrize("action", ["pause", "cancel", "reset", "stop", "instant_query"])
def test_a_control_takes_the_guess_back(action: str) -> None:
    talk = Talk(speculate=True)
    talk.begin("RAG?", end_of_turn=True)
    assert cancelled(talk.control(action, text="x")) == ["speculation_discarded"]


def test_a_client_that_leaves_takes_the_guess_back() -> None:
    talk = Talk(speculate=True)
    talk.begin("RAG?", end_of_turn=True)
    cancel = talk.session.disconnect(talk.now)
    assert cancel is not None
    assert cancel.query_id == "c-1"


def test_a_guess_that_fails_is_forgotten_and_its_final_asked() -> None:
    talk = Talk(speculate=True)
    talk.begin("RAG?", end_of_turn=True)
    assert talk.session.answer_failed("c-1", RagTimeout("late", "first_text"), talk.now) == []
    assert asked(talk.say("RAG?")) == ["RAG?"]


def test_what_is_held_of_a_guess_is_bounded() -> None:
    talk = Talk(speculate=True)
    talk.begin("RAG?", end_of_turn=True)
    effects = talk.session.answer_event("c-1", TextDelta("x" * (MAX_HELD_CHARS + 1)), talk.now)
    assert cancelled(effects) == ["speculation_discarded"]


def test_only_what_counts_is_guessed_at() -> None:
    talk = Talk(speculate=True)
    talk.configure(speakers=["guest"])
    talk.begin("RAG?", end_of_turn=True)
    talk.begin("a statement", speaker="guest", end_of_turn=True)
    talk.begin("RAG (?)", speaker="guest")
    assert asked(talk.later(1)) == []


def test_a_guess_that_no_final_follows_is_confirmed_by_time() -> None:
    talk = Talk(speculate=True)
    talk.begin("RAG?", end_of_turn=True)
    effects = talk.later(4)
    assert asked(effects) == []
    assert [status.stage for status in statuses(effects)] == ["analyzing", "querying_rag"]


# The same text in other bytes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("이거 얼마예요?", unicodedata.normalize("NFD", "이거 얼마예요?")),
        ("ヘンピン?", "ﾍﾝﾋﾟﾝ?"),
        ("what is RAG?", "ｗｈａｔ ｉｓ ＲＡＧ？"),
        ("what is the policy?", "what is the po\u00adli\u200bcy?"),
    ],
)
def test_another_spelling_of_the_same_words_is_no_second_question(one: str, other: str) -> None:
    talk = Talk()
    talk.say(one)
    talk.say(other)
    assert talk.asked == [one]
    assert reasons(talk.effects)[-1] == "duplicate"


def test_what_is_asked_is_what_came() -> None:
    text = unicodedata.normalize("NFD", "이거 얼마예요?") + "\u200b ｐｒｉｃｅ?"
    talk = Talk()
    talk.say(text)
    assert talk.asked == [text]


def test_letters_that_differ_in_a_mark_are_other_words() -> None:
    assert plain("की") != plain("का")
    assert plain("กา") != plain("กี")


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_the_short_way_for_ascii_finds_the_same_words(text: str) -> None:
    assert plain(f"{text} é") == f"{plain(text)} é".strip()


def test_names_are_compared_in_one_form() -> None:
    two_pieces = unicodedata.normalize("NFD", "Zoé")
    talk = Talk()
    talk.configure(speakers=[two_pieces])
    talk.say("Who?", speaker="Zoé", segment_id="é")
    talk.say("Who?", speaker=two_pieces, segment_id=unicodedata.normalize("NFD", "é"))
    assert talk.asked == ["Who?"]
    assert reasons(talk.effects)[-1] == "duplicate"


@pytest.mark.parametrize("text", ["\u200b", "\ufeff \u00ad"])
def test_text_that_nobody_sees_is_none(text: str) -> None:
    talk = Talk()
    talk.say(text)
    talk.control("instant_query", text=text)
    frames = [effect.frame for effect in talk.effects if isinstance(effect, Send)]
    assert [frame.code for frame in frames if isinstance(frame, Error)] == ["EMPTY_QUESTION", "EMPTY_QUESTION"]
    assert talk.asked == []


@pytest.mark.parametrize("end_of_turn", [True, None])
@pytest.mark.parametrize(
    "finals",
    [
        ["how long", "is it"],
        ["and how long", "does it take"],
        ["which one", "is cheaper"],
        ["how many people", "can use it"],
        ["what time", "do you open"],
        ["where", "is the office"],
        ["wie lange", "dauert das"],
        ["cuánto tiempo", "dura la garantía"],
        ["多久", "可以退货"],
    ],
    ids=str,
)
def test_question_words_that_go_on_at_once_are_not_asked_alone(finals: list[str], end_of_turn: bool | None) -> None:
    talk = Talk(judge)
    for text in finals:
        talk.say(text, end_of_turn=end_of_turn)
        talk.later(0.24)
    assert [" ".join(text.split()) for text in talk.asked] == [" ".join(finals)]


@pytest.mark.parametrize("text", ["how long", "which one", "why", "多久", "how many people"])
def test_question_words_alone_are_asked_after_a_moment(text: str) -> None:
    talk = Talk(judge)
    assert reasons(talk.say(text, end_of_turn=True)) == ["may_continue"]
    assert asked(talk.later(0.25)) == [text]
    talk.answers()
    for whole in [f"{text}?", "how long is it", "what is rag", "이거 얼마예요", "怎么退货", "где вокзал"]:
        assert asked(Talk(judge).say(whole, end_of_turn=True)) == [whole]
