"""What recognisers say when something is wrong: `complaint` of `static/recognisers.js`, in Python."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

LONGEST = 200
# They are said beside the words, and the next words come all the same.
_ASIDE = {"warning", "wait", "commit_throttled", "insufficient_audio_activity", "audio_chunk"}
_NAMELESS = {"error", "warning"}
_KINDS = ("type", "message", "message_type", "status")
_CODES = ("code", "error_code", "errorCode", "err_code", "status_code", "statusCode")
_WORDS = ("reason", "description", "error_message", "err_msg", "errorDetails", "warning", "message", "text")


@dataclass(frozen=True, slots=True)
class Complaint:
    """`text` is for a person, with the recogniser's own code; after one that `is_fatal` it hears no more."""

    text: str
    is_fatal: bool


def complaint(message: Any) -> Complaint | None:
    """What a message complains of, in whichever form its recogniser has for that."""
    if not isinstance(message, dict):
        return None
    kinds = {str(message.get(name, "")).lower() for name in _KINDS}
    is_aside = not kinds.isdisjoint(_ASIDE) or any(kind.endswith(".failed") for kind in kinds)
    # FunASR says it in place of words, without a mode.
    is_error = "mode" not in message and str(message.get("text", "")).startswith("ERROR")
    is_error |= any("error" in kind or kind.endswith(("failure", "failed")) for kind in kinds)
    is_error |= any(message.get(name) for name in ("error", "error_code", "err_code", "errorDetails"))
    if not is_error and kinds.isdisjoint({"warning", "wait"}):
        return None
    inner = next((each for each in map(message.get, ("error", "data", "detail")) if isinstance(each, dict)), {})
    told = [message.get("error"), *(_of(inner, _WORDS)), *(_of(message, _WORDS))]
    words = [each for each in told if isinstance(each, str) and each and each.lower() not in _NAMELESS]
    minutes = message.get("message")
    if "wait" in kinds and isinstance(minutes, int | float):
        words.insert(0, f"it is full, for {minutes:.0f} minutes")
    text = words[0] if words else json.dumps(message, ensure_ascii=False)
    named = [message.get("type")] if kinds & _NAMELESS else []
    codes = [*_of(inner, _CODES), *_of(message, _CODES), message.get("message_type"), *named]
    known = [str(each) for each in codes if isinstance(each, int | str) and each and str(each).lower() not in _NAMELESS]
    if known and known[0] not in text:
        text = f"{text} ({known[0]})"
    return Complaint(text[:LONGEST], is_error and not is_aside)


def _of(message: dict[str, Any], names: tuple[str, ...]) -> list[Any]:
    return [message[name] for name in names if message.get(name)]
