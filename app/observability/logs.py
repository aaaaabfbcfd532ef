"""One line a record, with the session and the query it belongs to, uvicorn's records included."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from json.encoder import encode_basestring as _quoted
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder, JsonFormatter

from app.config import Settings

session_id: ContextVar[str | None] = ContextVar("session_id", default=None)
query_id: ContextVar[str | None] = ContextVar("query_id", default=None)

# Below WARNING these tell of every request or connection, with addresses and paths, and no session.
CHATTY = ("httpx", "httpcore", "asyncio", "websockets", "watchfiles")

# What uvicorn 0.54 logs, though only clients are to blame: a handshake that was refused with a status of its own, text
# that is not UTF-8, a request that is none; and, for each connection, what the line before has said.
NO_NEWS = {
    "ASGI callable returned without completing handshake.",
    "Invalid UTF-8 sequence received from client.",
    "Invalid HTTP request received.",  # counted, and anybody can cause it
    "connection open",
}

TEXT_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
TIME_FORMAT = "%H:%M:%S"


def configure(settings: Settings) -> None:
    """Send every record to standard error in the chosen format; uvicorn's own handlers go."""
    # Nobody is told of them, and each record would look them up.
    logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_ids)
    handler.addFilter(_tidy_record)
    is_text = sys.stderr.isatty() if settings.log_format == "auto" else settings.log_format == "text"
    handler.setFormatter(_TextFormatter(TEXT_FORMAT, TIME_FORMAT) if is_text else _json_formatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(settings.log_level)
    if settings.log_level == "DEBUG":
        logging.getLogger("uvicorn.error").setLevel("INFO")  # below, it traces every socket, headers included
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_news(record: logging.LogRecord) -> bool:
    return record.msg not in NO_NEWS


def _spelled(word: str) -> str:
    """A pattern of the word as a URL may spell it: a letter that is percent-encoded is read all the same."""
    return "".join(f"(?:{letter}|%{ord(letter):02x}|%{ord(letter.upper()):02x})" for letter in word)


# Where a token may stand: in a URL, in a frame, in a header or as a subprotocol; a JWT shows itself anywhere. A
# quotation mark before white space ends the URL in uvicorn's lines; elsewhere it is part of what the client has sent.
_TOKENS = re.compile(
    rf"""({_spelled("token")}=)[^&\s]*?(?=["']?(?:[&\s]|\Z))"""
    r"""|(token\\*["']\s*:\s*\\*["'])[^"'\\]*"""
    r"""|(\bbearer(?:\.|\s+))[^\s,"']+"""
    r"""|()\beyJ[\w-]+\.[\w-]+\.[\w-]*""",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with `***` in the place of every token."""
    lower = text.lower()
    if "%" not in lower and "token" not in lower and "bearer" not in lower and "eyj" not in lower:
        return text  # as most, at a tenth of the cost
    return _TOKENS.sub(lambda found: f"{found[1] or found[2] or found[3] or ''}***", text)


# What would begin a line of its own, or tell a terminal to do something: others choose words that are logged.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
MAX_LINE_CHARS = 4_000


def tidy(text: str) -> str:
    """The text as one line of bounded length, with `***` in the place of every token."""
    line = redact(text)
    if not line.isprintable():
        line = _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], line)
    return line if len(line) <= MAX_LINE_CHARS else f"{line[: MAX_LINE_CHARS - 1]}…"


def _tidy_record(record: logging.LogRecord) -> bool:
    """Tidy a record, whoever made it: message, further fields and every line of an exception."""
    try:
        message = record.getMessage()
    except Exception:  # whatever a foreign `__str__` may raise: logging would print the arguments as they are
        message = f"{record.msg!r} with {record.args!r} cannot be formatted"
        record.msg, record.args = tidy(message), None
    if (clean := tidy(message)) != message:
        # As a whole: a token may stand half in the message and half in an argument.
        record.msg, record.args = clean, None
    for name in vars(record).keys() - _SAFE:
        if isinstance(value := vars(record)[name], str):
            setattr(record, name, _tidy_lines(value) if name in _MANY_LINES else tidy(value))
    if record.exc_info:
        trace = _TRACES.formatException(record.exc_info)
        if (clean := _tidy_lines(trace)) != trace:
            record.exc_info, record.exc_text = None, clean
    return True


def _tidy_lines(text: str) -> str:
    return "\n".join(map(tidy, text.split("\n")))


_MANY_LINES = {"exc_text", "stack_info"}
# What every record has, and the program alone decides; the message was tidied as a whole.
_SAFE = {*vars(logging.makeLogRecord({}))} - _MANY_LINES | {"color_message"}
_TRACES = logging.Formatter()
# How a record is written by template, what every record may have.
_PLAIN_JSON = '{"level": %s, "logger": %s, "message": %s, "session_id": %s, "query_id": %s%s, "time": "%s"}'
_PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message", "session_id", "query_id"}


# What is written under other names than those of a record.
_TAKEN = {"level", "logger", "time"}


def _add_ids(record: logging.LogRecord) -> bool:
    if not hasattr(record, "session_id"):
        record.session_id = session_id.get()
    if not hasattr(record, "query_id"):
        record.query_id = query_id.get()
    return True


class _JsonFormatter(JsonFormatter):
    """Writes a record that says nothing special by template, as JSON of the same form: one tells of each connection."""

    def format(self, record: logging.LogRecord) -> str:
        said = vars(record)
        ids = said.get("session_id"), said.get("query_id")
        more = {name: value for name, value in said.items() if name not in _PLAIN}
        is_special = record.exc_info or record.exc_text or record.stack_info or not isinstance(record.msg, str)
        if is_special or not _are_texts(ids) or not all(_is_plain(*item) for item in more.items()):
            return super().format(record)
        session, query = ["null" if value is None else _quoted(value) for value in ids]
        words = _quoted(record.levelname), _quoted(record.name), _quoted(record.getMessage()), session, query
        besides = f", {_ENCODER.encode(more)[1:-1]}" if more else ""
        return _PLAIN_JSON % (*words, besides, datetime.fromtimestamp(record.created, tz=UTC).isoformat())


def _are_texts(values: Iterable[object]) -> bool:
    return all(value is None or type(value) is str for value in values)


def _is_plain(name: object, value: object) -> bool:
    """Whether a further field is written as it is, under its own name."""
    is_named_so = type(name) is str and not name.startswith("_") and name not in _TAKEN
    return is_named_so and (value is None or type(value) is str or type(value) is int)


def _json_formatter() -> logging.Formatter:
    return _JsonFormatter(
        "%(levelname)s %(name)s %(message)s %(session_id)s %(query_id)s",
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger"},
        json_serializer=_serialized,
        reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's message once more, in colours
    )


_ENCODER = JsonEncoder(ensure_ascii=False)


def _serialized(fields: dict[str, Any], **_: Any) -> str:
    """As `json.dumps` would do with what the formatter says besides, which makes an encoder for each record."""
    return _ENCODER.encode(fields)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # Only a record begins at the margin, whatever the text of an exception says.
        return super().format(record).replace("\n", "\n    ")

    def formatMessage(self, record: logging.LogRecord) -> str:
        ids = [f"{name}={value}" for name in ("session_id", "query_id") if (value := getattr(record, name, None))]
        return " ".join([super().formatMessage(record), *ids])
