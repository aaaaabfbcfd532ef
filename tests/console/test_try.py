"""A sentence is tried in the console, where the service has its page for that, and how questions are heard is tuned."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.conftest import Serve
from tests.console.conftest import OpenPage, say, seen

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.no_cover, pytest.mark.slow]


async def test_a_sentence_is_tried_without_being_said(start: Serve, open_page: OpenPage) -> None:
    service = await start(debug_pages=True)
    page = (await open_page(service.http_url)).page
    place = page.locator("#try")
    await place.locator("summary").click()
    await place.locator("input").fill("😀 we sell pumps. how long is the warranty")
    await place.locator("input").press("Enter")
    await expect(place.locator("mark")).to_have_text("how long is the warranty")
    await expect(place).to_contain_text("A question: it begins with “how”")
    await expect(place).to_contain_text("Would be asked at once")
    await place.locator("input").fill("<b>We sell pumps.</b>")
    await place.get_by_role("button", name="Try").click()
    await expect(place).to_contain_text("Not a question: it tells something")
    await expect(place.locator(".said")).to_have_text("<b>We sell pumps.</b>")
    await expect(page.locator(".line")).to_have_count(0)


async def test_without_it_there_is_no_field(page: Page) -> None:
    await expect(page.locator("#try")).to_be_hidden()


async def slide(page: Page, label: str, value: str) -> None:
    await page.get_by_label(label).fill(value)


async def test_how_questions_are_heard_is_tuned_while_one_speaks_and_kept_as_lines(
    start: Serve, open_page: OpenPage
) -> None:
    service = await start(wait_min_ms=200, wait_max_ms=60_000, min_confidence=0.33)
    page = (await open_page(service.http_url, permissions=["clipboard-read", "clipboard-write"])).page
    place = page.locator("#tuning")
    assert "tuning.js" not in await page.evaluate("performance.getEntries().map(entry => entry.name).join()")
    await place.locator("summary").click()
    await expect(place.locator(".value")).to_have_text(["200 ms", "60 s", "2.0 s", "35 %"])
    await expect(place.get_by_role("button")).to_have_count(2)
    await expect(place.get_by_role("button", disabled=True)).to_have_count(2)
    await slide(page, "Waits at most", "100")
    await expect(place.get_by_role("status")).to_contain_text("The service ignored it")
    await slide(page, "Waits at most", "50000")
    await expect(place.get_by_role("status")).to_have_text("The service has taken it.")
    await say(page, "what is the")
    await expect(page.locator(".line .why")).to_contain_text("May go on: waiting 50 s")
    await slide(page, "Waits at least", "250")
    await place.get_by_label("Asks").select_option("aggregated")
    await expect(place.get_by_role("status")).to_have_text("The service has taken it.")
    async with seen(page, "button", "Copied"):
        await place.get_by_role("button", name="Copy as .env lines").click()
    lines = "WAIT_MIN_MS=250\nWAIT_MAX_MS=50000\nQUERY_SCOPE=aggregated\n"
    assert await page.evaluate("navigator.clipboard.readText()") == lines
    # It outlives a reload, and a token that begins another session.
    await page.reload()
    await place.locator("summary").click()
    await expect(place.locator(".value").nth(1)).to_have_text("50 s")
    await place.get_by_role("button", name="As the service is set").click()
    await expect(place.locator(".value")).to_have_text(["200 ms", "60 s", "2.0 s", "35 %"])
    await expect(place.get_by_role("status")).to_have_text("The service has taken it.")
