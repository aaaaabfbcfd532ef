"""The guide in a browser: its pages, and the way there from a code and back."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.console.conftest import OpenPage
from tests.service import Service

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.no_cover, pytest.mark.slow]


async def test_a_code_leads_to_its_row_and_the_guide_back_to_the_console(page: Page) -> None:
    await page.locator("[data-action=instant_query]").click()
    code = page.locator("#notice a")
    await expect(code).to_have_attribute("title", "NO_FINAL_ASR")
    async with page.context.expect_page() as opened:
        await code.click()
    guide = await opened.value
    row = guide.locator("tr:target")
    await expect(row).to_contain_text('"ask now" before anything was final')
    await expect(row).to_be_in_viewport()
    await expect(guide).to_have_title("Troubleshooting · Realtime RAG: guide")
    await guide.locator("main a", has_text="protocol").first.click()
    await expect(guide.locator("h1").last).to_contain_text("rotocol")
    await expect(guide.locator(":target")).to_be_in_viewport()
    await guide.get_by_role("link", name="To the console").click()
    await expect(guide.locator("#say")).to_be_visible()
    await guide.close()


async def test_a_page_of_the_guide_is_whole(service: Service, open_page: OpenPage) -> None:
    page = (await open_page(f"{service.http_url}/guide/")).page
    await expect(page.locator("main table tr")).not_to_have_count(0)
    # A line ends in the source, not on the page; what is no page of the guide is no link.
    await expect(page.locator("main br")).to_have_count(0)
    await expect(page.get_by_role("link", name="SECURITY.md")).to_have_count(0)
    await expect(page.get_by_text("SECURITY.md")).to_be_visible()
    addresses = await page.locator("main a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert all(address.partition("#")[0].replace("-", "").isalnum() for address in addresses)


async def test_an_unknown_page_of_the_guide_has_a_way_back(service: Service, open_page: OpenPage) -> None:
    page = (await open_page(f"{service.http_url}/guide/nothing", expected="Failed to load resource")).page
    for path in ("no/such/page", "protocol%2Fnothing", "nothing/", "nothing"):
        await page.goto(f"{service.http_url}/guide/{path}")
        await expect(page.locator("main h1")).to_have_text("The guide has no such page")
        await expect(page.locator(".bar")).to_have_css("display", "flex")  # the console's look has come
        for name, address in {"troubleshooting": "/guide/troubleshooting", "To the console": "/"}.items():
            link = page.get_by_role("link", name=name)
            await expect(link).to_have_js_property("href", f"{service.http_url}{address}")
    await page.get_by_role("link", name="troubleshooting").click()
    await expect(page).to_have_title("Troubleshooting · Realtime RAG: guide")
    await page.go_back()
    await page.get_by_role("link", name="To the console").click()
    await expect(page.locator("#say")).to_be_visible()


async def test_an_anchor_that_leads_nowhere_hides_no_page(service: Service, open_page: OpenPage) -> None:
    page = (await open_page(f"{service.http_url}/guide/#%E0%A4%A")).page
    await expect(page).to_have_title("Realtime RAG · Realtime RAG: guide")
    await expect(page.get_by_role("alert")).to_have_count(0)
