"""A real browser: one for all tests of a worker, a fresh profile for each test, and nothing it says is ignored."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, WebSocketRoute, async_playwright, expect

from tests.client import PATIENCE
from tests.conftest import Serve, starting
from tests.service import ROOT
from tests.standin.dify import StandInDify

STATIC = ROOT / "app" / "static"
OPTIONS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # The browser's own errands would be requests to hosts of its maker.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

expect.set_options(timeout=PATIENCE * 1000)

# The browser lives longer than a test, and so does its event loop: what runs beside it is in the same one.
fixture = pytest_asyncio.fixture(loop_scope="session")


@fixture
async def dify() -> AsyncIterator[StandInDify]:
    async with StandInDify() as standin:
        yield standin


@fixture
async def start(dify: StandInDify) -> AsyncIterator[Serve]:
    async with starting(dify) as start:
        yield start


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """Debian's chromium; `FileNotFoundError` where there is none."""
    command = shutil.which("chromium")
    if command is None:
        raise FileNotFoundError("chromium is not installed: apt-get install chromium")
    # Its sandbox does not work for root, as whom containers run.
    options = [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=command, args=options)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser() -> AsyncIterator[Browser]:
    try:
        async with launched() as browser:
            yield browser
    except FileNotFoundError as missing:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(f"{missing}, and REQUIRE_BROWSER=1")
        pytest.skip(str(missing))


@dataclass
class Watched:
    """A page, and what is held against it at the end: errors, and requests to anybody but its own origin."""

    page: Page
    errors: list[str] = field(default_factory=list)
    expected: str = ""
    """How errors begin that the test brings about."""
    addresses: list[str] = field(default_factory=list)

    def watch(self) -> None:
        def on_console(message: ConsoleMessage) -> None:
            is_expected = self.expected and message.text.startswith(self.expected)
            if message.type in {"error", "warning"} and not is_expected:
                self.errors.append(message.text)

        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.addresses.append(request.url))
        self.page.on("websocket", lambda socket: self.addresses.append(socket.url))

    def assert_harmless(self) -> None:
        assert self.errors == []
        origin = urlsplit(self.page.url).netloc
        foreign = [url for url in self.addresses if urlsplit(url).netloc != origin and not url.startswith("blob:")]
        assert foreign == []


OpenPage = Callable[..., Awaitable[Watched]]
PlayService = Callable[[WebSocketRoute], None]


@fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Open an address in a profile of its own, in English unless said otherwise; `socket` plays the service."""
    async with AsyncExitStack() as stack:
        opened: list[Watched] = []

        async def open_page(
            url: str, *, script: str = "", socket: PlayService | None = None, **options: Any
        ) -> Watched:
            context = await browser.new_context(
                **{"locale": "en-US", "viewport": {"width": 1440, "height": 900}} | options
            )
            stack.push_async_callback(context.close)
            if script:
                await context.add_init_script(script)
            if socket:
                await context.route_web_socket("**/ws/realtime-asr*", socket)
            watched = Watched(await context.new_page())
            watched.watch()
            opened.append(watched)
            await watched.page.goto(url)
            return watched

        yield open_page
        for watched in opened:
            watched.assert_harmless()
