"""What the console shows is what is: of the session, of what waits, and of what went wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.conftest import Serve
from tests.console.conftest import CUT, RECOGNISER, OpenConsole, OpenPage, card, control, play_frames, say
from tests.console.lossy import lossy_network
from tests.service import Service
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, cut, hang, status, wait

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.no_cover, pytest.mark.slow]

LONG = [f"Paragraph {i}.\n\n" for i in range(80)]


async def top_of(page: Page, question: str) -> float:
    """How far a question stands below the top of the pane, in pixels."""
    title, pane = await card(page, question).bounding_box(), await page.locator("#answers").bounding_box()
    assert title
    assert pane
    return title["y"] - pane["y"]


# Where a reader is


async def test_a_new_question_comes_to_the_top_unless_somebody_reads_elsewhere(page: Page, dify: StandInDify) -> None:
    go_on = asyncio.Event()
    dify.will(answer("Short."), answer(*LONG[:40], wait(go_on), *LONG[40:]), answer("Short."), answer("Short."))
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.answered")).to_have_count(1)
    await say(page, "What does it cost?")
    await expect(card(page, "What does it cost?").locator(".answer p")).to_have_count(40)
    assert 0 <= await top_of(page, "What does it cost?") < 40
    go_on.set()
    await expect(page.locator(".card.answered")).to_have_count(2)
    # It is read from its beginning: the end of a long answer takes nobody along.
    assert 0 <= await top_of(page, "What does it cost?") < 40
    latest = page.get_by_role("button", name="To the latest question")
    await expect(latest).to_be_hidden()
    await page.locator("#answers").evaluate("pane => pane.scrollTo(0, 0)")
    await expect(latest).to_be_visible()
    await say(page, "Where is it made?")
    await expect(page.locator(".card.answered")).to_have_count(3)
    assert await page.locator("#answers").evaluate("pane => pane.scrollTop") == 0
    await latest.click()
    await expect(latest).to_be_hidden()
    assert 0 <= await top_of(page, "Where is it made?") < 40
    # Whoever has read to the end goes along.
    await say(page, "Who makes it?")
    await expect(card(page, "Who makes it?")).to_be_visible()
    assert 0 <= await top_of(page, "Who makes it?") < 40


# Without a connection


async def test_what_is_said_without_a_connection_waits_and_goes_out_in_order(
    service: Service, dify: StandInDify, open_page: OpenPage
) -> None:
    async with lossy_network(service) as network:
        page = (await open_page(network.url, expected=CUT)).page
        await say(page, "We sell pumps.")
        lines = page.locator(".line:not(.partial)")
        await expect(lines.locator(".why")).to_have_text(["Not a question: it tells something"])
        network.go_down()
        await expect(page.locator("#connection")).to_contain_text("Connection lost")
        await say(page, "They are blue.")
        await say(page, "How long is the warranty?")
        await page.locator("#say").fill("Opening hours")
        await page.locator("#say").press("Control+Enter")
        held = page.locator(".line.held")
        await expect(held.locator(".said")).to_have_text(["They are blue.", "How long is the warranty?"])
        await expect(held.locator(".why")).to_have_text(["Waits for the connection"] * 2)
        await expect(page.locator("#next li")).to_have_text("Opening hours Waits for the connection")
        network.come_back()
        await expect(page.locator(".card h3")).to_have_text(["How long is the warranty?", "Opening hours"])
        await expect(page.locator(".card.answered").last).to_contain_text("Opening hours")
        # The first was interrupted by the second, which was to be asked at once: it may have no answer.
        await expect(page.locator(".answer p").last).to_be_visible()  # what makes Markdown of it has come
        await expect(held).to_have_count(0)
        await expect(page.locator("#next")).to_be_hidden()
        await expect(lines.locator(".said")).to_have_text(
            ["We sell pumps.", "They are blue.", "How long is the warranty?"]
        )


@pytest.mark.parametrize("lost", ["rendering.js", "vendor/marked.esm.js"])
async def test_answers_that_came_without_what_makes_markdown_of_them_become_markdown_with_it(
    open_console: OpenConsole, dify: StandInDify, lost: str
) -> None:
    page = await open_console(locale="en-GB", expected="Failed to load resource")  # a profile without a cache
    await page.route(f"**/static/{lost}", lambda route: route.abort())
    dify.will(answer("Two **years**."), answer("A *lot*."))
    await say(page, "How long is the warranty?")
    first = card(page, "How long is the warranty?").locator(".answer")
    await expect(page.locator(".card.answered")).to_have_count(1)
    await expect(first.locator(".plain")).to_have_text("Two **years**.")
    await page.unroute(f"**/static/{lost}")
    await say(page, "What does it cost?")
    await expect(card(page, "What does it cost?").locator(".answer em")).to_have_text("lot")
    await expect(first.locator("strong")).to_have_text("years")
    await expect(first).to_have_text("Two years.")


async def test_a_part_that_did_not_come_is_said_and_comes_the_next_time(open_console: OpenConsole) -> None:
    page = await open_console(locale="en-GB", expected="Failed to load resource")
    parts = re.compile(r"/static/(?:tuning|archive|recognisers)\.js")
    await page.route(parts, lambda route: route.abort())
    said = page.locator("#notice")
    tuning, microphone = page.locator("#tuning summary"), page.locator("#mic")
    await tuning.click()
    await expect(said).to_have_text("A part of this page did not come. Try again.")
    await page.locator("#open-sessions").click()
    await expect(page.get_by_role("dialog", name="Sessions")).to_be_hidden()
    await microphone.click()
    await expect(page.locator("#mic-hint")).to_have_text("A part of this page did not come. Try again.")
    await expect(microphone).to_have_attribute("aria-pressed", "false")
    await page.unroute(parts)
    await tuning.click()
    await tuning.click()
    await expect(page.locator("#tuning .value")).to_have_count(4)
    await microphone.click()
    await expect(microphone).to_have_attribute("aria-pressed", "true")
    await microphone.click()
    await page.locator("#open-sessions").click()
    await expect(page.get_by_role("dialog", name="Sessions")).to_be_visible()


async def test_whoever_speaks_after_the_end_begins_a_new_session(page: Page) -> None:
    await say(page, "We sell pumps.")
    await control(page, "Stop")
    await expect(page.locator("#connection")).to_have_text("Session ended")
    await expect(page.locator("#say")).to_have_attribute("placeholder", "Type to begin a new session…")
    await say(page, "How long is the warranty?")
    await expect(page.locator(".divider")).to_have_text(["Session ended", "New session"])
    await expect(page.locator(".divider + .line .said")).to_have_text("How long is the warranty?")
    await expect(page.locator(".card.answered h3")).to_have_text("How long is the warranty?")
    await expect(page.locator("#say")).to_have_attribute("placeholder", "Type what is said…")


# What waits


async def test_what_waits_is_shown_in_order_and_crossed_out_when_it_is_given_up(page: Page, dify: StandInDify) -> None:
    dify.will(answer("Two years,", hang()))
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.running .answer")).to_have_text("Two years,")
    questions = ["What does it cost?", "Where is it made?", "Who makes it?", "When is it made?", "What is inside?"]
    for question in questions:
        await say(page, question)
    waiting, given_up = page.locator("#next li:not(.dropped)"), page.locator("#next .dropped")
    await expect(waiting.locator("q")).to_have_text(questions)
    # One too many takes the place of the newest.
    await say(page, "Which pumps do you sell?")
    await expect(waiting.locator("q")).to_have_text([*questions[:-1], "Which pumps do you sell?"])
    await expect(given_up).to_have_text("What is inside? no more room among the questions that wait")
    lost = page.locator(".line", has_text="What is inside?")
    await expect(lost.locator(".why")).to_have_text("Not asked: no more room among the questions that wait")
    await control(page, "Cancel")
    await expect(waiting).to_have_count(0)
    await expect(given_up).to_have_count(6)
    await expect(page.locator("#next-title")).to_have_text("Not asked")
    await expect(page.locator(".line .why", has_text="Waits for the running answer")).to_have_count(0)
    await expect(page.locator(".line .why").last).to_have_text("Not asked: Cancelled")
    await say(page, "How are you?")
    await expect(page.locator(".card.answered")).to_be_visible()
    await expect(page.locator("#next")).to_be_hidden()


async def test_a_wait_for_more_is_promised_no_longer_after_cancel(start: Serve, open_page: OpenPage) -> None:
    service = await start(wait_min_ms=60_000, wait_max_ms=60_000)
    page = (await open_page(service.http_url)).page
    await say(page, "what is the")
    await expect(page.locator("#stage")).to_have_text("Waiting for more")
    await expect(page.locator(".line .why")).to_have_text("May go on: waiting 60 s for more")
    await control(page, "Cancel")
    await expect(page.locator(".line .why")).to_have_text("Not asked: Cancelled")
    await expect(page.locator("#stage")).to_have_text("Ready")


async def test_a_question_that_waits_for_the_end_of_a_pause_says_so(start: Serve, open_page: OpenPage) -> None:
    service = await start(wait_min_ms=1_000, wait_max_ms=1_000)
    page = (await open_page(service.http_url)).page
    # Both at once: the pause has to come before the wait is over.
    await page.locator("#say").fill("what is the")
    await page.evaluate("document.querySelector('#composer').requestSubmit(); document.querySelector('#pause').click()")
    await expect(page.locator(".line .why")).to_have_text("Waits until the session resumes")
    await expect(page.locator("#next q")).to_have_text("what is the")
    await expect(page.locator("#stage")).to_have_text("Paused")
    await control(page, "Resume")
    await expect(page.locator(".card.answered h3")).to_have_text("what is the")
    await expect(page.locator("#next")).to_be_hidden()


# What the session does


async def test_the_stage_is_the_session_s(page: Page, dify: StandInDify) -> None:
    go_on = asyncio.Event()
    dify.will(answer("Two years,", wait(go_on), " no more."))
    stage = page.locator("#stage")
    await say(page, "How long is the warranty?")
    await expect(stage).to_have_text("Answering")
    await say(page, "We sell pumps.")
    await expect(page.locator(".line .why").last).to_have_text("Not a question: it tells something")
    await expect(stage).to_have_text("Answering")
    await control(page, "Pause")
    await expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    await expect(stage).to_have_text("Answering")
    go_on.set()
    await expect(stage).to_have_text("Paused")
    await control(page, "Resume")
    await expect(stage).to_have_text("Listening")


# In words


@pytest.mark.parametrize(
    ("locale", "question", "failed", "nothing", "asks", "tells"),
    [
        (
            "en-US",
            "how long is the warranty",
            "The answer breaks off here: the connection to the knowledge base was lost.",
            "Nothing has been heard yet that could be asked.",
            "A question: it begins with “how”",
            "Not a question: it tells something",
        ),
        (
            "zh-CN",
            "保修期有多长？",
            "回答在这里中断：与知识库的连接中断。",
            "还没有听到可以提问的内容。",
            "是问题：有问号",
            "不是问题：陈述一件事",
        ),
    ],
)
async def test_codes_are_said_in_the_words_of_the_page(
    open_console: OpenConsole,
    dify: StandInDify,
    locale: str,
    question: str,
    failed: str,
    nothing: str,
    asks: str,
    tells: str,
) -> None:
    page = await open_console(locale=locale)
    dify.will(answer("Two years, but", cut()))
    await page.locator("[data-action=instant_query]").click()
    await expect(page.locator("#notice")).to_have_text(nothing)
    await expect(page.locator("#notice").get_by_title("NO_FINAL_ASR")).to_be_visible()
    await say(page, "We sell pumps.")
    await expect(page.locator(".line .why")).to_have_text(tells)
    await expect(page.locator(".line .why").get_by_title("statement · 90 % · en")).to_be_visible()
    await say(page, question)
    shown = page.locator(".card.failed")
    await expect(shown.locator(".after > :not(footer)")).to_have_text([failed])
    await expect(shown.get_by_title("RAG_BROKEN_STREAM")).to_be_visible()
    await expect(shown.locator(".why")).to_have_text(asks)
    await page.locator("#legend summary").click()
    await expect(page.locator("#legend mark.before")).to_be_visible()


async def test_sources_are_links_when_they_are_addresses_and_are_named_once(
    service: Service, open_page: OpenPage
) -> None:
    sources: list[dict[str, Any]] = [
        {"title": "manual.md", "source": "manual.md", "score": 0.8, "snippet": "Two years."},
        {"title": "Warranty", "source": "https://example.org/" + "a" * 300, "score": None, "snippet": "Two."},
        {"title": "Bad", "source": "javascript:alert(1)", "score": None, "snippet": ""},
        {"title": "Worse", "source": "https://[", "score": None, "snippet": ""},
    ]

    def tell_more(tell: Callable[..., None]) -> None:
        tell("status", stage="analyzing", query_id="q", question="How long?")
        tell("status", stage="querying_rag", query_id="q", question="How long?")
        told = [{"position": at, **source} for at, source in enumerate(sources, 1)]
        timing = {"wait_ms": 0, "first_text_ms": 1, "total_ms": 2}
        tell(
            "answer", query_id="q", stream_index=0, content="Two.", final=True, sources=told, usage=None, timing=timing
        )

    page = (
        await open_page(service.http_url, socket=play_frames(tell_more), viewport={"width": 390, "height": 844})
    ).page
    notes = page.locator(".sources li")
    await expect(notes).to_have_count(4)
    assert await notes.nth(0).locator("summary").text_content() == "manual.md score 0.80"
    links = await page.locator(".sources a").evaluate_all("links => links.map(link => [link.textContent, link.rel])")
    assert links == [["Warranty", "noopener noreferrer nofollow"]]
    await notes.nth(1).get_by_text("The passage").click()
    await expect(notes.nth(1).locator("blockquote")).to_have_text("Two.")
    assert await page.locator(".card").evaluate("card => card.scrollWidth - card.clientWidth") == 0


async def test_a_short_answer_leaves_room_to_name_the_questions_before_it(page: Page, dify: StandInDify) -> None:
    go_on = asyncio.Event()
    dify.will(answer("One."), answer("Two", wait(go_on), "."))
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.answered")).to_be_visible()
    await expect(page.locator("#earlier")).to_be_hidden()
    await say(page, "What does it cost?")
    await expect(page.locator(".card.running .answer")).to_have_text("Two")
    await expect(page.locator("#earlier")).to_be_hidden()
    go_on.set()
    former = page.locator("#earlier a")
    await expect(former).to_have_text("How long is the warranty?")
    await former.click()
    await expect(page.locator(".card:target h3")).to_have_text("How long is the warranty?")
    await expect(page.locator(".card:target")).to_be_in_viewport()


# Where there is little room


# A phone, with its keyboard up, on its side; a page at 200 and at 400 %.
SMALL = [(390, 844), (390, 500), (844, 390), (512, 384), (360, 225)]


async def test_a_low_window_shows_how_to_begin_and_frames(open_console: OpenConsole) -> None:
    page = await open_console(viewport={"width": 360, "height": 225})
    await expect(page.get_by_role("button", name="Play a talk")).to_be_in_viewport(ratio=1)
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.answered")).to_be_visible()
    await page.locator("#toggle-frames").click()
    await expect(page.locator("#frames li").last).to_be_in_viewport(ratio=0.9)
    assert await page.locator("#frames").evaluate("pane => pane.clientHeight") >= 3 * 28
    await page.get_by_role("button", name="Close").click()
    await expect(page.locator("#drawer")).to_be_hidden()


async def test_most_of_a_low_window_is_for_what_is_read(open_console: OpenConsole) -> None:
    page = await open_console(viewport={"width": 390, "height": 844})
    main = page.locator("main")
    await say(page, "We sell pumps.")
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.answered")).to_be_visible()
    for width, height in SMALL:
        await page.set_viewport_size({"width": width, "height": height})
        await page.get_by_role("tab", name="Answers").click()
        await expect(page.locator("#heard")).to_be_hidden()
        share = await main.evaluate("main => main.clientHeight / innerHeight")
        assert share >= 0.6, (width, height)
        await page.get_by_role("tab", name="Answers").press("ArrowRight")
        await expect(page.get_by_role("tab", name="Transcript")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("tab", name="Transcript")).not_to_be_focused()
        await expect(page.locator("#answers")).to_be_hidden()
        await page.get_by_role("link", name="Asked").click()
        await expect(page.locator(".card:target")).to_be_visible()
        await page.evaluate("location.hash = ''")
        await page.locator("#more").click()
        for button in (page.locator("#play"), page.get_by_role("button", name="Stop", exact=True)):
            await button.scroll_into_view_if_needed()
            await expect(button).to_be_in_viewport()
        # What folds out of one line lies over what is read, and takes nothing of it.
        assert await main.evaluate("main => main.clientHeight / innerHeight") == share or height > 560
        for selector in ("html", ".bar", ".dock"):
            wide = await page.locator(selector).evaluate("element => element.scrollWidth - element.clientWidth")
            assert wide == 0, (selector, width, height)
        await page.locator("#more").click()


async def test_nothing_is_lost_where_there_is_little_room(start: Serve, open_page: OpenPage, from_docs: Any) -> None:
    service = await start(**from_docs)
    page = (await open_page(service.http_url, viewport={"width": 390, "height": 844})).page
    await say(page, "What happens when Dify is slow?")
    await expect(page.locator(".card.answered")).to_be_visible()
    assert await page.locator(".bar").evaluate("bar => bar.clientHeight") < 100
    await expect(page.locator("#about")).to_contain_text("local")
    for width, height in ((390, 844), (844, 390), (390, 500)):
        await page.set_viewport_size({"width": width, "height": height})
        await page.locator("#provider .dot").click()
        await expect(page.locator("#provider-facts")).to_be_in_viewport(ratio=1)
        await page.locator("#provider .dot").click()
    await page.set_viewport_size({"width": 360, "height": 225})
    for below in (page.locator(".card .steps"), page.locator(".card > .why")):
        await below.scroll_into_view_if_needed()
        await expect(below).to_be_in_viewport()
    await page.locator("#tab-heard").click()
    await page.locator("#legend summary").click()
    await page.locator("#legend li").last.scroll_into_view_if_needed()
    await expect(page.locator("#legend li").last).to_be_in_viewport()


async def test_a_chart_is_shown_where_there_is_something_to_compare(page: Page, dify: StandInDify) -> None:
    for number in range(3):
        await expect(page.locator("#pace-bars")).to_be_hidden()
        await say(page, f"How long is the warranty of pump {number}?")
        await expect(page.locator(".card.answered")).to_have_count(number + 1)
    await expect(page.locator("#pace-bars")).to_be_visible()


# Who answers, and how to begin


async def test_the_first_screen_says_what_this_is_and_how_to_begin(open_console: OpenConsole) -> None:
    page = await open_console(script=RECOGNISER)
    await expect(page.locator("#welcome .lead")).to_have_text("It hears the questions in a talk, and answers them")
    # Nobody knows what stands in that Dify: these any application can answer.
    await expect(page.locator(".example").first).to_have_text("What can you help me with?")
    await expect(page.locator("#about")).to_have_text("dify")
    await page.locator("#welcome-mic").click()
    await expect(page.get_by_role("button", name="Stop listening")).to_be_visible()
    await page.locator("#welcome-play").click()
    await expect(page.locator("#play")).to_have_attribute("aria-pressed", "true")
    await expect(page.locator(".line").first).to_be_visible()


async def test_nobody_is_told_ready_over_an_empty_folder(start: Serve, open_page: OpenPage, tmp_path: Path) -> None:
    service = await start(rag_provider="local", knowledge_dir=tmp_path)
    # A browser tells of a page with the status 503.
    page = (await open_page(service.http_url, expected="Failed to load resource")).page
    provider = page.locator("#provider")
    await expect(page.locator("#about")).to_have_text("local · the folder holds nothing that can be read")
    await expect(page.locator("#examples-about")).to_have_text("The folder holds nothing that can be read.")
    await expect(page.locator(".example").first).to_be_hidden()
    await control(page, "Cancel")
    await expect(page.locator("#stage")).to_have_text("Not ready")
    await provider.locator("summary").click()
    await expect(provider.locator("dl")).to_contain_text("0 files, 0 passages")


async def test_a_provider_that_is_left_alone_is_told(start: Serve, open_page: OpenPage, dify: StandInDify) -> None:
    service = await start(breaker_failures=1, dify_max_retries=0)
    page = (await open_page(service.http_url)).page
    dify.will(status(500))
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.failed")).to_be_visible()
    await expect(page.locator("#about")).to_have_text("dify · failed too often: not asked for a while")
    await expect(page.locator("#stage")).to_have_text("Not ready")
    await page.locator("#provider summary").click()
    await expect(page.locator("#provider-facts dt")).to_have_text(["Answers", "State", "Version"])


HEALTH = """
globalThis.asked = [];
const ask = globalThis.fetch;
globalThis.fetch = (url) => (url === "health" ? new Promise((resolve) => asked.push(resolve)) : ask(url));
globalThis.answer = (number, left_alone) =>
  asked[number]({ json: async () => ({ provider: "dify", dify_configured: true, left_alone }) });
"""


async def test_what_was_seen_of_a_provider_later_is_not_replaced_by_what_comes_later(
    service: Service, open_page: OpenPage
) -> None:
    page = (await open_page(service.http_url, script=HEALTH)).page
    await expect(page.locator("body")).to_have_attribute("data-state", "open")
    shown = await page.evaluate(
        """async () => {
          document.dispatchEvent(new Event("visibilitychange"));
          answer(1, true);
          answer(0, false);
          await new Promise((resolve) => setTimeout(resolve));
          return document.querySelector("#about").textContent;
        }"""
    )
    assert shown == "dify · failed too often: not asked for a while"


# What is too long, and what is played


async def test_what_is_too_long_stays_in_the_field(start: Serve, open_page: OpenPage) -> None:
    service = await start(max_message_bytes=256)
    page = (await open_page(service.http_url)).page
    text = "How long is the warranty? " * 12
    for key in ("Enter", "Control+Enter"):
        await page.locator("#say").fill(text)
        await page.locator("#say").press(key)
        await expect(page.locator("#notice")).to_contain_text("too long to be sent")
        await expect(page.locator("#say")).to_have_value(text)
    await expect(page.locator(".line")).to_have_count(0)
    await say(page, "How long?")
    await expect(page.locator(".card.answered")).to_be_visible()
    await expect(page.locator("#say")).to_have_value("")


SUBTITLES = {
    "talk.srt": """1\r
00:00:00,000 --> 00:00:00,200\r
<i>We sell\r
pumps.</i>\r
\r
2\r
00:00:00,300 --> 00:00:00,500\r
How long is the warranty?\r
""",
    "talk.vtt": """WEBVTT

NOTE made by hand

one
00:00.000 --> 00:00.200 align:start
<v Anna>We sell pumps.

00:00.300 --> 00:00.500
<v Ben>How long is the warranty?</v>
""",
}


@pytest.mark.parametrize("name", SUBTITLES)
async def test_subtitles_play_as_what_they_are(page: Page, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(SUBTITLES[name].encode())
    await page.locator("#file").set_input_files(file)
    await expect(page.locator(".card.answered h3")).to_have_text("How long is the warranty?")
    said = ["We sell pumps.", "How long is the warranty?"]
    if name == "talk.vtt":
        said = [f"{who} {text}" for who, text in zip(("Anna", "Ben"), said, strict=True)]
    await expect(page.locator(".line .said")).to_have_text(said)
