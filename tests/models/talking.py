"""A session and its clock, for tests that talk to it."""

from __future__ import annotations

from typing import Any

from app.models.answers import TextDelta
from app.models.effects import Effect, Send, StartQuery
from app.models.listening import Judge
from app.models.messages import AsrChunk, Configure, Control
from app.models.pieces import StatusPiece
from app.models.session import SessionState
from tests.models.judges import judge_by_signs
from tests.service import make_settings


class Talk:
    """A session and its clock: time passes as it would, with a tick whenever one is due."""

    def __init__(self, judge: Judge = judge_by_signs, *, is_stateless: bool = False, **settings: Any) -> None:
        self.session = SessionState("s1", make_settings(**settings), judge=judge, is_stateless=is_stateless)
        self.session.connect(0.0)
        self.now = 0.0
        self.effects: list[Effect] = []

    def later(self, seconds: float) -> list[Effect]:
        """Let time pass; return what it brought about."""
        end = self.now + seconds
        effects: list[Effect] = []
        while (due := self.session.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            effects += self.session.tick(self.now)
        self.now = end
        self.effects += effects
        return effects

    def say(self, text: str, **fields: Any) -> list[Effect]:
        return self._receive(AsrChunk(text=text, is_final=True, **fields))

    def hear(self, text: str, **fields: Any) -> list[Effect]:
        return self._receive(AsrChunk(text=text, **fields))

    def begin(self, text: str, **fields: Any) -> list[Effect]:
        return self._receive(AsrChunk(text=text, **fields))

    def control(self, action: Any, **fields: Any) -> list[Effect]:
        return self._receive(Control(action=action, **fields))

    def configure(self, **fields: Any) -> list[Effect]:
        return self._receive(Configure(**fields))

    def _receive(self, message: Any) -> list[Effect]:
        effects = self.session.receive(message, self.now)
        self.effects += effects
        return effects

    def answers(self, text: str = "text") -> None:
        assert self.session.query is not None
        self.effects += self.session.answer_event(self.session.query.query_id, TextDelta(text), self.now)

    @property
    def asked(self) -> list[str]:
        return asked(self.effects)


def asked(effects: list[Effect]) -> list[str]:
    return [effect.question.whole for effect in effects if isinstance(effect, StartQuery)]


def statuses(effects: list[Effect]) -> list[StatusPiece]:
    return [effect.frame for effect in effects if isinstance(effect, Send) and isinstance(effect.frame, StatusPiece)]


def reasons(effects: list[Effect]) -> list[str | None]:
    return [status.reason for status in statuses(effects)]
