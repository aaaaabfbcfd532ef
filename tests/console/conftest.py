"""A real browser: one for all tests of a worker, a fresh page for each, and nothing it says is ignored."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    WebSocketRoute,
    async_playwright,
    expect,
)

from tests.client import PATIENCE
from tests.conftest import Serve, starting
from tests.service import ROOT, Service
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

# Only the browser's own recogniser is a fake.
RECOGNISER = """
globalThis.SpeechRecognition = class {
  start() { globalThis.recogniser = this; this.is_started = true; }
  stop() { this.is_started = false; this.onend(); }
};
globalThis.hear = (transcript, isFinal, confidence = isFinal ? 0.9 : 0) => recogniser.onresult({
  resultIndex: 0, results: [Object.assign([{ transcript, confidence }], { isFinal })],
});
"""

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
async def launched(*more: str) -> AsyncIterator[Browser]:
    """Debian's chromium; `FileNotFoundError` where there is none."""
    # The shell has no window to draw, which saves more than half of the time.
    command = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if command is None:
        raise FileNotFoundError("chromium is not installed: apt-get install chromium-headless-shell")
    # Its sandbox does not work for root, as whom containers run.
    options = [*OPTIONS, *more, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=command, args=options)
        yield browser
        await browser.close()


@asynccontextmanager
async def needed(*more: str) -> AsyncIterator[Browser]:
    """What is `launched`; where there is no browser the test is skipped, or fails if there has to be one."""
    try:
        async with launched(*more) as browser:
            yield browser
    except FileNotFoundError as missing:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(f"{missing}, and REQUIRE_BROWSER=1")
        pytest.skip(str(missing))


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with needed() as browser:
        yield browser


USUAL: dict[str, Any] = {"locale": "en-US", "viewport": {"width": 1440, "height": 900}}


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def profile(browser: Browser) -> AsyncIterator[BrowserContext]:
    """What pages share that ask for nothing else: to start one takes a second. What they keep belongs to their tab."""
    context = await browser.new_context(**USUAL)
    yield context
    await context.close()


@dataclass
class Watched:
    """A page, and what is held against it at the end: errors, and requests to anybody but its own origin."""

    page: Page
    errors: list[str] = field(default_factory=list)
    expected: str | tuple[str, ...] = ()
    """How errors begin that the test brings about."""
    addresses: list[str] = field(default_factory=list)

    def watch(self) -> None:
        def on_console(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"} and not message.text.startswith(self.expected):
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


CUT = ("WebSocket connection to", "Failed to load resource")
"""How a browser begins to tell of a network that breaks: of the socket, and of what it was fetching meanwhile."""

OpenPage = Callable[..., Awaitable[Watched]]
PlayService = Callable[[WebSocketRoute], None]


@fixture
async def open_page(browser: Browser, profile: BrowserContext) -> AsyncIterator[OpenPage]:
    """Open an address in a tab of its own, in English unless said otherwise; `socket` plays the service."""
    async with AsyncExitStack() as stack:
        opened: list[Watched] = []

        async def open_page(
            url: str,
            *,
            script: str = "",
            socket: PlayService | None = None,
            expected: str | tuple[str, ...] = (),
            **options: Any,
        ) -> Watched:
            context = profile
            if options:
                context = await browser.new_context(**USUAL | options)
                stack.push_async_callback(context.close)
            page = await context.new_page()
            page.set_default_timeout(PATIENCE * 1000)
            stack.push_async_callback(page.close)
            if script:
                await page.add_init_script(script)
            if socket:
                await page.route_web_socket("**/ws/realtime-asr*", socket)
            watched = Watched(page, expected=expected)
            watched.watch()
            opened.append(watched)
            await watched.page.goto(url)
            return watched

        yield open_page
        for watched in opened:
            watched.assert_harmless()
    # Those that a page has opened: they would go on looking for a service at a port that another test may get.
    for page in profile.pages:
        await page.close()


OpenConsole = Callable[..., Awaitable[Page]]

PATIENT: dict[str, Any] = {"stale_partial_seconds": PATIENCE}
"""A partial stays one for as long as the browser may take to show it."""


@fixture
async def service(start: Serve) -> Service:
    return await start(dify_max_retries=0, **PATIENT)


@fixture
async def open_console(service: Service, open_page: OpenPage) -> OpenConsole:
    async def open_console(**options: Any) -> Page:
        page = (await open_page(service.http_url, **options)).page
        await expect(page.locator("body")).to_have_attribute("data-state", "open")
        return page

    return open_console


@fixture
async def page(open_console: OpenConsole) -> Page:
    return await open_console()


async def say(page: Page, text: str) -> None:
    await page.locator("#say").fill(text)
    await page.locator("#say").press("Enter")


SEEN = """([selector, text]) => {
  const is_there = () => [...document.querySelectorAll(selector)].some((each) => each.textContent.includes(text));
  const seen = new Promise((resolve) => {
    const observer = new MutationObserver(() => {
      if (!is_there()) return;
      observer.disconnect();
      resolve();
    });
    observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
  });
  return { seen };
}"""


@asynccontextmanager
async def seen(page: Page, selector: str, text: str = "") -> AsyncIterator[None]:
    """What this brings about may be there for a moment only: who asks for it from time to time can miss it."""
    watch = await page.evaluate_handle(SEEN, [selector, text])
    yield
    async with asyncio.timeout(PATIENCE):
        await watch.evaluate("({ seen }) => seen")


def card(page: Page, question: str) -> Locator:
    return page.get_by_role("article").filter(has=page.get_by_role("heading", name=question))


async def control(page: Page, name: str) -> None:
    await page.get_by_role("group", name="Session controls").get_by_role("button", name=name).click()


def play_frames(tell_more: Callable[[Callable[..., None]], None]) -> Callable[[WebSocketRoute], None]:
    """A service that greets, and then says these frames."""

    def play(socket: WebSocketRoute) -> None:
        seq = count(1)

        def tell(type: str, **fields: Any) -> None:
            socket.send(json.dumps({"type": type, "session_id": "s", "seq": next(seq), **fields}))

        tell("ack", message="connected", protocol="1")
        tell_more(tell)

    return play
