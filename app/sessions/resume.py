"""The tokens by which a client finds its session again."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from hashlib import sha256


def key_of(token: str) -> str:
    """The key of the session that this token opens, if it opens any."""
    return token.partition(".")[0]


def hash_of(token: str) -> str:
    return sha256(token.encode("utf-8", "replace")).hexdigest()


def new_token(key: str) -> str:
    return f"{key}.{secrets.token_urlsafe(32)}"


class Tokens:
    """Those of one session, at most two. Only their hashes are known here."""

    def __init__(self, hashes: Iterable[str] = ()) -> None:
        self.hashes = list(hashes)

    def opens(self, token: str) -> bool:
        return hash_of(token) in self.hashes

    def add(self, token: str, held: str | None = None) -> None:
        """The token is good for a client that came by `held`, which stays good until `confirm`. Both are hashes.

        The frame that brings the new one may get lost, and so may the next: only `held` is sure to be known.
        """
        self.hashes = [*(each for each in self.hashes if each == held), token]

    def confirm(self) -> bool:
        """The client has the newest token: the one it came by is void. True if there was one."""
        if len(self.hashes) < 2:  # asked for every message
            return False
        del self.hashes[:-1]
        return True

    def revoke(self) -> None:
        """The session has ended: nothing opens it any more."""
        self.hashes.clear()
