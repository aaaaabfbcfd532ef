"""Turns away who asks an open service of this machine for a name that is not its own."""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.config import Settings
from app.identity.gate import Gate
from app.values import host_of, is_loopback

MISDIRECTED = "This is not the service of that name: see ALLOWED_HOSTS.\n"


class KnownHosts:
    """Answers 421 while the service is open to everybody, but listens on loopback only.

    Who may reach it then is a program of this machine, or a browser whose page has made its own name resolve to
    127.0.0.1 (DNS rebinding): to the browser that page and this service have one origin, and may read each other.
    """

    def __init__(self, app: ASGIApp, settings: Settings, gate: Gate) -> None:
        self._app = app
        self._gate = gate
        self._is_local = is_loopback(settings.host)
        origins = (origin.partition("://")[2] for origin in settings.allowed_origins if "://" in origin)
        self._names = {*settings.allowed_hosts, *(host_of(origin)[0] for origin in origins)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_asked = scope["type"] in {"http", "websocket"} and self._is_local and self._gate.directory.is_open
        if not is_asked or self._is_known(
            [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        ):
            await self._app(scope, receive, send)
            return
        await PlainTextResponse(MISDIRECTED, 421)(scope, receive, send)

    def _is_known(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return not hosts  # HTTP/1.0: no browser
        try:
            name, _ = host_of(hosts[0])
        except ValueError:
            return False
        return is_loopback(name) or name in self._names
