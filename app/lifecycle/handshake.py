"""The handshake of a WebSocket as nearly every client sends it: read, and answered, the short way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS, Response
from websockets.protocol import CONNECTING, OPEN
from websockets.utils import accept_key

_NAME = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_REQUEST = re.compile(rb"GET (/[!-~]*) HTTP/1\.1\r\n")
_LINES = re.compile(rb"^(" + _NAME + rb"):([\t -~\x80-\xff]*)\r\n", re.MULTILINE)
_END = b"\r\n\r\n"
_CONNECTIONS = {b"upgrade", b"keep-alive, upgrade"}
_KEY = re.compile(rb"[+/0-9A-Za-z]{22}==")
_SUBPROTOCOLS = re.compile(_NAME + rb"(?:[ \t]*,[ \t]*" + _NAME + rb")*")
# A body would have to be read, or to be refused.
_BODY = {b"content-length", b"transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client asks for that wants a WebSocket; `accept` is the proof that it was read."""

    target: bytes
    headers: list[tuple[bytes, bytes]]
    subprotocols: list[str]
    accept: str


def handshake_in(data: bytes) -> Handshake | None:
    """The one handshake that is all of this; None for anything that is not plainly one.

    What h11 and websockets would take is taken with the same result, but not all of it: no header twice, no line or
    list in an unusual form, no body, nothing large.
    """
    if len(data) > MAX_LINE_LENGTH or not data.endswith(_END) or (request := _REQUEST.match(data)) is None:
        return None
    headers = [(name.lower(), value.strip(b" \t")) for name, value in _LINES.findall(data, request.end())]
    asked = dict(headers)
    # Each line break ends a line that was understood: there is no other head in it, and nothing was passed by.
    if not data.count(b"\n") - 2 == len(headers) == len(asked) <= MAX_NUM_HEADERS:
        return None
    if (
        asked.get(b"upgrade", b"").lower() != b"websocket"
        or asked.get(b"connection", b"").lower() not in _CONNECTIONS
        or asked.get(b"sec-websocket-version") != b"13"
        or not _KEY.fullmatch(key := asked.get(b"sec-websocket-key", b""))
        or b"host" not in asked
        or not _BODY.isdisjoint(asked)
    ):
        return None
    offered = asked.get(b"sec-websocket-protocol")
    if offered is not None and not _SUBPROTOCOLS.fullmatch(offered):
        return None
    subprotocols = [] if offered is None else [each.strip() for each in offered.decode("ascii").split(",")]
    return Handshake(request[1], headers, subprotocols, accept_key(key.decode("ascii")))


class Welcoming(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, which can be given a handshake that was read already."""

    _handshake: Handshake | None = None
    """Until it is answered."""

    def welcome(
        self,
        handshake: Handshake,
        transport: Any,
        server: tuple[str, int | None] | None,
        client: tuple[str, int] | None,
        scheme: Literal["ws", "wss"],
    ) -> None:
        """Do what `connection_made` and `handle_connect` do, for the handshake of a connection that is there."""
        self.connections.add(self)
        self.transport, self.server, self.client, self.scheme = transport, server, client, scheme
        self._handshake = handshake
        # Frames are what comes next; until the answer the state is what it would be.
        self.conn.state = OPEN
        self.conn.parser = self.conn.parse()
        next(self.conn.parser)
        self.conn.state = CONNECTING
        self.conn.accept_called = self.handshake_initiated = True
        path, _, query_string = handshake.target.partition(b"?")
        self.scope = {
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": scheme,
            "server": server,
            "client": client,
            "root_path": self.root_path,
            "path": self.root_path + unquote(path.decode("ascii")),
            "raw_path": self.root_path.encode("ascii") + path,
            "query_string": query_string,
            "headers": handshake.headers,
            "subprotocols": handshake.subprotocols,
            "state": self.app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }
        self.queue.put_nowait({"type": "websocket.connect"})
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)

    async def send(self, message: ASGISendEvent) -> None:
        handshake = self._handshake
        if handshake is not None and message["type"] == "websocket.accept":
            self._handshake = None
            subprotocol = message.get("subprotocol")
            is_plain = not message.get("headers") and (not subprotocol or subprotocol in handshake.subprotocols)
            if is_plain and not self.disconnected and not self.transport.is_closing():
                return self._accept(handshake.accept, subprotocol)
            told = {"Date": "", "Upgrade": "websocket", "Connection": "Upgrade"}  # uvicorn has a date of its own
            self.response = Response(
                101, "Switching Protocols", Headers({**told, "Sec-WebSocket-Accept": handshake.accept})
            )
        await super().send(message)

    def _accept(self, accept: str, subprotocol: str | None) -> None:
        self.logger.info(
            '%s - "WebSocket %s" [accepted]', get_client_addr(self.scope), get_path_with_query_string(self.scope)
        )
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines.append(f"Sec-WebSocket-Accept: {accept}")
        lines += [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in self.default_headers]
        if subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        self.handshake_complete = True
        self.conn.state = OPEN
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        self.start_keepalive()
