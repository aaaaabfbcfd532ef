"""The numbers of frames: each follows the one before, whatever goes wrong between."""

from __future__ import annotations

from collections.abc import Iterator

from app.models.effects import Effect, LogBug, Send
from app.models.messages import AsrChunk, Control, Keepalive
from app.models.numbering import Frames
from app.models.session import SessionState
from app.models.verdicts import Verdict
from tests.models.judges import judge_by_signs
from tests.service import make_settings


def judge_or_fail(text: str, language: str | None) -> Verdict:
    if "fail" in text:
        raise ValueError("a bug")
    return judge_by_signs(text, language)


def new_session() -> tuple[SessionState, list[Effect]]:
    session = SessionState("s1", make_settings(), judge=judge_or_fail)
    return session, session.connect(0.0)


def frames(effects: list[Effect]) -> list[tuple[int, str]]:
    return [(effect.frame.seq, effect.frame.type) for effect in effects if isinstance(effect, Send)]


def test_a_message_with_a_bug_is_acknowledged_and_leaves_no_gap() -> None:
    session, effects = new_session()
    effects += session.receive(AsrChunk(text="fail?", is_final=True), now=1)
    effects += session.receive(Keepalive(), now=2)
    assert frames(effects) == [(1, "ack"), (2, "status"), (3, "ack"), (4, "error"), (5, "ack")]
    assert [type(effect.error) for effect in effects if isinstance(effect, LogBug)] == [ValueError]


def test_a_tick_with_a_bug_leaves_no_gap() -> None:
    session, effects = new_session()
    effects += session.receive(AsrChunk(text="fail?", is_final=False), now=1)
    effects += session.tick(now=60)
    assert frames(effects)[-2:] == [(3, "ack"), (4, "error")]
    effects += session.receive(Control(action="stop"), now=61)
    assert [seq for seq, _ in frames(effects)] == list(range(1, 7))


def test_what_a_step_began_to_say_before_its_bug_is_not_said() -> None:
    frames_of = Frames("s1")

    def steps() -> Iterator[list[Effect]]:
        yield [frames_of.status("listening")]
        frames_of.status("idle")
        raise ValueError("a bug")

    assert frames(frames_of.unless_bug(steps()) + frames_of.unless_bug(steps())) == [
        (1, "status"),
        (2, "error"),
        (3, "status"),
        (4, "error"),
    ]
