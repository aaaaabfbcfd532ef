"""Tells whether a final transcript asks something, from its words alone."""

from app.services.question_detector.judge import judge

__all__ = ["judge"]
