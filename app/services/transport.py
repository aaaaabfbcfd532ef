"""The HTTP transport of the service: httpx over aiohttp's connections, with its failures told apart."""

from __future__ import annotations

import base64
from contextvars import ContextVar
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from app.services.proxies import proxy_for
from app.services.trust import trusted

# Of a response's head: the bytes of its first line and of each header, and how many headers. Gateways and single
# sign-on add cookies and policies beyond the 8 kB and 128 that aiohttp takes by itself.
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 1000

_is_reused: ContextVar[bool] = ContextVar("is_reused", default=False)
_is_queued: ContextVar[bool] = ContextVar("is_queued", default=False)

is_sent: ContextVar[bool] = ContextVar("is_sent", default=False)
"""Whether the request of this context has left, so that it may be answered though nobody waits."""


class StaleConnection(httpx.RemoteProtocolError):
    """A connection kept alive from before broke before a byte of the response came."""


async def _note_reuse(_session: aiohttp.ClientSession, _context: object, _params: object) -> None:
    _is_reused.set(True)


async def _note_queue(_session: aiohttp.ClientSession, _context: object, _params: object) -> None:
    _is_queued.set(True)


async def _note_turn(_session: aiohttp.ClientSession, _context: object, _params: object) -> None:
    _is_queued.set(False)


async def _note_sent(_session: aiohttp.ClientSession, _context: object, _params: object) -> None:
    is_sent.set(True)


class Transport(AiohttpTransport):
    """`AiohttpTransport` with at most `connections`, raising the httpx exception that tells what happened.

    httpx-aiohttp 0.2 reports a refused connection, a reset and a server that hangs up alike, as `ConnectTimeout`; a
    client that may only repeat what never reached the server has to know. What it says names the host, never a path or
    a password. The proxy is that of the environment for `base_url`, not by aiohttp's `trust_env`, which
    reads ~/.netrc in a thread at every request. Raises `StartError` for a proxy that cannot be used.
    """

    def __init__(self, base_url: str, connections: int = 100) -> None:
        super().__init__(verify=trusted(), client=self._open_session, proxy=_with_credentials(proxy_for(base_url)))
        self._connections = connections

    def _open_session(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        trace.on_connection_queued_start.append(_note_queue)
        trace.on_connection_queued_end.append(_note_turn)
        trace.on_request_headers_sent.append(_note_sent)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=self.ssl_context),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[trace],
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        _is_reused.set(False)
        _is_queued.set(False)
        is_sent.set(False)
        try:
            return await super().handle_async_request(request)
        except httpx.TransportError as error:
            raise self._translate(error.__cause__, str(error)) from error
        except aiohttp.ClientError as error:
            raise self._translate(error, str(error)) from error

    def _translate(self, cause: Any, text: str) -> httpx.TransportError:
        match cause:
            case aiohttp.ConnectionTimeoutError() if _is_queued.get():
                return httpx.PoolTimeout(f"all {self._connections} connections are in use")
            case aiohttp.ConnectionTimeoutError():
                return httpx.ConnectTimeout(text)
            case aiohttp.ClientConnectorError():
                return httpx.ConnectError(describe(cause))
            # A message that is no text is the beginning of a response.
            case aiohttp.ServerDisconnectedError(message=str()) | aiohttp.ClientOSError() if _is_reused.get():
                return StaleConnection(text)
            case _:
                return httpx.RemoteProtocolError(text)


def describe(error: aiohttp.ClientConnectorError) -> str:
    """Why there is no connection, for whoever reads the log."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"the host name {error.host} cannot be resolved"
        case aiohttp.ClientConnectorCertificateError():
            problem = getattr(error.certificate_error, "verify_message", "")
            return f"the certificate of {error.host} is refused: {problem}"
        case aiohttp.ClientConnectorSSLError():
            return f"no TLS with {error.host}: {getattr(error.os_error, 'reason', '')}"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy {error.host}:{error.port} cannot be reached: {_reason(error)}"
        case _:
            # Not str(error), which shows the TLS context as an object with an address.
            return f"{error.host}:{error.port} cannot be reached: {_reason(error)}"


def _reason(error: aiohttp.ClientConnectorError) -> str:
    # Where each address of a host fails in its own way, there is a text and no strerror.
    return error.os_error.strerror or str(error.os_error)


def _with_credentials(proxy: httpx.Proxy | None) -> httpx.Proxy | None:
    if proxy is not None and proxy.auth is not None:
        # As a header, which aiohttp sends as Proxy-Authorization: its BasicAuth is deprecated.
        credentials = base64.b64encode(":".join(proxy.auth).encode()).decode()
        proxy.headers["Authorization"] = f"Basic {credentials}"
        proxy.auth = None
    return proxy
