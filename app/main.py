"""Puts the service together: `create_app()`, and `app` for `uvicorn app.main:app`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from app import __version__, logs
from app.accounts import Accounts
from app.archive import LocalArchive
from app.config import Settings, load_settings, refuse_to_start
from app.dependencies import Runtime
from app.errors import StartError
from app.identity import Gate
from app.routers import health
from app.routers.websocket import RealtimeAsr
from app.services.providers import load_provider
from app.sessions import Sessions
from app.signals import drained_on_signal, reloaded_on_signal

logger = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """Build the application; what it holds open lives in its lifespan.

    Raises `StartError` when the provider or the files that the settings name cannot be loaded.
    """
    open_provider = load_provider(settings)
    gate = Gate(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        logs.configure(settings)
        if not settings.is_provider_configured:
            outcome = "goes to FALLBACK_PROVIDER" if settings.fallback_provider else "gets RAG_NOT_CONFIGURED"
            logger.warning("DIFY_API_KEY is not set: every question %s", outcome)
        if gate.directory.is_open:
            logger.warning("no tokens are configured: everybody who reaches the service may use it")
        sessions = Sessions(settings, LocalArchive(settings))
        async with AsyncExitStack() as stack:
            provider = await stack.enter_async_context(open_provider())
            accounts = await stack.enter_async_context(Accounts(settings, provider))
            await stack.enter_async_context(aclosing(sessions))
            await stack.enter_async_context(drained_on_signal(sessions))
            stack.enter_context(reloaded_on_signal(gate))
            yield {"runtime": Runtime(settings, gate, accounts, sessions)}

    app = FastAPI(title=settings.app_title, version=__version__, lifespan=lifespan)
    app.include_router(health.router)
    app.router.routes.append(WebSocketRoute(settings.ws_path, RealtimeAsr()))
    return app


def build_app(settings: Settings) -> FastAPI:
    """`create_app` for an entry point: what cannot start ends the process with one line."""
    try:
        return create_app(settings)
    except StartError as error:
        refuse_to_start(str(error))


def __getattr__(name: str) -> FastAPI:
    # `app` is made when uvicorn asks for it: importing this module needs no environment.
    if name == "app":
        return build_app(load_settings())
    raise AttributeError(name)
