"""What a session knows, put together from its parts: all of it can be written down, and read back elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from app.config import Settings
from app.models import snapshot
from app.models.answering import MAX_SAID_CHARS, Answers
from app.models.asking import Asker, Questions
from app.models.lifetime import Lifetime
from app.models.listening import Judge, Listener, tuned
from app.models.messages import Configure
from app.models.numbering import Frames
from app.models.pieces import AnswerPiece
from app.models.queries import RunningQuery
from app.models.snapshot import Parts, Snapshot
from app.models.speculation import Early

_NO_WISHES = Configure()


class Memory:
    """`key`, `is_stateless`, `user_prefix` and `fixed_inputs` are those of its `Asker`."""

    def __init__(
        self,
        session_id: str,
        settings: Settings,
        *,
        judge: Judge,
        key: str = "c",
        is_stateless: bool = False,
        user_prefix: str = "",
        fixed_inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings = settings
        self._judge = judge
        self._asker = Asker(key, is_stateless, user_prefix, fixed_inputs or {})
        self._life = Lifetime(settings)
        self._wishes = _NO_WISHES
        self._begin(session_id)

    def _begin(self, session_id: str) -> None:
        self._frames = Frames(session_id)
        self._forget()

    def _forget(self) -> None:
        self._frames.dropped = []
        self._paused = self._reported_empty = False
        self._early, self._answers = early, answers = Early(), Answers(self._frames)
        self._listener = listener = Listener(self._settings, self._wishes, self._judge, answers)
        self._questions = Questions(self._settings, self._asker, self._frames, listener, answers, early)
        self._heed_wishes()

    def _heed_wishes(self) -> None:
        """Let what the client wants hold from now on."""
        settings, listener = tuned(self._settings, self._wishes), self._listener
        listener.wishes = self._wishes
        listener.settings = self._questions.settings = settings
        listener.transcript.merge_seconds = settings.merge_seconds

    @property
    def query(self) -> RunningQuery | None:
        """The question that is on its way."""
        return self._answers.query

    def answer_text(self, query_id: str, text: str, now: float) -> AnswerPiece | None:
        """`answer_event` with one more text, where nothing is to be decided: the frame of it, None if it has none."""
        return self._answers.take_text(query_id, text, now)

    @property
    def session_id(self) -> str:
        return self._frames.session_id

    def snapshot(self, now: float) -> Snapshot:
        """All that it knows, but for its settings and an end that was only announced."""
        return snapshot.write(self._parts, now)

    def restore(self, written: Snapshot, now: float) -> None:
        """Know what another one knew, made as this one was. Raises `Unreadable`; then this one is worth nothing."""
        snapshot.read(written, self._parts, now)
        self._heed_wishes()
        self._listener.talk.count()

    def catch_up(self, frames: Iterable[str]) -> None:
        """Count frames that were made after the snapshot: texts of the running answer, and acks of what is not kept."""
        query = self.query
        for frame in map(json.loads, frames):
            self._frames.seq = frame["seq"]
            if query is not None and frame["type"] == "answer" and frame["query_id"] == query.query_id:
                query.frames = frame["stream_index"] + 1
                before = "" if frame.get("replace") else query.said
                query.said = (before + frame["content"])[:MAX_SAID_CHARS]

    @property
    def _parts(self) -> Parts:
        listener = self._listener
        return {
            "session": (self, ("_wishes", "_paused", "_reported_empty")),
            "asker": (self._asker, ("key", "user_prefix", "count")),
            "life": (self._life, ("heard_at", "old_at", "expires_at")),
            "frames": (self._frames, ("session_id", "seq", "dropped")),
            "listener": (listener, ("last_final", "partials", "marked", "due", "waits")),
            "transcript": (listener.transcript, ("segments", "gone", "finals", "crowded_out")),
            "talk": (listener.talk, ("segments", "began_at")),
            "early": (self._early, ("running", "count")),
            "answers": (
                self._answers,
                ("query", "conversation_id", "history", "spoken", "spoken_at", "spoken_to", "answered", "rateable"),
            ),
            "questions": (self._questions, ("pending", "suggested", "last_question")),
        }
