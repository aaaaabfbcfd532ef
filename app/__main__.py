"""`python -m app` serves with the settings of the environment and of `.env`; `python -m app replay` runs a tool."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

from app.config import Settings, load_settings, refuse_to_start
from app.errors import StartError

# What binding says of an address that this machine does not have.
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
# And of a port that is another's, or not for everybody.
_TAKEN = frozenset({errno.EADDRINUSE, errno.EACCES})


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
        setting = "PORT" if failures[0].errno in _TAKEN else "HOST"
        raise StartError(setting, f"cannot listen on {host}, port {port}: {os.strerror(failures[0].errno or 0)}")
    return sockets


def allow_many_files() -> None:
    """Take as many open files as the system grants: one for each client, and many systems begin with 1,024."""
    try:
        import resource
    except ImportError:  # as on Windows, which has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems grant less than they say, macOS without any limit among them.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


COMMANDS = {
    "serve": "serve; what is done without a command",
    "listen": "take a voice to a recogniser, and what that hears to a running service",
    "replay": "send a recorded talk to a running service",
    "keyterms": "print the names in the folder that is answered from, for recognisers that take hints",
    "evaluate": "measure on labelled sentences how well questions are recognised",
}


def main() -> None:
    """Serve, or run the command that the first argument names."""
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Serve with the settings of the environment and of .env, or run a tool.",
        epilog="\n".join(["commands:", *(f"  {name:<10} {what}" for name, what in COMMANDS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command", nargs="?", choices=COMMANDS, default="serve", metavar="command", help="one of those below"
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its own; --help tells them")
    options = parser.parse_args()
    if options.command == "serve":
        serve()
    else:
        sys.exit(run_tool(options.command, options.arguments))


def run_tool(name: str, arguments: Sequence[str]) -> int:
    """Run a tool and return its exit status."""
    # Imported here: the service starts without them.
    from app.tools import evaluate, keyterms
    from app.tools.listen import command as listen
    from app.tools.replay import command as replay

    tools = {"listen": listen.main, "replay": replay.main, "keyterms": keyterms.main, "evaluate": evaluate.main}
    return tools[name](arguments)


def serve() -> None:
    allow_many_files()
    # Imported here: the tools start without the service. Nothing of what is loaded is garbage: a third less to do.
    gc.disable()
    from app.lifecycle.server import keep_what_is_loaded, make_server

    settings = load_settings()
    if settings.workers > 1:
        from app.lifecycle import workers

        sys.exit(workers.run(settings, _listening(settings)))
    from app.main import build_app

    server = make_server(build_app(settings), settings)
    sockets = _listening(settings)
    keep_what_is_loaded()
    try:
        server.run(sockets)
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT, as a shell expects it
    if not server.started:
        sys.exit(3)


def _listening(settings: Settings) -> list[socket.socket]:
    try:
        return open_sockets(settings)
    except StartError as error:
        refuse_to_start(str(error))


if __name__ == "__main__":
    main()
