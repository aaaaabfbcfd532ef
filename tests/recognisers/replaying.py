"""What a session asks of what recognisers say."""

from __future__ import annotations

import json
from typing import Any

from app.models.answers import AnswerEnd, TextDelta
from app.models.effects import CancelQuery, Effect, StartQuery
from app.models.messages import parse
from app.models.session import SessionState
from app.services.question_detector import judge
from tests.service import make_settings


class Replay:
    """A session on a clock of its own, with a provider that answers half a second after it is asked."""

    def __init__(self, speculate: bool) -> None:
        self.session = SessionState("s", make_settings(speculate=speculate), judge=judge)
        self.asked: dict[str, str] = {}
        self.answers_at: dict[str, float] = {}
        self.count = 0
        """How often a provider was asked."""

    @property
    def questions(self) -> list[str]:
        return [text.rstrip("?？") for text in self.asked.values()]

    def hear(self, frame: dict[str, Any], at: float) -> None:
        self.until(at)
        self.carry_out(self.session.receive(parse(json.dumps(frame)), at), at)

    def carry_out(self, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, StartQuery):
                self.count += 1
                self.asked[effect.query_id] = effect.question.text
                self.answers_at[effect.query_id] = now + 0.5
            elif isinstance(effect, CancelQuery):
                del self.asked[effect.query_id]
                self.answers_at.pop(effect.query_id, None)

    def until(self, end: float) -> None:
        while True:
            due = self.session.deadline()
            answer = min(self.answers_at.items(), key=lambda item: item[1], default=None)
            if answer is not None and answer[1] <= min(end, due if due is not None else end):
                query_id, now = answer
                del self.answers_at[query_id]
                self.carry_out(self.session.answer_event(query_id, TextDelta("text"), now), now)
                self.carry_out(self.session.answer_event(query_id, AnswerEnd(), now), now)
            elif due is not None and due <= end:
                self.carry_out(self.session.tick(due), due)
            else:
                return
