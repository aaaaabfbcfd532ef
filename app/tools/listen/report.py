"""What was asked in a talk, with the answers, their sources and times, and what was dropped: as Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from app.tools.replay.tracker import Frame, Tracker


@dataclass
class Report:
    """Takes each frame after the tracker has; `since` says how many seconds the talk has lasted."""

    tracker: Tracker
    cited: dict[str, list[Any]] = field(default_factory=dict)
    """The sources of an answer, by query."""
    found: dict[str, bool] = field(default_factory=dict)
    asked_at: dict[str, float] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    """Questions that were heard and will not be asked."""

    def take(self, frame: Frame, since: float) -> None:
        if frame["type"] == "status" and frame["stage"] in {"analyzing", "instant_query"}:
            self.asked_at[frame["query_id"]] = since
        elif frame["type"] == "status":
            self.dropped += frame.get("dropped") or []
        elif frame["type"] == "answer" and frame["final"]:
            self.cited[frame["query_id"]] = frame["sources"]
            self.found[frame["query_id"]] = frame.get("found") is not False

    @property
    def questions(self) -> list[dict[str, Any]]:
        asked = [question for question in self.tracker.questions if not question.is_extended]
        return [
            {
                **asdict(question),
                "at_ms": round(1000 * self.asked_at.get(question.query_id, 0)),
                "sources": self.cited.get(question.query_id, []),
                "found": self.found.get(question.query_id),
            }
            for question in asked
        ]

    def write(self, path: Path, about: dict[str, Any]) -> None:
        """As JSON if the file is called so. Raises `OSError`."""
        if path.suffix == ".json":
            document = {**about, "questions": self.questions, "dropped": self.dropped}
            text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        else:
            text = "\n".join([*_markdown(about, self.questions, self.dropped), ""])
        path.write_text(text, encoding="utf-8")


def _markdown(about: dict[str, Any], questions: Sequence[dict[str, Any]], dropped: Sequence[str]) -> list[str]:
    lines = ["# Questions of a talk", "", *(f"- {name}: {value}" for name, value in about.items() if value)]
    for question in questions:
        lines += ["", f"## {_one_line(question['text'])}", ""]
        times = [f"asked at {timedelta(milliseconds=question['at_ms'] // 1000 * 1000)}"]
        if question["first_text_ms"] is not None:
            times.append(f"first text after {question['first_text_ms']} ms")
        outcome = question["outcome"] + (f" ({question['reason']})" if question["reason"] else "")
        not_found = ", nothing was found" if question["found"] is False else ""
        lines += [f"{outcome}{not_found}; {', '.join(times)}", ""]
        lines += [f"> {line}".rstrip() for line in question["answer"].splitlines()]
        sources = [f"- {source.get('title') or ''} ({source.get('source') or '-'})" for source in question["sources"]]
        lines += ["", "Sources:", "", *sources] if sources else []
    if dropped:
        lines += ["", "## Heard, not asked", "", *(f"- {_one_line(text)}" for text in dropped)]
    return lines


def _one_line(text: str) -> str:
    return " ".join(text.split())
