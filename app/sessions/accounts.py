"""What each tenant has for itself: its limits, and a Dify app of its own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

from app.config import Settings
from app.identity import Tenant
from app.observability.metrics import Metrics
from app.observability.session_metrics import AccountMetrics
from app.services.guarded import GuardedProvider
from app.services.providers import load_provider
from app.sessions.limits import Slots, TokenBucket


@dataclass(frozen=True, slots=True)
class Account:
    """What the sessions of one tenant share. Nothing is limited that the tenant's entry does not name."""

    tenant: Tenant | None
    provider: GuardedProvider
    metrics: AccountMetrics
    buckets: tuple[TokenBucket, ...] = ()
    slots: tuple[Slots, ...] = ()

    @property
    def name(self) -> str | None:
        return None if self.tenant is None else self.tenant.name

    def has_room(self, sessions: int) -> bool:
        """Whether one more session may begin beside so many."""
        limit = None if self.tenant is None else self.tenant.max_sessions
        return limit is None or sessions < limit


class Accounts:
    """The accounts of this process, opened when first needed, all closed in the end."""

    def __init__(self, settings: Settings, provider: GuardedProvider, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._service = Account(None, provider, AccountMetrics(metrics, provider.name, None))
        self._accounts: dict[str, Account] = {}
        self._opening = asyncio.Lock()
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    @property
    def service(self) -> Account:
        """Of those who come without a tenant."""
        return self._service

    @property
    def providers(self) -> list[GuardedProvider]:
        """The service's and those that tenants have of their own, each with its own breaker."""
        own = [each.provider for each in self._accounts.values() if each.provider is not self._service.provider]
        return [self._service.provider, *own]

    @property
    def waiting(self) -> int:
        """Questions that wait for a slot of their tenant's."""
        return sum(slots.waiting for account in self._accounts.values() for slots in account.slots)

    async def of(self, tenant: Tenant | None) -> Account:
        """The account of this tenant, renewed when its entry has changed."""
        if tenant is None:
            return self._service
        async with self._opening:
            account = self._accounts.get(tenant.name)
            if account is None or account.tenant != tenant:
                account = self._accounts[tenant.name] = await self._open(tenant)
            return account

    async def _open(self, tenant: Tenant) -> Account:
        per_minute, running = tenant.queries_per_minute, tenant.max_running_queries
        provider = await self._provider_of(tenant)
        return Account(
            tenant,
            provider,
            AccountMetrics(self._metrics, provider.name, tenant.name),
            (TokenBucket(per_minute / 60, per_minute),) if per_minute else (),
            (Slots(running),) if running else (),
        )

    async def _provider_of(self, tenant: Tenant) -> GuardedProvider:
        if tenant.dify_api_key is None:
            return self._service.provider
        app: dict[str, Any] = {"rag_provider": "dify", "fallback_provider": None, "dify_api_key": tenant.dify_api_key}
        if tenant.dify_base_url is not None:
            app["dify_base_url"] = tenant.dify_base_url
        # Opened for the life of the process: sessions that began before a change still use the former one.
        own = await self._opened.enter_async_context(load_provider(self._settings.model_copy(update=app))())
        return own if self._settings.fallback_provider == "dify" else own.with_fallback_of(self._service.provider)
