"""What the console shows beyond an answer: where its time went, how to ask it elsewhere, in which colours, on paper."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.console.conftest import OpenConsole, OpenPage, control, play_frames, say, seen
from tests.service import Service
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, wait

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.no_cover, pytest.mark.slow]

LONG = [f"Paragraph {i}.\n\n" for i in range(80)]
TIMES = [(100, 400), (300, 600), (200, 1000), (None, 30_000)]


def answered(tell: Any, times: list[tuple[int | None, int]]) -> None:
    for at, (first, total) in enumerate(times):
        about = {"query_id": f"q{at}", "question": f"Question {at}?"}
        verdict = {"is_question": True, "confidence": 0.97, "reason": "question_mark", "wait_ms": 0, "language": "en"}
        tell("status", stage="analyzing", verdict=verdict, **about, **({"repeats": "q0"} if at == 1 else {}))
        tell("status", stage="querying_rag", **about)
        timing = {"wait_ms": 0, "first_text_ms": first, "total_ms": total}
        told: dict[str, Any] = {
            "content": "Yes." if first else "",
            "final": True,
            "sources": [],
            "usage": None,
            "timing": timing,
        }
        tell("answer", query_id=f"q{at}", stream_index=0, **told)
        tell("status", stage="idle", reason="answered", query_id=f"q{at}")


async def test_an_answer_can_be_rated_with_a_word(page: Page, dify: StandInDify) -> None:
    await say(page, "How long is the warranty?")
    card = page.locator(".card")
    await expect(card.locator(".answer")).to_have_text("Stand-in answer.")

    async def told(number: int) -> tuple[Any, Any]:
        await dify.until(lambda: len(dify.feedback) == number, "a rating")
        return dify.feedback[-1]["rating"], dify.feedback[-1]["content"]

    good = card.get_by_role("button", name="A good answer", exact=True)
    await good.click()
    await expect(good).to_have_attribute("aria-pressed", "true")
    assert await told(1) == ("like", "")
    word = card.get_by_label("A word about it")
    await word.fill("Just what I needed.")
    await word.press("Enter")
    await expect(word).to_be_hidden()
    assert await told(2) == ("like", "Just what I needed.")
    bad = card.get_by_role("button", name="Not a good answer")
    await bad.click()
    await expect(good).to_have_attribute("aria-pressed", "false")
    assert await told(3) == ("dislike", "")
    await bad.click()
    assert await told(4) == (None, "")


async def test_where_the_time_went_is_shown_to_scale_and_over_the_session(
    service: Service, open_page: OpenPage
) -> None:
    page = (await open_page(service.http_url, socket=play_frames(lambda tell: answered(tell, TIMES)))).page
    first = page.locator(".card").first
    steps = ["heard", "recognised", "waited", "asked", "first text", "done"]
    await expect(first.locator(".step")).to_have_text(steps)
    await expect(first.locator(".at").nth(4)).to_have_text("100 ms")
    await expect(first.locator(".at").nth(5)).to_have_text("300 ms")
    widths = await first.locator(".scale i").evaluate_all(
        "parts => parts.map(part => part.getBoundingClientRect().width)"
    )
    assert widths[4] == pytest.approx(3 * widths[3], rel=0.05)
    rows = page.locator("#pace-rows tr")
    await expect(rows).to_have_text(["first text200 ms300 ms", "in all600 ms30 s"])
    await expect(page.locator("#pace-bars .total")).to_have_count(4)
    # A question that was asked before leads to its first answer.
    await page.get_by_role("link", name="asked before").click()
    await expect(page.locator(".card:target h3")).to_have_text("Question 0?")


async def test_the_session_before_stays_to_be_compared(page: Page) -> None:
    await say(page, "How long is the warranty?")
    await expect(page.locator("#pace-rows td")).to_have_count(4)
    await expect(page.locator("#pace .former").first).to_be_hidden()
    former = await page.locator("#pace-rows td").all_text_contents()
    await control(page, "Reset")
    await expect(page.locator("#pace .former").first).to_be_visible()
    shown = await page.locator("#pace-rows td").all_text_contents()
    assert [*shown[2:4], *shown[6:8]] == former


async def test_code_and_questions_can_be_copied_and_run(open_console: OpenConsole, dify: StandInDify) -> None:
    page = await open_console(permissions=["clipboard-read", "clipboard-write"])
    dify.will(answer("Do this:\n\n```sh\nmake run\n```\n"), answer("Two years.", " And a day."))
    await say(page, 'What is "make run"?')
    await page.get_by_role("button", name="Copy the code").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "make run\n"
    await expect(page.locator(".answer")).to_have_text("Do this: make run")
    async with seen(page, "button", "Copied"):
        await page.get_by_role("button", name="Copy as Python").click()
    program = await page.evaluate("navigator.clipboard.readText()")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    written, _ = await process.communicate()
    assert written.decode() == "Two years. And a day."
    assert dify.requests[-1].body["query"] == 'What is "make run"?'


RICH = """\
It holds[^1] and [^x-z] stays. It costs $5 to $10, and \\[3\\] is a source.

| item | price |
|:-----|------:|
| pump | 1 200 |

<details><summary>How **much**?</summary>

A *lot*, <b onclick="hacked=1">really</b>.

- one
- two

</details>

```python
def price(item: str) -> int:  # </code>
    return 12
```

```nolanguage
plain
```

4. four

By $E = mc^2$ and \\(x\\) we get

$$
\\frac{1}{2} \\sum_{i=1}^n i
$$

$$\\href{javascript:hacked=1}{x} \\nothing$$

[^1]: A note, with a [link](https://example.org/).
"""


async def test_a_long_answer_is_made_bit_by_bit(page: Page, dify: StandInDify) -> None:
    dify.will(answer("".join(f"Paragraph {n}.\n\n" for n in range(1000))))
    await page.evaluate("""() => {
      window.seen = new Set();
      (function look() {
        seen.add(document.querySelectorAll(".answer > p").length);
        requestAnimationFrame(look);
      })();
    }""")
    await say(page, "How long is the warranty?")
    await expect(page.locator(".answer > p")).to_have_count(1000)
    await expect(page.locator(".answer > p").last).to_have_text("Paragraph 999.")
    await expect(page.locator("#announce")).to_contain_text("Answer: Paragraph 0.")
    assert len(await page.evaluate("[...seen]")) > 2, "all of it at once"


async def test_a_long_list_is_one_list_of_which_only_the_end_is_made_anew(page: Page, dify: StandInDify) -> None:
    more = asyncio.Event()
    items = [f"{n}. item {n}\n" for n in range(3, 1003)]
    dify.will(answer("".join(items[:250]), wait(more), "".join(items[250:]), "\nThe end."))
    await say(page, "How long is the warranty?")
    shown = page.locator(".answer")
    await expect(shown.locator("li")).to_have_count(250)
    await shown.locator("li").nth(150).evaluate("item => item.same = true")
    more.set()
    await expect(shown.locator("p")).to_have_text("The end.")
    await expect(shown.locator("li").nth(150)).to_have_js_property("same", value=True)
    await expect(shown.locator("ol")).to_have_count(1)
    await expect(shown.locator("ol")).to_have_attribute("start", "3")
    await expect(shown.locator("li")).to_have_text([f"item {n}" for n in range(3, 1003)])


async def test_details_stay_as_a_reader_has_left_them_while_the_answer_grows(page: Page, dify: StandInDify) -> None:
    more, end = asyncio.Event(), asyncio.Event()
    first = "<details><summary>How?</summary>\n\nOne.\n\n"
    dify.will(
        answer(first, wait(more), "Two.\n\n", wait(end), "</details>\n\n<details open><summary>B</summary>C</details>")
    )
    await say(page, "How long is the warranty?")
    details = page.locator(".answer details")
    await details.locator("summary").press("Enter")
    await expect(details).to_have_attribute("open", "")
    more.set()
    await expect(details.get_by_text("Two.")).to_be_visible()
    await expect(details.locator("summary")).to_be_focused()
    end.set()
    await expect(page.locator(".card.answered")).to_be_visible()
    await expect(details.first.get_by_text("One.")).to_be_visible()
    await expect(details.last.get_by_text("C")).to_be_visible()


async def test_details_notes_tables_colours_and_formulas(page: Page, dify: StandInDify) -> None:
    dify.will(answer(*(RICH[i : i + 9] for i in range(0, len(RICH), 9))))
    await say(page, "What does it cost?")
    shown = page.locator(".card.answered .answer")
    await expect(shown.locator("math")).to_have_count(3)
    await expect(shown).to_contain_text("[^x-z] stays. It costs $5 to $10, and [3] is a source.")
    await expect(shown.locator("td").nth(1)).to_have_css("text-align", "end")
    await expect(shown.locator("ol")).to_have_attribute("start", "4")
    details = shown.locator("details")
    await expect(details.locator("summary strong")).to_have_text("much")
    await expect(details.locator("li").first).to_be_hidden()
    await details.locator("summary").click()
    await expect(details.locator("li").first).to_be_visible()
    await expect(details).to_contain_text('<b onclick="hacked=1">really')
    await expect(shown.locator(".hljs-keyword").first).to_have_text("def")
    await expect(shown.locator("pre").first).to_have_text("def price(item: str) -> int:  # </code>\n    return 12")
    await expect(shown.locator("pre").last.locator("span")).to_have_count(0)
    await expect(shown.locator("mfrac")).to_be_visible()
    # What is no formula stays what was written.
    await expect(shown.locator("code.math")).to_have_text(r"\href{javascript:hacked=1}{x} \nothing")
    await shown.get_by_role("link", name="1", exact=True).first.click()
    await expect(page.locator(".footnote:target")).to_contain_text("A note, with a link.")
    await page.locator(".footnote sup a").click()
    await expect(page.locator(".reference:target")).to_have_text("1")
    assert await page.evaluate("'hacked' in window") is False


async def test_what_is_marked_ends_where_a_growing_answer_does(page: Page, dify: StandInDify) -> None:
    go_on = asyncio.Event()

    async def wait_for_it(exchange: Any) -> None:
        await go_on.wait()

    dify.will(answer("First.\n\nIt is **very", wait_for_it, " good** and `new`."))
    await say(page, "How good is it?")
    await expect(page.locator(".card.running .answer strong")).to_have_text("very")
    go_on.set()
    await expect(page.locator(".card.answered .answer")).to_have_text("First. It is very good and new.")


async def test_the_colours_are_the_reader_s_choice(open_console: OpenConsole) -> None:
    page = await open_console(color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(background)
    await page.locator("#open-settings").click()
    await page.get_by_label("Colours").select_option("dark")
    dark = await page.evaluate(background)
    assert dark != light
    await page.reload()
    assert await page.evaluate(background) == dark
    await expect(page.locator("#theme")).to_have_value("dark")
    await page.locator("#open-settings").click()
    await page.get_by_label("Colours").select_option("")
    assert await page.evaluate(background) == light


async def test_on_paper_the_whole_talk_is_there(open_console: OpenConsole, dify: StandInDify) -> None:
    page = await open_console(viewport={"width": 390, "height": 500})
    dify.will(answer(*LONG))
    await say(page, "We sell pumps.")
    await say(page, "What do you say?")
    await expect(page.locator(".card.answered")).to_be_visible()
    await page.emulate_media(media="print")
    for selector in ("#heard", "#answers", "body"):
        await expect(page.locator(selector)).to_be_visible()
        hidden = await page.locator(selector).evaluate("element => element.scrollHeight - element.clientHeight")
        assert hidden <= 1, selector
    await expect(page.locator(".line").first).to_be_visible()
    await expect(page.locator(".dock")).to_be_hidden()
    await expect(page.get_by_role("button")).to_have_count(0)


async def test_the_page_is_small_and_the_rest_comes_when_it_is_needed(page: Page, dify: StandInDify) -> None:
    async def loaded() -> dict[str, int]:
        entries: list[tuple[str, int]] = await page.evaluate(
            "performance.getEntries().map(entry => [entry.name, entry.decodedBodySize ?? 0])"
        )
        return dict(entries)

    cold = await loaded()
    assert 100_000 < sum(cold.values()) <= 200_000
    assert not [name for name in cold if "/vendor/" in name]
    dify.will(answer("**Two** years."))
    await say(page, "How long is the warranty?")
    await expect(page.locator(".answer strong")).to_have_text("Two")
    assert sum((await loaded()).values()) <= 290_000


async def test_code_of_one_endless_line_has_no_colours_and_no_formula_covers_the_page(
    page: Page, dify: StandInDify
) -> None:
    formulas = r"$$\rule{9999em}{9999em} x^2$$" + "\n\n" + r"$\rule{99999pt}{99999pt}^2$ \(\raisebox{999em}{x}^2\)"
    dify.will(answer("```ini\n" + "aA" * 4_500 + "\n```\n\n```ini\na = 1\n```\n\n" + formulas))
    await say(page, "What do you say?")
    shown = page.locator(".card.answered .answer")
    await expect(shown.locator("math")).to_have_count(3)
    await expect(shown.locator("pre").last.locator("span")).not_to_have_count(0)
    await expect(shown.locator("pre").first.locator("span")).to_have_count(0)
    assert await shown.evaluate("answer => answer.scrollHeight") < 5_000
