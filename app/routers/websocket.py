"""Takes frames off the socket and puts frames on it; what they mean is decided elsewhere."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from app.conversation import Conversation
from app.dependencies import RuntimeDep
from app.models.session import SessionState
from app.services.question_detector import judge

logger = logging.getLogger(__name__)


async def realtime_asr(websocket: WebSocket, runtime: RuntimeDep) -> None:
    """Serve one client: transcript chunks in, status and answer frames out."""
    await websocket.accept()
    connection_id = uuid.uuid4().hex
    session = SessionState(
        connection_id,
        runtime.settings,
        judge=judge,
        connection_id=connection_id[:8],
        is_stateless=getattr(runtime.provider, "is_stateless", False),
    )

    async def send(text: str) -> None:
        await websocket.send({"type": "websocket.send", "text": text})

    runtime.sessions += 1
    try:
        code = await Conversation(session, runtime.provider, runtime.settings, send).run(_frames(websocket))
        # An endpoint that returns without closing leaves the client with 1006.
        if code is not None:
            await websocket.close(code)
    except* WebSocketDisconnect:
        pass  # the peer left: there is nobody to send to
    finally:
        runtime.sessions -= 1


async def _frames(websocket: WebSocket) -> AsyncIterator[str | bytes]:
    # Not iter_text(): one binary frame would end the connection with a KeyError.
    while (message := await websocket.receive())["type"] == "websocket.receive":
        text = message.get("text")
        yield message.get("bytes") or b"" if text is None else text
