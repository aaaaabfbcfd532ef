"""The codes that clients match on: of `error` frames and of closed connections. None is ever renamed.

Those of answers that failed stand with their errors, in `errors.py`: a provider of somebody's own may add some.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class ErrorCode(StrEnum):
    """Why an `error` frame is sent, each with what it means."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> ErrorCode:
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    # The message is refused: no `ack` comes, and nothing else changes.
    INVALID_JSON = "INVALID_JSON", "Not JSON, not an object, or a binary frame."
    INVALID_MESSAGE = (
        "INVALID_MESSAGE",
        "A field that the message needs is missing or of the wrong type; `details.field` names it.",
    )
    UNSUPPORTED_TYPE = "UNSUPPORTED_TYPE", "There is no message of this `type`."
    UNKNOWN_ACTION = "UNKNOWN_ACTION", "There is no control of this `action`."
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE", "More than `MAX_MESSAGE_BYTES`."
    RATE_LIMITED = "RATE_LIMITED", "Too many messages, or too many partials; `retry_after_ms` says when to go on."
    # The message is acknowledged, and cannot be followed.
    NO_FINAL_ASR = (
        "NO_FINAL_ASR",
        "`instant_query` without `text` before any final chunk, or a `query_id` that was not suggested.",
    )
    EMPTY_QUESTION = "EMPTY_QUESTION", "A final chunk or an `instant_query` without text."
    FEEDBACK_UNSUPPORTED = (
        "FEEDBACK_UNSUPPORTED",
        "`feedback` on an answer that cannot be rated: whoever gave it takes none, or it is too long ago.",
    )
    DRAINING = "DRAINING", "The session is about to end and takes no more questions."
    # Nobody's message.
    INTERNAL_ERROR = "INTERNAL_ERROR", "A fault of the service; its log tells more."
    SLOW_CONSUMER = "SLOW_CONSUMER", "The client read too slowly: the connection before was closed with 1013."
    IDLE_TIMEOUT = "IDLE_TIMEOUT", "The client has been silent for `IDLE_SECONDS`; close 4408 follows."
    # The only frame, for who is not let in.
    UNAUTHORIZED = (
        "UNAUTHORIZED",
        "The token is missing or wrong. The frame has no `session_id` and no `seq`; close 4401 follows.",
    )
    SESSION_LIMIT = "SESSION_LIMIT", "Too many sessions of the tenant; close 4429 follows."


class CloseCode(IntEnum):
    """Why the service closes a connection, each with what it means, and whether another try would be in vain."""

    meaning: str
    is_final: bool

    def __new__(cls, code: int, meaning: str, is_final: bool = False) -> CloseCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.is_final = is_final
        return member

    STOPPED = 1000, "After `stop`.", True
    NOT_UTF8 = 1007, "A text frame is not UTF-8.", True
    FLOODED = 1008, "`RATE_LIMITED` went on for too long, for messages that are no partials."
    TOO_LARGE = 1009, "A message is larger than twice `MAX_MESSAGE_BYTES`."
    FAILED = 1011, "No pong came in time, or the service has a fault."
    RESTART = 1012, "The service shuts down, or the session is too old: connect again."
    SLOW_CONSUMER = 1013, "The client reads too slowly: connect again."
    UNAUTHORIZED = 4401, "The token is missing or wrong, or it has expired: another one is needed.", True
    IDLE_TIMEOUT = 4408, "The client has been silent for `IDLE_SECONDS`.", True
    TAKEN_OVER = 4409, "Another connection took the session over.", True
    SESSION_LIMIT = 4429, "Too many sessions of the tenant: try later."
