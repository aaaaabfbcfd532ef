"""Reads Dify's stream: bytes into event payloads, payloads into answer events; no network."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from pydantic_core import from_json

from app.errors import RagBrokenStream, RagFailed
from app.models.answers import (
    MAX_SOURCES,
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Progress,
    Source,
    TextDelta,
    TextReplaced,
)
from app.services.large_json import PIECE_BYTES, Data, LongText, read_head, read_json
from app.services.streams import (
    LONG_CHARS,
    MAX_CODE_CHARS,
    MAX_WHOLE_BYTES,
    PAUSE,
    Answer,
    EventHead,
    PairJoiner,
    ThinkFilter,
    is_plain,
    object_in,
    plain,
    raw_text_in,
    source_of,
    text_in,
)

logger = logging.getLogger(__name__)

TEXT_KINDS = ("message", "agent_message", "message_file", "message_replace")
CLOSING_KINDS = ("message_end", "workflow_finished")
# What more than the head of an event is looked at of.
READ_WHOLE = frozenset({*TEXT_KINDS, *CLOSING_KINDS, "error", None})

WAITS = "the workflow waits for a person"
# Steps that are the workflow's own business: "Start" or "If" are no news to a person.
QUIET_NODES = frozenset(
    {"start", "end", "answer", "if-else", "iteration-start", "loop-start", "loop-end"}
    | {"variable-aggregator", "variable-assigner", "assigner"}
)
# Dify's own are UUIDs. What becomes a segment of a path must not be "..", or lead elsewhere in another way.
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
MAX_ID_CHARS = 256


def _cut_out(data: Data) -> Generator[AnswerEvent, None, tuple[Data, LongText | None]]:
    """Return a large event without its text, and the text."""
    text = LongText(data)
    while text.look_on():
        yield PAUSE
    return (text.rest, text) if text.is_whole else (data, None)


def _read_event(data: Data, name: str) -> dict[str, Any] | None:
    """Read an event, which `name` may name outside, a large one only as far as it is looked at.

    Raises `RagBrokenStream` if text of the answer may be lost.
    """
    if isinstance(data, EventHead) or len(data) > MAX_WHOLE_BYTES:
        head = read_head(data)
        if head is None and not data[:PIECE_BYTES].lstrip().startswith(b"{"):
            return None  # no object, whatever its size
        # Where a relay has sorted the keys, the "data" of a step comes before its kind.
        is_step = head is not None and "data" in head and b'"answer"' not in data
        is_named = head is not None and ("event" in head or name)
        if head is None or (head.get("event") or name) in TEXT_KINDS or not (is_named or is_step):
            raise RagBrokenStream("an event with text is too large")
        kind = (text_in(head, "event") or name)[:MAX_CODE_CHARS]
        logger.warning("only the head is read of an event %s with more than %d bytes", kind, MAX_WHOLE_BYTES)
        return head
    if len(data) > PIECE_BYTES and (head := read_head(data)) is not None and head.get("event") not in READ_WHOLE:
        return head
    try:
        event = read_json(data)
    except ValueError:
        # What closes an answer closes it, whatever stands in it: a number of 5,000 digits, lists a thousand deep.
        event = read_head(data)
        return event if event and event.get("event") in CLOSING_KINDS else None
    return event if isinstance(event, dict) else None


class DifyAnswer(Answer):
    """Assembles one answer from Dify's events, of whatever app type and version.

    `task_id` is what a stop call needs, None until an event has a good one. `is_closing`: one of a chatflow's two
    closing events has come, the other may never come.
    """

    def __init__(self, *, strip_think: bool = True) -> None:
        super().__init__()
        self.task_id: str | None = None
        self.conversation_id: str | None = None
        self._has_skipped = False
        self._strip_think = strip_think
        self._has_come = False  # a text, which may be one that is not shown
        self._agent_digest: hashlib.blake2b | None = None
        self._is_chatflow = False
        self._message_end: dict[str, Any] | None = None
        self._workflow_status: str | None = None
        self._output = ""
        self._is_failing = False

    def feed(self, data: Data, name: bytes = b"") -> Iterator[AnswerEvent]:
        """Take one event; raise `RagError` when it ends the answer badly."""
        texts: Iterable[str] | None = None
        if len(data) > PIECE_BYTES:
            data, texts = yield from _cut_out(data)
        outside = name.decode(errors="replace") if name else ""
        event = _read_event(data, outside)
        # What calls itself something else inside is that; some relays name it outside alone.
        kind = (event or {}).get("event") or outside
        if kind == "ping":
            return  # some proxies give it data
        if event is None and kind == "error":
            event = {}  # that there is one is what matters
        if event is None:
            self._skip()
            return
        self.has_read = self.is_readable = True
        if self.task_id is None:
            found = _ID.fullmatch(text_in(event, "task_id"))
            self.task_id = found and found[0]
        if self.conversation_id is None:
            yield from self._name(event)
        if texts is None:
            texts = (raw_text_in(event, "answer"),)
        match kind:
            case "message":
                yield from self._message(texts)
            case "agent_message":
                yield from self._agent_message(texts)
            case "message_file":
                # Newer Dify mislabels text deltas so once the message has a file (langgenius/dify #36990).
                yield from self._show_all(texts)
            case "message_replace":
                yield from self._message_replace(event, texts)
            case "reasoning_chunk":
                self.texts += 1
                yield from self._say_thinking()
            case "node_started":
                self._is_chatflow = True
                node = object_in(event, "data")
                if (title := text_in(node, "title")) and text_in(node, "node_type") not in QUIET_NODES:
                    yield Progress(title)
            case "workflow_started" | "node_finished":
                self._is_chatflow = True
            case "message_end":
                self._message_end = event
                yield from self._close()
            case "workflow_finished":
                self._is_chatflow = True
                result = object_in(event, "data")
                self._workflow_status = text_in(result, "status")
                self._output = text_in(object_in(result, "outputs"), "answer")
                yield from self._close()
            case "workflow_paused":
                self.is_over = True
                raise RagFailed(WAITS)
            case "error":
                self.is_over = True
                if not (self.is_closing and self._has_shown and not self._is_failing):
                    raise RagFailed(_error_said(event))
                yield from self._end()  # whatever it is about, the answer is whole

    def text_alone(self, data: bytes) -> str | None:
        is_plain = self._has_shown and self._agent_digest is None and self._pairs.is_even
        if not is_plain or self.task_id is None or self.conversation_id is None:
            return None
        try:
            event = from_json(data)  # unlike `read_json` without halves of pairs
        except ValueError:
            return None
        if event.get("event") != "message":
            return None
        text = event.get("answer")
        if not isinstance(text, str) or not text or (self._strip_think and not self._think.leaves(text)):
            return None
        return text

    def _name(self, event: dict[str, Any]) -> Iterator[AnswerEvent]:
        name = text_in(event, "conversation_id")
        if 0 < len(name) <= MAX_ID_CHARS:  # it is kept as long as the session
            self.conversation_id = name
            yield ConversationNamed(name, self.task_id)

    def end_of_stream(self) -> Iterator[AnswerEvent]:
        """The stream is over, or nothing more came after a closing event."""
        if not self.is_closing:
            what = "without a closing event" if self.is_readable else "and not one event of it could be read"
            raise RagBrokenStream(f"the stream ended {what}")
        self.is_over = True
        yield from self._end()

    def _skip(self) -> None:
        self.is_readable = self.has_read
        if not self._has_skipped:
            self._has_skipped = True
            logger.warning("an event of the stream is no JSON object: it is skipped, and all others like it")

    def _message(self, texts: Iterable[str]) -> Iterator[AnswerEvent]:
        if self._agent_digest is None:
            for text in texts:  # not by `_show_all`: this is where nearly every text passes
                yield from self._show(self._pairs.feed(text))
            return
        # After agent_message, one message repeats the whole answer: it confirms or corrects.
        pairs, digest = PairJoiner(), _digest("")
        for text in texts:
            digest.update(pairs.feed(text).encode())
            if isinstance(texts, LongText):
                yield PAUSE
        digest.update(pairs.flush().encode())
        if digest.digest() != self._agent_digest.digest():
            self._pairs, self._think = PairJoiner(), ThinkFilter()
            yield from self._replace(texts) if self._has_shown else self._show_all(texts)

    def _agent_message(self, texts: Iterable[str]) -> Iterator[AnswerEvent]:
        if self._agent_digest is None:
            self._agent_digest = _digest("")
        for each in texts:
            text = self._pairs.feed(each)
            self._agent_digest.update(text.encode())
            yield from self._show(text)

    def _message_replace(self, event: dict[str, Any], texts: Iterable[str]) -> Iterator[AnswerEvent]:
        if event.get("reason") == "workflow_resumption_terminal":
            self._is_failing = True  # announces a failed workflow and only repeats the text
        else:
            yield from self._replace(texts)

    def _replace(self, texts: Iterable[str]) -> Iterator[AnswerEvent]:
        self._pairs, self._think = PairJoiner(), ThinkFilter()
        if self._agent_digest is not None:
            self._agent_digest = _digest("")
        for number, each in enumerate(texts):
            text = self._pairs.feed(each)
            if self._agent_digest is not None:
                self._agent_digest.update(text.encode())
            if number:
                yield from self._show(text)
                continue
            self.texts += 1
            self._has_come = self._has_shown = True
            yield TextReplaced(self._think.feed(text) if self._strip_think else text)

    def _show_all(self, texts: Iterable[str]) -> Iterator[AnswerEvent]:
        for text in texts:
            yield from self._show(self._pairs.feed(text))

    def _show(self, text: str) -> Iterator[AnswerEvent]:
        if not text:
            return
        self.texts += 1
        self._has_come = True
        is_long = len(text) > LONG_CHARS
        if self._strip_think:
            text = self._think.feed(text)
            if self._think.is_thinking:
                yield from self._say_thinking()
        if text:
            self._has_shown = True
            yield TextDelta(text)
        elif is_long:
            yield PAUSE

    def _close(self) -> Iterator[AnswerEvent]:
        if self._workflow_status == "failed" and not self._is_answered():
            self.is_over = True
            raise RagFailed("the workflow failed")
        # A chatflow closes with two events, in either order by version, or with only one of them.
        self.is_closing = True
        if self._message_end is not None and (self._workflow_status is not None or not self._is_chatflow):
            self.is_over = True
            yield from self._end()

    def _is_answered(self) -> bool:
        # Some versions report a failure of a run that never was, after an answer from an annotation.
        return self._message_end is not None and self._has_shown and not self._is_failing

    def _flush(self) -> Iterator[AnswerEvent]:
        yield from self._show(self._pairs.flush())
        if self._strip_think and (held := self._think.flush()):
            yield TextDelta(held)

    def _end(self) -> Iterator[AnswerEvent]:
        if not self._has_come:
            # What an Answer node inside an iteration says is not streamed by Dify 1.16: it stands in the outputs alone.
            yield from self._show(self._output)
        yield from self._flush()
        metadata = object_in(self._message_end or {}, "metadata")
        found = _ID.fullmatch(text_in(self._message_end or {}, "message_id"))
        yield AnswerEnd(
            conversation_id=self.conversation_id,
            sources=tuple(islice(_sources(metadata.get("retriever_resources")), MAX_SOURCES)),
            message_id=found and found[0],
            usage=plain(object_in(metadata, "usage")) or None,
            incomplete=self._workflow_status == "stopped",
        )

    def feed_blocking(self, data: Data) -> Iterator[AnswerEvent]:
        """Take the one JSON object of blocking mode instead of events."""
        texts: Iterable[str] | None = None
        if len(data) > PIECE_BYTES:
            data, texts = yield from _cut_out(data)
        self.is_over = True
        try:
            body = read_json(data) if len(data) <= MAX_WHOLE_BYTES else None
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise RagBrokenStream("the answer is no JSON object, or too large")
        yield from self._name(body)
        yield from self._show_all((raw_text_in(body, "answer"),) if texts is None else texts)
        if problem := _problem_of(body):
            yield from self._flush()
            raise RagFailed(problem)
        self._message_end = body
        yield from self._end()


def _problem_of(body: dict[str, Any]) -> str:
    """Why a reply of blocking mode is no whole answer, empty if it is one."""
    if body.get("event") == "workflow_paused" or "paused_nodes" in body:
        return WAITS
    if body.get("event") == "error":
        return _error_said(body)
    return "" if isinstance(body.get("answer"), str) else "the answer has no text"


def _error_said(event: dict[str, Any]) -> str:
    return f"Dify reports {text_in(event, 'code')[:MAX_CODE_CHARS] or 'an error without a code'}"


def _digest(text: str) -> hashlib.blake2b:
    return hashlib.blake2b(text.encode())


def _sources(resources: object) -> Iterator[Source]:
    """Read the citations; an app without them sends null, an empty list or nothing."""
    if not isinstance(resources, list):
        return
    for number, item in enumerate((item for item in resources if isinstance(item, dict)), start=1):
        position = item.get("position")
        yield source_of(
            position if isinstance(position, int) and is_plain(position) else number,
            text_in(item, "document_name") or text_in(item, "title"),
            text_in(item, "dataset_name"),
            item.get("score"),
            text_in(item, "content"),
        )
