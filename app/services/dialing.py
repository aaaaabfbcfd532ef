"""Opens connections: the addresses of a host in turn, TLS, and why there is none."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any

import httpx

from app.services.lines import Line

# How long one address is tried alone (RFC 8305, 5), in seconds.
HEAD_START_SECONDS = 0.25

_Address = tuple[int, int, int, str, Any]


class Dialer:
    """Opens connections to one server, with TLS under that context if there is one."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._lookup: asyncio.Future[Any] | None = None

    async def dial(self, seconds: float | None) -> Line:
        """Open a connection in that time. Raises `httpx.ConnectError` or `httpx.ConnectTimeout`."""
        try:
            async with asyncio.timeout(seconds):
                return await self._dial()
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection to {self._host}:{self._port} in {seconds} s") from error

    async def _dial(self) -> Line:
        try:
            sock = await _reach(in_turn(await self._addresses()))
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(describe(self._host, self._port, error)) from error
        line = Line()
        try:
            await _begin(line, sock, self._context, self._host)
        except (OSError, ssl.CertificateError) as error:
            text = describe(self._host, self._port, error)
            if self._context is not None and not isinstance(error, ssl.SSLError):
                text = f"no TLS with {self._host}: {_reason(error)}"
            raise httpx.ConnectError(text) from error
        return line

    async def _addresses(self) -> list[_Address]:
        # One lookup for all who wait: it has a thread until it ends, whoever is cancelled, and of those there are few.
        # Where names are slow, hundreds of questions would wait behind lookups that nobody needs any more.
        if self._lookup is None or self._lookup.done():
            loop = asyncio.get_running_loop()
            self._lookup = asyncio.ensure_future(loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))
        addresses: list[_Address] = await asyncio.shield(self._lookup)
        return addresses


async def _begin(line: Line, sock: socket.socket, context: ssl.SSLContext | None, host: str) -> None:
    name = None if context is None else host
    # The time is up elsewhere: this only lifts asyncio's own bound of a minute.
    patience = None if context is None else 1e6
    await asyncio.get_running_loop().create_connection(
        lambda: line, sock=sock, ssl=context, server_hostname=name, ssl_handshake_timeout=patience
    )


def in_turn(addresses: Iterable[_Address]) -> list[_Address]:
    """The families in turn, beginning with the preferred one: a family without a route costs one attempt."""
    families: dict[int, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return [address for address in chain(*zip_longest(*families.values())) if address is not None]


async def _reach(addresses: list[_Address]) -> socket.socket:
    """Connect to the first address that takes it (RFC 8305): asyncio has this, uvloop has not."""
    if len(addresses) == 1:
        return await _connect(addresses[0])
    attempts: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    left = iter(addresses)
    try:
        while True:
            if (address := next(left, None)) is not None:
                attempts.add(asyncio.create_task(_connect(address)))
            elif not attempts:
                raise OSError("; ".join(dict.fromkeys(map(_reason, errors))))
            alone = None if address is None else HEAD_START_SECONDS
            done, attempts = await asyncio.wait(attempts, timeout=alone, return_when=asyncio.FIRST_COMPLETED)
            attempts |= {task for task in done if task.exception() is None}
            for task in done - attempts:
                if not isinstance(error := task.exception(), OSError):
                    raise error or AssertionError
                errors.append(error)
            if done & attempts:
                winner = attempts.intersection(done).pop()
                attempts.discard(winner)
                return winner.result()
    finally:
        for task in attempts:
            task.cancel()
            task.add_done_callback(_close_late)


def _close_late(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _connect(address: _Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def describe(host: str, port: int, error: BaseException) -> str:
    """Why there is no connection, for whoever reads the log."""
    match error:
        case socket.gaierror() | UnicodeError():
            return f"the host name {host} cannot be resolved"
        case ssl.SSLCertVerificationError():
            return f"the certificate of {host} is refused: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS with {host}: {error.reason or ''}"
        case _:
            return f"{host}:{port} cannot be reached: {_reason(error)}"


def _reason(error: BaseException) -> str:
    # By number: the text of an event loop's own errors is another one, and shows the address again.
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error) or type(error).__name__
