"""The console in a real browser, as a person uses it, with the real service behind it."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, WebSocketRoute, expect

from tests.conftest import Serve
from tests.console.conftest import CUT, RECOGNISER, OpenConsole, OpenPage, card, control, play_frames, say, seen
from tests.console.lossy import lossy_network
from tests.console.stripping import stripping_proxy
from tests.service import Service, free_port, make_settings, serve
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, cut, hang, replaced_answer, status, wait

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.no_cover, pytest.mark.slow]

SOURCES = [
    {"position": 1, "document_name": "manual.md", "segment_id": "s1", "content": "Two years.", "score": 0.82},
]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1440, "height": 900}


# Questions and answers


async def test_a_typed_question_is_answered_while_it_is_watched(page: Page, dify: StandInDify) -> None:
    go_on = asyncio.Event()
    dify.will(answer("**Two years**,", wait(go_on), " from the day of purchase.", sources=SOURCES))
    await say(page, "Good morning everybody.")
    await say(page, "How long is the warranty?")
    shown = card(page, "How long is the warranty?")
    await expect(shown.locator(".answer strong")).to_have_text("Two years")
    await expect(shown.locator("[aria-current=step]")).to_contain_text("done")
    await expect(page.locator("#stage")).to_have_text("Answering")
    go_on.set()
    await expect(shown.locator(".answer")).to_have_text("Two years, from the day of purchase.")
    await expect(shown.locator(".steps .reached")).to_have_count(6)
    await expect(shown.locator(".facts")).to_contain_text("in all")
    await expect(shown.locator(".sources li")).to_contain_text("manual.md")
    await shown.locator(".sources summary").click()
    await expect(shown.locator(".sources blockquote")).to_be_visible()
    await expect(page.locator("#announce")).to_have_text("Answer: Two years, from the day of purchase.")


async def test_the_transcript_says_what_was_asked_and_why(page: Page) -> None:
    await say(page, "We sell pumps.")
    lines = page.locator("#lines .line")
    await expect(lines.nth(0).locator(".why")).to_have_text("Not a question: it tells something")
    await say(page, "What does the large one weigh?")
    await expect(lines.nth(1).locator("mark")).to_have_text("What does the large one weigh?")
    # Why it was taken for a question stands at the question, once.
    await expect(lines.nth(1).locator(".why")).to_have_text("Asked")
    # It goes with the question, and is marked as such.
    await expect(lines.nth(0).locator("mark.before")).to_have_text("We sell pumps.")
    await lines.nth(1).get_by_role("link", name="Asked").click()
    await expect(page.locator(".card:target")).to_contain_text("What does the large one weigh?")


async def test_a_question_that_may_go_on_is_shown_to_wait(start: Serve, open_page: OpenPage) -> None:
    service = await start(wait_max_ms=60_000, merge_seconds=60)
    page = (await open_page(service.http_url)).page
    await say(page, "what is the")
    await expect(page.locator(".line .why")).to_contain_text("May go on: waiting")
    await say(page, "price of the large pump")
    await expect(page.locator("#lines mark")).to_have_text(["what is the", "price of the large pump"])
    await expect(page.locator(".card.answered h3")).to_have_text("what is the price of the large pump")


async def test_a_partial_without_a_final_is_settled(start: Serve, open_page: OpenPage, tmp_path: Path) -> None:
    service = await start(stale_partial_seconds=0.1)
    page = (await open_page(service.http_url)).page
    file = tmp_path / "talk.jsonl"
    file.write_text('{"text": "we sell pumps"}\n', encoding="utf-8")
    await page.locator("#file").set_input_files(file)
    await expect(page.locator(".line:not(.partial) .why")).to_contain_text("Taken as final: no more came")
    file.write_text('{"text": "how long is the warranty"}\n', encoding="utf-8")
    await page.locator("#file").set_input_files(file)
    await expect(page.locator("#lines mark:not(.before)")).to_have_text("how long is the warranty")
    await expect(page.locator(".line.partial")).to_have_count(0)


async def test_sentences_typed_faster_than_they_are_said_wait(page: Page) -> None:
    await page.get_by_label("Word by word").check()
    await say(page, "We sell pumps.")
    await say(page, "They are blue.")
    await expect(page.locator(".line:not(.partial) .said")).to_have_text(["We sell pumps.", "They are blue."])


async def test_the_page_speaks_chinese_to_a_chinese_browser(open_console: OpenConsole, dify: StandInDify) -> None:
    page = await open_console(locale="zh-CN")
    dify.will(answer("保修期是", "**两年**。"))
    await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(page.get_by_role("button", name="发送")).to_be_visible()
    await page.get_by_label("逐词发送").check()
    async with seen(page, ".line.partial", "保修"):
        await say(page, "保修期有多长")
    await expect(card(page, "保修期有多长").locator(".answer")).to_have_text("保修期是两年。")
    await expect(page.locator(".card .step")).to_have_text(["听到", "识别", "等待", "提问", "首段", "完成"])
    assert await page.locator("text=/^(Settings|Frames|Transcript|Pause|Word by word)$/").count() == 0


async def test_an_error_is_shown_as_one_and_can_be_asked_again(page: Page, dify: StandInDify) -> None:
    dify.will(status(500), answer("Two years."))
    await say(page, "How long is the warranty?")
    failed = page.locator(".card.failed")
    await expect(failed.get_by_role("alert")).to_have_text("The knowledge base cannot be reached.")
    await expect(failed.get_by_title("RAG_UNAVAILABLE")).to_be_visible()
    await failed.get_by_role("button", name="Ask again").click()
    await expect(page.locator(".card.answered .answer")).to_have_text("Two years.")
    await expect(page.locator(".card.answered .why")).to_have_text("asked at once")
    await expect(failed.get_by_role("button")).to_be_disabled()


async def test_what_cannot_help_is_not_offered(page: Page, dify: StandInDify) -> None:
    dify.will(status(401))
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.failed").get_by_title("RAG_REJECTED")).to_be_visible()
    await expect(page.locator(".card.failed").get_by_role("button")).to_have_count(0)


async def test_an_answer_that_breaks_off_is_marked(page: Page, dify: StandInDify) -> None:
    dify.will(answer("Two years, but", cut()))
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.failed .answer")).to_have_text("Two years, but")
    await expect(page.locator(".card.failed .after > :not(footer)")).to_have_text(
        ["The answer breaks off here: the connection to the knowledge base was lost."]
    )


async def test_text_that_is_replaced_disappears(page: Page, dify: StandInDify) -> None:
    dify.will(replaced_answer("A secret number.", "I cannot say."))
    await say(page, "What is the number?")
    await expect(page.locator(".card.answered .answer")).to_have_text("I cannot say.")


async def test_each_text_runs_in_the_direction_of_its_own_language(page: Page, dify: StandInDify) -> None:
    sources = [{**SOURCES[0], "document_name": "دليل.md", "content": "سنتان."}]
    dify.will(
        answer(
            "الضمان سنتان.\n\n- نعم\n\n> نعم\n\n| نعم |\n|---|\n| لا |\n\nTwo years.\n\n```\nنعم\n```\n",
            sources=sources,
        )
    )
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_label("I speak as").fill("guest")
    await page.get_by_role("button", name="Apply").click()
    question = "كم مدة الضمان؟"
    await page.locator("#say").fill(question)
    directions = {"#say": "rtl", ".said": "rtl", ".said .speaker": "ltr", ".card h3": "rtl", ".sources .title": "rtl"}
    blocks = {"p >> nth=0": "rtl", "ul": "rtl", "blockquote": "rtl", "table": "rtl", "p >> nth=-1": "ltr", "pre": "ltr"}
    await expect(page.locator("#say")).to_have_css("direction", directions.pop("#say"))
    await page.locator("#ask").click()
    await page.locator("#say").fill(question)
    await page.locator("#say").press("Enter")
    for selector, direction in directions.items():
        await expect(page.locator(selector).first).to_have_css("direction", direction)
    await expect(page.locator(".card.answered").first).to_be_visible()
    for selector, direction in blocks.items():
        await expect(page.locator(".answer").first.locator(selector)).to_have_css("direction", direction)
    await expect(page.locator(".sources blockquote").first).to_have_css("direction", "rtl")


# Answers that mean harm, and long ones


HOSTILE = """
<img src=x onerror="hacked=1"><script>hacked=1</script><svg onload="hacked=1"></svg><iframe src="https://example.org"></iframe>

[a](javascript:hacked=1) [b](data:text/html,x) [c](https://example.org/) ![d](https://example.org/d.png)

<a href="javascript:hacked=1" onclick="hacked=1" id="say" style="color:red">e</a>

<form action="/x"><input name="hacked"></form>

1<br>2 <style>body{display:none}</style>

<math><mtext></mtext><mglyph><style><img src=x onerror=hacked=1></style></mglyph></math>
"""


async def test_a_hostile_answer_stays_inert(page: Page, dify: StandInDify) -> None:
    dify.will(
        answer(*(HOSTILE[i : i + 7] for i in range(0, len(HOSTILE), 7)), " the end", sources=[{"title": HOSTILE}])
    )
    await say(page, "What do you say?")
    shown = page.locator(".card.answered .answer")
    await expect(shown.locator("p").last).to_contain_text("the end")  # what makes Markdown of it has come
    await expect(shown).to_contain_text("<script>hacked=1</script>")  # as the text it is
    assert await page.evaluate("'hacked' in window") is False
    assert (
        await shown.locator("img, script, svg, iframe, form, input, style, math, [id], [style], [onclick]").count() == 0
    )
    assert await shown.locator("br").count() > 0
    links = await shown.locator("a[href]").evaluate_all("links => links.map(link => [link.href, link.rel])")
    assert links == [
        ["https://example.org/", "noopener noreferrer nofollow"],
        ["https://example.org/d.png", "noopener noreferrer nofollow"],
    ]


async def test_a_very_long_answer_is_not_made_anew_with_each_text(page: Page, dify: StandInDify) -> None:
    go_on = asyncio.Event()
    paragraphs = [f"Paragraph {i}: " + "many words " * 45 + "\n\n" for i in range(400)]
    assert sum(map(len, paragraphs)) > 200_000
    dify.will(answer(*paragraphs[:200], wait(go_on), *paragraphs[200:]))
    await say(page, "What do you say?")
    shown = page.locator(".card .answer")
    await expect(shown.locator("p")).to_have_count(200)
    first = await shown.locator("p").first.element_handle()
    go_on.set()
    await page.locator("#say").press_sequentially("It still takes what I type.")
    await expect(page.locator("#say")).to_have_value("It still takes what I type.")
    await expect(page.locator(".card.answered .answer p")).to_have_count(400)
    assert first
    assert await first.evaluate("paragraph => paragraph.isConnected")


TOO_MUCH = {
    "quotes": "> " * 20_000,
    "emphasis": "*_" * 20_000,
    "brackets": "[" * 40_000,
    "lists": "- " * 3_000,
    "block": "a\n" * 20_000,
    "answer": ("*a **b `c " * 60 + "\n\n") * 800,
    "blocks": "- a\n" + "b\n" * 5_000 + ("\n- a\n" + "b\n" * 5_000) * 4,
}


async def test_an_answer_that_is_too_deep_or_too_large_is_shown_as_it_is(
    page: Page, dify: StandInDify, subtests: pytest.Subtests
) -> None:
    for name, much in TOO_MUCH.items():
        text = much + " the end"
        pieces = (text[i : i + 50_000] for i in range(0, len(text), 50_000))
        dify.will(answer(*pieces, sources=[{"title": "A source"}]))
        with subtests.test(name):
            await say(page, f"What are {name}?")
            shown = page.locator(".card.answered", has=page.get_by_role("heading", name=f"What are {name}?"))
            await expect(shown.locator(".answer")).to_contain_text("the end")
            assert await shown.locator(".answer .plain").evaluate("plain => plain.textContent") == text
            await expect(shown.locator(".sources")).to_be_visible()


SEEMING = {
    "round": "\\(" * 9_000,
    "square": "\\[a^" * 4_000,
    "columns": "|a" * 2_000 + "|\n" + "|-" * 2_000 + "|\n" + "|\n" * 900,
    "paragraphs": "a\n\\(b^\n\n" * 2_000,
}


async def test_an_answer_that_seems_to_hold_formulas_or_a_table_keeps_nobody_waiting(
    page: Page, dify: StandInDify, subtests: pytest.Subtests
) -> None:
    for name, text in SEEMING.items():
        dify.will(answer(text + "\n\nthe end"))
        with subtests.test(name):
            await say(page, f"What are {name}?")
            shown = page.locator(".card.answered", has=page.get_by_role("heading", name=f"What are {name}?"))
            await expect(shown.locator(".answer > *").last).to_have_text("the end")
            assert await shown.locator("math, table").count() == 0


# Controls


async def test_pause_and_resume(page: Page, dify: StandInDify) -> None:
    await control(page, "Pause")
    await expect(page.locator("#stage")).to_have_text("Paused")
    await say(page, "How long is the warranty?")
    await expect(page.locator(".line .why")).to_have_text("Ignored: paused")
    await control(page, "Resume")
    await expect(page.locator("#stage")).to_have_text("Listening")
    await expect(page.locator("#pause")).to_have_attribute("aria-pressed", "false")
    assert dify.requests == []


async def test_cancel_ends_the_answer_and_the_next_question_waits_for_it(page: Page, dify: StandInDify) -> None:
    dify.will(answer("Two years,", hang()), answer("A lot."))
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.running .answer")).to_have_text("Two years,")
    await say(page, "What does it cost?")
    await expect(page.locator("#next")).to_contain_text("What does it cost?")
    await expect(page.locator(".line .why").last).to_contain_text("Waits for the running answer")
    await control(page, "Cancel")
    await expect(page.locator(".card.interrupted .notice")).to_have_text("Cancelled")
    await expect(page.locator("#stage")).to_have_text("Ready")


async def test_what_waited_is_asked_after_the_answer(page: Page, dify: StandInDify) -> None:
    go_on = asyncio.Event()
    dify.will(answer("Two years.", wait(go_on)), answer("A lot."))
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.running .answer")).to_have_text("Two years.")
    await say(page, "What does it cost?")
    await expect(page.locator("#next")).to_be_visible()
    go_on.set()
    await expect(card(page, "What does it cost?").locator(".answer")).to_have_text("A lot.")
    await expect(page.locator("#next")).to_be_hidden()


async def test_asking_at_once_with_and_without_words(page: Page, dify: StandInDify) -> None:
    await page.locator("#say").fill("Opening hours")
    await page.locator("#say").press("Control+Enter")
    await expect(card(page, "Opening hours").locator(".why")).to_have_text("asked at once")
    await say(page, "The large pump.")
    await control(page, "Ask now")
    await expect(card(page, "The large pump.").locator(".answer")).to_have_text("Stand-in answer.")


async def test_an_error_of_the_service_is_told(page: Page) -> None:
    await control(page, "Ask now")
    await expect(page.locator("#notice")).to_have_text("Nothing has been heard yet that could be asked.")
    await expect(page.locator("#notice").get_by_title("NO_FINAL_ASR")).to_be_visible()


async def test_reset_and_stop(page: Page) -> None:
    await say(page, "We sell pumps.")
    await control(page, "Reset")
    await expect(page.locator(".divider")).to_have_text("Session reset")
    await control(page, "Stop")
    await expect(page.locator("#connection")).to_have_text("Session ended")
    await page.get_by_role("button", name="Connect now").click()
    await expect(page.locator("#connection")).to_have_text("Connected")
    await say(page, "How long is the warranty?")
    await expect(card(page, "How long is the warranty?").locator(".answer")).to_have_text("Stand-in answer.")
    # What was said before the reset is no part of it.
    await expect(page.locator("#lines mark")).to_have_text(["How long is the warranty?"])


# The connection


async def test_a_restarted_service_is_found_again(dify: StandInDify, open_page: OpenPage) -> None:
    dify.will(answer("Two years,", hang()))
    settings = make_settings(dify_api_key=dify.api_key, dify_base_url=dify.base_url, port=free_port())
    async with serve(settings) as service:
        watched = await open_page(service.http_url)
        watched.expected = CUT
        page = watched.page
        await say(page, "How long is the warranty?")
        await expect(page.locator(".card.running .answer p")).to_have_text("Two years,")
    await expect(page.locator("#connection")).to_contain_text("Connection lost, trying again in")
    async with serve(settings):
        await expect(page.locator("#connection")).to_have_text("Connected")
        await expect(page.locator(".card.interrupted .notice")).to_have_text("The connection was lost")
        await say(page, "How long is it?")
        await expect(card(page, "How long is it?").locator(".answer")).to_have_text("Stand-in answer.")


async def test_an_answer_goes_on_after_a_lost_connection(
    service: Service, dify: StandInDify, open_page: OpenPage
) -> None:
    away, back = asyncio.Event(), asyncio.Event()
    dify.will(answer("Two ", wait(away), "years, ", wait(back), "from the day of purchase."), answer("A lot."))
    async with lossy_network(service) as network:
        watched = await open_page(network.url)
        watched.expected = CUT
        page = watched.page
        await say(page, "How long is the warranty?")
        shown = card(page, "How long is the warranty?").locator(".answer")
        await expect(shown.locator("p")).to_have_text("Two")  # what makes Markdown of it has come
        network.go_down()
        await expect(page.locator("#connection")).to_contain_text("Connection lost, trying again in")
        await say(page, "What does it cost?")  # waits for the connection, then for the answer
        away.set()
        network.come_back()
        await expect(shown).to_have_text("Two years,")
        await expect(page.locator("#next")).to_contain_text("What does it cost?")
        back.set()
        await expect(shown).to_have_text("Two years, from the day of purchase.")
        await expect(card(page, "What does it cost?").locator(".answer")).to_have_text("A lot.")
        await expect(page.locator(".divider, .card .notice")).to_have_count(0)
        received = [entry["frame"] for entry in await entries_of(page) if entry["direction"] == "in"]
    greetings = [frame for frame in received if frame.get("message") == "connected"]
    assert [frame.get("resumed") for frame in greetings] == [None, True]
    # Nothing is missing and nothing came twice. The greeting of a resumed session repeats a number: it is no new frame.
    numbers = [frame["seq"] for frame in received if not frame.get("resumed")]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_an_answer_goes_on_after_a_reload(page: Page, dify: StandInDify) -> None:
    away, back = asyncio.Event(), asyncio.Event()
    dify.will(answer("Two ", wait(away), "years, ", wait(back), "from the day of purchase."))
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_label("Answer only these speakers").fill("guest")
    await page.get_by_label("I speak as").fill("guest")
    await page.get_by_role("button", name="Apply").click()
    await say(page, "How long is the warranty?")
    shown = card(page, "How long is the warranty?")
    await expect(shown.locator(".answer")).to_have_text("Two")
    await page.reload()
    away.set()
    await expect(shown.locator(".answer")).to_have_text("Two years,")
    back.set()
    await expect(page.locator(".card.answered .answer")).to_have_text("Two years, from the day of purchase.")
    # This page has not heard the question; the service has told how long the answer took.
    await expect(shown.locator(".at").last).to_contain_text("s")
    assert (
        await shown.locator(".at").evaluate_all("all => all.map(at => at.textContent === '')")
        == [True] * 4 + [False] * 2
    )
    await expect(page.locator(".divider, .card .notice")).to_have_count(0)
    assert len(dify.requests) == 1
    await expect(page.get_by_label("Answer only these speakers")).to_have_value("guest")
    greeting = (await entries_of(page))[0]["frame"]
    assert greeting["resumed"] is True


async def test_a_pause_outlives_a_reload(page: Page) -> None:
    await control(page, "Pause")
    await expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    await page.reload()
    await control(page, "Resume")
    await expect(page.locator("#pause")).to_have_attribute("aria-pressed", "false")


async def test_a_copy_of_the_tab_is_a_session_of_its_own(page: Page, dify: StandInDify) -> None:
    go_on = asyncio.Event()
    dify.will(answer("Two ", wait(go_on), "years."))
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.running .answer")).to_have_text("Two")
    async with page.expect_popup() as popup:
        await page.evaluate("window.open(location.href)")  # gets what the storage of this tab holds
    copy = await popup.value
    await expect(copy.locator("body")).to_have_attribute("data-state", "open")
    await expect(copy.locator(".card")).to_have_count(0)
    go_on.set()
    await expect(page.locator(".card.answered .answer")).to_have_text("Two years.")


async def test_a_session_that_is_taken_up_again_goes_on(service: Service, open_page: OpenPage) -> None:
    addresses: list[str] = []

    def play(socket: WebSocketRoute) -> None:
        seq = count(1)
        addresses.append(socket.url)

        def tell(type: str, **fields: Any) -> None:
            socket.send(json.dumps({"type": type, "session_id": "s", "seq": next(seq), **fields}))

        async def question(message: str | bytes) -> None:
            tell("ack", received_type="asr_chunk", id=json.loads(message)["id"])
            tell("status", stage="analyzing", query_id="q", question="How long?")
            tell("status", stage="querying_rag", query_id="q", question="How long?")
            tell("answer", query_id="q", stream_index=0, content="Two ", final=False)
            await socket.close(code=1012)

        socket.on_message(question)
        if len(addresses) == 1:
            tell("ack", message="connected", protocol="1", resume_token="secret-1")
            return
        tell("ack", message="connected", protocol="1", resumed=True, resume_token="secret-2")
        timing = {"wait_ms": 0, "first_text_ms": 1, "total_ms": 2}
        tell(
            "answer", query_id="q", stream_index=1, content="years.", final=True, sources=[], usage=None, timing=timing
        )

    page = (await open_page(service.http_url, socket=play)).page
    await expect(page.locator("body")).to_have_attribute("data-state", "open")
    await say(page, "How long?")
    await expect(page.locator(".card.answered .answer")).to_have_text("Two years.")
    assert addresses[1].endswith("?resume_token=secret-1&last_seq=5&session_id=s")
    assert "secret" not in (await download_frames(page)).read_text(encoding="utf-8")
    await expect(page.locator(".divider")).to_have_count(0)


async def test_what_a_lost_session_has_swallowed_is_said_again_or_told(service: Service, open_page: OpenPage) -> None:
    sockets: list[WebSocketRoute] = []

    def play(socket: WebSocketRoute) -> None:
        async def swallow(message: str | bytes) -> None:
            swallowed.append(json.loads(message))
            if len(sockets) == 1 and len(swallowed) == 2:
                await socket.close(code=1012)

        sockets.append(socket)
        socket.on_message(swallow)
        again = {"resumed": False, "reason": "unknown_token"} if len(sockets) > 1 else {"resume_token": "t"}
        greeting = {"type": "ack", "session_id": "s", "seq": 1, "message": "connected", "protocol": "1", **again}
        socket.send(json.dumps(greeting))

    swallowed: list[dict[str, Any]] = []
    page = (await open_page(service.http_url, socket=play)).page
    await expect(page.locator("body")).to_have_attribute("data-state", "open")
    await say(page, "We sell pumps.")
    await control(page, "Pause")
    await expect(page.locator("#notice")).to_have_text("Not sent: pause")
    await expect(page.locator(".divider + .line")).to_have_text("We sell pumps.")
    assert swallowed[2:] == swallowed[:1]


async def test_what_is_given_up_is_shown_as_such(service: Service, open_page: OpenPage, tmp_path: Path) -> None:
    def play(socket: WebSocketRoute) -> None:
        def swallow(message: str | bytes) -> None:
            heard.append(json.loads(message)["text"])

        sockets.append(socket)
        socket.on_message(swallow)
        if is_lost:  # the one before had been waited for long enough
            socket.send(json.dumps(greeting))

    greeting = {"type": "ack", "session_id": "s", "seq": 1, "message": "connected", "protocol": "1"}
    sockets: list[WebSocketRoute] = []
    heard: list[str] = []
    is_lost = False
    page = (await open_page(service.http_url, socket=play)).page
    file = tmp_path / "talk.jsonl"
    file.write_text("".join(f'{{"text": "{i}", "is_final": true}}\n' for i in range(150)), encoding="utf-8")
    await page.locator("#file").set_input_files(file)
    lost = page.locator(".line", has=page.get_by_text("Not received: no connection"))
    await expect(lost.locator(".said")).to_have_text([str(i) for i in range(50)])
    is_lost = True
    sockets[-1].send(json.dumps(greeting))
    await expect(page.locator(".line .said")).to_have_text([str(i) for i in range(150)])
    assert heard == [str(i) for i in range(50, 150)]


async def test_a_refused_connection_asks_for_a_token(service: Service, open_page: OpenPage) -> None:
    async def refuse(socket: WebSocketRoute) -> None:
        socket.send(json.dumps({"type": "error", "code": "UNAUTHORIZED", "message": "A token is wanted."}))
        await socket.close(code=4401)

    def play(socket: WebSocketRoute) -> None:
        tasks.append(asyncio.ensure_future(refuse(socket)))

    tasks: list[asyncio.Future[None]] = []
    page = (await open_page(service.http_url, socket=play)).page
    await expect(page.get_by_label("Access token")).to_be_focused()
    await expect(page.locator("#connection")).to_have_text("Refused: the service wants a token")
    await page.get_by_label("Access token").fill("a-token")
    refusals = 1
    for is_remembered, kept in [(True, ["a-token"]), (False, [])]:
        await page.get_by_label("Remember it").set_checked(is_remembered)
        await page.get_by_role("button", name="Apply").click()
        refusals += 1
        await expect(page.locator("#frame-count")).to_have_text(str(refusals))
        assert await page.evaluate("Object.values(sessionStorage)") == kept
        assert "a-token" not in page.url
    assert len(tasks) == refusals


async def test_a_token_lets_one_in(start: Serve, open_page: OpenPage, tmp_path: Path) -> None:
    token = "a.token_of-acme"
    file = tmp_path / "tenants.toml"
    digest = hashlib.sha256(token.encode()).hexdigest()
    file.write_text(f'[[tenants]]\nname = "acme"\ntoken_sha256 = "{digest}"\n', encoding="utf-8")
    service = await start(auth_tokens_file=file)
    page = (await open_page(service.http_url)).page
    for wrong in ("", "another-token"):
        if wrong:
            await page.get_by_label("Access token").fill(wrong)
            await page.get_by_role("button", name="Apply").click()
        await expect(page.get_by_label("Access token")).to_be_focused()
        await expect(page.locator("#connection")).to_have_text("Refused: the service wants a token")
    await page.get_by_label("Access token").fill(token)
    await page.get_by_label("Remember it").check()
    await page.get_by_role("button", name="Apply").click()
    await expect(page.locator("#connection")).to_have_text("Connected")
    await say(page, "How long is the warranty?")
    await expect(card(page, "How long is the warranty?").locator(".answer")).to_have_text("Stand-in answer.")
    await page.reload()
    await expect(page.locator("#connection")).to_have_text("Connected")
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_the_page_finds_a_socket_at_another_path(start: Serve, open_page: OpenPage) -> None:
    service = await start(ws_path="/elsewhere/ws", app_title='Pumps & "more" <b>')
    page = (await open_page(service.http_url)).page
    await expect(page.locator("#connection")).to_have_text("Connected")
    await expect(page.get_by_role("heading", level=1)).to_have_text('Pumps & "more" <b>')


@pytest.mark.parametrize("end", ["", "/", "?lang=en#frames"])
async def test_a_proxy_may_serve_it_under_a_path_of_its_own(service: Service, open_page: OpenPage, end: str) -> None:
    async with stripping_proxy(service, "/prefix") as address:
        # What is looked for beside the page, before it knows better; and the proxy goes before the page does.
        page = (await open_page(f"{address}{end}", expected=CUT)).page
        await expect(page.locator("#connection")).to_have_text("Connected")
        await expect(page.locator("#about")).to_contain_text("dify")
        assert page.url == f"{address}/{end.removeprefix('/')}"
        await say(page, "How long is the warranty?")
        await expect(page.locator(".card.answered .answer")).to_have_text("Stand-in answer.")
        await expect(page.get_by_role("link", name="Protocol")).to_have_js_property("href", f"{address}/docs/protocol")


async def test_a_missing_key_is_told_before_somebody_asks(start: Serve, open_page: OpenPage) -> None:
    service = await start(dify_api_key=None)
    page = (await open_page(service.http_url)).page
    await expect(page.locator("#notice")).to_contain_text("no Dify key")


async def test_a_fallback_stands_in_for_a_missing_key(
    start: Serve, open_page: OpenPage, from_docs: dict[str, Any]
) -> None:
    service = await start(**{**from_docs, "rag_provider": "dify"}, dify_api_key=None, fallback_provider="local")
    page = (await open_page(service.http_url)).page
    await expect(page.locator("#about")).to_contain_text("local")
    await expect(page.locator("#notice")).to_be_hidden()
    await page.get_by_role("button", name="What happens when Dify is slow?").click()
    await expect(page.locator(".card.answered .facts")).to_contain_text("answered by local")


async def test_files_that_are_not_read_are_told_with_the_reason(
    start: Serve, open_page: OpenPage, tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text("The lantern hangs in the attic.", encoding="utf-8")
    (tmp_path / "b.docx").write_bytes(b"no Word")
    (tmp_path / "c.png").touch()
    service = await start(rag_provider="local", knowledge_dir=tmp_path)
    page = (await open_page(service.http_url)).page
    await expect(page.locator("#about")).to_have_text("local · 1 file · not read: 1 .docx: not a Word document")


async def test_the_protocol_is_one_click_away(page: Page) -> None:
    async with page.expect_popup() as popup:
        await page.get_by_role("link", name="Protocol").click()
    opened = await popup.value
    await expect(opened.get_by_role("heading", level=1)).to_be_visible()
    assert opened.url.endswith("/docs/protocol")
    await page.get_by_role("button", name="Frames").click()
    await expect(page.get_by_role("link", name="What each frame means")).to_have_attribute("href", "docs/protocol")


async def test_the_first_question_of_a_newcomer_is_answered_with_its_source(start: Serve, open_page: OpenPage) -> None:
    service = await start(rag_provider="local")
    page = (await open_page(service.http_url)).page
    await page.get_by_role("button", name="What happens when Dify is slow?").click()
    await expect(page.locator(".card.answered .answer")).to_contain_text("RAG_TIMEOUT")
    await expect(page.locator(".card.answered .sources")).to_contain_text("dify.md")


# Settings


async def test_settings_are_sent_and_wrong_ones_are_not(page: Page, dify: StandInDify) -> None:
    await page.get_by_role("button", name="Settings").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Variables for the knowledge base").fill("[1]")
    await dialog.get_by_role("button", name="Apply").click()
    await expect(dialog.get_by_role("alert")).to_have_text("Inputs must be a JSON object.")
    await dialog.get_by_label("Variables for the knowledge base").fill('{"customer": "4711"}')
    await dialog.get_by_label("I speak as").fill("guest")
    await dialog.get_by_label("Answer only these speakers").fill("guest, host")
    await dialog.get_by_role("button", name="Apply").click()
    await expect(dialog).to_be_hidden()
    await say(page, "How long is the warranty?")
    await expect(page.locator(".line .speaker")).to_have_text("guest")
    await expect(page.locator(".card.answered")).to_be_visible()
    assert dify.requests[0].body["inputs"] == {"customer": "4711"}
    frames = await frames_of(page)
    (configure,) = [frame for frame in frames if frame["type"] == "configure"]
    assert configure == {
        "type": "configure",
        "speakers": ["guest", "host"],
        "inputs": {"customer": "4711"},
        "id": configure["id"],
    }


async def test_a_token_is_kept_only_when_somebody_wishes_so(page: Page) -> None:
    async def enter(token: str) -> None:
        await page.get_by_role("button", name="Settings").click()
        await page.get_by_label("Access token").fill(token)
        await page.get_by_role("button", name="Apply").click()

    await enter("not a token")
    await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("characters")
    kept = "[Object.values(localStorage), Object.values(sessionStorage), document.cookie, location.href].join(' ')"
    assert "not a token" not in await page.evaluate(kept)
    await page.get_by_label("Access token").fill("")
    await page.get_by_label("Remember it").check()
    await page.get_by_role("button", name="Apply").click()
    assert await page.evaluate("sessionStorage.length + localStorage.length") == 0


# Frames and recordings


async def frames_of(page: Page) -> list[dict[str, Any]]:
    """The frames that the page has sent, as its drawer gives them away."""
    return [entry["frame"] for entry in await entries_of(page) if entry["direction"] == "out"]


async def entries_of(page: Page) -> list[dict[str, Any]]:
    path = await download_frames(page)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def download_frames(page: Page) -> Path:
    if await page.locator("#drawer").is_hidden():
        await page.get_by_role("button", name="Frames").click()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download").click()
    return Path(await (await download.value).path())


async def test_the_drawer_shows_filters_and_gives_away_the_frames(open_console: OpenConsole) -> None:
    page = await open_console(permissions=["clipboard-read", "clipboard-write"])
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.answered")).to_be_visible()
    await page.get_by_role("button", name="Frames").click()
    await expect(page.locator("#frames .kind").first).to_have_text("ack")
    await page.locator("#frames summary").first.click()
    await expect(page.locator("#frames pre").first).to_contain_text('"message": "connected"')
    await page.get_by_label("Filter the frames").press_sequentially("QUERYING")
    await expect(page.locator("#frames li")).to_have_count(1)
    async with seen(page, "button", "Copied"):
        await page.get_by_role("button", name="Copy JSON lines").click()
    (copied,) = map(json.loads, (await page.evaluate("navigator.clipboard.readText()")).splitlines())
    assert (copied["direction"], copied["frame"]["stage"]) == ("in", "querying_rag")
    await page.keyboard.press("Escape")
    await expect(page.locator("#drawer")).to_be_hidden()
    await expect(page.locator("#toggle-frames")).to_be_focused()


async def test_of_hundreds_of_frames_only_those_in_sight_are_there(service: Service, open_page: OpenPage) -> None:
    service_says: list[Callable[..., None]] = []
    page = (await open_page(service.http_url, socket=play_frames(service_says.append))).page
    await expect(page.locator("body")).to_have_attribute("data-state", "open")
    (tell,) = service_says
    for number in range(1, 601):
        tell("status", stage="idle", number=number)
    await page.locator("#toggle-frames").click()
    await page.get_by_label("Filter the frames").fill("idle")  # not what the page says by itself
    rows, pane, shown = page.locator("#frames li"), page.locator("#frames"), page.locator("#frames-shown")
    await expect(shown).to_contain_text("600 of")
    await expect(row(page, 600)).to_be_in_viewport()
    assert await rows.count() < 80
    # All can be reached: what was opened is open when somebody comes back, and nothing takes them away from it.
    await pane.evaluate("pane => pane.scrollTo(0, 0)")
    await expect(row(page, 1)).to_be_in_viewport()
    await expect(row(page, 600)).to_have_count(0)
    await row(page, 9).locator("summary").click()
    opened = row(page, 9).locator("pre")
    await expect(opened).to_contain_text('"number": 9')
    high = 600 * 28 + await opened.evaluate("pre => pre.offsetHeight")
    await expect(pane).to_have_js_property("scrollHeight", high)
    await pane.evaluate("pane => pane.scrollTo(0, 10_000)")
    await expect(opened).to_have_count(0)
    await pane.evaluate("pane => pane.scrollTo(0, 0)")
    await expect(opened).to_be_in_viewport()
    tell("status", stage="idle", number=601)
    await expect(shown).to_contain_text("601 of")
    await expect(opened).to_be_in_viewport()
    # The keyboard goes on below what was in sight.
    await row(page, 10).locator("summary").focus()
    for _ in range(60):
        await page.keyboard.press("Tab")
    await expect(row(page, 70).locator("summary")).to_be_focused()
    # At the end again, it goes along.
    await pane.evaluate("pane => pane.scrollTo(0, pane.scrollHeight)")
    await expect(row(page, 601)).to_be_in_viewport()
    for number in range(602, 701):
        tell("status", stage="idle", number=number)
    await expect(row(page, 700)).to_be_in_viewport()


def row(page: Page, place: int) -> Locator:
    """A frame in the drawer, by its place among those that are shown."""
    return page.locator(f'#frames li[aria-posinset="{place}"]')


async def test_frames_can_be_replayed(page: Page, dify: StandInDify, tmp_path: Path) -> None:
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.answered")).to_have_count(1)
    file = tmp_path / "frames.jsonl"
    file.write_bytes((await download_frames(page)).read_bytes())
    await page.locator("#file").set_input_files(file)
    await expect(page.locator(".line")).to_have_count(2)
    await expect(page.locator("#play")).to_have_text("Play")


@pytest.mark.parametrize(
    ("language", "questions"),
    [
        ("en", ["so what happens when Dify is slow", "How do I cancel an answer?"]),
        ("zh", ["那 Dify 很慢的时候会怎么样", "怎么取消回答？"]),
        ("voice", ["what happens when the connection is lost", "what does it cost"]),
    ],
)
async def test_the_recordings_play(open_console: OpenConsole, language: str, questions: list[str]) -> None:
    page = await open_console()
    await page.get_by_label("Recording").first.select_option(language)
    await page.get_by_label("Speed").select_option("5")
    async with seen(page, "#play[aria-pressed=true]"), seen(page, ".line.partial"):
        await page.locator("#play").click()
    for question in questions:
        await expect(page.locator("#lines mark:not(.before)").filter(has_text=question)).to_be_visible()
    await expect(page.locator("#play")).to_have_attribute("aria-pressed", "false")
    await expect(page.locator(".card.answered")).to_have_count(len(questions))


async def test_a_broken_file_is_not_played(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_text('{"at_ms": 0, "text": "Hello."}\n{"at_ms": 1}\n', encoding="utf-8")
    await page.locator("#file").set_input_files(file)
    await expect(page.locator("#notice")).to_contain_text("line 2")
    await expect(page.locator(".line")).to_have_count(0)


# The microphone: only the browser's own recogniser is a fake


async def test_speech_becomes_a_question(open_console: OpenConsole) -> None:
    page = await open_console(script=RECOGNISER)
    await page.get_by_label("Speech").select_option("en-GB")
    await page.get_by_role("button", name="Speak").click()
    await expect(page.get_by_role("button", name="Stop listening")).to_be_visible()
    await page.evaluate("hear('how long', false)")
    await expect(page.locator(".line.partial")).to_have_text("how long")
    await page.evaluate("hear('how long is the warranty', true)")
    await expect(page.locator(".card.answered h3")).to_have_text("how long is the warranty")
    await expect(page.locator(".line.partial")).to_have_count(0)
    await page.evaluate("recogniser.onend()")  # a silence: it listens on
    assert await page.evaluate("recogniser.is_started") is True
    final = (await frames_of(page))[-1]
    # A phone calls final what is not; the end tells.
    await page.evaluate("hear('how is the weather', true, 0)")
    await expect(page.locator(".line.partial")).to_have_text("how is the weather")
    await page.get_by_role("button", name="Stop listening").click()
    assert await page.evaluate("recogniser.is_started") is False
    await expect(page.locator(".card.answered h3")).to_have_text(["how long is the warranty", "how is the weather"])
    assert final == {
        "type": "asr_chunk",
        "text": "how long is the warranty",
        "is_final": True,
        "end_of_turn": True,
        "segment_id": "r1-0",
        "language": "en-GB",
        "id": final["id"],
    }


async def test_a_blocked_microphone_is_told(open_console: OpenConsole) -> None:
    page = await open_console(script=RECOGNISER)
    await page.get_by_role("button", name="Speak").click()
    await expect(page.get_by_role("button", name="Stop listening")).to_be_visible()
    await page.evaluate("recogniser.onerror({ error: 'not-allowed' })")
    await expect(page.locator("#mic-hint")).to_have_text("The microphone is blocked for this page.")
    await expect(page.get_by_role("button", name="Speak")).to_be_visible()


async def test_a_browser_without_speech_recognition_says_so(open_console: OpenConsole) -> None:
    page = await open_console(script="delete globalThis.webkitSpeechRecognition; delete globalThis.SpeechRecognition;")
    await expect(page.locator("#mic")).to_be_disabled()
    await expect(page.locator("#mic-hint")).to_contain_text("This browser has no speech recognition.")


# For everybody


AXE = Path(str(importlib.util.find_spec("axe_playwright_python").origin)).with_name("axe.min.js")  # type: ignore[union-attr]


RICH = """\
| a | b[^1] |
|---|--:|
| `1` | [2](https://example.org) |

<details open><summary>More</summary>

```json
{"a": 1, "b": null}
```

```diff
- old
+ new
```
</details>

$$\\frac{a}{b}$$

[^1]: A note.
"""


async def violations(page: Page, within: str = "html") -> list[str]:
    result = await page.evaluate("within => axe.run(within, { resultTypes: ['violations'], preload: false })", within)
    return [
        f"{each['id']} ({each['impact']}): {[node['html'] for node in each['nodes']]}" for each in result["violations"]
    ]


@pytest.mark.parametrize(("scheme", "viewport"), [("dark", PHONE), ("light", DESKTOP)], ids=["phone", "desktop"])
async def test_axe_finds_nothing(
    open_console: OpenConsole, dify: StandInDify, scheme: str, viewport: dict[str, int]
) -> None:
    # The page's own policy would keep axe out.
    page = await open_console(color_scheme=scheme, viewport=viewport, bypass_csp=True)
    await page.add_script_tag(path=AXE)
    assert await violations(page) == []
    dify.will(answer(RICH, sources=SOURCES), status(500))
    await say(page, "We sell pumps.")
    await say(page, "How long is the warranty?")
    await expect(page.locator(".card.answered mfrac")).to_be_visible()
    await say(page, "What does it cost?")
    await expect(page.locator(".card.failed")).to_be_visible()
    await control(page, "Pause")
    if viewport is PHONE:
        await page.locator("#more").click()
        assert await violations(page) == []
        await page.locator("#tab-heard").click()
    else:
        await page.locator("#provider summary").click()
    await page.locator("#legend summary").click()
    await page.locator("#tuning summary").click()
    await expect(page.locator("#tuning .value")).to_have_count(4)
    assert await violations(page) == []
    await page.locator("#toggle-frames").click()
    await page.locator("#frames summary").first.click()
    assert await violations(page, "#drawer") == []
    await page.keyboard.press("Escape")
    # Nothing else can be reached while one of these is open.
    await page.locator("#open-settings").click()
    assert await violations(page, "dialog[open]") == []
    await page.keyboard.press("Escape")
    await page.locator("#open-sessions").click()
    await page.get_by_role("button", name="Open: This session").click()
    assert await violations(page, "dialog[open]") == []


async def test_the_keyboard_is_enough(page: Page, dify: StandInDify) -> None:
    await expect(page.locator("#say")).to_be_focused()
    await page.keyboard.type("How long is the warranty?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".card.answered")).to_be_visible()
    reached = set()
    for _ in range(40):
        await page.keyboard.press("Tab")
        reached.add(await page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id"))
    assert {
        "Send",
        "Ask this",
        "mic",
        "Pause",
        "Cancel",
        "Ask now",
        "Reset",
        "Stop",
        "open-settings",
        "Copy",
    } <= reached


async def test_nothing_sticks_out_at_any_width(page: Page, dify: StandInDify) -> None:
    dify.will(answer("`" + "x" * 300 + "`\n\n| a | b |\n|---|---|\n| " + "y" * 200 + " | " + "z" * 200 + " |\n"))
    await say(page, "What is " + "w" * 200 + "?")
    await expect(page.locator(".card.answered td")).to_have_count(2)
    for width in (320, 390, 768, 1440):
        await page.set_viewport_size({"width": width, "height": 800})
        for selector in ("html", "#heard", "#answers", ".dock"):
            wide = await page.locator(selector).evaluate("element => element.scrollWidth - element.clientWidth")
            assert wide == 0, (selector, width)
