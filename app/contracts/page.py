"""The contracts as pages for people: plain HTML, no script, no address outside the service."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.contracts.style import STYLE

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Schemas = Mapping[str, Mapping[str, Any]]
_LIMITS = {
    "maxLength": "at most {} characters",
    "maxItems": "at most {}",
    "minimum": "from {}",
    "maximum": "to {}",
    "pattern": "{}",
}
_LINE = 84
"""Longer examples than this many characters take more than one line."""
_CHAPTERS = {
    "connect": "Connect",
    "incoming": "Client to server",
    "outgoing": "Server to client",
    "parts": "Parts of frames",
    "errors": "Error codes",
    "closing": "Close codes",
}


def protocol_page(document: Mapping[str, Any]) -> str:
    """The WebSocket, as the AsyncAPI document describes it."""
    (channel,) = document["channels"].values()
    components = document["components"]
    messages, schemas = components["messages"], components["schemas"]
    incoming, outgoing = (
        [reference["$ref"].rpartition("/")[2] for reference in operation["messages"]]
        for operation in document["operations"].values()
    )
    parts = [name for name in schemas if name not in messages and "properties" in schemas[name]]
    chapters = {
        "connect": _connect(channel, components["securitySchemes"]),
        "incoming": "".join(_message(messages[name], schemas, "&gt;") for name in incoming),
        "outgoing": "".join(_message(messages[name], schemas, "&lt;") for name in outgoing),
        "parts": "".join(_part(name, schemas) for name in parts),
        "errors": _codes(channel),
        "closing": _table(
            ("code", "when"), ((_code(code), _text(text)) for code, text in channel["x-close-codes"].items())
        ),
    }
    inner = {"incoming": incoming, "outgoing": outgoing, "parts": parts}
    toc = "".join(
        f'<li><a href="#{slug}">{title}</a>{_sublist(inner.get(slug, []))}</li>' for slug, title in _CHAPTERS.items()
    )
    body = "".join(
        f'<section aria-labelledby="{slug}"><h2 id="{slug}">{_CHAPTERS[slug]}</h2>{content}</section>'
        for slug, content in chapters.items()
    )
    info = document["info"]
    links = _links({"../asyncapi.json": "asyncapi.json", "../docs": "HTTP pages"})
    lead = f"<p>{_text(info['description'])}</p>{links}"
    return _page(info["title"], f"WebSocket protocol · {info['version']}", toc, lead + body)


def http_page(document: Mapping[str, Any]) -> str:
    """The HTTP side, as the OpenAPI document describes it."""
    schemas = document.get("components", {}).get("schemas", {})
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    toc = "".join(f'<li><a href="#{_slug(name)}">{_escape(name)}</a></li>' for name, _ in operations)
    body = "".join(_endpoint(name, operation, schemas) for name, operation in operations)
    fields = "".join(_fields(schema) for schema in schemas.values() if "properties" in schema)
    body += "".join(_part(name, schemas) for name in schemas if f'href="#{name}"' in fields)
    links = _links(
        {"docs/protocol": "WebSocket protocol", "openapi.json": "openapi.json", "asyncapi.json": "asyncapi.json"}
    )
    info = document["info"]
    return _page(info["title"], f"HTTP pages · {info['version']}", toc, links + body)


def _page(title: str, subtitle: str, toc: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{_escape(title)}: {_escape(subtitle)}</title>'
        f"<style>{STYLE}</style></head><body>"
        f'<a class="skip" href="#content">Skip to the content</a>'
        f"<header><h1>{_escape(title)}</h1><p>{_escape(subtitle)}</p></header>"
        f'<div class="columns"><nav aria-label="On this page"><ul>{toc}</ul></nav>'
        f'<main id="content">{body}</main></div></body></html>'
    )


def _connect(channel: Mapping[str, Any], security: Mapping[str, Any]) -> str:
    query = channel["bindings"]["ws"]["query"]["properties"]
    return (
        f'<p class="address">{_code("GET " + channel["address"])}</p><p>{_text(channel["description"])}</p>'
        "<h3>Query</h3>"
        + _table(
            ("parameter", "meaning"), ((_code(name), _text(value["description"])) for name, value in query.items())
        )
        + "<h3>How a client is known</h3>"
        + _table(("way", "meaning"), ((_escape(name), _text(way["description"])) for name, way in security.items()))
    )


def _message(message: Mapping[str, Any], schemas: Schemas, arrow: str) -> str:
    name = message["title"]
    examples = "".join(_example(example, arrow) for example in message.get("examples", []))
    kind = f'<span class="kind">{_escape(message["name"])}</span>'
    return (
        f'<article aria-labelledby="{name}"><h3 id="{name}">{_escape(name)} {kind}</h3>'
        f"<p>{_text(message['summary'])}</p>{_fields(schemas[name])}{examples}</article>"
    )


def _example(example: Mapping[str, Any], arrow: str) -> str:
    line = json.dumps(example["payload"], ensure_ascii=False)
    shown = _escape(line if len(line) <= _LINE else json.dumps(example["payload"], ensure_ascii=False, indent=2))
    return (
        f"<figure><figcaption>{_text(example['summary'])}</figcaption>"
        f'<pre tabindex="0"><code><span class="arrow">{arrow}</span> {shown}</code></pre></figure>'
    )


def _part(name: str, schemas: Schemas) -> str:
    about = f"<p>{_text(schemas[name]['description'])}</p>" if "description" in schemas[name] else ""
    heading = f'<h3 id="{name}">{_escape(name)}</h3>'
    return f'<article aria-labelledby="{name}">{heading}{about}{_fields(schemas[name])}</article>'


def _codes(channel: Mapping[str, Any]) -> str:
    of_messages = ((_code(code), _text(text)) for code, text in channel["x-error-codes"].items())
    of_answers = (
        (_code(code), "yes" if about["retryable"] else "no", _text(about["description"]))
        for code, about in channel["x-answer-error-codes"].items()
    )
    return (
        "<h3>In an error frame</h3>"
        + _table(("code", "meaning"), of_messages)
        + "<h3>In the final frame of an answer</h3>"
        + _table(("code", "ask again", "meaning"), of_answers)
    )


def _endpoint(name: str, operation: Mapping[str, Any], schemas: Schemas) -> str:
    about = operation.get("description") or operation.get("summary", "")
    responses = "".join(
        f"<h3>{_escape(status)}: {_escape(response['description'])}</h3>{_content(response, schemas)}"
        for status, response in operation["responses"].items()
    )
    request = f"<h3>Request</h3>{_content(body, schemas)}" if (body := operation.get("requestBody")) else ""
    slug = _slug(name)
    heading = f'<h2 id="{slug}">{_code(name)}</h2>'
    return f'<section aria-labelledby="{slug}">{heading}<p>{_text(about)}</p>{request}{responses}</section>'


def _content(body: Mapping[str, Any], schemas: Schemas) -> str:
    shown = ""
    for media, content in body.get("content", {}).items():
        schema = content.get("schema", {})
        schema = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
        shown += f"<p>{_code(media)}</p>" + (_fields(schema) if "properties" in schema else "")
    return shown


def _fields(schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", []))
    rows = (
        (
            _code(name) + ("" if name in required else ' <span class="optional">optional</span>'),
            _type(field, may_be_absent=name not in required),
            _text(field.get("description", "")),
        )
        for name, field in schema["properties"].items()
    )
    return _table(("field", "type", "meaning"), rows)


def _type(schema: Mapping[str, Any], *, may_be_absent: bool = False) -> str:
    """The type in words, as HTML. Where null is the same as absent it goes without saying."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "anything" if name == "JsonValue" else f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        kinds = [kind for kind in schema["anyOf"] if not (may_be_absent and kind == {"type": "null"})]
        return " or ".join(map(_type, kinds))
    if "const" in schema:
        return _code(json.dumps(schema["const"]))
    if "enum" in schema:
        return ", ".join(_code(json.dumps(value)) for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        kind = "list of " + _type(schema.get("items", {}))
    limits = [_escape(text.format(schema[name])) for name, text in _LIMITS.items() if name in schema]
    return f"{kind} <small>{', '.join(limits)}</small>" if limits else str(kind)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already; it scrolls by itself where it is too wide."""
    # On a phone rows become blocks: the roles keep it a table for screen readers.
    top = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in head)
    lines = ("".join(f'<td role="cell">{cell}</td>' for cell in row) for row in rows)
    body = "".join(f'<tr role="row">{line}</tr>' for line in lines)
    return (
        '<div class="wide" tabindex="0"><table role="table"><thead role="rowgroup">'
        f'<tr role="row">{top}</tr></thead><tbody role="rowgroup">{body}</tbody></table></div>'
    )


def _links(targets: Mapping[str, str]) -> str:
    return "<p>" + " · ".join(f'<a href="{target}">{name}</a>' for target, name in targets.items()) + "</p>"


def _sublist(names: Iterable[str]) -> str:
    items = "".join(f'<li><a href="#{name}">{_escape(name)}</a></li>' for name in names)
    return f"<ul>{items}</ul>" if items else ""


def _code(text: str) -> str:
    return f"<code>{_escape(text)}</code>"


def _text(text: str) -> str:
    """Text with `code` in it."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", _escape(text))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
