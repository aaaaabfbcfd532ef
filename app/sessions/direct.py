"""The short way between a socket and its session, where the server offers one; ASGI's is always there besides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.types import Scope

# How it is called among the extensions of a socket's ASGI scope.
EXTENSION = "realtime_rag.direct"


class DirectSocket(Protocol):
    """A socket that needs no queue, task or wake-up for a message, and no waiting for a frame that can leave."""

    def listen(self, hear: Callable[[Sequence[str]], int] | None) -> None:
        """Let `hear` take texts in the callback that has read them. It says how many it took; others come by ASGI, or
        once more, in order.
        """

    def asked(self) -> None:
        """What was heard is being asked: others may be heard when that has left."""

    def write(self, texts: Sequence[str]) -> bool:
        """Send each as a frame, unless the socket is closed or one would have to wait; then nothing is sent."""


def direct_of(scope: Scope) -> DirectSocket | None:
    """That of a socket; None where the server is another than this project's."""
    direct: DirectSocket | None = (scope.get("extensions") or {}).get(EXTENSION)
    return direct
