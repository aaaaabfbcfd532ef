"""A question asked early, on a partial: what it brings is held until a final says the same words."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.models.answers import AnswerEvent, TextDelta, TextReplaced
from app.models.effects import Effect
from app.models.likeness import grows, plain
from app.models.listening import Guess
from app.models.queries import Asked, RunningQuery
from app.models.transcript import Speaker

# How often one turn may be asked early, and how much of an unconfirmed answer is held, in characters.
MAX_SPECULATIONS = 2
MAX_HELD_CHARS = 100_000


@dataclass(slots=True)
class Speculation:
    query: RunningQuery
    speaker: Speaker
    said: str
    is_over: bool = False
    held: list[AnswerEvent] = field(default_factory=list)
    size: int = 0


@dataclass(slots=True)
class Early:
    """What is `running` before it was said to its end, one question at a time; `count`: how many since a final."""

    running: Speculation | None = None
    count: int = 0

    def may_begin(self) -> bool:
        return self.running is None and self.count < MAX_SPECULATIONS

    def begin(self, query: RunningQuery, guess: Guess) -> None:
        self.count += 1
        self.running = Speculation(query, guess.speaker, plain(guess.said), guess.is_over)

    def holds(self, query_id: str) -> bool:
        return self.running is not None and self.running.query.query_id == query_id

    def hold(self, event: AnswerEvent, now: float) -> list[Effect]:
        if (guess := self.running) is None:
            return []
        guess.held.append(event)
        guess.size += 1 + (len(event.text) if isinstance(event, TextDelta | TextReplaced) else 0)
        return self.discard(now) if guess.size > MAX_HELD_CHARS else []

    def take(self) -> Speculation | None:
        guess, self.running = self.running, None
        return guess

    def confirm(self, asked: Asked) -> Speculation | None:
        """What was begun early, if it is what is asked now."""
        guess = self.running
        if guess is None or [plain(text) for text in guess.query.asked] != [plain(text) for text in asked]:
            return None
        return self.take()

    def discard(self, now: float) -> list[Effect]:
        """Take back what was begun early."""
        guess = self.take()
        return [] if guess is None else [guess.query.cancel("speculation_discarded", now)]

    def discard_unless(self, speaker: Speaker, text: str, now: float) -> list[Effect]:
        """The same for this speaker, unless these are still the words."""
        guess = self.running
        if guess is None or guess.speaker != speaker:
            return []
        words = plain(text)
        return [] if words == guess.said or (guess.is_over and grows(words, guess.said)) else self.discard(now)
