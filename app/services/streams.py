"""What the streams of all backends have in common: bytes into events, texts made whole; no network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from app.models.answers import SNIPPET_CHARS, AnswerEvent, Progress, Source, TextDelta
from app.services.large_json import PIECE_BYTES, Data, begins_long_text

# A node's output is one line and can reach megabytes. Of more than this only the head is kept, which says what it is;
# a text may have more, for it can be read piece by piece.
MAX_WHOLE_BYTES = 1024 * 1024
MAX_TEXT_BYTES = 8 * 1024 * 1024
LONG_CHARS = 4_000
MAX_CODE_CHARS = 100
# Dify nests nothing deeper than two levels in its usage, and has fifteen values there.
MAX_USAGE_DEPTH = 20
MAX_USAGE_VALUES = 1_000
BOM = b"\xef\xbb\xbf"
THINKING = "thinking"
# Nothing came, but much was read: a moment to let others have their turn.
PAUSE = TextDelta("")

_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"\s*+")

SseEvent = tuple[Data, bytes]
"""The data of an event and its name, mostly empty: Dify names its events inside the data."""


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

    def sole(self, data: bytes) -> bytes | None:
        """The data of the one event that a read is, as most are; None if it is anything else, or nothing was before."""
        if self._buffer or self._is_first:
            return None
        is_one = data.startswith(b"data: {") and data.endswith(b"}\n\n") and data.count(b"\n") == 2
        return data[6:-2] if is_one and b"\r" not in data else None

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


def mend(text: str) -> str:
    """Make one character of two halves of a surrogate pair, and U+FFFD of a half alone, which has no UTF-8."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Answer:
    """An answer that is being assembled from a stream.

    `texts` counts the texts that came, with thoughts: what the deadlines look at. `is_closing`: what may still come is
    not waited for long. `is_over`: nothing more is read. `has_read`: an event with data has come and could be read.
    `is_readable`: so it is, or there was none.
    """

    def __init__(self) -> None:
        self.texts = 0
        self.is_closing = self.is_over = self.has_read = False
        self.is_readable = True
        self._pairs, self._think = PairJoiner(), ThinkFilter()
        self._has_shown = self._has_said_thinking = False

    def text_alone(self, data: bytes) -> str | None:
        """The text of an event that brings one, to be shown as it is, and changes nothing else; None for any other.

        Only when a text was shown before. Who shows it counts it in `texts`; who does not has to `feed` the event.
        """
        return None

    def end_of_stream(self) -> Iterator[AnswerEvent]:
        """The stream is over, or nothing more came after what closes it."""
        raise NotImplementedError

    def _say_thinking(self) -> Iterator[AnswerEvent]:
        if not self._has_said_thinking:
            self._has_said_thinking = True
            yield Progress(THINKING)


class PairJoiner:
    """Mends a text that comes in pieces, which may cut a surrogate pair."""

    def __init__(self) -> None:
        self._held = ""  # the first half of a pair, at the end of the last piece

    @property
    def is_even(self) -> bool:
        """Nothing is held back."""
        return not self._held

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

    def leaves(self, text: str) -> bool:
        """Whether it may be shown as it is, and nothing changes by it."""
        return not (self.is_thinking or self._is_leading or self._held or "<" in text)

    def feed(self, text: str) -> str:
        """Take more text and return what of it may be shown now."""
        if self.leaves(text):
            return text  # as nearly every text of an answer
        shown: list[str] = []
        text, at = self._held + text, 0  # a place in it: to cut off what was read, tag by tag, takes quadratic time
        self._held = ""
        while at < len(text):
            if self.is_thinking:
                end = text.find(self.CLOSE, at)
                if end < 0:
                    self._held = _tag_begun(text[at:], self.CLOSE)
                    break
                at = end + len(self.CLOSE)
                self.is_thinking = False
                self._swallows_space = self._is_leading
            if self._swallows_space:
                at = _SPACES.match(text, at).end()  # type: ignore[union-attr]  # it may be empty
            start = text.find(self.OPEN, at)
            if start >= 0:
                self.is_thinking = True
                before, at = text[at:start], start + len(self.OPEN)
            else:
                self._held = _tag_begun(text[at:], self.OPEN)
                before, at = text[at : len(text) - len(self._held)], len(text)
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


def text_in(event: dict[str, Any], key: str) -> str:
    return mend(raw_text_in(event, key))


def raw_text_in(event: dict[str, Any], key: str) -> str:
    value = event.get(key)
    return value if isinstance(value, str) else ""


def object_in(event: dict[str, Any], key: str) -> dict[str, Any]:
    value = event.get(key)
    return value if isinstance(value, dict) else {}


def is_plain(value: object) -> bool:
    """Whether JSON has this number: an oddity beside the answer must not spoil the answer."""
    return not isinstance(value, int | float) or -1e300 < value < 1e300


def source_of(position: int, title: str, source: str, score: object, snippet: str) -> Source:
    known = float(score) if isinstance(score, int | float) and type(score) is not bool and is_plain(score) else None
    return Source(position=position, title=title, source=source, score=known, snippet=snippet[:SNIPPET_CHARS])


def plain(value: Any) -> Any:
    """What JSON can say of this, null for the rest and for more than is ever shown."""
    if type(value) is dict and len(value) < MAX_USAGE_VALUES and _is_flat(value):
        return value  # as what Dify says, mostly
    left = MAX_USAGE_VALUES

    def part(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if not depth or left < 0:
            return None
        match value:
            case dict():
                return {mend(key): part(each, depth - 1) for key, each in islice(value.items(), left + 1)}
            case list():
                return [part(each, depth - 1) for each in islice(value, left + 1)]
            case str():
                return mend(value)
            case _:
                return value if is_plain(value) else None

    told = part(value, MAX_USAGE_DEPTH)
    return told if left >= 0 else None


def _is_flat(values: dict[str, Any]) -> bool:
    """Whether `plain` would change none of these, at an eighth of its cost."""
    for name, value in values.items():
        kind = type(value)
        if kind is str:
            if not value.isascii():
                return False
        elif kind is float or kind is int:
            if not -1e300 < value < 1e300:
                return False
        elif kind is not bool and value is not None:
            return False
        if not name.isascii():
            return False
    return True


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
