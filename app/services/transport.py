"""The HTTP transport of the service: httpx over aiohttp's connections, with its failures told apart."""

from __future__ import annotations

import base64
import urllib.request
from contextvars import ContextVar
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

_is_reused: ContextVar[bool] = ContextVar("is_reused", default=False)


class StaleConnection(httpx.RemoteProtocolError):
    """A connection kept alive from before broke before a byte of the response came."""


async def _note_reuse(_session: aiohttp.ClientSession, _context: object, _params: object) -> None:
    _is_reused.set(True)


class Transport(AiohttpTransport):
    """`AiohttpTransport` without a limit of connections, raising the httpx exception that tells what happened.

    httpx-aiohttp 0.2 reports a refused connection, a reset and a server that hangs up alike, as `ConnectTimeout`; a
    client that may only repeat what never reached the server has to know. A proxy is taken from the environment, for
    the host of `base_url`.
    """

    def __init__(self, base_url: str) -> None:
        super().__init__(client=self._open_session, proxy=_proxy_for(base_url))

    def _open_session(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self.ssl_context),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[trace],
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        _is_reused.set(False)
        try:
            return await super().handle_async_request(request)
        except httpx.TransportError as error:
            raise _translate(error.__cause__, str(error)) from error
        except aiohttp.ClientError as error:
            raise _translate(error, str(error)) from error


def _proxy_for(url: str) -> httpx.Proxy | None:
    # Not aiohttp's trust_env: it reads ~/.netrc in a thread at every request.
    host, scheme = httpx.URL(url).host, httpx.URL(url).scheme
    proxies = urllib.request.getproxies()
    address = proxies.get(scheme) or proxies.get("all")
    if not address or urllib.request.proxy_bypass(host):
        return None
    proxy = httpx.Proxy(address if "://" in address else f"http://{address}")
    if proxy.auth is not None:
        # As a header, which aiohttp sends as Proxy-Authorization: its BasicAuth is deprecated.
        credentials = base64.b64encode(":".join(proxy.auth).encode()).decode()
        proxy.headers["Authorization"] = f"Basic {credentials}"
        proxy.auth = None
    return proxy


def _translate(cause: Any, text: str) -> httpx.TransportError:
    match cause:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout(text)
        case aiohttp.ClientConnectorError():
            return httpx.ConnectError(text)
        # A message that is no text is the beginning of a response.
        case aiohttp.ServerDisconnectedError(message=str()) | aiohttp.ClientOSError() if _is_reused.get():
            return StaleConnection(text)
        case _:
            return httpx.RemoteProtocolError(text)
