"""Zoom's real-time media streams, as a client of them meets them: webhooks, and two WebSockets a meeting."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

CLIENT, SECRET, TOKEN = "client", "s3cret", "t0k3n"
MEETING, STREAM = "meeting==", "stream"


def signed(key: str, message: str) -> str:
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()


def webhook(event: str, at: float | None = None, **payload: Any) -> tuple[dict[str, str], str]:
    """The headers and the body of one."""
    body = json.dumps({"event": event, "payload": payload})
    when = str(int(time.time() if at is None else at))
    return {"x-zm-request-timestamp": when, "x-zm-signature": f"v0={signed(TOKEN, f'v0:{when}:{body}')}"}, body


class StandInZoom:
    """`says` is sent once its client is ready; `status` is that of the first handshake."""

    def __init__(self, says: Sequence[Any], status: int = 0) -> None:
        self._says = says
        self._status = status
        self.drops = 0
        """How many streams are still to be cut before they say anything."""
        self.wanted: list[Any] = []
        self._ready = asyncio.Event()
        self.url = self._media_url = ""

    async def signals(self, socket: ServerConnection) -> None:
        hello = json.loads(await socket.recv())
        right = signed(SECRET, f"{CLIENT},{MEETING},{STREAM}")
        is_known = hello["msg_type"] == 1 and hmac.compare_digest(hello["signature"], right)
        status = self._status if is_known else 3
        await socket.send(json.dumps({"msg_type": 12, "timestamp": 5}))
        assert json.loads(await socket.recv()) == {"msg_type": 13, "timestamp": 5}
        urls = {"server_urls": {"all": self._media_url}}
        reply = {"msg_type": 2, "status_code": status, "reason": "not for you" if status else "", "media_server": urls}
        await socket.send(json.dumps(reply))
        try:
            async for raw in socket:
                if json.loads(raw) == {"msg_type": 7, "rtms_stream_id": STREAM}:
                    self._ready.set()
        except ConnectionClosed:
            return

    async def media(self, socket: ServerConnection) -> None:
        self.wanted.append(json.loads(await socket.recv()))
        await socket.send(json.dumps({"msg_type": 4, "status_code": 0}))
        await self._ready.wait()
        if self.drops:
            self.drops -= 1
            self._ready.clear()
            socket.transport.abort()
            return
        for message in self._says:
            await socket.send(json.dumps(message))
        await socket.wait_closed()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[StandInZoom]:
        async with serve(self.media, "127.0.0.1", 0) as media, serve(self.signals, "127.0.0.1", 0) as signals:
            self._media_url, self.url = (
                f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in (media, signals)
            )
            yield self
