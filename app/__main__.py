"""`python -m app` serves with the settings of the environment and of `.env`; `python -m app replay` runs a tool."""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import logging
import os
import resource
import socket
import sys
from collections.abc import Sequence

import uvicorn
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.config import Settings, load_settings, refuse_to_start
from app.errors import StartError
from app.main import build_app

logger = logging.getLogger("app")

TRY = '{"type": "asr_chunk", "text": "What is this service for?", "is_final": true}'


# How long what is left for a client that does not read is kept after the end of its connection, in seconds.
LINGER_SECONDS = 10


class Socket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, for clients that read nothing: it says goodbye all the same, and does not wait for ever."""

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)


class Server(uvicorn.Server):
    """uvicorn, which also says where the console and the WebSocket are once they can be reached."""

    def __init__(self, config: uvicorn.Config, ws_path: str) -> None:
        super().__init__(config)
        self._ws_path = ws_path
        self.is_listening = asyncio.Event()
        self.port = config.port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                host, self.port = listener.getsockname()[:2]
                name = "localhost" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host
                logger.info("Open http://%s:%d/ in a browser", name, self.port)
                url = f"ws://{name}:{self.port}{self._ws_path}"
                logger.info("Connect to %s and send %s", url, TRY, extra={"url": url})
        self.is_listening.set()


def make_server(settings: Settings) -> Server:
    config = uvicorn.Config(
        build_app(settings),
        host=settings.host,
        port=settings.port,
        lifespan="on",
        log_config=None,
        ws=Socket,
        # Up to twice the limit a message still gets its coded error; beyond that the socket closes with 1009.
        ws_max_size=2 * settings.max_message_bytes,
        # Small frames do not shrink, and every connection would hold its compressor's memory.
        ws_per_message_deflate=False,
        server_header=False,
    )
    return Server(config, settings.ws_path)


# What binding says of an address that this machine does not have.
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def open_sockets(settings: Settings) -> list[socket.socket]:
    """Listen at `PORT` on every address of `HOST`; on `::` for IPv4, too. Raises `StartError`."""
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise StartError("HOST", f"{host} is neither an address nor a name that can be resolved") from error
    sockets, failures = [], []
    for family, address in dict.fromkeys((family, str(address[0])) for family, *_, address in found):
        has_both = address == "::" and socket.has_dualstack_ipv6()
        try:
            sockets.append(socket.create_server((address, port), family=family, dualstack_ipv6=has_both))
        except OSError as error:
            failures.append(error)
    # One that is absent is none to miss: names have IPv6 addresses where machines have no IPv6.
    failures.sort(key=lambda error: error.errno in _ABSENT)
    if failures and (not sockets or failures[0].errno not in _ABSENT):
        for each in sockets:
            each.close()
        setting = "HOST" if failures[0].errno in _ABSENT else "PORT"
        raise StartError(setting, f"cannot listen on {host}, port {port}: {os.strerror(failures[0].errno or 0)}")
    return sockets


def allow_many_files() -> None:
    """Take as many open files as the system grants: one for each client, and many systems begin with 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """Serve, or run the tool that the first argument names."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Serve; with a name, run that tool instead.")
    parser.add_argument("tool", nargs="?", choices=["replay", "evaluate"], help="a tool has a --help of its own")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tool is None:
        serve()
    else:
        sys.exit(run_tool(options.tool, options.arguments))


def run_tool(name: str, arguments: Sequence[str]) -> int:
    """Run a tool and return its exit status."""
    # Imported here: the service starts without them.
    from app import evaluate
    from app.replay import command

    tools = {"replay": command.main, "evaluate": evaluate.main}
    return tools[name](arguments)


def serve() -> None:
    allow_many_files()
    settings = load_settings()
    server = make_server(settings)
    try:
        sockets = open_sockets(settings)
    except StartError as error:
        refuse_to_start(str(error))
    # What is loaded by now stays: the collector need not look at it again, nor look that often.
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    try:
        server.run(sockets)
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT, as a shell expects it
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    main()
