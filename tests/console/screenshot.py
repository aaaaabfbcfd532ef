"""Takes the pictures of the README: `python -m tests.console.screenshot [FOLDER]`, the console in mid-answer.

All in it is real: the service answers from docs/, and only the last frames of its last answer are held back on their
way to the page. With a folder, the console is also taken for a look: in every size, light and dark, in both languages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from itertools import product
from pathlib import Path
from typing import Literal, get_args

from playwright.async_api import Browser, Page, ViewportSize, WebSocketRoute, expect

from tests.console.conftest import launched
from tests.service import ROOT, Service, make_settings, serve

PICTURES = {"en-US": ROOT / "docs" / "console.png", "zh-CN": ROOT / "docs" / "console-zh.png"}
# The last ones are a phone with its keyboard up, a phone on its side, and a page at 400 %.
SIZES = [(1440, 900), (1024, 768), (768, 1024), (390, 844), (390, 500), (844, 390), (360, 225)]
Scheme = Literal["light", "dark"]
TALKS = {
    "en-US": [
        "Good morning everybody.",
        "How do I pause?",
        "We would like to use it in our weekly meeting.",
        "Which languages does it understand?",
        "Why was my sentence not asked?",
        "What happens when Dify is slow?",
    ],
    "zh-CN": [
        "大家早上好。",
        "怎么暂停？",
        "我们想在每周的会议上用它。",
        "它听得懂哪些语言？",
        "这个服务是做什么的？",
        "Dify 很慢的时候会怎么样？",
    ],
}
# How much of the last answer is seen, in frames; short frames, so that it breaks off within a sentence.
SEEN_FRAMES = {"en-US": 6, "zh-CN": 3}
FRAME_CHARS = 40


LAST = {talk[-1]: locale for locale, talk in TALKS.items()}


def hold_back(socket: WebSocketRoute) -> None:
    """Let the page and the service talk, but for the end of the answer to the last question."""
    server = socket.connect_to_server()
    last, seen = "", 0

    def pass_on(message: str | bytes) -> None:
        nonlocal last, seen
        frame = json.loads(message)
        if frame.get("question") in LAST:
            last, seen = frame["query_id"], SEEN_FRAMES[LAST[frame["question"]]]
        is_end = frame.get("stream_index", 0) >= seen or frame.get("stage") == "idle"
        if not (last and is_end and frame["query_id"] == last):
            socket.send(message)

    server.on_message(pass_on)


async def in_mid_answer(page: Page, service: Service, talk: list[str]) -> None:
    """Open the console and talk, until the last answer is half there."""
    await page.context.route_web_socket("**/ws/realtime-asr*", hold_back)
    await page.goto(service.http_url)
    await expect(page.locator("body")).to_have_attribute("data-state", "open")
    for text in talk:
        answered = await page.locator(".card.answered").count()
        await page.locator("#say").fill(text)
        await page.locator("#say").press("Enter")
        await expect(page.locator(".line .why").last).not_to_be_empty()
        if text not in LAST and text.endswith(("?", "？")):
            await expect(page.locator(".card.answered")).to_have_count(answered + 1)
    await expect(page.locator(".card.running .answer")).not_to_be_empty()
    await page.wait_for_timeout(500)  # for what else is not held back


async def take(
    browser: Browser, service: Service, path: Path, locale: str, width: int, height: int, scheme: Scheme = "light"
) -> None:
    size = ViewportSize(width=width, height=height)
    context = await browser.new_context(locale=locale, viewport=size, color_scheme=scheme)
    page = await context.new_page()
    await in_mid_answer(page, service, TALKS[locale])
    await page.screenshot(path=path, animations="disabled")
    await context.close()


async def main(folder: Path | None) -> None:
    settings = make_settings(rag_provider="local", knowledge_dir=ROOT / "docs", answer_chunk_chars=FRAME_CHARS)
    async with serve(settings) as service, launched() as browser:
        for locale, path in PICTURES.items():
            await take(browser, service, path, locale, 1280, 660)
        if folder is None:
            return
        for locale, scheme, (width, height) in product(PICTURES, get_args(Scheme), SIZES):
            path = folder / f"{width}x{height}-{scheme}-{locale}.png"
            await take(browser, service, path, locale, width, height, scheme)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.console.screenshot", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the other pictures go; it exists")
    asyncio.run(main(parser.parse_args().folder))
