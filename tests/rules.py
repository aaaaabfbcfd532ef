"""The rules of the protocol (`docs/protocol.md`), held against every frame that a test receives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests import contract

Frame = dict[str, Any]

REFUSALS = {
    "INVALID_JSON",
    "INVALID_MESSAGE",
    "UNSUPPORTED_TYPE",
    "UNKNOWN_ACTION",
    "MESSAGE_TOO_LARGE",
    "RATE_LIMITED",
}
STAGES = {
    "listening",
    "paused",
    "waiting_for_question",
    "analyzing",
    "instant_query",
    "querying_rag",
    "interrupting",
    "idle",
    "closed",
}
# From which state of a query a frame may come, and to which it leads.
STEPS = {
    "analyzing": ({"new"}, "announced"),
    "instant_query": ({"new"}, "announced"),
    "querying_rag": ({"announced", "querying"}, "querying"),
    "answer": ({"querying", "answering"}, "answering"),
    "final": ({"querying", "answering"}, "final"),
    "idle": ({"final"}, "ended"),
    "interrupting": ({"announced", "querying", "answering"}, "ended"),
}


@dataclass
class Rules:
    """Raises `AssertionError` at the first frame that breaks a rule."""

    seq: dict[str, int] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, int] = field(default_factory=dict)
    session_id: str | None = None
    replies: int = 0
    """Acks and refusals so far: one for each message, and one for the connection."""

    def check(self, frame: Frame) -> None:
        contract.check(frame)
        if frame["session_id"] != self.session_id:
            assert "final" not in self.states.values(), "a switch between a final answer and its idle"
            self.session_id = frame["session_id"]
            self.seq[frame["session_id"]] = 0  # a name that comes back is a new session
        self.seq[frame["session_id"]] += 1
        assert frame["seq"] == self.seq[frame["session_id"]], f"a gap in seq: {frame}"
        match frame["type"]:
            case "ack":
                self.replies += 1
            case "error":
                self.replies += frame["code"] in REFUSALS
            case "status":
                assert frame["stage"] in STAGES
                if "query_id" in frame and frame.get("reason") != "suggested":
                    self._step(frame["query_id"], frame["stage"])
            case "answer":
                self._answer(frame)
            case other:
                raise AssertionError(f"an unknown frame type {other}")

    def _answer(self, frame: Frame) -> None:
        query_id = frame["query_id"]
        assert frame["stream_index"] == self.indexes.get(query_id, 0), f"a gap in stream_index: {frame}"
        self.indexes[query_id] = frame["stream_index"] + 1
        self._step(query_id, "final" if frame["final"] else "answer")
        if frame["final"]:
            assert {"sources", "usage", "timing", "conversation_id"} <= frame.keys()
            if "error" in frame:
                assert (frame["sources"], frame["usage"]) == ([], None)

    def _step(self, query_id: str, step: str) -> None:
        state = self.states.get(query_id, "new")
        before, after = STEPS[step]
        assert state in before, f"{step} after {state} in query {query_id}"
        self.states[query_id] = after
        running = [name for name, state in self.states.items() if state != "ended"]
        assert len(running) <= 1, f"more than one query at a time: {running}"


def text_of(frames: list[Frame], query_id: str | None = None) -> str:
    """The answer as a client puts it together."""
    text = ""
    for frame in frames:
        if frame["type"] == "answer" and query_id in (None, frame["query_id"]):
            text = frame["content"] if frame.get("replace") else text + frame["content"]
    return text
