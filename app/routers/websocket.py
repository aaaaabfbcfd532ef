"""Lets clients in, and hands each socket to its session; what frames mean is decided elsewhere."""

from __future__ import annotations

from contextlib import suppress

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.codes import CloseCode
from app.dependencies import Runtime, runtime_of
from app.identity import Identity, Refusal, choose_subprotocol
from app.models.messages import NotResumed, SessionLimit, Unauthorized
from app.sessions.direct import direct_of
from app.sessions.frames import NotKept
from app.sessions.opening import NoRoom
from app.sessions.store import Claim, FarVisit, StoreAway
from app.values import subscriber_of

RETRY_AFTER = 5  # seconds, for a client that was not let in


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
                    return
                entering = _Entering(runtime, websocket, identity)
                if await entering.has_place(address) and await entering.has_looked_up():
                    await entering.accept(choose_subprotocol(scope["subprotocols"]))
                    await entering.serve(receive, send)


async def _turn_away(runtime: Runtime, websocket: WebSocket, reason: str, status: int = 503) -> None:
    runtime.metrics.refused.labels(reason).inc()
    await websocket.send_denial_response(JSONResponse({"reason": reason}, status, {"Retry-After": str(RETRY_AFTER)}))


class _Entering:
    """A client that may come in, on its way to its session."""

    def __init__(self, runtime: Runtime, websocket: WebSocket, identity: Identity | Refusal) -> None:
        self._runtime = runtime
        self._websocket = websocket
        self._identity = identity
        self._claim = Claim.of(websocket.query_params) if websocket.scope["query_string"] else None
        self._not_resumed: NotResumed | None = None
        self._visit: FarVisit | None = None

    async def has_place(self, address: str) -> bool:
        """Whether there is one for it; who finds none is told so before the socket is accepted."""
        identity = self._identity if isinstance(self._identity, Identity) else None
        tenant = None if identity is None else identity.tenant_name
        token = None if self._claim is None else self._claim.token
        reason = self._runtime.sessions.unavailable(address, token, tenant, may_take_place=identity is not None)
        if reason is not None:
            await _turn_away(self._runtime, self._websocket, reason, 429 if reason == "too_many_connections" else 503)
        return reason is None

    async def has_looked_up(self) -> bool:
        """Look for its session elsewhere, if it is not here; false if that cannot be, and it was told so."""
        if not isinstance(self._identity, Identity) or self._claim is None:
            return True
        try:
            self._visit = await self._runtime.opening.look_up(self._identity, self._claim)
        except StoreAway:
            await _turn_away(self._runtime, self._websocket, "store_away")
            return False
        except NotKept as error:
            self._claim, self._not_resumed = None, error.reason
        return True

    async def accept(self, subprotocol: str | None) -> None:
        try:
            await self._websocket.accept(subprotocol)
        except (OSError, WebSocketDisconnect):  # it has left meanwhile
            if self._visit is not None:
                self._visit.let_go()
            raise

    async def serve(self, receive: Receive, send: Send) -> None:
        """Give it its session back, or a new one, and serve it."""
        runtime, websocket = self._runtime, self._websocket
        if not isinstance(self._identity, Identity):
            return await _refuse(runtime, websocket, Unauthorized(), CloseCode.UNAUTHORIZED)
        try:
            visit = self._visit or await runtime.opening.enter(self._identity, self._claim, self._not_resumed)
        except NoRoom:
            return await _refuse(runtime, websocket, SessionLimit(), CloseCode.SESSION_LIMIT)
        connection = await visit.attend(receive, send, direct_of(websocket.scope))
        runtime.metrics.count_close(connection.left_with if connection.close_code is None else connection.close_code)
        await connection.say_goodbye()


async def _refuse(runtime: Runtime, websocket: WebSocket, frame: SessionLimit | Unauthorized, code: CloseCode) -> None:
    runtime.metrics.refused.labels(frame.code.lower()).inc()
    await websocket.send_text(frame.to_json())
    await websocket.close(code, frame.code)
