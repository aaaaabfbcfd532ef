"""Holds frames against the published contract, read more strictly than a client may: no field but those it lists."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

from jsonschema_rs import Draft7Validator

from app.contracts.asyncapi import make_document

Frame = dict[str, Any]
Kinds = dict[str, list[tuple[str, Draft7Validator]]]


@cache
def kinds(operation: str) -> Kinds:
    """The messages of an operation by their `type`, each with its validator."""
    document = make_document("Test", "/ws", 8000)
    schemas = {name: closed(schema) for name, schema in document["components"]["schemas"].items()}
    found: Kinds = defaultdict(list)
    for reference in document["operations"][operation]["messages"]:
        name = reference["$ref"].rpartition("/")[2]
        message = document["components"]["messages"][name]
        schema = {**message["payload"], "components": {"schemas": schemas}}
        found[message["name"]].append((name, Draft7Validator(schema)))
    return found


def closed(schema: Frame) -> Frame:
    """The schema of an object that has no other fields than those listed."""
    return {**schema, "additionalProperties": False} if "properties" in schema else schema


def check(frame: Frame, operation: str = "tell") -> str:
    """Return the name of the one message that the frame is; raise `AssertionError` if it is none, or several."""
    candidates = kinds(operation).get(frame.get("type", ""), [])
    # Half of a surrogate pair is legal in JSON and in Python, but not in Rust.
    text = _whole(frame)
    fitting = [name for name, validator in candidates if validator.is_valid(text)]
    if len(fitting) == 1:
        return fitting[0]
    problems = [f"{name}: {error.message}" for name, validator in candidates for error in validator.iter_errors(text)]
    raise AssertionError(f"{frame} is {fitting or 'not in the contract'}: {problems}")


def _whole(value: Any) -> Any:
    match value:
        case str():
            return value.encode(errors="replace").decode() if not value.isascii() else value
        case dict():
            return {name: _whole(part) for name, part in value.items()}
        case list():
            return [_whole(part) for part in value]
    return value
