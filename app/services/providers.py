"""Loads the provider that the settings name."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from app.config import Settings
from app.errors import StartError
from app.services.rag import RagProvider

# Imported only when chosen: a start pays for one provider's libraries.
FACTORIES = {"dify": "app.services.dify_client:open_dify", "local": "app.services.local_rag:open_local"}


def load_provider(settings: Settings) -> Callable[[], AbstractAsyncContextManager[RagProvider]]:
    """Import the factory of `RAG_PROVIDER`; what it makes is opened when the service starts.

    A factory takes the settings and returns a provider, or an async context manager of one. Raises `StartError` when
    there is no such factory.
    """
    path = FACTORIES.get(settings.rag_provider, settings.rag_provider)
    module, _, name = path.partition(":")
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise StartError("RAG_PROVIDER", f"{path} cannot be loaded: {error}") from error

    @asynccontextmanager
    async def open_provider() -> AsyncIterator[RagProvider]:
        provider = factory(settings)
        if isinstance(provider, AbstractAsyncContextManager):
            async with provider as opened:
                yield opened
        else:
            yield provider

    return open_provider
