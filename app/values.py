"""Web origins and hosts, as browsers send them and as settings name them; addresses, and whose they are."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(?::([0-9]{1,5}))?", re.ASCII | re.I)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(?::([0-9]{1,5}))?", re.ASCII | re.I)
_DEFAULT_PORTS = {"http": 80, "https": 443}

ANY = "*"


def origin_of(text: str) -> str:
    """The one form of an origin, by which two are compared; `ValueError` if it is none."""
    if text.lower() == "null":
        return "null"
    parts = _ORIGIN.fullmatch(text)
    if parts is None:
        raise ValueError("an origin is scheme://host or scheme://host:port")
    scheme, host, port = parts[1].lower(), parts[2].lower(), parts[3]
    return f"{scheme}://{host}:{int(port) if port else _DEFAULT_PORTS.get(scheme, '')}"


def allowed_origin_of(text: str) -> str:
    """`origin_of`, or `*` for any."""
    return ANY if text == ANY else origin_of(text)


def host_of(text: str) -> tuple[str, int | None]:
    """Name and port of a `Host` header; `ValueError` if it is none."""
    parts = _HOST.fullmatch(text)
    if parts is None:
        raise ValueError("a host is a name or an address")
    return parts[1].lower().strip("[]").rstrip("."), int(parts[2]) if parts[2] else None


def host_name(text: str) -> str:
    """The one form of a host without a port; `ValueError` if it is none."""
    name, port = host_of(text)
    if port is not None:
        raise ValueError("a host stands here without its port")
    return name


def proxy_of(text: str) -> str:
    """An address or a network, `*` for any; `ValueError` if it is none."""
    try:
        return ANY if text == ANY else str(ipaddress.ip_network(text)).removesuffix("/32").removesuffix("/128")
    except ValueError as error:
        raise ValueError(f"a proxy is an address, a network or *: {error}") from None


def is_loopback(name: str) -> bool:
    """Whether a host of this name is this machine, whoever resolves it."""
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_address(name: str) -> bool:
    """Whether it is an address: no page can make a name of its own resolve to it."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def subscriber_of(address: str) -> str:
    """Whose address it is, by what one subscriber has: an address of IPv4, a network of 64 bits of IPv6."""
    try:
        socket.inet_pton(socket.AF_INET, address)
    except (OSError, ValueError):
        pass
    else:
        return address  # most are, and this is known at a twentieth of the cost
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    ipv4 = known if isinstance(known, ipaddress.IPv4Address) else known.ipv4_mapped
    return str(ipv4 or ipaddress.ip_network((address, 64), strict=False))


def is_loopback_page(origin: str) -> bool:
    """Whether this origin, in its one form, is a page that this machine serves."""
    scheme, _, rest = origin.partition("://")
    return scheme in _DEFAULT_PORTS and is_loopback(_name_and_port(rest)[0])


def is_own_page(origin: str, host: str | None, known_hosts: Collection[str]) -> bool:
    """Whether this origin, in its one form, is the page that is asked for by this `Host` header.

    A name has to be known: a page can make its own name resolve to any address (DNS rebinding). The scheme, which a
    proxy may have changed, is not compared, nor a port that the header does not have.
    """
    if host is None or origin == "null":
        return False
    name, port = _name_and_port(origin.partition("://")[2])
    try:
        asked, asked_port = host_of(host)
    except ValueError:
        return False
    is_same = name == asked and asked_port in {None, port}
    return is_same and (is_address(name) or is_loopback(name) or name in known_hosts)


def _name_and_port(rest: str) -> tuple[str, int | None]:
    """What follows the scheme in the one form of an origin."""
    name, _, port = rest.rpartition(":")
    return name.strip("[]").rstrip("."), int(port) if port else None
