"""Tells whether a final transcript asks something, from its words alone."""

from app.services.question_detector.judge import judge
from app.services.question_detector.verdict import ASKING, REASONS, Reason, Verdict

__all__ = ["ASKING", "REASONS", "Reason", "Verdict", "judge"]
