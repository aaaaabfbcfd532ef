"""The HTTP transport of the service below httpx: own connections to one server, or httpx's own through a proxy."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any, Protocol

import httpx

from app.services.dialing import Dialer, describe
from app.services.lines import Line, message_of
from app.services.pool import IDLE_SECONDS, Pool
from app.services.proxies import proxy_for
from app.services.trust import trusted

_PORTS = {"http": 80, "https": 443}

is_sent: ContextVar[bool] = ContextVar("is_sent", default=False)
"""Whether the request of this context has left, so that it may be answered though nobody waits."""


BODY = "realtime_rag.body"
"""How the `DirectBody` of a response is called among its extensions."""


class DirectBody(Protocol):
    """The bytes of a body without a layer of httpx's; they may be heard where they are read."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def listen(self, hear: Callable[[bytes], bool] | None) -> None:
        """As `Line.listen`."""


class StaleConnection(httpx.RemoteProtocolError):
    """A connection kept alive from before broke before a byte of the response came."""


class Transport(httpx.AsyncBaseTransport):
    """HTTP/1.1 to the server of `base_url` with at most `connections`; each failure has the class that tells it apart.

    A client that may only repeat what never reached the server has to know. What is said names the host, never a path,
    a header or a password. Nothing is repeated here. Raises `StartError` for a proxy that cannot be used.
    """

    def __init__(self, base_url: str, connections: int = 100) -> None:
        url = httpx.URL(base_url)
        self._origin = _origin(url)
        context, proxy = trusted(), proxy_for(base_url)
        self._by_proxy = None if proxy is None else _ByProxy(proxy, context, connections)
        scheme, host, port = self._origin
        self._pool = Pool(Dialer(host, port, context if scheme == "https" else None).dial, connections)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_sent.set(False)
        if self._by_proxy is not None:
            return await self._by_proxy.handle_async_request(request)
        if _origin(request.url) != self._origin:
            raise httpx.LocalProtocolError("this transport asks {}://{}:{} only".format(*self._origin))
        message = await message_of(request)
        timeout: dict[str, float | None] = request.extensions.get("timeout", {})
        line = await self._pool.take(timeout.get("connect"), timeout.get("pool"))
        exchange = Exchange(line, self._pool, message, timeout.get("read"), has_body=request.method != "HEAD")
        is_sent.set(True)
        try:
            return await exchange.reply()
        except BaseException:
            exchange.close()
            raise

    def begin(self, message: bytes) -> Exchange | None:
        """Send a POST at once, over a line that is open; None where something would have to be waited for."""
        line = self._pool.take_idle() if self._by_proxy is None else None
        return None if line is None else Exchange(line, self._pool, message)

    async def aclose(self) -> None:
        self._pool.close()
        if self._by_proxy is not None:
            await self._by_proxy.aclose()


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS.get(url.scheme, 0)


class Exchange:
    """A request that has left, and its reply. Who is cancelled while waiting for that may wait for it again."""

    def __init__(
        self, line: Line, pool: Pool, message: bytes, seconds: float | None = None, *, has_body: bool = True
    ) -> None:
        self._line = line
        self._pool = pool
        self._seconds = seconds
        self._body: _Body | None = None
        try:
            line.send(message, has_body=has_body)
        except BaseException:
            line.abort()
            raise

    async def reply(self) -> httpx.Response:
        """Wait for the head of the response. Raises `StaleConnection` and other failures of httpx."""
        await self.head()
        return self.response()

    async def head(self) -> DirectBody:
        """The same without what httpx makes of it, which takes longer than all else here; return the body."""
        line = self._line
        try:
            await line.head(self._seconds)
        except httpx.RemoteProtocolError as error:
            line.abort()
            if line.is_reused and not line.has_heard:
                raise StaleConnection(str(error)) from error
            raise
        if self._body is None:
            self._body = _Body(line, self._pool, self._seconds)
        return self._body

    @property
    def status(self) -> int:
        return self._line.status

    def header(self, name: bytes) -> str:
        """What the response has under this name, in lower case; empty if it has none."""
        return b", ".join([value for each, value in self._line.headers if each.lower() == name]).decode("latin-1")

    def response(self) -> httpx.Response:
        line, body = self._line, self._body
        extensions = {"reason_phrase": line.reason, BODY: body}
        return httpx.Response(line.status, headers=line.headers, stream=body, extensions=extensions)

    def close(self) -> None:
        """Be done with it: without a reply, or before its end, its line is of no more use."""
        if self._body is None:
            self._line.abort()
        else:
            self._body.give_back()


class _Body(httpx.AsyncByteStream):
    """The body of one response; the line goes back to the pool at its end, or when it is closed."""

    # No generator: who was interrupted while reading it may read on.

    def __init__(self, line: Line, pool: Pool, seconds: float | None) -> None:
        self._line: Line | None = line
        self._pool = pool
        self._seconds = seconds

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        if self._line is not None:
            if piece := await self._line.read(self._seconds):
                return piece
            self.give_back()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.give_back()

    def listen(self, hear: Callable[[bytes], bool] | None) -> None:
        if self._line is not None:
            self._line.listen(hear)

    def give_back(self) -> None:
        if (line := self._line) is not None:
            self._line = None
            self._pool.give_back(line)


class _ByProxy(httpx.AsyncBaseTransport):
    """httpx's own transport, which knows all that proxies want, with its failures named.

    It does not tell whether a connection was a new one: none is called stale.
    """

    def __init__(self, proxy: httpx.Proxy, context: ssl.SSLContext, connections: int) -> None:
        if proxy.url.scheme == "https":
            proxy = httpx.Proxy(proxy.url, ssl_context=context, auth=proxy.auth, headers=proxy.headers)
        self._proxy = proxy.url
        self._connections = connections
        limits = httpx.Limits(max_connections=connections, keepalive_expiry=IDLE_SECONDS)
        self._transport = httpx.AsyncHTTPTransport(verify=context, proxy=proxy, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "trace": _note_sent}
        try:
            return await self._transport.handle_async_request(request)
        except httpx.PoolTimeout as error:
            raise httpx.PoolTimeout(f"all {self._connections} connections are in use") from error
        except httpx.ProxyError as error:
            raise httpx.ProxyError(f"the proxy {self._name} refuses: {error}") from error
        except httpx.ConnectError as error:
            raise httpx.ConnectError(self._describe(error, request.url)) from error

    async def aclose(self) -> None:
        await self._transport.aclose()

    @property
    def _name(self) -> str:
        return f"{self._proxy.host}:{self._proxy.port or _PORTS[self._proxy.scheme]}"

    def _describe(self, error: BaseException, url: httpx.URL) -> str:
        reason, below = error, error.__cause__ or error.__context__
        while below is not None:  # the deepest failure of the system is what happened
            reason = below if isinstance(below, OSError) else reason
            below = below.__cause__ or below.__context__
        if isinstance(reason, ssl.SSLError):
            return describe(url.host, 0, reason)
        host, _, port = self._name.rpartition(":")
        return f"the proxy {describe(host, int(port), reason)}"


async def _note_sent(name: str, _info: dict[str, Any]) -> None:
    # Of a request that asks a proxy for a tunnel, too: rather too often than not at all.
    if name == "http11.send_request_headers.started":
        is_sent.set(True)
