"""Which proxy a server is reached through, read from the environment as httpx reads it."""

from __future__ import annotations

import httpx

# Not a reading of our own: what `NO_PROXY` means is a long story. Its release is pinned by the lock.
from httpx._utils import URLPattern, get_environment_proxies

from app.errors import StartError


def proxy_for(url: str) -> httpx.Proxy | None:
    """The proxy between this service and that server. Raises `StartError` for one that cannot be used."""
    target = httpx.URL(url)
    proxies = get_environment_proxies()
    if not any(proxies.values()):
        return None  # whatever the exceptions are
    for pattern in sorted(map(_pattern, proxies)):
        if pattern.matches(target):
            address = proxies[pattern.pattern]
            return None if address is None else _proxy(f"{pattern.pattern[:-3].upper()}_PROXY", address)
    return None


def _pattern(text: str) -> URLPattern:
    try:
        return URLPattern(text)
    except httpx.InvalidURL as error:
        entry = text.removeprefix("all://").removeprefix("*")
        raise StartError("NO_PROXY", f"{entry!r} is no host, host:port or URL") from error


def _proxy(setting: str, address: str) -> httpx.Proxy:
    # What is wrong is said without the address, which may hold a password.
    scheme = address.partition("://")[0].lower()
    if scheme not in {"http", "https"}:
        known = f"a proxy of the kind {scheme!r}" if scheme.isalnum() else "such a proxy"
        raise StartError(setting, f"{known} is not spoken to, only http:// and https://; NO_PROXY names exceptions")
    try:
        proxy = httpx.Proxy(address)
        is_address = bool(proxy.url.host) and (proxy.url.port or 1) < 2**16
    except (httpx.InvalidURL, ValueError):
        is_address = False
    if not is_address:
        raise StartError(setting, "is no address of a proxy, as in http://proxy.example:3128")
    return proxy
