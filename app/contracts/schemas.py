"""JSON Schemas of the frames as they are on the wire: what is always there, what may be absent, what may be null."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from app.contracts import words
from app.contracts.examples import examples_of
from app.models import messages
from app.models.messages import ClientFrame, Frame

Schema = dict[str, Any]
_REF = "#/components/schemas/{model}"


def client_messages() -> list[type[Frame]]:
    """The models of what a client sends."""
    return [model for model in _kinds() if issubclass(model, ClientFrame)]


def server_messages() -> list[type[Frame]]:
    """The models of what the service sends."""
    return [model for model in _kinds() if not issubclass(model, ClientFrame)]


def _kinds() -> Iterator[type[Frame]]:
    """Every model of the wire contract with a `type` of its own, in the order of the module."""
    for model in vars(messages).values():
        if isinstance(model, type) and issubclass(model, Frame):
            kind = model.model_fields.get("type")
            if kind is not None and get_args(kind.annotation):  # a Literal, not just a string
                yield model


def schemas() -> dict[str, Schema]:
    """The schemas of all messages and of the models inside them, by name."""
    incoming, outgoing = client_messages(), server_messages()
    found = _generate(incoming, "validation") | _generate(outgoing, "serialization")
    models = {model.__name__: model for model in _with_parts([*incoming, *outgoing])}
    left_out = _left_out()
    for name, schema in found.items():
        model = models.get(name)
        if model is None or "properties" not in schema:
            continue
        if issubclass(model, ClientFrame):
            schema["required"] = ["type", *schema.get("required", [])]
            # What all messages may carry comes last.
            schema["properties"] = {name: schema["properties"][name] for name in _own_first(model)}
        elif model in left_out:
            _as_sent(schema, left_out[model])
        _describe(schema, model)
        for field in schema["properties"].values():
            _tidy(field)
    # Only a FinalAnswer is final: a frame is of one kind.
    found["Answer"]["properties"]["final"] = {**found["Answer"]["properties"]["final"], "const": False}
    return found


def _own_first(model: type[BaseModel]) -> list[str]:
    return sorted(model.model_fields, key=lambda name: (name != "type", name in ClientFrame.model_fields))


class _Untitled(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _generate(models: Iterable[type[Frame]], mode: Literal["validation", "serialization"]) -> dict[str, Schema]:
    pairs = [(model, mode) for model in models]
    generated = models_json_schema(pairs, ref_template=_REF, schema_generator=_Untitled)[1]["$defs"]
    return dict(generated)


def _with_parts(models: Iterable[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    for model in models:
        yield model
        for field in model.model_fields.values():
            yield from _with_parts(_models_in(field.annotation))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _left_out() -> dict[type[BaseModel], set[str]]:
    """The fields of each model that are absent, not null, when they have no value: as its `to_json` does it."""
    found: dict[type[BaseModel], set[str]] = {}
    for _, frame in (example for model in server_messages() for example in examples_of(model)):
        for bare in (frame, _bare(frame, with_parts=True), _bare(frame, with_parts=False)):
            _compare(bare, wire(bare), found)
    return found


def _bare(model: Any, *, with_parts: bool) -> Any:
    """The model with nothing in it that may be None."""
    changes: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if with_parts and isinstance(value, BaseModel):
            changes[name] = _bare(value, with_parts=True)
        elif field.default is None:
            changes[name] = None
    return model.model_copy(update=changes)


def _compare(model: BaseModel, sent: dict[str, Any], found: dict[type[BaseModel], set[str]]) -> None:
    absent = found.setdefault(type(model), set())
    for name in type(model).model_fields:
        value = getattr(model, name)
        if name not in sent:
            absent.add(name)
        for part, shown in _pairs(value, sent.get(name)):
            _compare(part, shown, found)


def _pairs(value: Any, sent: Any) -> Iterator[tuple[BaseModel, dict[str, Any]]]:
    if isinstance(value, BaseModel):
        yield value, sent
    elif isinstance(value, tuple):
        yield from ((part, shown) for part, shown in zip(value, sent, strict=True) if isinstance(part, BaseModel))


def wire(frame: Frame) -> dict[str, Any]:
    """The frame as it goes over the wire."""
    text = frame.to_json() if hasattr(frame, "to_json") else frame.model_dump_json(exclude_none=True)
    sent = json.loads(text)
    assert isinstance(sent, dict)
    return sent


def _as_sent(schema: Schema, absent: set[str]) -> None:
    properties = schema["properties"]
    schema["required"] = [name for name in properties if name not in absent]
    for name, field in properties.items():
        field.pop("default", None)  # nothing is left to be filled in
        if name in absent:
            properties[name] = _never_null(field)


def _never_null(schema: Schema) -> Schema:
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    if not kinds:
        return rest
    return {**kinds[0], **rest} if len(kinds) == 1 else {"anyOf": kinds, **rest}


def _tidy(schema: Any) -> None:
    if isinstance(schema, list):
        for part in schema:
            _tidy(part)
    elif isinstance(schema, dict):
        if "pattern" in schema:
            schema["pattern"] = schema["pattern"].replace(r"\z", "$")  # Rust's word for what ECMA-262 calls $
        if "const" in schema or schema.get("default", 0) is None:
            schema.pop("default", None)
        for part in schema.values():
            _tidy(part)


def _describe(schema: Schema, model: type[BaseModel]) -> None:
    if model.__name__ in words.MESSAGES:
        schema["description"] = words.MESSAGES[model.__name__]
    elif "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    for name, field in schema["properties"].items():
        known = [f"{base.__name__}.{name}" for base in model.__mro__] + [name]
        meaning = next((words.FIELDS[key] for key in known if key in words.FIELDS), None)
        if meaning is not None:
            field.setdefault("description", meaning)
