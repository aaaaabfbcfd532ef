"""Takes frames off the socket and puts frames on it; what they mean is decided elsewhere."""

from __future__ import annotations

import uuid

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.conversation import Conversation
from app.dependencies import runtime_of
from app.models.session import SessionState
from app.services.question_detector import judge


class RealtimeAsr:
    """The WebSocket endpoint, as plain ASGI: a frame costs no more than it must on its way in and out."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client: transcript chunks in, status and answer frames out."""
        websocket = WebSocket(scope, receive, send)
        runtime = runtime_of(websocket)
        await websocket.accept()
        connection_id = uuid.uuid4().hex
        session = SessionState(
            connection_id,
            runtime.settings,
            judge=judge,
            connection_id=connection_id[:8],
            is_stateless=getattr(runtime.provider, "is_stateless", False),
        )

        async def send_text(text: str) -> None:
            try:
                await send({"type": "websocket.send", "text": text})
            except OSError as error:  # ASGI's word for a client that has left
                raise WebSocketDisconnect(1006) from error

        async def receive_frame() -> str | bytes | None:
            # Not receive_text(): one binary frame would end the connection with a KeyError.
            message = await receive()
            if message["type"] != "websocket.receive":
                return None
            text: str | None = message.get("text")
            return message.get("bytes") or b"" if text is None else text

        runtime.sessions += 1
        try:
            conversation = Conversation(session, runtime.provider, runtime.settings, send_text)
            code = await conversation.run(receive_frame)
            # An endpoint that returns without closing leaves the client with 1006.
            if code is not None:
                await websocket.close(code)
        except* WebSocketDisconnect:
            pass  # the peer left: there is nobody to send to
        finally:
            runtime.sessions -= 1
