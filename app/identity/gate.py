"""The gate: lets a handshake in as somebody, or says why not."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from app.config import Settings
from app.errors import StartError
from app.identity.signed import LEEWAY, Verify, load_verify
from app.identity.tenants import Tenant, is_name, load_tenants
from app.identity.tokens import token_of
from app.values import ANY, is_loopback_page, is_own_page, origin_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is connected. An open service knows nobody: `tenant` is None.

    `subject` is the `sub` of a signed token, `expires_at` the moment, in seconds since the epoch, at which the session
    has to end.
    """

    tenant: Tenant | None = None
    subject: str | None = None
    expires_at: float | None = None

    @property
    def tenant_name(self) -> str | None:
        return None if self.tenant is None else self.tenant.name

    @property
    def user_prefix(self) -> str:
        """What Dify's `user` begins with. The `subject` is no part of it: it may name a person."""
        return "" if self.tenant is None else f"{self.tenant.name}-"


class Refusal(Enum):
    """Why a client is not let in."""

    FOREIGN_ORIGIN = "a foreign origin"
    """Close before accepting: HTTP 403."""
    UNAUTHORIZED = "no valid token"
    """Accept, send `Unauthorized`, close with 4401: browsers cannot read the status of a handshake."""


class Directory:
    """Everybody who may connect, and from which web pages; never changed, only replaced.

    Without `tenants`, `verify` lets in whatever tenant a valid token names.
    """

    def __init__(
        self,
        tenants: Iterable[Tenant] = (),
        *,
        verify: Verify | None = None,
        allowed_origins: Iterable[str] = (),
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        self.tenants = {tenant.name: tenant for tenant in tenants}
        self._verify = verify
        self._allowed_origins = frozenset(allowed_origins)
        self._allowed_hosts = frozenset(allowed_hosts)
        # Of pages that somebody may connect from.
        self.known_origins = self._allowed_origins.union(*(each.allowed_origins for each in self.tenants.values()))

    @property
    def is_open(self) -> bool:
        """Nobody has to prove anything."""
        return not self.tenants and self._verify is None

    def identify(self, token: str | None) -> Identity | None:
        """Who brings this token; None if nobody may."""
        if self.is_open:
            return Identity()
        if token is None:
            return None
        return self._by_hash(token) or self._by_signature(token)

    def _by_hash(self, token: str) -> Identity | None:
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for tenant in self.tenants.values():  # to the end: the time tells nothing about who it was
            if tenant.token_sha256 is not None and hmac.compare_digest(digest, tenant.token_sha256):
                found = Identity(tenant)
        return found

    def _by_signature(self, token: str) -> Identity | None:
        claims = self._verify(token) if self._verify is not None else None
        if claims is None:
            return None
        tenant = self.tenants.get(claims.tenant)
        if tenant is None and not self.tenants and is_name(claims.tenant):
            tenant = Tenant(name=claims.tenant)
        if tenant is None:
            logger.info("a token is not valid: its tenant is not known")
            return None
        # The leeway once more: a token that is let in must not end its session at once.
        return Identity(tenant, claims.sub, claims.exp + LEEWAY)

    def is_foreign(self, origins: Sequence[str], host: str | None, identity: Identity | None) -> bool:
        """Whether a web page that may not connect is behind these `Origin` headers; none: it is no browser.

        `host` is what the client has asked for. A tenant's own list stands in the place of the service's. Of a stranger
        nobody knows whose page it comes from: while every list would turn it away, it is foreign.
        """
        allowed: Collection[str] = self._allowed_origins
        if identity is None:
            allowed = allowed and self.known_origins
        elif identity.tenant is not None:
            allowed = identity.tenant.allowed_origins or allowed
        if not origins or ANY in allowed or not (allowed or self.is_open):
            return False
        try:
            origin = origin_of(origins[0])
        except ValueError:
            return True
        if len(origins) > 1:
            return True
        is_known = origin in allowed if allowed else is_loopback_page(origin)
        return not (is_known or is_own_page(origin, host, self._allowed_hosts))


def load_directory(settings: Settings) -> Directory:
    """Read what the settings and their files say about who may connect. Raises `StartError`."""
    verify = load_verify(settings)
    path = settings.auth_tokens_file
    tenants = () if path is None else load_tenants(path, tokens_required=verify is None)
    return Directory(
        tenants,
        verify=verify,
        allowed_origins=settings.allowed_origins,
        allowed_hosts=settings.allowed_hosts,
    )


class Gate:
    """Holds the directory of the moment. Raises `StartError` when it cannot be read.

    So does `check_backend` for the address of a tenant's Dify that cannot be asked.
    """

    def __init__(self, settings: Settings, check_backend: Callable[[str], object] = str) -> None:
        self._settings = settings
        self._check_backend = check_backend
        self.directory = self._load()

    def _load(self) -> Directory:
        directory = load_directory(self._settings)
        for tenant in directory.tenants.values():
            for url in filter(None, (tenant.dify_base_url, tenant.openai_base_url)):
                self._check_backend(str(url))
        return directory

    def reload(self) -> None:
        """Read the files again. If one is wrong, that is logged and the former directory stays."""
        try:
            self.directory = self._load()
        except StartError as error:
            logger.error("who may connect stays as it was: %s", error)
        else:
            logger.info("who may connect was read again: %d tenants", len(self.directory.tenants))

    def admit(
        self, headers: Iterable[tuple[bytes, bytes]], subprotocols: Iterable[str], query_string: bytes
    ) -> Identity | Refusal:
        """Who is behind this handshake, given as in an ASGI scope; or why nobody is let in."""
        origins: list[str] = []
        hosts: list[str] = []
        authorizations: list[str] = []
        wanted = {b"origin": origins, b"host": hosts, b"authorization": authorizations}
        for name, value in headers:
            if (values := wanted.get(name.lower())) is not None:
                values.append(value.decode("latin-1"))
        token = token_of(authorizations, subprotocols, query_string.decode("latin-1"))
        identity = self.directory.identify(token)
        if self.directory.is_foreign(origins, hosts[0] if len(hosts) == 1 else None, identity):
            logger.info("refused a client: %s, %.200r", Refusal.FOREIGN_ORIGIN.value, origins)
            return Refusal.FOREIGN_ORIGIN
        if identity is None:
            logger.info("refused a client: %s", Refusal.UNAUTHORIZED.value)
            return Refusal.UNAUTHORIZED
        return identity
