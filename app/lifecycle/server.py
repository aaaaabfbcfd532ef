"""uvicorn, as this service needs it: with its own HTTP and WebSocket, behind proxies that are known."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.config import Settings, reachable
from app.lifecycle.edge import MAX_HEAD_BYTES, Http
from app.lifecycle.websocket import Socket
from app.values import ANY

logger = logging.getLogger("app")

TRY = '{"type": "asr_chunk", "text": "What is this service for?", "is_final": true}'

# How long the process waits for clients that do not read when it ends, unless uvicorn is told otherwise, in seconds.
UNREAD_SECONDS = 2
# How an address of IPv4 looks to a socket of both.
MAPPED = "::ffff:"
# What a proxy may say of who has asked.
FORWARDED = {b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"}


class Forwarded:
    """Believes a trusted proxy who has asked, and for which host (`X-Forwarded-Host`, which uvicorn does not read)."""

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self._unforwarded = app
        self._app: Any = ProxyHeadersMiddleware(app, ANY if ANY in trusted else list(trusted))  # type: ignore[arg-type]  # Starlette's types are wider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            peer = scope.get("client")
            if peer is not None and peer[0].startswith(MAPPED):
                peer = scope["client"] = (peer[0].removeprefix(MAPPED), peer[1])
            if FORWARDED.isdisjoint([name for name, _ in scope["headers"]]):
                return await self._unforwarded(scope, receive, send)
            if peer is not None and peer[0] in self._app.trusted_hosts:
                hosts = [value for name, value in scope["headers"] if name == b"x-forwarded-host"]
                if len(hosts) == 1:
                    others = [(name, value) for name, value in scope["headers"] if name != b"host"]
                    scope["headers"] = [*others, (b"host", hosts[0])]
        await self._app(scope, receive, send)


class Server(uvicorn.Server):
    """uvicorn, which also says where the console and the WebSocket are once they can be reached."""

    def __init__(self, config: uvicorn.Config, ws_path: str) -> None:
        super().__init__(config)
        self._ws_path = ws_path
        self.is_listening = asyncio.Event()
        self.port = config.port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                self.port = announce(listener, self._ws_path)
        self.is_listening.set()


def announce(listener: socket.socket, ws_path: str) -> int:
    """Say where the console and the WebSocket are; return the port."""
    host, port = listener.getsockname()[:2]
    name = reachable(host)
    logger.info("Open http://%s:%d/ in a browser", name, port)
    url = f"ws://{name}:{port}{ws_path}"
    logger.info("Connect to %s and send %s", url, TRY, extra={"url": url})
    return int(port)


def keep_what_is_loaded() -> None:
    """What is loaded by now stays: the collector need not look at it again, nor look that often."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


def make_server(app: ASGIApp, settings: Settings) -> Server:
    return Server(make_config(Forwarded(app, settings.forwarded_allow_ips), settings), settings.ws_path)


def make_config(app: ASGIApp | str, settings: Settings, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        proxy_headers=False,  # `Forwarded` reads them
        host=settings.host,
        port=settings.port,
        workers=settings.workers,  # whatever WEB_CONCURRENCY says, which uvicorn would read
        lifespan="on",
        log_config=None,
        http=Http,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        ws=Socket,
        # Up to twice the limit a message still gets its coded error; beyond that the socket closes with 1009.
        ws_max_size=2 * settings.max_message_bytes,
        # Small frames do not shrink, and every connection would hold its compressor's memory.
        ws_per_message_deflate=False,
        server_header=False,
        **more,
    )
