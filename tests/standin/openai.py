"""An OpenAI-compatible server that does what a test tells it, on a real socket, in chunks like those of real ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from tests.standin.dify import StandInDify
from tests.standin.events import Ids
from tests.standin.exchange import Exchange, Recorded, Script, Step, json_response
from tests.standin.scripts import send

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
DONE = b"data: [DONE]\n\n"
PING = b":\n\n"


def event(data: object, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    try:
        told = json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a pair has no other form than the escaped one
        told = json.dumps(data).encode()
    return b"%bdata: %b\n\n" % (head.encode(), told)


def chunk(text: str | None = None, *, finish: str | None = None, **delta: Any) -> bytes:
    content = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": content | delta, "finish_reason": finish}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})


def usage(**tokens: Any) -> bytes:
    return event({"id": "chatcmpl-1", "choices": [], "usage": tokens or USAGE})


def says(*texts: str | Step, finish: str = "stop") -> Script:
    """A whole answer, as most servers stream it."""
    pieces = [each if callable(each) else send(chunk(each)) for each in texts]
    return [send(chunk(role="assistant", content=None)), *pieces, send(chunk(finish=finish), usage(), DONE)]


def refusal(status: int, error: object, *, headers: dict[str, str] | None = None) -> Step:
    async def step(exchange: Exchange) -> None:
        await exchange.reply(json_response(error, status, headers))

    return step


class StandInOpenAi(StandInDify):
    """`will`, `asked`, `hung_up` and all else are those of the stand-in for Dify; the wire is another."""

    def __init__(self, *, api_key: str = "sk-stand-in", default: Script | None = None) -> None:
        super().__init__(api_key=api_key, default=says("Hello", " there.") if default is None else default)
        self.models: Script | None = None
        """How `GET /models` is answered, if not with a list."""
        self.vector_of: Callable[[str], Sequence[float] | None] | None = None
        """The vector of a text; None for one that is too long. Without it there are no embeddings."""
        self.embeddings: Script | None = None
        """How `POST /embeddings` is answered, if not with vectors."""

    async def _route(
        self, recorded: Recorded, request: web.BaseRequest, transport: asyncio.Transport
    ) -> web.StreamResponse:
        is_question = (recorded.method, recorded.path) == ("POST", "/chat/completions")
        (self.requests if is_question else self.calls).append(recorded)
        self._tell()
        if self.api_keys and recorded.key not in self.api_keys:
            return json_response({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, 401)
        exchange = Exchange(recorded, request, transport, Ids(), self.style, streams=True)
        if recorded.path == "/models" and self.models is None:
            return json_response({"object": "list", "data": [{"id": "m"}]})
        if recorded.path == "/models" and self.models is not None:
            return await exchange.run(self.models, lambda: None)
        if recorded.path == "/embeddings" and self.embeddings is not None:
            return await exchange.run(self.embeddings, self._hang_up)
        if recorded.path == "/embeddings" and self.vector_of is not None:
            vectors = [self.vector_of(text) for text in recorded.body["input"]]
            if None in vectors:
                return json_response({"error": {"message": "input is too large to process", "code": 500}}, 500)
            data = [{"index": at, "embedding": vector} for at, vector in enumerate(vectors)]
            return json_response({"object": "list", "data": data[::-1]})
        if not is_question:
            return json_response({"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}, 404)
        script = self._scripts.popleft() if self._scripts else self.default
        key = f"{len(self.requests)}"
        self._running[key] = exchange
        try:
            return await exchange.run(script, self._hang_up)
        finally:
            del self._running[key]

    @property
    def embedded(self) -> list[str]:
        """The texts whose vectors were asked for."""
        return [text for call in self.calls if call.path == "/embeddings" for text in call.body["input"]]

    def messages(self, number: int = -1) -> Sequence[dict[str, str]]:
        """What the model was told with a question, by default the last."""
        told: list[dict[str, str]] = self.requests[number].body["messages"]
        return told
