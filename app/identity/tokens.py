"""Where the token of a handshake stands: browsers can set no header, so there are three places."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

SUBPROTOCOL = "realtime-rag.v1"

_PREFIX = "bearer."
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")


def token_of(authorizations: Iterable[str], subprotocols: Iterable[str], query: str) -> str | None:
    """The token of a handshake: from `Authorization: Bearer`, else the subprotocol `bearer.<token>`, else `?token=`.

    What is malformed, or comes twice in one place, counts as not there, and the next place is looked at.
    """
    # A scheme is compared without regard to case (RFC 9110, 11.1). Basic and others are some proxy's business.
    credentials = [value.partition(" ") for value in authorizations]
    places = [
        [token.strip(" ") for scheme, _, token in credentials if scheme.lower() == "bearer"],
        [each.removeprefix(_PREFIX) for each in subprotocols if each.startswith(_PREFIX)],
        [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "token"] if query else [],
    ]
    for found in places:
        if len(found) == 1 and _TOKEN.fullmatch(found[0]):
            return found[0]
    return None


def choose_subprotocol(offered: Iterable[str]) -> str | None:
    """The subprotocol to accept. Never the one with the token: it would come back in the reply."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None
