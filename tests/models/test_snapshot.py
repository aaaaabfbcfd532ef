"""What is written down of a session, and what is no such thing. That one goes on as it was: the properties."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.models import snapshot
from app.models.answers import AnswerEnd
from app.models.effects import StartQuery
from app.models.messages import AsrChunk, Configure
from app.models.session import SessionState
from app.models.snapshot import Snapshot, Unreadable
from app.services.question_detector import judge
from tests.models.judges import judge_by_signs
from tests.service import make_settings


def new_session(**values: Any) -> SessionState:
    return SessionState("start", make_settings(**values), judge=judge_by_signs)


def written(**values: Any) -> Snapshot:
    session = new_session(**values)
    session.connect(100.0)
    session.receive(Configure(speakers=["anna"], inputs={"a": [1, None, {"b": "三"}]}), 100.0)
    session.receive(AsrChunk(text="The pump is blue.", is_final=True, speaker="anna", segment_id="7"), 101.0)
    session.receive(AsrChunk(text="Why?", is_final=True, speaker="anna"), 102.0)
    read: Snapshot = json.loads(json.dumps(session.snapshot(103.0), allow_nan=False))
    return read


def test_a_snapshot_is_small() -> None:
    assert len(json.dumps(written())) < 2500


def test_nothing_of_the_settings_is_written_down() -> None:
    assert "sk-secret" not in json.dumps(written(dify_api_key="sk-secret"))


def test_what_was_set_for_the_session_is_known_again() -> None:
    session = new_session()
    session.restore(written(), 3.0)
    effects = session.receive(AsrChunk(text="How?", is_final=True, speaker="ben"), 4.0)
    assert "other_speaker" in str(effects)
    assert session.query is not None
    assert session.query.asked_at == 2.0


def test_a_version_before_is_read_and_what_it_lacks_has_its_default() -> None:
    former = written()
    former["version"] = snapshot.VERSION - 1
    for kind, told in former["things"]:
        if kind == "Segment":
            del told["recalled_at"]
    del former["state"]["questions"]["last_question"]
    session = new_session()
    session.restore(former, 3.0)
    assert session.query is not None
    assert session.session_id == "start"


def broken(change: Any) -> Any:
    told = written()
    change(told)
    return told


@pytest.mark.parametrize(
    "told",
    [
        {},
        [],
        None,
        broken(lambda told: told.update(version=snapshot.VERSION + 1)),
        broken(lambda told: told.update(version="1")),
        broken(lambda told: told.pop("things")),
        broken(lambda told: told["things"].pop()),
        broken(lambda told: told["things"].insert(0, ["Popen", {"args": "true"}])),
        broken(lambda told: told["things"].insert(0, ["Segment", {"colour": "red"}])),
        broken(lambda told: told["things"].insert(0, ["AsrChunk", {"text": 7}])),
        broken(lambda told: told["state"].pop("frames")),
        broken(lambda told: told["state"]["life"].update(heard_at="soon")),
        broken(lambda told: told["state"]["listener"].update(partials={})),
    ],
)
def test_what_cannot_be_read_is_refused(told: Any) -> None:
    with pytest.raises(Unreadable):
        new_session().restore(told, 3.0)


def test_a_question_on_its_way_is_still_one_with_the_talk() -> None:
    """Segments are known by what they are, not by what they say."""
    session = new_session()
    session.connect(0.0)
    session.receive(AsrChunk(text="What is the? ...", is_final=True), 1.0)
    session.receive(AsrChunk(text="", is_final=True, end_of_turn=True), 1.1)
    other = new_session()
    other.restore(json.loads(json.dumps(session.snapshot(1.2))), 1.2)
    [*_, start] = other.receive(AsrChunk(text="of it", is_final=True), 1.3)
    assert isinstance(start, StartQuery)
    assert start.question.text == "What is the? ... of it"


def test_a_second_question_that_waits_is_asked_elsewhere() -> None:
    session = SessionState("start", make_settings(), judge=judge)
    session.connect(1.0)
    session.receive(AsrChunk(text="What are your hours? How much is a ticket?", is_final=True), 1.0)
    other = SessionState("start", make_settings(), judge=judge)
    other.restore(json.loads(json.dumps(session.snapshot(2.0))), 5.0)
    assert other.query is not None
    effects = other.answer_event(other.query.query_id, AnswerEnd(), 6.0)
    assert [effect.question.text for effect in effects if isinstance(effect, StartQuery)] == ["How much is a ticket?"]
