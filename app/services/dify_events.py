"""Reads Dify's stream: bytes into event payloads, payloads into answer events; no network."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from app.errors import RagBrokenStream, RagFailed
from app.services.large_json import PIECE_BYTES, Data, LongText, begins_long_text, read_head, read_json
from app.services.rag import (
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Progress,
    Source,
    TextDelta,
    TextReplaced,
)

logger = logging.getLogger(__name__)

# A node's output is one line and can reach megabytes. Of more than this only the head is kept, which says what it is;
# a text may have more, for it can be read piece by piece.
MAX_WHOLE_BYTES = 1024 * 1024
MAX_TEXT_BYTES = 8 * 1024 * 1024
SNIPPET_CHARS = 300
# Dify nests nothing deeper than two levels in its usage.
MAX_USAGE_DEPTH = 20

TEXT_KINDS = ("message", "agent_message", "message_file", "message_replace")
# What more than the head of an event is looked at of.
READ_WHOLE = frozenset({*TEXT_KINDS, "message_end", "workflow_finished", "error", None})
# Nothing came, but much was read: a moment to let others have their turn.
PAUSE = TextDelta("")
LONG_CHARS = 4_000

SseEvent = tuple[Data, bytes]
"""The data of an event and its name, mostly empty: Dify names its events inside the data."""

BOM = b"\xef\xbb\xbf"
THINKING = "thinking"
WAITS = "the workflow waits for a person"
# Steps that are the workflow's own business: "Start" or "If" are no news to a person.
QUIET_NODES = frozenset(
    {"start", "end", "answer", "if-else", "iteration-start", "loop-start", "loop-end"}
    | {"variable-aggregator", "variable-assigner", "assigner"}
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Dify's own are UUIDs. What becomes a segment of a path must not be "..", or lead elsewhere in another way.
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
MAX_ID_CHARS = 256
MAX_CODE_CHARS = 100


class EventHead(bytes):
    """How the data of an event begins that is too large to be kept."""


class SseParser:
    """Cuts a byte stream into its server-sent events (WHATWG HTML, "Server-sent events").

    Works on whole network reads: reading line by line costs a third more per token. Unlike `str.splitlines`,
    it knows no line ends but CR, LF and CRLF: Dify's JSON holds raw U+2028 and U+0085.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._is_first = True
        self._skips_lf = False
        self._is_skipping = False
        self._is_text = False

    def feed(self, data: bytes) -> list[SseEvent]:
        """Return every event that is now complete; a ping has no data and is left out.

        Of one with more than `MAX_WHOLE_BYTES`, a text with more than `MAX_TEXT_BYTES`, the data is an `EventHead` and
        comes as soon as that is known.
        """
        data, buffer = self._with_lf_only(data), self._buffer
        if not buffer and not self._is_first and data.endswith(b"\n\n"):
            return _events_of(data[:-2])  # whole events, as nearly every read brings them
        buffer += data
        if self._is_first:
            if len(buffer) < len(BOM) and BOM.startswith(buffer):
                return []
            self._is_first = False
            if buffer.startswith(BOM):
                del buffer[: len(BOM)]
        if self._is_skipping and not self._has_passed():
            return []
        scanned, self._scanned = self._scanned, len(buffer)
        end = buffer.rfind(b"\n\n", max(0, scanned - 1))
        if end < 0:
            return self._head() if self._is_too_large() else []
        if self._is_text:
            return self._long_text(scanned)
        blocks = bytes(buffer[:end])
        del buffer[: end + 2]
        self._scanned = len(buffer)
        return _events_of(blocks)

    def _long_text(self, scanned: int) -> list[SseEvent]:
        # Handed on as it is: to copy megabytes takes milliseconds each time.
        text, skips_lf = self._buffer, self._skips_lf
        end = text.find(b"\n\n", max(0, scanned - 1))
        rest = bytes(text[end + 2 :])
        del text[end:]
        self._buffer, self._scanned = bytearray(), 0
        self._is_text = self._skips_lf = False
        if text.startswith(b"data: {") and b"\n" not in text:
            del text[:6]
            events: list[SseEvent] = [(text, b"")]
        else:
            events = _events_of(bytes(text))
        events += self.feed(rest)
        self._skips_lf = self._skips_lf or skips_lf
        return events

    def _is_too_large(self) -> bool:
        if len(self._buffer) > MAX_WHOLE_BYTES and not self._is_text:
            self._is_text = begins_long_text(_event_of(bytes(self._buffer[:PIECE_BYTES]))[0])
        return len(self._buffer) > (MAX_TEXT_BYTES if self._is_text else MAX_WHOLE_BYTES)

    def _head(self) -> list[SseEvent]:
        """Give up the event that fills the buffer, but for its head."""
        data, name = _event_of(bytes(self._buffer[:PIECE_BYTES]))
        self._is_skipping, self._is_text = True, False
        self._has_passed()
        return [(EventHead(data), name)] if data else []

    def _has_passed(self) -> bool:
        """Drop what is there of an event that was given up; return whether it has ended."""
        end = self._buffer.find(b"\n\n")
        self._is_skipping = end < 0
        # The last byte may be the first half of the end.
        del self._buffer[: -1 if end < 0 else end + 2]
        self._scanned = 0
        return end >= 0

    def _with_lf_only(self, data: bytes) -> bytes:
        # A CR at the end of a read counts at once; should an LF follow, they were one line end.
        if self._skips_lf and data:
            data = data.removeprefix(b"\n")
            self._skips_lf = False
        if b"\r" not in data:
            return data
        self._skips_lf = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _events_of(blocks: bytes) -> list[SseEvent]:
    return [event for block in blocks.split(b"\n\n") if (event := _event_of(block))[0]]


def _event_of(block: bytes) -> SseEvent:
    if block.startswith(b"data: {") and b"\n" not in block:
        return block[6:], b""
    lines = block.split(b"\n")
    names = _values(lines, b"event:")
    return b"\n".join(_values(lines, b"data:")), names[-1] if names else b""


def _values(lines: list[bytes], field: bytes) -> list[bytes]:
    return [line[len(field) :].removeprefix(b" ") for line in lines if line.startswith(field)]


def _cut_out(data: Data) -> Generator[AnswerEvent, None, tuple[Data, LongText | None]]:
    """Return a large event without its text, and the text."""
    text = LongText(data)
    while text.look_on():
        yield PAUSE
    return (text.rest, text) if text.is_whole else (data, None)


def _read_event(data: Data) -> dict[str, Any] | None:
    """Read an event, a large one only as far as it is looked at.

    Raises `RagBrokenStream` if text of the answer may be lost.
    """
    if isinstance(data, EventHead) or len(data) > MAX_WHOLE_BYTES:
        head = read_head(data)
        if head is None or head.get("event") in (None, *TEXT_KINDS):
            raise RagBrokenStream("an event with text is too large")
        kind = _text(head, "event")[:MAX_CODE_CHARS]
        logger.warning("only the head is read of an event %s with more than %d bytes", kind, MAX_WHOLE_BYTES)
        return head
    if len(data) > PIECE_BYTES and (head := read_head(data)) is not None and head.get("event") not in READ_WHOLE:
        return head
    try:
        event = read_json(data)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def mend(text: str) -> str:
    """Make one character of two halves of a surrogate pair, and U+FFFD of a half alone, which has no UTF-8."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class PairJoiner:
    """Mends a text that comes in pieces, which may cut a surrogate pair."""

    def __init__(self) -> None:
        self._held = ""  # the first half of a pair, at the end of the last piece

    def feed(self, text: str) -> str:
        """Take more text and return what of it is whole."""
        text, self._held = self._held + text, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return mend(text)

    def flush(self) -> str:
        """Return what was held back: the text is over, so its other half does not come."""
        held, self._held = self._held, ""
        return mend(held)


class ThinkFilter:
    """Leaves `<think>…</think>` out of a text that comes in pieces.

    White space after a block before the first word goes with it. A block that never closes leaves nothing; a
    closing tag alone is text.
    """

    OPEN, CLOSE = "<think>", "</think>"

    def __init__(self) -> None:
        self.is_thinking = False
        self._held = ""  # the end of the last piece, when a tag may begin there
        self._is_leading = True  # no word has come yet
        self._swallows_space = False

    def feed(self, text: str) -> str:
        """Take more text and return what of it may be shown now."""
        if not (self.is_thinking or self._is_leading or self._held or "<" in text):
            return text  # as nearly every text of an answer
        shown: list[str] = []
        text = self._held + text
        self._held = ""
        while text:
            if self.is_thinking:
                thought, found, text = text.partition(self.CLOSE)
                if not found:
                    self._held = _tag_begun(thought, self.CLOSE)
                    break
                self.is_thinking = False
                self._swallows_space = self._is_leading
            if self._swallows_space:
                text = text.lstrip()
            before, found, text = text.partition(self.OPEN)
            if found:
                self.is_thinking = True
            else:
                self._held = _tag_begun(before, self.OPEN)
                before = before[: len(before) - len(self._held)]
            if before:
                self._swallows_space = False
                self._is_leading = self._is_leading and before.isspace()
                shown.append(before)
        return "".join(shown)

    def flush(self) -> str:
        """Return what was held back: the text is over, so no tag began there."""
        held, self._held = self._held, ""
        return "" if self.is_thinking else held


def _tag_begun(text: str, tag: str) -> str:
    """The longest end of `text` that a tag may begin with."""
    at = text.rfind("<", max(0, len(text) - len(tag) + 1))
    return text[at:] if at >= 0 and tag.startswith(text[at:]) else ""


class DifyAnswer:
    """Assembles one answer from Dify's events, of whatever app type and version.

    `task_id` is what a stop call needs, None until an event has a good one. `texts` counts the texts that came, with
    thoughts: what the deadlines look at. `is_closing`: one of a chatflow's two closing events has come, the other may
    never come. `is_over`: Dify is done with this answer. `has_read`: an event with data has come and could be read.
    `is_readable`: so it is, or there was none.
    """

    def __init__(self, *, strip_think: bool = True) -> None:
        self.task_id: str | None = None
        self.conversation_id: str | None = None
        self.texts = 0
        self.is_closing = False
        self.is_over = False
        self.is_readable = True
        self.has_read = False
        self._has_skipped = False
        self._strip_think = strip_think
        self._pairs = PairJoiner()
        self._think = ThinkFilter()
        self._has_come = self._has_shown = False  # a text; one that is to be shown
        self._has_said_thinking = False
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
        event = _read_event(data)
        # What calls itself something else inside is that; some relays name it outside alone.
        kind = (event or {}).get("event") or name.decode(errors="replace")
        if kind == "ping":
            return  # some proxies give it data
        if event is None and kind == "error":
            event = {}  # that there is one is what matters
        if event is None:
            self._skip()
            return
        self.has_read = self.is_readable = True
        if self.task_id is None:
            found = _ID.fullmatch(_text(event, "task_id"))
            self.task_id = found and found[0]
        if self.conversation_id is None:
            yield from self._name(event)
        if texts is None:
            texts = (_raw_text(event, "answer"),)
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
                node = _object(event, "data")
                if (title := _text(node, "title")) and _text(node, "node_type") not in QUIET_NODES:
                    yield Progress(title)
            case "workflow_started" | "node_finished":
                self._is_chatflow = True
            case "message_end":
                self._message_end = event
                yield from self._close()
            case "workflow_finished":
                self._is_chatflow = True
                result = _object(event, "data")
                self._workflow_status = _text(result, "status")
                self._output = _text(_object(result, "outputs"), "answer")
                yield from self._close()
            case "workflow_paused":
                self.is_over = True
                raise RagFailed(WAITS)
            case "error":
                self.is_over = True
                if not (self.is_closing and self._has_shown and not self._is_failing):
                    raise RagFailed(_error_said(event))
                yield from self._end()  # whatever it is about, the answer is whole

    def _name(self, event: dict[str, Any]) -> Iterator[AnswerEvent]:
        name = _text(event, "conversation_id")
        if 0 < len(name) <= MAX_ID_CHARS:  # it is kept as long as the session
            self.conversation_id = name
            yield ConversationNamed(name)

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
        if self._strip_think:
            text = self._think.feed(text)
            if self._think.is_thinking:
                yield from self._say_thinking()
        if text:
            self._has_shown = True
            yield TextDelta(text)

    def _say_thinking(self) -> Iterator[AnswerEvent]:
        if not self._has_said_thinking:
            self._has_said_thinking = True
            yield Progress(THINKING)

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
        metadata = _object(self._message_end or {}, "metadata")
        yield AnswerEnd(
            conversation_id=self.conversation_id,
            sources=tuple(_sources(metadata.get("retriever_resources"))),
            usage=_plain(_object(metadata, "usage")) or None,
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
        yield from self._show_all((_raw_text(body, "answer"),) if texts is None else texts)
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
    return f"Dify reports {_text(event, 'code')[:MAX_CODE_CHARS] or 'an error without a code'}"


def _digest(text: str) -> hashlib.blake2b:
    return hashlib.blake2b(text.encode())


def _text(event: dict[str, Any], key: str) -> str:
    return mend(_raw_text(event, key))


def _raw_text(event: dict[str, Any], key: str) -> str:
    value = event.get(key)
    return value if isinstance(value, str) else ""


def _object(event: dict[str, Any], key: str) -> dict[str, Any]:
    value = event.get(key)
    return value if isinstance(value, dict) else {}


def _is_plain(value: object) -> bool:
    """Whether JSON has this number: an oddity beside the answer must not spoil the answer."""
    return not isinstance(value, int | float) or -1e300 < value < 1e300


def _plain(value: Any, depth: int = MAX_USAGE_DEPTH) -> Any:
    """What JSON can say of this, null for the rest."""
    if not depth:
        return None
    match value:
        case dict():
            return {mend(key): _plain(each, depth - 1) for key, each in value.items()}
        case list():
            return [_plain(each, depth - 1) for each in value]
        case str():
            return mend(value)
        case _:
            return value if _is_plain(value) else None


def _sources(resources: object) -> Iterator[Source]:
    """Read the citations; an app without them sends null, an empty list or nothing."""
    if not isinstance(resources, list):
        return
    for number, item in enumerate((item for item in resources if isinstance(item, dict)), start=1):
        position, score = item.get("position"), item.get("score")
        yield Source(
            position=position if isinstance(position, int) and _is_plain(position) else number,
            title=_text(item, "document_name") or _text(item, "title"),
            source=_text(item, "dataset_name"),
            score=score if isinstance(score, int | float) and _is_plain(score) else None,
            snippet=_text(item, "content")[:SNIPPET_CHARS],
        )


def merge_texts(events: Iterable[AnswerEvent]) -> Iterator[AnswerEvent]:
    """Join texts that arrived together: what waited in one network read leaves as one piece, unless it is long."""
    texts: list[str] = []
    for event in events:
        if isinstance(event, TextDelta) and len(event.text) <= LONG_CHARS:
            texts.append(event.text)
            continue
        if text := "".join(texts):
            yield TextDelta(text)
        texts.clear()
        yield event
    if text := "".join(texts):
        yield TextDelta(text)
