"""The AsyncAPI document: the channel, every message both ways, error and close codes, and how a client is known."""

from __future__ import annotations

from typing import Any

from app import __version__, errors
from app.codes import CloseCode, ErrorCode
from app.contracts import words
from app.contracts.examples import examples_of
from app.contracts.schemas import client_messages, schemas, server_messages, wire
from app.models.messages import Frame

Document = dict[str, Any]
_CHANNEL = "realtime"
_TOKEN = "Only where the service knows tokens. "

SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": _TOKEN + "A header `Authorization: Bearer <token>`.",
    },
    "subprotocol": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": _TOKEN + "For browsers: offer `bearer.<token>` beside `realtime-rag.v1`, which is accepted.",
    },
    "query": {
        "type": "httpApiKey",
        "in": "query",
        "name": "token",
        "description": _TOKEN + "Where nothing else can be set: proxies may log it.",
    },
}
QUERY = {
    "token": "A token, where no header and no subprotocol can be set.",
    "resume_token": "Goes on with a session whose connection was lost.",
    "last_seq": "With `resume_token`: the `seq` of the last frame that arrived.",
    "session_id": "With `last_seq`: the `session_id` of that frame; by default the current one.",
}


def make_document(title: str, ws_path: str, port: int) -> Document:
    """Describe the WebSocket of a service with these settings."""
    incoming, outgoing = client_messages(), server_messages()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": __version__,
            "description": "Transcript chunks in, stages and streamed answers out. One JSON object per text frame, "
            "UTF-8. Both sides ignore fields that they do not know.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"service": _server(port or 8000)},
        "channels": {_CHANNEL: _channel(ws_path, [*incoming, *outgoing])},
        "operations": {
            "hear": _operation("receive", "What a client may send.", incoming),
            "tell": _operation("send", "What a client may get.", outgoing),
        },
        "components": {
            "messages": {model.__name__: _message(model) for model in [*incoming, *outgoing]},
            "schemas": schemas(),
            "securitySchemes": SECURITY,
        },
    }


def _server(port: int) -> Document:
    return {
        "host": "{host}",
        "protocol": "ws",
        "description": "`wss` behind a proxy that ends TLS.",
        "variables": {"host": {"default": f"localhost:{port}", "description": "Host and port."}},
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in SECURITY],
    }


def _channel(ws_path: str, models: list[type[Frame]]) -> Document:
    query: dict[str, Document] = {name: {"type": "string", "description": meaning} for name, meaning in QUERY.items()}
    query["last_seq"] |= {"type": "integer", "minimum": 0}
    return {
        "address": ws_path,
        "title": "One session",
        "description": "A connection is a session: the talk goes in, and answers to its questions come out.",
        "servers": [{"$ref": "#/servers/service"}],
        "messages": {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model in models},
        "bindings": {"ws": {"method": "GET", "query": {"type": "object", "properties": query}}},
        "x-error-codes": {code.value: code.meaning for code in ErrorCode},
        "x-answer-error-codes": answer_codes(),
        "x-close-codes": {str(code.value): code.meaning for code in CloseCode},
    }


def _operation(action: str, summary: str, models: list[type[Frame]]) -> Document:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": f"#/channels/{_CHANNEL}"},
        "messages": [{"$ref": f"#/channels/{_CHANNEL}/messages/{model.__name__}"} for model in models],
    }


def _message(model: type[Frame]) -> Document:
    message: Document = {
        "name": str(model.model_fields["type"].default),
        "title": model.__name__,
        "summary": words.MESSAGES.get(model.__name__) or " ".join((model.__doc__ or "").split()),
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
    }
    examples = [{"summary": about, "payload": wire(frame)} for about, frame in examples_of(model)]
    return {**message, "examples": examples} if examples else message


def answer_codes() -> dict[str, Document]:
    """Every code of a failed answer with what it means and whether asking again may help."""
    return {
        error.code: {"description": _first_paragraph(error), "retryable": error.retryable}
        for error in _kinds_of(errors.RagError)
    }


def _first_paragraph(error: type[errors.RagError]) -> str:
    return " ".join((error.__doc__ or error.sentence).partition("\n\n")[0].split())


def _kinds_of(root: type[errors.RagError]) -> list[type[errors.RagError]]:
    """The error classes of the service itself, not those of a provider of somebody's own."""
    kinds = [kind for direct in root.__subclasses__() for kind in [direct, *_kinds_of(direct)]]
    return [kind for kind in kinds if kind.__module__ == errors.__name__]
