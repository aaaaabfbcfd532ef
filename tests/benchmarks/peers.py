"""What the service is measured against, under the same server: `python -m tests.benchmarks.peers NAME`."""

from __future__ import annotations

import socket
import sys
from typing import Any

import uvicorn


def serve(app: Any) -> None:
    """Serve on a free port, with the options of `app.__main__`, and print the address."""
    config = uvicorn.Config(
        app, log_config=None, lifespan="on", ws_max_size=2 * 65_536, ws_per_message_deflate=False, server_header=False
    )
    with socket.create_server(("127.0.0.1", 0), backlog=config.backlog) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(config).run(sockets=[listener])


def bare_endpoint() -> Any:
    """A WebSocket endpoint of Starlette that answers every message with the same text."""
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    from tests.benchmarks.client import WS_PATH

    ack = '{"type":"ack","session_id":"7c9e6679742540deb3f1f7c0a86d4b0e","seq":1,"received_type":"asr_chunk"}'

    async def answer(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.receive_text()
                await websocket.send_text(ack)
        except WebSocketDisconnect:
            pass

    return Starlette(routes=[WebSocketRoute(WS_PATH, answer)])


def bare_fastapi() -> Any:
    """An application of FastAPI that knows one page."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    return app


def relay() -> Any:
    """The minimal relay as anybody would write it."""
    from tests.benchmarks.minimal_relay import relaying

    return relaying()


def swift_relay() -> Any:
    """The minimal relay over the service's own transport, the cheapest there is: what is left is the relay alone."""
    from app.services.transport import Transport
    from tests.benchmarks.minimal_relay import relaying

    return relaying(lambda url: Transport(url, connections=100_000))


PEERS = {"endpoint": bare_endpoint, "fastapi": bare_fastapi, "relay": relay, "swift_relay": swift_relay}

if __name__ == "__main__":
    serve(PEERS[sys.argv[1]]())
