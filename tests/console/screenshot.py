"""Takes the picture of the README: `python -m tests.console.screenshot [FOLDER]`, the console in mid-answer.

All in it is real: the service answers from docs/, and only the last frames of its last answer are held back on their
way to the page. With a folder, the console is also taken for a look: on a phone and at a desk, light and dark.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Literal, get_args

from playwright.async_api import Browser, Page, ViewportSize, WebSocketRoute, expect

from tests.console.conftest import launched
from tests.service import ROOT, Service, make_settings, serve

PICTURE = ROOT / "docs" / "console.png"
SIZES = {"phone": ViewportSize(width=390, height=844), "desk": ViewportSize(width=1440, height=900)}
Scheme = Literal["light", "dark"]
TALK = ["Good morning everybody.", "Which languages does it understand?", "What happens when Dify is slow?"]
# How much of the last answer is seen, in frames; short frames, so that it breaks off within a sentence.
SEEN_FRAMES, FRAME_CHARS = 3, 40


def hold_back(socket: WebSocketRoute) -> None:
    """Let the page and the service talk, but for the end of the answer to the last question."""
    server = socket.connect_to_server()
    last = ""

    def pass_on(message: str | bytes) -> None:
        nonlocal last
        frame = json.loads(message)
        if frame.get("question") == TALK[-1]:
            last = frame["query_id"]
        is_end = frame.get("stream_index", 0) >= SEEN_FRAMES or frame.get("stage") == "idle"
        if not (is_end and frame["query_id"] == last):
            socket.send(message)

    server.on_message(pass_on)


async def in_mid_answer(page: Page, service: Service) -> None:
    """Open the console and talk, until the last answer is half there."""
    await page.context.route_web_socket("**/ws/realtime-asr*", hold_back)
    await page.goto(service.http_url)
    await expect(page.locator("body")).to_have_attribute("data-state", "open")
    for text in TALK:
        answered = await page.locator(".card.answered").count()
        await page.locator("#say").fill(text)
        await page.locator("#say").press("Enter")
        await expect(page.locator(".line .why").last).not_to_be_empty()
        if text.endswith("?") and text != TALK[-1]:
            await expect(page.locator(".card.answered")).to_have_count(answered + 1)
    await expect(page.locator(".card.running .answer")).not_to_be_empty()


async def take(browser: Browser, service: Service, size: ViewportSize, scheme: Scheme, path: Path) -> None:
    context = await browser.new_context(locale="en-US", viewport=size, color_scheme=scheme)
    page = await context.new_page()
    await in_mid_answer(page, service)
    await page.screenshot(path=path, animations="disabled")
    await context.close()


async def main(folder: Path | None) -> None:
    settings = make_settings(rag_provider="local", knowledge_dir=ROOT / "docs", answer_chunk_chars=FRAME_CHARS)
    async with serve(settings) as service, launched() as browser:
        await take(browser, service, SIZES["desk"], "light", PICTURE)
        if folder is None:
            return
        for name, size in SIZES.items():
            for scheme in get_args(Scheme):
                await take(browser, service, size, scheme, folder / f"{name}-{scheme}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.console.screenshot", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the other pictures go; it exists")
    asyncio.run(main(parser.parse_args().folder))
