"""Which answers a session can still rate, and what it knows of them in another process."""

from __future__ import annotations

import json

from app.models.answering import MAX_ANSWERED
from app.models.answers import AnswerEnd, Feedback, TextDelta
from app.models.effects import Rate
from app.models.session import SessionState
from tests.models.judges import judge_by_signs
from tests.models.talking import Talk, statuses
from tests.service import make_settings


def answered(talk: Talk, text: str) -> str:
    """Ask and answer; return which query that was."""
    talk.say(text)
    query = talk.session.query
    assert query is not None
    talk.session.answer_event(query.query_id, TextDelta("text"), talk.now)
    talk.session.answer_event(query.query_id, AnswerEnd(message_id=f"m-{query.query_id}"), talk.now)
    return query.query_id


def is_rated(talk: Talk, query_id: str) -> bool:
    effects = talk.control("feedback", query_id=query_id, rating="like")
    return Rate(Feedback(f"m-{query_id}", "ws-user-s1", "like", "")) in effects


def test_the_latest_answers_can_be_rated() -> None:
    talk = Talk(query_scope="question")
    queries = [answered(talk, f"Why {number}?") for number in range(MAX_ANSWERED + 1)]
    assert [is_rated(talk, query_id) for query_id in queries] == [False, *[True] * MAX_ANSWERED]


def test_what_can_be_rated_and_was_asked_is_known_after_a_move() -> None:
    talk = Talk()
    query_id = answered(talk, "Why?")
    moved = SessionState("s1", make_settings(), judge=judge_by_signs)
    moved.restore(json.loads(json.dumps(talk.session.snapshot(talk.now))), talk.now)
    talk.session = moved
    assert is_rated(talk, query_id)
    talk.later(5)
    assert statuses(talk.say("why?"))[0].repeats == query_id
