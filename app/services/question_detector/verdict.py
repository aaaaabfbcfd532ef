"""What one language's rules say about one sentence."""

from __future__ import annotations

from dataclasses import dataclass

from app.models.verdicts import ASKING, Reason


@dataclass(frozen=True, slots=True)
class Finding:
    """What one language's rules say about one sentence."""

    reason: Reason
    confidence: float
    is_complete: bool = True

    @property
    def asks(self) -> bool:
        """Whether the reason is one of a question."""
        return self.reason in ASKING
