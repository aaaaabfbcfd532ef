"""Lets clients in, and hands each socket to its session; what frames mean is decided elsewhere."""

from __future__ import annotations

from contextlib import suppress

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.codes import CloseCode
from app.dependencies import Runtime, runtime_of
from app.identity import Identity, Refusal, choose_subprotocol
from app.models.messages import SessionLimit, Unauthorized
from app.sessions.direct import direct_of
from app.sessions.opening import Claim, NoRoom
from app.values import subscriber_of

# When a client that was not let in may try again, in seconds.
RETRY_AFTER = 5


class RealtimeAsr:
    """The WebSocket endpoint, as plain ASGI: a frame costs no more than it must on its way in and out."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client: transcript chunks in, status and answer frames out."""
        websocket = WebSocket(scope, receive, send)
        runtime = runtime_of(websocket)
        client = scope.get("client")
        address = subscriber_of(client[0]) if client else ""
        with suppress(WebSocketDisconnect):
            async with runtime.sessions.attending(address):
                identity = runtime.gate.admit(scope["headers"], scope["subprotocols"], scope["query_string"])
                if identity is Refusal.FOREIGN_ORIGIN:
                    runtime.metrics.refused.labels("foreign_origin").inc()
                    await websocket.close()  # before it is accepted: HTTP 403
                elif await _has_place(runtime, websocket, address, identity):
                    await websocket.accept(choose_subprotocol(scope["subprotocols"]))
                    await _serve(runtime, websocket, identity, receive, send)


async def _has_place(runtime: Runtime, websocket: WebSocket, address: str, identity: Identity | Refusal) -> bool:
    """Whether there is a place for one more; who finds none is told so before the socket is accepted."""
    limit = runtime.settings.connections_per_address
    reason: str | None
    if limit and runtime.sessions.of_address(address) > limit:
        reason, status = "too_many_connections", 429
    else:
        is_known = isinstance(identity, Identity)
        tenant = identity.tenant.name if isinstance(identity, Identity) and identity.tenant is not None else None
        token = websocket.query_params.get("resume_token")
        reason, status = runtime.sessions.unavailable(token, tenant, may_take_place=is_known), 503
    if reason is None:
        return True
    runtime.metrics.refused.labels(reason).inc()
    await websocket.send_denial_response(JSONResponse({"reason": reason}, status, {"Retry-After": str(RETRY_AFTER)}))
    return False


async def _serve(
    runtime: Runtime, websocket: WebSocket, identity: Identity | Refusal, receive: Receive, send: Send
) -> None:
    """Give the client its session back, or a new one, and serve it."""
    if not isinstance(identity, Identity):
        await _refuse(runtime, websocket, Unauthorized(), CloseCode.UNAUTHORIZED)
        return
    try:
        live, start = await runtime.opening.enter(identity, _claim(websocket))
    except NoRoom:
        await _refuse(runtime, websocket, SessionLimit(), CloseCode.SESSION_LIMIT)
        return
    connection = await live.attend(start, receive, send, direct_of(websocket.scope))
    runtime.metrics.count_close(connection.left_with if connection.close_code is None else connection.close_code)
    await connection.say_goodbye()


async def _refuse(runtime: Runtime, websocket: WebSocket, frame: SessionLimit | Unauthorized, code: CloseCode) -> None:
    runtime.metrics.refused.labels(frame.code.lower()).inc()
    await websocket.send_text(frame.to_json())
    await websocket.close(code, frame.code)


def _claim(websocket: WebSocket) -> Claim | None:
    query = websocket.query_params
    token, last_seq = query.get("resume_token"), query.get("last_seq", "")
    if token is None:
        return None
    is_number = last_seq.isascii() and last_seq.isdigit() and len(last_seq) < 16
    return Claim(token, int(last_seq) if is_number else 0, query.get("session_id") or None)
