"""The frames that are sent by the thousand, written by template: each is the JSON of the model that it stands for.

To make and write one costs a seventh of what its model costs.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from json.encoder import encode_basestring as quoted
from typing import ClassVar, Literal

from app.models.messages import Ack, Answer, Details, ServerMessage, Stage, Status, VerdictNote
from app.models.verdicts import Verdict

# Ids of sessions are checked (`SessionId`), those of queries are the session's own: neither needs to be quoted.
_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class MessageAck:
    """The `Ack` of a message."""

    type: ClassVar = "ack"

    session_id: str
    seq: int
    received_type: str
    is_final: bool | None = None
    id: str | None = None
    details: Details | None = None

    def model(self) -> Ack:
        return Ack(
            session_id=self.session_id,
            seq=self.seq,
            received_type=self.received_type,
            is_final=self.is_final,
            id=self.id,
            details=self.details,
        )

    def to_json(self) -> str:
        named = "" if self.id is None else f',"id":{quoted(self.id)}'
        if self.details is not None or (not named.isascii() and _HALVES.search(named)):
            return self.model().to_json()
        is_final = "" if self.is_final is None else ',"is_final":true' if self.is_final else ',"is_final":false'
        return (
            f'{{"type":"ack","session_id":"{self.session_id}","seq":{self.seq},'
            f'"received_type":"{self.received_type}"{is_final}{named}}}'
        )


INTERIM_ACK = MessageAck("", 0, "asr_chunk", False)
"""Stands for the ack of any interim chunk, where only its kind matters."""


def waiting(session_id: str, seq: int, reason: str, note: str) -> str:
    """The JSON of a `Status` that says why nothing is asked, and nothing else."""
    return (
        f'{{"type":"status","session_id":"{session_id}","seq":{seq},"stage":"waiting_for_question",'
        f'"note":{quoted(note)},"reason":"{reason}"}}'
    )


def interim_ack(session_id: str, seq: int, id: str | None) -> str:
    """The JSON of the `MessageAck` of an interim chunk, without making one."""
    if id is not None:
        return MessageAck(session_id, seq, "asr_chunk", False, id).to_json()
    return f'{{"type":"ack","session_id":"{session_id}","seq":{seq},"received_type":"asr_chunk","is_final":false}}'


@dataclass(slots=True)
class AnswerPiece:
    """An `Answer` that is not the last one."""

    type: ClassVar = "answer"

    session_id: str
    seq: int
    query_id: str
    stream_index: int
    content: str
    replace: bool | None = None

    def model(self) -> Answer:
        return Answer(
            session_id=self.session_id,
            seq=self.seq,
            query_id=self.query_id,
            stream_index=self.stream_index,
            content=self.content,
            replace=self.replace,
        )

    def to_json(self) -> str:
        if not self.content.isascii() and _HALVES.search(self.content):
            return self.model().to_json()
        replace = "" if self.replace is None else ',"replace":true' if self.replace else ',"replace":false'
        return (
            f'{{"type":"answer","session_id":"{self.session_id}","seq":{self.seq},'
            f'"query_id":"{self.query_id}","stream_index":{self.stream_index},'
            f'"content":{quoted(self.content)},"final":false{replace}}}'
        )


@dataclass(slots=True)
class VerdictPiece:
    """The `VerdictNote` of a `Verdict`."""

    is_question: bool
    confidence: float
    reason: str
    wait_ms: int
    language: str

    @classmethod
    def of(cls, verdict: Verdict, seconds: float = 0.0) -> VerdictPiece:
        """`seconds`: how long more of it is waited for."""
        confidence, wait_ms = round(verdict.confidence, 2), round(seconds * 1000)
        return cls(verdict.is_question, confidence, verdict.reason, wait_ms, verdict.language)

    def model(self) -> VerdictNote:
        return VerdictNote(**asdict(self))

    def to_json(self) -> str:
        return (
            f'{{"is_question":{"true" if self.is_question else "false"},"confidence":{self.confidence},'
            f'"reason":{quoted(self.reason)},"wait_ms":{self.wait_ms},"language":{quoted(self.language)}}}'
        )


@dataclass(slots=True)
class StatusPiece:
    """A `Status`."""

    type: ClassVar = "status"

    session_id: str
    seq: int
    stage: Stage
    note: str | None = None
    reason: str | None = None
    question: str | None = None
    mode: Literal["instant"] | None = None
    query_id: str | None = None
    verdict: VerdictPiece | None = None
    dropped: tuple[str, ...] | None = None
    repeats: str | None = None

    def model(self) -> Status:
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        return Status(**told | {"verdict": self.verdict and self.verdict.model()})

    def to_json(self) -> str:
        text = f'{{"type":"status","session_id":"{self.session_id}","seq":{self.seq},"stage":"{self.stage}"'
        if self.note is not None:
            text += f',"note":{quoted(self.note)}'
        if self.reason is not None:
            text += f',"reason":{quoted(self.reason)}'
        if self.question is not None:
            text += f',"question":{quoted(self.question)}'
        if self.mode is not None:
            text += f',"mode":"{self.mode}"'
        if self.query_id is not None:
            text += f',"query_id":{quoted(self.query_id)}'
        if self.verdict is not None:
            text += f',"verdict":{self.verdict.to_json()}'
        if self.dropped is not None:
            text += f',"dropped":[{",".join(map(quoted, self.dropped))}]'
        if self.repeats is not None:
            text += f',"repeats":{quoted(self.repeats)}'
        return f"{text}}}" if text.isascii() or not _HALVES.search(text) else self.model().to_json()


Sent = ServerMessage | MessageAck | AnswerPiece | StatusPiece
"""What a session makes."""
