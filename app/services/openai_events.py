"""Reads the stream of an OpenAI-compatible server: event payloads into answer events; no network."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from pydantic_core import from_json

from app.errors import RagBrokenStream, RagFailed, RagRejected
from app.models.answers import AnswerEnd, AnswerEvent, Progress, Source, TextDelta
from app.services.large_json import PIECE_BYTES, Data, read_json
from app.services.streams import (
    MAX_CODE_CHARS,
    MAX_WHOLE_BYTES,
    Answer,
    EventHead,
    is_plain,
    mend,
    object_in,
    raw_text_in,
    source_of,
    text_in,
)

logger = logging.getLogger(__name__)

NO_ANSWER = "NO_ANSWER"
"""What a model is told to say when the passages that it got lack the answer."""

ERROR = "**ERROR**"
"""So RAGFlow begins an answer that is none."""

USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")
# Ends that are none of the whole answer; others, also such as nobody knows yet, are.
CUT_OFF = frozenset({"length", "content_filter", "tool_calls", "function_call", "abort", "error"})

# What an event says beside a text.
_MORE = ("error", "sources", "usage")
_MORE_IN_DELTA = ("reference", "reasoning_content", "reasoning")
# Text of the answer in an event, whatever else the delta says before it.
_TEXT_BEGINS = re.compile(rb'"(?:delta|message)"\s*+:\s*+\{[^{}]*?"(?:content|refusal)"\s*+:\s*+"[^"]')
# Not behind a name: that is code.
_CITED = re.compile(r"(?<![\w)])\[\s*((?:t\d{1,4}|\d{1,3})(?:\s*,\s*(?:t\d{1,4}|\d{1,3}))*)\s*\]")
_CITING = re.compile(r"\[[t\d\s,]{0,24}$")


class Citations:
    """Finds out which of the numbered passages a text cites, and takes out what is none of their numbers.

    Without any, brackets are the text's own.
    """

    def __init__(self, numbers: Collection[str]) -> None:
        self._numbers = numbers
        self.cited: set[str] = set()
        self._held = ""
        self._last = ""  # the character before

    def feed(self, text: str) -> str:
        """Take more text and return what of it may be shown now."""
        if not self._numbers:
            return text
        text, self._held = self._held + text, ""
        if begun := _CITING.search(text):
            text, self._held = text[: begun.start()], text[begun.start() :]
        before, self._last = self._last, text[-1:] or self._last
        # Adjacent ones ("[1][2]") are looked at from the left: what is cited stays.
        return _CITED.sub(self._check, before + text)[len(before) :] if "[" in text else text

    def leaves(self, text: str) -> bool:
        """Whether it may be shown as it is; then it is what comes before the next one."""
        if not self._numbers:
            return True
        if self._held or "[" in text:
            return False
        self._last = text[-1:]
        return True

    def _check(self, found: re.Match[str]) -> str:
        if "t" in found[1] and "t1" not in self._numbers:
            return found[0]
        good = [number for number in map(str.strip, found[1].split(",")) if number in self._numbers]
        self.cited.update(good)
        return f"[{', '.join(good)}]" if good else ""

    def flush(self) -> str:
        """Return what was held back: the text is over."""
        held, self._held = self._held, ""
        return held


class OpenAiAnswer(Answer):
    """Assembles one answer from the chunks of whatever server speaks this wire.

    `passages` and `talk` are what the model was given to cite, empty for a server that has its own. `has_no_answer`: it
    said that they lack the answer.
    """

    def __init__(self, passages: Sequence[Source] = (), talk: Sequence[Source] = ()) -> None:
        super().__init__()
        self.has_no_answer = False
        self._passages = passages
        self._given = {str(each.position): each for each in passages} | {f"t{each.position}": each for each in talk}
        self._citations = Citations(self._given)
        self._marks = (NO_ANSWER, ERROR) if self._given else (ERROR,)
        self._opening: str | None = ""  # what has come while it may still be one of the marks
        self._finish = ""
        self._usage: dict[str, Any] | None = None
        self._sources: list[Source] = []

    def feed(self, data: Data, name: bytes = b"") -> Iterator[AnswerEvent]:
        """Take one event; raise `RagError` when it ends the answer badly."""
        if data.strip() == b"[DONE]":
            self.has_read = self.is_readable = True
            self.is_closing = True
            return
        event = _read(data)
        if name == b"error" and not isinstance(event, dict):
            event = {}  # that there is one is what matters
        if event is None:
            self.is_readable = self.has_read
            return
        self.has_read = self.is_readable = True
        if isinstance(event, list):
            if name == b"flowResponses":
                self._sources += _quoted(event)
            return
        if name == b"error" or event.get("error"):
            yield from self._fail(event)
            return
        if name == b"flowNodeStatus":
            if title := text_in(event, "name"):
                yield Progress(title)
            return
        self._sources += _found(event.get("sources"))
        yield from self._choice(event)
        usage = object_in(event, "usage")
        told = {key: usage[key] for key in USAGE if isinstance(usage.get(key), int) and is_plain(usage[key])}
        self._usage = told or self._usage

    def text_alone(self, data: bytes) -> str | None:
        if not self._has_shown or self._opening is not None or not self._pairs.is_even:
            return None
        try:
            event = from_json(data)  # unlike `read_json` without halves of pairs
        except ValueError:
            return None
        choices = None if any(map(event.get, _MORE)) else event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        delta = choice.get("delta") if isinstance(choice, dict) and not choice.get("finish_reason") else None
        if not isinstance(delta, dict) or any(map(delta.get, _MORE_IN_DELTA)):
            return None
        text = delta.get("content")
        if not isinstance(text, str) or not text or not self._think.leaves(text) or not self._citations.leaves(text):
            return None
        return text

    def _choice(self, event: dict[str, Any]) -> Iterator[AnswerEvent]:
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        delta = object_in(choice, "delta") or object_in(choice, "message")
        self._sources += _referenced(delta.get("reference"))
        if raw_text_in(delta, "reasoning_content") or raw_text_in(delta, "reasoning"):
            self.texts += 1
            yield from self._say_thinking()
        yield from self._text(raw_text_in(delta, "content") or raw_text_in(delta, "refusal"))
        if finish := text_in(choice, "finish_reason"):
            self._finish = finish
            self.is_closing = True

    def _text(self, raw: str) -> Iterator[AnswerEvent]:
        if not raw:
            return
        self.texts += 1
        text = self._think.feed(self._pairs.feed(raw))
        if self._think.is_thinking:
            yield from self._say_thinking()
        if self._opening is not None:
            text = self._opening + text
            begun = text.lstrip()
            self._opening = text if any(mark.startswith(begun[: len(mark)]) for mark in self._marks) else None
            if self._opening is not None:
                return
        yield from self._show(self._citations.feed(text))

    def _show(self, text: str) -> Iterator[AnswerEvent]:
        if text:
            self._has_shown = True
            yield TextDelta(text)

    def _fail(self, event: dict[str, Any]) -> Iterator[AnswerEvent]:
        self.is_over = True
        if not self._finish:
            raise RagFailed(f"the server reports {describe(event)}")
        yield from self._end()  # whatever it is about, the answer is whole

    def end_of_stream(self) -> Iterator[AnswerEvent]:
        """The stream is over, or nothing more came after what closes it."""
        self.is_over = True
        if not self._finish and not self.texts:
            raise RagBrokenStream("the stream ended without an answer")
        yield from self._end()

    def _end(self) -> Iterator[AnswerEvent]:
        rest = self._think.feed(self._pairs.flush()) + self._think.flush()
        opening, self._opening = self._opening or "", None
        begun = opening.lstrip()
        if begun.startswith(ERROR):
            raise RagFailed("the server reports an error in place of an answer")
        if begun.startswith(NO_ANSWER) and self._given:
            self.has_no_answer = True
            yield AnswerEnd(usage=self._usage, found=False)
            return
        yield from self._show(self._citations.feed(opening + rest))
        yield from self._show(self._citations.flush())
        if not self._has_shown and self._finish in CUT_OFF:
            raise RagFailed(f"the server ended with {self._finish[:MAX_CODE_CHARS]} before the first text")
        cited = [source for number, source in self._given.items() if number in self._citations.cited]
        yield AnswerEnd(
            sources=tuple(cited or self._passages or self._sources),
            usage=self._usage,
            incomplete=not self._finish or self._finish in CUT_OFF,
        )

    def feed_whole(self, data: Data) -> Iterator[AnswerEvent]:
        """Take the one JSON object of a server that does not stream."""
        body = _read(data)
        if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
            raise RagRejected(f"the server answers with {describe(body)}")
        self._sources += _quoted(body.get("responseData"))
        yield from self.feed(data)
        self._finish = self._finish or "stop"
        yield from self.end_of_stream()


def describe(body: Any) -> str:
    """What an error says of itself, in the shapes that servers have; for the log."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, str):
        return mend(error)[:MAX_CODE_CHARS]
    if not isinstance(error, dict):
        return "what is no error and no answer"
    said = [error.get(key) for key in ("code", "type", "message", "detail", "statusText", "msg")]
    texts = [mend(str(each)) for each in said if isinstance(each, str | int) and each != ""]
    return " ".join(": ".join(texts).split())[:200] or "an error without a code"


def _read(data: Data) -> dict[str, Any] | list[Any] | None:
    if isinstance(data, EventHead) or len(data) > MAX_WHOLE_BYTES:
        if _TEXT_BEGINS.search(data, 0, PIECE_BYTES):
            raise RagBrokenStream("an event with text is too large")
        logger.warning("an event with more than %d bytes is skipped", MAX_WHOLE_BYTES)
        return None
    try:
        event = read_json(data)
    except ValueError:
        return None
    return event if isinstance(event, dict | list) else None


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):  # RAGFlow's references by chunk
        value = list(value.get("chunks", value).values()) if isinstance(value.get("chunks", value), dict) else []
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _score(score: object) -> object:
    if isinstance(score, list):  # newer versions of FastGPT
        return next((each.get("value") for each in score if isinstance(each, dict)), None)
    return score


def _referenced(reference: object) -> list[Source]:
    """RAGFlow's sources, in the last chunk."""
    return [
        source_of(
            number,
            text_in(item, "document_name"),
            text_in(item, "url") or text_in(item, "document_id"),
            item.get("similarity"),
            text_in(item, "content"),
        )
        for number, item in enumerate(_objects(reference), start=1)
    ]


def _quoted(nodes: object) -> list[Source]:
    """FastGPT's sources, in the nodes of its workflow."""
    quotes = [quote for node in _objects(nodes) for quote in _objects(node.get("quoteList"))]
    return [
        source_of(
            number,
            text_in(quote, "sourceName"),
            text_in(quote, "sourceId"),
            _score(quote.get("score")),
            f"{text_in(quote, 'q')}\n{text_in(quote, 'a')}".strip(),
        )
        for number, quote in enumerate(quotes, start=1)
    ]


def _found(sources: object) -> list[Source]:
    """Open WebUI's sources, before the first chunk: lists side by side."""
    found: list[Source] = []
    for item in _objects(sources):
        about = list(_objects(item.get("metadata")))
        distances = item.get("distances")
        documents = item.get("document")
        for at, text in enumerate(documents if isinstance(documents, list) else []):
            meta = about[at] if at < len(about) else {}
            score = distances[at] if isinstance(distances, list) and at < len(distances) else None
            title = text_in(meta, "name") or text_in(object_in(item, "source"), "name")
            snippet = mend(text) if isinstance(text, str) else ""
            found.append(source_of(len(found) + 1, title, text_in(meta, "source"), score, snippet))
    return found
