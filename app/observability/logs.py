"""One line a record, with the session and the query it belongs to, uvicorn's records included."""

from __future__ import annotations

import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
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
    if not _may_hold_token(text):
        return text  # as most, at a tenth of the cost
    return _TOKENS.sub(lambda found: f"{found[1] or found[2] or found[3] or ''}***", text)


def _may_hold_token(text: str) -> bool:
    lower = text.lower()
    return "%" in lower or "token" in lower or "bearer" in lower or "eyj" in lower


# What would begin a line of its own, or tell a terminal to do something: others choose words that are logged.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
MAX_LINE_CHARS = 4_000


def tidy(text: str) -> str:
    """The text as one line of bounded length, with `***` in the place of every token."""
    line = redact(text)
    if not line.isprintable():
        line = _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], line)
    return line if len(line) <= MAX_LINE_CHARS else f"{line[: MAX_LINE_CHARS - 1]}…"


def _is_tidy(text: str) -> bool:
    """Whether `tidy` would leave it as it is, as nearly always; no more than a guess where it says no."""
    return len(text) <= MAX_LINE_CHARS and text.isprintable() and not _may_hold_token(text)


def _tidy_record(record: logging.LogRecord) -> bool:
    """Tidy a record, whoever made it: message, further fields and every line of an exception."""
    try:
        message = record.getMessage()
    except Exception:  # whatever a foreign `__str__` may raise: logging would print the arguments as they are
        message = f"{record.msg!r} with {record.args!r} cannot be formatted"
        record.msg, record.args = tidy(message), None
    fields = vars(record)
    texts = {name: fields[name] for name in fields.keys() - _SAFE if isinstance(fields[name], str)}
    if not record.exc_info and _is_tidy("".join([message, *texts.values()])):
        return True
    if (clean := tidy(message)) != message:
        # As a whole: a token may stand half in the message and half in an argument.
        record.msg, record.args = clean, None
    for name, value in texts.items():
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
        return self._by_template(record) or super().format(record)

    def _by_template(self, record: logging.LogRecord) -> str | None:
        said = vars(record)
        ids = said.get("session_id"), said.get("query_id")
        if record.exc_info or record.exc_text or record.stack_info or type(record.msg) is not str:
            return None
        words = [_written(word) for word in (record.levelname, record.name, record.getMessage(), *ids)]
        for name, value in said.items():
            if name not in _PLAIN:
                words += _named(name), _written(value)
        if None in words:
            return None
        besides = "".join([f", {name}: {value}" for name, value in zip(words[5::2], words[6::2], strict=True)])
        return _PLAIN_JSON % (*words[:5], besides, datetime.fromtimestamp(record.created, tz=UTC).isoformat())


def _written(value: object) -> str | None:
    """How a plain value is written; None for any other."""
    if isinstance(value, str):
        return _quoted(value)
    return str(value) if type(value) is int else "null" if value is None else None


@lru_cache
def _named(name: object) -> str | None:
    """How the name of a further field is written; None if the formatter does something else with it."""
    return _quoted(name) if isinstance(name, str) and not name.startswith("_") and name not in _TAKEN else None


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
