"""Puts the service together: `create_app()`, and `app` for `uvicorn app.main:app`."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from functools import partial
from typing import Any

from app.config import Settings, give_up_the_start, load_settings, refuse_to_start

try:
    from fastapi import FastAPI
except ValueError as error:
    # OpenTelemetry, which comes with it, reads this variable when it is imported.
    refuse_to_start(f"OTEL_PROPAGATORS: cannot be loaded: {error}")

from starlette.routing import WebSocketRoute

from app import __version__
from app.dependencies import Runtime, state_of
from app.errors import StartError
from app.identity import Gate
from app.identity.hosts import KnownHosts
from app.lifecycle.probe import Probe
from app.lifecycle.readiness import Readiness
from app.lifecycle.server import Forwarded, keep_what_is_loaded
from app.lifecycle.signals import drained_on_signal, reloaded_on_signal
from app.observability import logs
from app.observability.gauges import Gauges
from app.observability.metrics import Metrics
from app.observability.tracing import is_heard, load_telemetry
from app.routers import console, contracts, debug, guide, health
from app.routers import metrics as metrics_page
from app.routers.websocket import RealtimeAsr
from app.services.guarded import GuardedProvider
from app.services.providers import load_provider
from app.services.proxies import proxy_for
from app.services.sharing import Shared
from app.services.trust import check_exporter
from app.services.waiting import beside
from app.sessions.accounts import Accounts
from app.sessions.opening import Opening
from app.sessions.store import LocalStore, Store
from app.sessions.table import Sessions

logger = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """Build the application; what it holds open lives in its lifespan.

    Raises `StartError` when the provider or the files that the settings name cannot be loaded.
    """
    open_provider = load_provider(settings)
    gate = Gate(settings, proxy_for)
    metrics = Metrics(settings)
    open_store = _load_store(settings, metrics)
    telemetry = load_telemetry(settings)
    if settings.tracing:
        check_exporter()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        logs.configure(settings)
        sessions = Sessions(settings)
        async with AsyncExitStack() as stack:
            shared = await stack.enter_async_context(Shared())
            provider = await stack.enter_async_context(open_provider(shared))
            _warn(settings, gate)
            store = await stack.enter_async_context(open_store(sessions))
            accounts = await stack.enter_async_context(Accounts(settings, provider, shared, metrics, store))
            probe = _make_probe(settings, provider)
            if probe is not None:
                await stack.enter_async_context(beside(probe.run()))
            readiness = Readiness(settings, sessions, provider, probe)
            opening = Opening(settings, accounts, sessions, metrics, store)
            gauges = Gauges(metrics, partial(state_of, sessions, accounts, readiness))
            stack.callback(metrics.close)
            stack.callback(gauges.show)  # what other processes may read of this one is complete
            await stack.enter_async_context(beside(gauges.watch()))
            await stack.enter_async_context(aclosing(sessions))
            await stack.enter_async_context(drained_on_signal(sessions))
            index = provider.offers.index
            reloads = [gate.reload, *([] if index is None else [index.look_again])]
            stack.enter_context(reloaded_on_signal(*reloads))
            yield {"runtime": Runtime(settings, gate, accounts, sessions, opening, readiness, metrics, gauges)}

    app = FastAPI(
        title=settings.app_title,
        version=__version__,
        lifespan=lifespan,
        telemetry=telemetry,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(KnownHosts, settings=settings, gate=gate)
    # As they are, not with `include_router`, which makes each of them anew; first the one that most clients come by.
    app.router.routes.append(WebSocketRoute(settings.ws_path, RealtimeAsr()))
    routers = [health.router, console.router, guide.router, contracts.router, metrics_page.router]
    for router in [*routers, debug.make_router(settings)] if settings.debug_pages else routers:
        app.router.routes += router.routes
    return app


def _warn(settings: Settings, gate: Gate) -> None:
    """Say what whoever starts the service may not have meant."""
    if not settings.is_provider_configured:
        outcome = "goes to FALLBACK_PROVIDER" if settings.fallback_provider else "gets RAG_NOT_CONFIGURED"
        logger.warning("DIFY_API_KEY is not set: every question %s", outcome)
    if gate.directory.is_open:
        logger.warning(
            "no tokens are configured: everybody who reaches the service may use it, and %s",
            f"pages of {', '.join(settings.allowed_origins)}" if settings.allowed_origins else "pages of this machine",
        )
    if settings.tracing and not is_heard():
        logger.warning("TRACING is on, but OTEL_EXPORTER_OTLP_ENDPOINT does not say where traces go")


def _load_store(settings: Settings, metrics: Metrics) -> Callable[[Sessions], AbstractAsyncContextManager[Store]]:
    """How to open what keeps the sessions. Raises `StartError`."""
    if settings.redis_url is None or metrics.redis is None:
        return lambda _: nullcontext(LocalStore(settings))
    try:
        from app.sessions.shared.store import load_store
    except ImportError as error:
        raise StartError("REDIS_URL", "needs the extra redis: pip install 'redis[hiredis]>=8,<9'") from error
    return load_store(settings, metrics.redis)


def _make_probe(settings: Settings, provider: GuardedProvider) -> Probe | None:
    is_wanted = settings.ready_probe_seconds and settings.is_provider_configured and not settings.fallback_provider
    ask = provider.offers.probe
    return Probe(ask, settings.ready_probe_seconds) if is_wanted and ask is not None else None


def build_app(settings: Settings) -> FastAPI:
    """`create_app` for an entry point: what cannot start ends the process with one line."""
    try:
        app = create_app(settings)
    except StartError as error:
        refuse_to_start(str(error))
    open_app = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        try:
            async with open_app(app) as state:
                yield state
        except StartError as error:
            logger.debug("not started", exc_info=True)
            give_up_the_start(str(error))

    app.router.lifespan_context = lifespan
    return app


def make_worker() -> Forwarded:
    """The application of one of several processes, whose supervisor gives it the socket."""
    gc.disable()
    settings = load_settings()
    logs.configure(settings)
    app = Forwarded(build_app(settings), settings.forwarded_allow_ips)
    keep_what_is_loaded()
    return app


def __getattr__(name: str) -> FastAPI:
    # `app` is made when uvicorn asks for it: importing this module needs no environment.
    if name == "app":
        return build_app(load_settings())
    raise AttributeError(name)
