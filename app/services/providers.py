"""Loads the providers that the settings name, and guards the first with the second."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from app.config import READING, Settings
from app.errors import StartError
from app.services.breaker import Breaker
from app.services.guarded import GuardedProvider
from app.services.rag import Offers, RagProvider
from app.services.sharing import Shared
from app.services.trust import trusted

Open = Callable[[Shared], AbstractAsyncContextManager[RagProvider]]


class House(NamedTuple):
    """A provider of the house."""

    factory: str  # imported only when it is chosen: a start pays for one provider's libraries
    url: str = ""  # the property of the settings that says where it asks, if it asks anybody


HOUSE = {
    "dify": House("app.services.dify_client:open_dify", "dify_url"),
    "local": House("app.services.local_rag:open_local"),
    "openai": House("app.services.openai_client:open_openai", "openai_url"),
}


def load_provider(settings: Settings) -> Callable[[Shared], AbstractAsyncContextManager[GuardedProvider]]:
    """Import the factories of `RAG_PROVIDER` and `FALLBACK_PROVIDER`; both are opened when the service starts.

    What they open for others, too, is held by the `Shared` that they are opened with. A factory takes the settings and
    returns a provider, or an async context manager of one. Raises `StartError` when there is no such factory, or no way
    to Dify, now, or when it fails, once it is opened.
    """
    open_first = _load("RAG_PROVIDER", settings.rag_provider, settings)
    fallback_name = settings.fallback_provider
    open_fallback = _load("FALLBACK_PROVIDER", fallback_name, settings) if fallback_name else None

    @asynccontextmanager
    async def open_both(shared: Shared) -> AsyncIterator[GuardedProvider]:
        async with AsyncExitStack() as stack:
            yield GuardedProvider(
                await stack.enter_async_context(open_first(shared)),
                Breaker(settings.breaker_failures, settings.breaker_seconds),
                await stack.enter_async_context(open_fallback(shared)) if open_fallback else None,
                name=settings.rag_provider,
                fallback_name=fallback_name or "",
            )

    return open_both


def _load(setting: str, provider: str, settings: Settings) -> Open:
    house = HOUSE.get(provider, House(provider))
    if house.url:
        trusted()  # some of the libraries behind it read the same variables when they are imported
        from app.services.proxies import proxy_for  # with httpx: who asks nobody needs none

        proxy_for(getattr(settings, house.url))  # a wrong one is found out here, before anything listens
    path = house.factory
    module, _, name = path.partition(":")
    if not name:
        raise StartError(setting, f"is none of {', '.join(HOUSE)}, nor package.module:factory")
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise StartError(setting, f"{path} cannot be loaded: {error}") from error
    except Exception as error:
        raise StartError(setting, f"{path} cannot be loaded: {type(error).__name__}: {error}") from error

    @asynccontextmanager
    async def open_provider(shared: Shared) -> AsyncIterator[RagProvider]:
        async with AsyncExitStack() as stack:
            try:
                made = factory(settings, shared) if provider in READING else factory(settings)
                is_open = not isinstance(made, AbstractAsyncContextManager)
                opened = made if is_open else await stack.enter_async_context(made)
                if not hasattr(opened, "query") or not isinstance(getattr(opened, "offers", None), Offers):
                    raise TypeError(f"{type(opened).__name__} has no query() or no offers")
            except StartError:
                raise
            except Exception as error:
                raise StartError(setting, f"{path} cannot be opened: {type(error).__name__}: {error}") from error
            yield opened

    return open_provider
