"""The least that relays Dify's answers: Starlette over httpx, as it comes or over another transport, and no session."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.benchmarks.client import WS_PATH


async def relay(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            chunk = json.loads(await websocket.receive_text())
            body = {"query": chunk["text"], "inputs": {}, "user": "someone", "response_mode": "streaming"}
            async with websocket.state.http.stream("POST", "/chat-messages", json=body) as response:
                index = 0
                async for line in response.aiter_lines():
                    if not line.startswith("data: "):
                        continue
                    event = json.loads(line[6:])
                    frame = {"type": "answer", "stream_index": index, "content": event.get("answer", "")}
                    frame["final"] = event["event"] == "message_end"
                    await websocket.send_text(json.dumps(frame, ensure_ascii=False, separators=(",", ":")))
                    index += 1
    except WebSocketDisconnect:
        pass


def relaying(transport: Callable[[str], httpx.AsyncBaseTransport] | None = None) -> Starlette:
    """The relay; without `transport`, which gets the URL of Dify, over that of httpx."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
        url = os.environ["DIFY_BASE_URL"]
        chosen = None if transport is None else transport(url)
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, transport=chosen) as http:
            yield {"http": http}

    return Starlette(routes=[WebSocketRoute(WS_PATH, relay)], lifespan=lifespan)
