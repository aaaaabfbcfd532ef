"""The tokens by which clients find their sessions again."""

from __future__ import annotations

import secrets


class Tokens:
    """All tokens of this process that open something."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}

    def key_of(self, token: str) -> str | None:
        """The key of the session that this token opens."""
        return self._keys.get(token)

    def of(self, key: str) -> SessionTokens:
        return SessionTokens(key, self._keys)


class SessionTokens:
    """Those of one session, `key`."""

    def __init__(self, key: str, keys: dict[str, str]) -> None:
        self.key = key
        self._keys = keys
        self._valid: list[str] = []

    def issue(self, held: str | None = None) -> str:
        """A new token for a client that came by `held`, which stays good until `confirm`.

        The frame that brings the new one may get lost, and so may the next: only `held` is sure to be known.
        """
        token = secrets.token_urlsafe(32)
        self._keep([each for each in self._valid if each == held])
        self._valid.append(token)
        self._keys[token] = self.key
        return token

    def confirm(self) -> None:
        """The client has the newest token: the one it came by is void."""
        if len(self._valid) > 1:  # asked for every message
            self._keep(self._valid[-1:])

    def revoke(self) -> None:
        """They open nothing any more."""
        self._keep([])

    def _keep(self, tokens: list[str]) -> None:
        for token in self._valid:
            if token not in tokens:
                del self._keys[token]
        self._valid = tokens
