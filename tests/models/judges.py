"""Detectors for tests of the session: what they say can be read off the text."""

from __future__ import annotations

from app.models.listening import Judge
from app.models.verdicts import Verdict


def judge_by_signs(text: str, language: str | None = None) -> Verdict:
    """`?` asks; `...` may go on; `(?)` is unsure; `of` continues; `and` follows up."""
    asks = "?" in text
    words = text.split()
    return Verdict(
        asks,
        not text.endswith("..."),
        0.35 if "(?)" in text else 0.97,
        "question_mark" if asks else "statement",
        text if asks else "",
        language or "en",
        is_continuation=not asks and words[:1] == ["of"],
        is_follow_up=asks and words[:1] == ["and"],
    )


def judge_by_words(*questions: str) -> Judge:
    """Exactly these texts ask."""

    def judge(text: str, language: str | None = None) -> Verdict:
        asks = text in questions
        return Verdict(asks, True, 0.97, "wh_front" if asks else "statement", text if asks else "", language or "en")

    return judge
