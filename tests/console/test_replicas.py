"""The console sees a replica die in the middle of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.console.conftest import CUT, OpenPage, card, say
from tests.console.lossy import lossy_network
from tests.redis import RedisServer
from tests.shared.test_ends import two
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, hang

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.no_cover, pytest.mark.slow]


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


async def test_the_talk_goes_on_at_the_other_one(
    redis: RedisServer, dify: StandInDify, open_page: OpenPage, tmp_path: Path
) -> None:
    dify.will(answer("Two years."), answer("It costs ", hang()), answer("Nothing."))
    async with two(redis, dify, tmp_path) as both, lossy_network(both.here) as balancer:
        watched = await open_page(balancer.url)
        watched.expected = CUT
        page = watched.page
        await say(page, "How long is the warranty?")
        # What makes Markdown of it has come, too.
        await expect(card(page, "How long is the warranty?").locator(".answer p")).to_have_text("Two years.")
        await say(page, "What does it cost?")
        broken = card(page, "What does it cost?")
        await expect(broken.locator(".answer")).to_have_text("It costs")
        both.first.process.kill()
        balancer.lead_to(both.there)
        await expect(broken).to_contain_text("The answer breaks off here")
        await expect(page.locator("#connection")).to_have_text("Connected")
        await expect(broken.locator(".answer")).to_have_text("It costs")
        await say(page, "And what does the repair cost?")
        await expect(card(page, "And what does the repair cost?").locator(".answer")).to_have_text("Nothing.")
        await expect(page.locator(".card")).to_have_count(3)
        await expect(page.locator(".divider")).to_have_count(0)
    conversations = [request.body["conversation_id"] for request in dify.requests]
    assert conversations[0] == ""
    assert conversations[1] == conversations[2] != ""
