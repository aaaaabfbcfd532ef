"""What the console's frames cost in a talk of 300 statements and 30 questions: `python -m tests.benchmarks.frames`.

A real browser plays the talk to a real service, whose answers come from a stand-in. Wanted: nothing that
keeps a frame for more than 50 ms. What is measured is the time of the processor, which a busy machine hardly changes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, Page, expect

from tests.benchmarks.report import heading
from tests.console.conftest import launched
from tests.service import make_settings, serve
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer

STATEMENTS_A_QUESTION = 10
WANTED_MS = 50
STEP_MS = 100
PATIENCE_MS = 300_000
PARTS_OF_A_TASK = {"FunctionCall", "TimerFire", "Layout", "UpdateLayoutTree", "Paint", "v8.evaluateModule", "ParseHTML"}
CATEGORIES = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline.frame"]
PARTS = ["**Yes.** ", "It is kept for two years, ", "and longer if *somebody* asks.\n\n", "- one\n", "- two\n\n"]
REST = [
    "| item | price |\n|---|--:|\n",
    "| pump | 12 |\n",
    "| valve | 7 |\n\n",
    "```python\ndef price():\n    return 12\n```\n\n",
]


def talk(questions: int) -> bytes:
    """A recording: each sentence grows in two partials."""
    rows = []
    for number in range(questions * (STATEMENTS_A_QUESTION + 1)):
        asks = number % (STATEMENTS_A_QUESTION + 1) == STATEMENTS_A_QUESTION
        text = f"How long is the warranty of pump {number}?" if asks else f"We sell {number} pumps a year in the north."
        for part, share in ((0, 0.4), (1, 0.8), (2, 1)):
            cut = text[: round(len(text) * share)]
            rows.append({"at_ms": number * STEP_MS + part * 60, "text": cut, "is_final": share == 1})
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@dataclass(frozen=True)
class Task:
    """What the main thread did without a pause: the browser draws no frame before its end."""

    ms: float
    parts: Counter[str]


def tasks_of(trace: bytes) -> list[Task]:
    events = json.loads(trace)["traceEvents"]
    mains = Counter((each["pid"], each["tid"]) for each in events if each["name"] == "BeginMainThreadFrame")
    ((main, _),) = mains.most_common(1)
    tasks, end = [], 0
    for each in sorted(
        (each for each in events if (each["pid"], each["tid"]) == main), key=lambda each: int(each["ts"])
    ):
        spent = each.get("tdur", 0) / 1000
        if each["name"] == "ThreadControllerImpl::RunTask":
            tasks.append(Task(spent, Counter()))
            end = each["ts"] + each.get("dur", 0)
        elif each["name"] in PARTS_OF_A_TASK and each["ts"] < end:
            tasks[-1].parts[each["name"]] += spent
    return tasks


async def play(browser: Browser, page: Page, url: str, questions: int, *, with_drawer: bool) -> list[Task]:
    await page.goto(url)
    await expect(page.locator("body")).to_have_attribute("data-state", "open")
    if with_drawer:
        await page.locator("#toggle-frames").click()
    await page.locator("#recording").select_option("file")
    await browser.start_tracing(page=page, categories=CATEGORIES)
    file: Any = {"name": "talk.jsonl", "mimeType": "application/jsonl", "buffer": talk(questions)}
    await page.locator("#file").set_input_files(file)
    await expect(page.locator(".card")).to_have_count(questions, timeout=PATIENCE_MS)
    await expect(page.locator(".card.answered")).to_have_count(questions, timeout=PATIENCE_MS)
    return tasks_of(await browser.stop_tracing())


def tell(name: str, tasks: list[Task]) -> None:
    costs = sorted(task.ms for task in tasks)
    over = sum(cost > WANTED_MS for cost in costs)
    print(f"  {name}: {sum(costs) / 1000:.2f} s in all, the longest {costs[-1]:.1f} ms, {over} over {WANTED_MS} ms")
    for task in sorted(tasks, key=lambda task: -task.ms)[:3]:
        parts = ", ".join(f"{part} {ms:.1f}" for part, ms in task.parts.most_common(4))
        print(f"    {task.ms:.1f} ms: {parts}")


async def main(questions: int) -> None:
    text = [*PARTS, *REST] * 4
    heading(f"{questions} questions and {questions * STATEMENTS_A_QUESTION} statements, ten a second")
    async with StandInDify() as dify:
        settings = make_settings(
            dify_base_url=dify.base_url, dify_api_key=dify.api_key, queued_questions=50, messages_per_second=1000
        )
        async with serve(settings) as service:
            for name, with_drawer in (("as it opens", False), ("with its frames open", True)):
                dify.will(*(answer(*text) for _ in range(questions)))
                async with launched() as browser:  # one that has done nothing before
                    page = await browser.new_page(locale="en-US", viewport={"width": 1440, "height": 900})
                    tell(name, await play(browser, page, service.http_url, questions, with_drawer=with_drawer))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.frames", description=__doc__)
    parser.add_argument("--questions", type=int, default=30, help="with ten statements before each (default: 30)")
    asyncio.run(main(parser.parse_args().questions))
