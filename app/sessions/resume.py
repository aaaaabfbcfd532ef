"""The tokens by which clients find their sessions again."""

from __future__ import annotations

import secrets


class Tokens:
    """Those of all sessions of this process, each session known by its key."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._valid: dict[str, list[str]] = {}

    def key_of(self, token: str) -> str | None:
        """The key of the session that this token opens."""
        return self._keys.get(token)

    def issue(self, key: str, held: str | None = None) -> str:
        """A new token for a client that came by `held`, which stays good until `confirm`.

        The frame that brings the new one may get lost, and so may the next: only `held` is sure to be known.
        """
        token = secrets.token_urlsafe(32)
        self._keep(key, [*(each for each in self._valid.get(key, ()) if each == held), token])
        self._keys[token] = key
        return token

    def confirm(self, key: str) -> None:
        """The client has the newest token: the one it came by is void."""
        if len(self._valid.get(key, ())) > 1:  # asked for every message
            self._keep(key, self._valid[key][-1:])

    def revoke(self, key: str) -> None:
        """The session has ended: nothing opens it any more."""
        self._keep(key, [])
        del self._valid[key]

    def _keep(self, key: str, tokens: list[str]) -> None:
        for token in self._valid.get(key, ()):
            if token not in tokens:
                del self._keys[token]
        self._valid[key] = tokens
