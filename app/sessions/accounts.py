"""What each tenant has for itself: its limits, and a provider of its own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from app.config import READING, Settings
from app.identity import Tenant
from app.observability.metrics import Metrics
from app.observability.session_metrics import AccountMetrics
from app.services.guarded import GuardedProvider
from app.services.providers import load_provider
from app.services.sharing import Shared
from app.sessions.limits import Quota
from app.sessions.store import Store


@dataclass(frozen=True, slots=True)
class Account:
    """What the sessions of one tenant share."""

    tenant: Tenant | None
    provider: GuardedProvider
    metrics: AccountMetrics
    quota: Quota

    @property
    def name(self) -> str | None:
        return None if self.tenant is None else self.tenant.name


class Accounts:
    """The accounts of this process, opened when first needed, all closed in the end."""

    def __init__(
        self, settings: Settings, provider: GuardedProvider, shared: Shared, metrics: Metrics, store: Store
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._metrics = metrics
        self._store = store
        self._service = Account(None, provider, AccountMetrics(metrics, provider.name, None), Quota())
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
        quotas = (account.quota for account in self._accounts.values())
        return sum(quota.slots.waiting for quota in quotas if quota.slots is not None)

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
        provider = await self._provider_of(tenant)
        return Account(
            tenant,
            provider,
            AccountMetrics(self._metrics, provider.name, tenant.name),
            self._store.quota(tenant),
        )

    async def _provider_of(self, tenant: Tenant) -> GuardedProvider:
        if not (own := tenant.own_provider):
            return self._service.provider
        settings = self._settings
        # The folder that the service answers from, if it does: it is opened already.
        folder = settings.knowledge_dir if {settings.rag_provider, settings.fallback_provider} & READING else None
        changed = settings.model_copy(update={"fallback_provider": None, "knowledge_dir": folder, **own})
        # Opened for the life of the process: sessions that began before a change still use the former one.
        provider = await self._opened.enter_async_context(load_provider(changed)(self._shared))
        is_like_it = settings.fallback_provider == own["rag_provider"]
        return provider if is_like_it else provider.with_fallback_of(self._service.provider)
