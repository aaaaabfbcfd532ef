"""Web origins, as browsers send them and as settings name them."""

from __future__ import annotations

import re

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(?::([0-9]{1,5}))?", re.ASCII | re.I)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_of(text: str) -> str:
    """The one form of an origin, by which two are compared; `ValueError` if it is none."""
    if text.lower() == "null":
        return "null"
    parts = _ORIGIN.fullmatch(text)
    if parts is None:
        raise ValueError("an origin is scheme://host or scheme://host:port")
    scheme, host, port = parts[1].lower(), parts[2].lower(), parts[3]
    return f"{scheme}://{host}:{int(port) if port else _DEFAULT_PORTS.get(scheme, '')}"
