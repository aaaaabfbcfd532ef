"""The last sessions stay in the browser if somebody wishes so, and settings are shared in the address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.console.conftest import OpenConsole, control, say
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, status

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.no_cover, pytest.mark.slow]

KEPT = "Object.keys(localStorage).filter(key => key.startsWith('realtime-rag session '))"


async def ask(page: Page, question: str, number: int) -> None:
    await say(page, question)
    await expect(page.locator(".card.answered, .card.failed")).to_have_count(number)


async def open_sessions(page: Page) -> Locator:
    await page.get_by_role("button", name="Sessions").click()
    return page.get_by_role("dialog", name="Sessions")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


async def saved(page: Page, name: str) -> str:
    async with page.expect_download() as waiting:
        await page.get_by_role("button", name=name).click()
    download = await waiting.value
    return text_of(await download.path())


async def test_sessions_are_kept_when_somebody_wishes_so_compared_exported_and_deleted(
    open_console: OpenConsole, dify: StandInDify
) -> None:
    page = await open_console(locale="en-GB")
    dify.will(answer("**Two** years.", sources=[{"title": "Warranty"}]), status(400))
    await say(page, "We sell pumps.")
    await ask(page, "How long is the warranty?", 1)
    assert await page.evaluate(KEPT) == []
    dialog = await open_sessions(page)
    wish = dialog.get_by_role("checkbox")
    await expect(wish).not_to_be_checked()
    await wish.check()
    assert len(await page.evaluate(KEPT)) == 1
    await dialog.get_by_role("button", name="Close").click()
    # It goes on after a reload, and ends with a reset.
    await page.reload()
    await expect(page.locator("body")).to_have_attribute("data-state", "open")
    await say(page, "What does it cost?")
    await expect(page.locator(".card.failed")).to_be_visible()
    await control(page, "Reset")
    await expect(page.locator(".divider").last).to_have_text("Session reset")
    dify.will(answer("Blue."))
    await say(page, "Which colour is it?")
    await expect(page.locator(".card.answered").last).to_contain_text("Blue.")
    dialog = await open_sessions(page)
    rows = dialog.locator("tbody tr")
    await expect(rows).to_have_count(2)
    assert [await rows.nth(i).locator("td").first.text_content() for i in range(2)] == ["1", "2"]
    for i in range(2):
        await expect(rows.nth(i).locator("td").nth(2)).to_contain_text("ms")
    former = rows.nth(1)
    await expect(former.locator("th")).to_contain_text("How long is the warranty?")
    await former.get_by_role("button", name="Open").click()
    opened = dialog.locator(".opened")
    await opened.get_by_text("How long is the warranty?").last.click()
    await expect(opened.locator("strong")).to_have_text("Two")
    await expect(opened.locator("details")).to_have_count(3)
    markdown, told = await saved(page, "Markdown: This session"), await saved(page, "JSON: This session")
    assert "## Which colour is it?\n\nBlue.\n\n*first text " in markdown
    assert [each["question"] for each in json.loads(told)["questions"]] == ["Which colour is it?"]
    await former.get_by_role("button", name="Delete").click()
    await expect(rows).to_have_count(1)
    assert len(await page.evaluate(KEPT)) == 1
    await page.reload()
    dialog = await open_sessions(page)
    await expect(dialog.get_by_role("checkbox")).to_be_checked()
    await expect(dialog.locator("tbody tr").first.locator("td").first).to_have_text("1")


async def test_what_others_left_in_the_browser_costs_no_answer_and_full_storage_no_new_session(
    open_console: OpenConsole, dify: StandInDify
) -> None:
    page = await open_console(locale="en-GB")
    await page.evaluate(
        """() => {
          localStorage.setItem("realtime-rag keeps sessions", "yes");
          const begun = "2026-01-01T10:00:00.000Z";
          const odd = ["{", "null", "7", '{"talk":1,"questions":2}', '{"begun":5,"talk":[],"questions":[]}'];
          for (const [i, text] of odd.entries()) localStorage.setItem(`realtime-rag session ${i}`, text);
          localStorage.setItem(`realtime-rag session ${begun}`, `{"begun":"${begun}","talk":[],"questions":[{}]}`);
          for (let size = 1 << 20; size > 64; size >>= 1)
            try { for (let i = 0; ; i++) localStorage.setItem(`other ${size} ${i}`, "x".repeat(size)); } catch {}
        }"""
    )
    dify.will(answer("Two years."), answer("Blue."))
    await ask(page, "How long is the warranty?", 1)
    await ask(page, "Which colour is it?", 2)
    dialog = await open_sessions(page)
    await expect(dialog.locator("tbody tr")).to_have_count(1)
    await expect(dialog.locator("tbody td").first).to_have_text("2")


async def test_what_was_said_is_no_markdown_in_a_file(open_console: OpenConsole, dify: StandInDify) -> None:
    page = await open_console(locale="en-GB")
    dify.will(answer("**Two** years.", sources=[{"title": "A\n# [b](javascript:c)"}]))
    await ask(page, "Is <img src=x> or `a_b` right?\n# Really?", 1)
    await open_sessions(page)
    markdown = await saved(page, "Markdown: This session")
    assert "\n\n**Two** years.\n\n1. A \\# \\[b\\](javascript:c)\n\n" in markdown
    assert "\\<img src=x\\> or \\`a\\_b\\` right?" in markdown
    assert sum(line.startswith("#") for line in markdown.splitlines()) == 2


async def settings_sent(page: Page) -> list[dict[str, Any]]:
    await page.locator("#toggle-frames").click()
    await page.locator("#filter").fill('"configure"')
    rows = page.locator("#frames li.out")
    await expect(rows.first).to_be_visible()
    for row in await rows.all():
        await row.locator("summary").click()
    return [json.loads(text) for text in await rows.locator("pre").all_text_contents()]


async def test_settings_are_shared_in_the_address_and_secrets_are_not(open_console: OpenConsole) -> None:
    page = await open_console(locale="en-GB")
    await page.locator("#open-settings").click()
    await page.get_by_label("A new question during an answer").select_option("interrupt")
    await page.get_by_label("Answer only these speakers").fill("Anna, Bob & Co")
    await page.get_by_label("Variables for the knowledge base").fill('{"customer": "4711"}')
    await page.get_by_label("Hear questions by itself").uncheck()
    await page.get_by_label("Access token").fill("s3cret")
    await page.get_by_role("button", name="Apply").click()
    await page.locator("#tuning summary").click()
    await page.get_by_label("Waits at most").fill("2000")
    await expect(page.locator("#tuning [role=status]")).to_have_text("The service has taken it.")
    address = page.url
    assert "4711" not in address
    assert "s3cret" not in address
    other = await open_console(locale="en-IE")
    await other.goto(address + "&on_new_question=never&wait_min_ms=soon&token=x&ears_url=wss://evil.example")
    await expect(other.locator("#notice")).to_contain_text("came with settings")
    (sent,) = await settings_sent(other)
    assert {name: value for name, value in sent.items() if name not in {"type", "id"}} == {
        "on_new_question": "interrupt",
        "auto_detect": False,
        "speakers": ["Anna", "Bob & Co"],
        "tuning": {"wait_max_ms": 2000},
    }
    await other.locator("#open-settings").click()
    await expect(other.get_by_label("Answer only these speakers")).to_have_value("Anna, Bob & Co")
