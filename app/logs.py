"""One line a record, with the session and the query it belongs to, uvicorn's records included."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from app.config import Settings

session_id: ContextVar[str | None] = ContextVar("session_id", default=None)
query_id: ContextVar[str | None] = ContextVar("query_id", default=None)

# Below WARNING these tell of every request or connection, with addresses and paths, and no session.
CHATTY = ("httpx", "httpcore", "aiohttp", "asyncio", "websockets", "watchfiles")


TEXT_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
TIME_FORMAT = "%H:%M:%S"


def configure(settings: Settings) -> None:
    """Send every record to standard error in the chosen format; uvicorn's own handlers go."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_ids)
    handler.setFormatter(
        _json_formatter() if settings.log_format == "json" else _TextFormatter(TEXT_FORMAT, TIME_FORMAT)
    )
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
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _add_ids(record: logging.LogRecord) -> bool:
    if not hasattr(record, "session_id"):
        record.session_id = session_id.get()
    if not hasattr(record, "query_id"):
        record.query_id = query_id.get()
    return True


def _json_formatter() -> logging.Formatter:
    return JsonFormatter(
        "%(levelname)s %(name)s %(message)s %(session_id)s %(query_id)s",
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger"},
        json_ensure_ascii=False,
        reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's message once more, in colours
    )


class _TextFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        ids = [f"{name}={value}" for name in ("session_id", "query_id") if (value := getattr(record, name, None))]
        return " ".join([super().formatMessage(record), *ids])
