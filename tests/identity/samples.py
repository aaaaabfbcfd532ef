"""Tenants to test with."""

from __future__ import annotations

import hashlib
from typing import Any

from app.identity import Tenant

SECRET = "planted-0f3c"


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def tenant(name: str = "acme", token: str = "a-token", **fields: Any) -> Tenant:
    return Tenant(name=name, token_sha256=hash_of(token), **fields)


def entry(name: str = "acme", token: str = "a-token", *lines: str) -> str:
    return "\n".join(["[[tenants]]", f'name = "{name}"', f'token_sha256 = "{hash_of(token)}"', *lines, ""])
