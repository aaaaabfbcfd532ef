"""Lets clients in, and binds each socket to its session; what frames mean is decided elsewhere."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
import uuid
from contextlib import suppress

from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.codes import CloseCode, ErrorCode
from app.dependencies import Runtime, runtime_of
from app.identity import Identity, Refusal, choose_subprotocol
from app.models.effects import Effect
from app.models.messages import NotResumed, SessionLimit, Unauthorized
from app.models.session import SessionState
from app.observability.observer import Observer
from app.observability.outcomes import OutcomeLog
from app.observability.session_metrics import SessionMetrics
from app.observability.tracing import SessionTrace
from app.services.question_detector import judge
from app.sessions.accounts import Account
from app.sessions.archive import Record
from app.sessions.connection import Connection
from app.sessions.limits import QueryLimits, TokenBucket
from app.sessions.live import ClientLeft, Conversation

# When a client that was not let in may try again, in seconds.
RETRY_AFTER = 5

# How long a client may take to read a close frame before its socket is closed without one, in seconds.
CLOSE_SECONDS = 1.0


class RealtimeAsr:
    """The WebSocket endpoint, as plain ASGI: a frame costs no more than it must on its way in and out."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client: transcript chunks in, status and answer frames out."""
        websocket = WebSocket(scope, receive, send)
        runtime = runtime_of(websocket)
        with suppress(WebSocketDisconnect):
            address = address_of(scope)
            async with runtime.sessions.attending(address):
                identity = runtime.gate.admit(scope["headers"], scope["subprotocols"], scope["query_string"])
                if identity is Refusal.FOREIGN_ORIGIN:
                    runtime.metrics.refused.labels("foreign_origin").inc()
                    await websocket.close()  # before it is accepted: HTTP 403
                    return
                tenant = identity.tenant if isinstance(identity, Identity) else None
                token = websocket.query_params.get("resume_token")
                is_known = isinstance(identity, Identity)
                limit = runtime.settings.connections_per_address
                reason: str | None
                if limit and runtime.sessions.of_address(address) > limit:
                    reason, status = "too_many_connections", 429
                else:
                    name = None if tenant is None else tenant.name
                    reason, status = runtime.sessions.unavailable(token, name, may_take_place=is_known), 503
                if reason is not None:
                    runtime.metrics.refused.labels(reason).inc()
                    headers = {"Retry-After": str(RETRY_AFTER)}
                    await websocket.send_denial_response(JSONResponse({"reason": reason}, status, headers))
                    return
                await websocket.accept(choose_subprotocol(scope["subprotocols"]))
                if isinstance(identity, Identity):
                    await _Visit(runtime, websocket, identity).serve(receive, send)
                else:
                    runtime.metrics.refused.labels("unauthorized").inc()
                    await websocket.send_text(Unauthorized().to_json())
                    await websocket.close(CloseCode.UNAUTHORIZED, ErrorCode.UNAUTHORIZED)


class _Visit:
    """One socket of a client that was let in."""

    def __init__(self, runtime: Runtime, websocket: WebSocket, identity: Identity) -> None:
        self._runtime = runtime
        self._settings = runtime.settings
        self._websocket = websocket
        self._identity = identity

    async def serve(self, receive: Receive, send: Send) -> None:
        """Give the client its session back, or a new one, and serve it."""
        account = await self._runtime.accounts.of(self._identity.tenant)
        token = self._websocket.query_params.get("resume_token")
        found = None if token is None else self._resume(account, token)
        if found is not None:
            self._runtime.metrics.resumes.labels("resumed" if isinstance(found, tuple) else found).inc()
        if isinstance(found, tuple):
            conversation, position, greeting = found
            effects: list[Effect] = []
        else:
            # The session that could not be given back is over, though its tasks may still be ending.
            replaced = 1 if found in {"frames_lost", "unknown_frame"} else 0
            sessions = self._runtime.sessions
            has_room = account.has_room(sessions.count(account.name) - replaced)
            if not has_room and not sessions.make_room(account.name):
                self._runtime.metrics.refused.labels("session_limit").inc()
                await self._websocket.send_text(SessionLimit().to_json())
                await self._websocket.close(CloseCode.SESSION_LIMIT, ErrorCode.SESSION_LIMIT)
                return
            conversation, position, greeting = await self._open(account), 0, None
            resume_token = conversation.record.issue() if self._settings.resume_seconds else None
            effects = conversation.session.connect(time.monotonic(), resume_token=resume_token, not_resumed=found)
        conversation.session.expire_at(self._expires_at())

        async def put(message: Message) -> None:
            try:
                await send(message)
            except RuntimeError as error:
                # uvicorn has closed it, after a broken frame or an unanswered ping: `receive` tells later.
                raise OSError("the socket is closed") from error

        async def send_text(text: str) -> None:
            await put({"type": "websocket.send", "text": text})

        left_with = 1006

        async def receive_frame() -> str | bytes:
            # Not receive_text(): one binary frame would end the connection with a KeyError.
            message = await receive()
            if message["type"] != "websocket.receive":
                nonlocal left_with
                left_with = message.get("code", 1006)
                raise ClientLeft(left_with)
            text: str | None = message.get("text")
            return message.get("bytes") or b"" if text is None else text

        connection = Connection(
            conversation.record.log,
            position,
            send_text,
            send_seconds=self._settings.send_seconds,
            greeting=greeting,
        )
        await conversation.attend(connection, receive_frame, effects)
        self._runtime.metrics.count_close(left_with if connection.close_code is None else connection.close_code)
        # An endpoint that returns without closing leaves the client with 1006.
        if connection.close_code is not None:
            goodbye = {"type": "websocket.close", "code": connection.close_code, "reason": connection.close_reason}
            with suppress(OSError):  # among them a timeout
                async with asyncio.timeout(CLOSE_SECONDS):
                    await put(goodbye)

    def _resume(self, account: Account, token: str) -> tuple[Conversation, int, str] | NotResumed:
        """The session of this token, where in its log to go on, and the greeting; or why it cannot be had."""
        if not self._settings.resume_seconds:
            return "resume_off"
        conversation = self._runtime.sessions.find(token, account.name)
        if conversation is None:
            return "unknown_token"
        last_seq = _number(self._websocket.query_params.get("last_seq"))
        session_id = self._websocket.query_params.get("session_id") or None
        position = conversation.record.log.after(last_seq, session_id)
        if isinstance(position, str):
            conversation.end()  # its holder has come, and cannot have it
            return position
        ack = conversation.session.resume(session_id, last_seq, conversation.record.issue(token), time.monotonic())
        return conversation, position, ack.to_json()

    async def _open(self, account: Account) -> Conversation:
        settings, tenant = self._settings, account.tenant
        key = uuid.uuid4().hex

        def make(record: Record) -> Conversation:
            session = SessionState(
                key,
                settings,
                judge=judge,
                key=key[:8],
                is_stateless=account.provider.offers.is_stateless,
                user_prefix=self._identity.user_prefix,
                fixed_inputs=tenant.inputs if tenant is not None else {},
            )
            own = TokenBucket(settings.queries_per_minute / 60, settings.queries_per_minute)
            limits = QueryLimits((own, *account.buckets), (*account.slots, self._runtime.sessions.running))
            observers: list[Observer] = [OutcomeLog(), SessionMetrics(account.metrics)]
            if settings.tracing:
                observers.append(SessionTrace(account.provider.name, account.name))
            return Conversation(session, account.provider, settings, record, limits, observers)

        return await self._runtime.sessions.open(key, account.name, make)

    def _expires_at(self) -> float:
        """The end of the client's proof, on the monotonic clock."""
        expires_at = self._identity.expires_at
        return math.inf if expires_at is None else time.monotonic() + expires_at - time.time()


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else 0


def address_of(scope: Scope) -> str:
    """Whose connection it is: an IPv4 address, or the network of 64 bits that one subscriber of IPv6 has."""
    client = scope.get("client")
    if client is None:
        return ""
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return str(client[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))
