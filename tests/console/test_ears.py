"""The console takes a microphone to a recogniser of one's own: sound, a recogniser's protocol, the real service."""

from __future__ import annotations

import asyncio
import itertools
import json
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, expect

from app.tools.listen.ears import EARS, Wishes
from tests.client import PATIENCE
from tests.conftest import Serve
from tests.console.conftest import PATIENT, RECOGNISER, USUAL, Watched, card, needed, seen
from tests.service import free_port
from tests.standin.dify import StandInDify
from tests.standin.recognisers import Manners, recogniser
from tests.standin.scripts import answer
from tests.tools.test_listen import MANNERS, QUESTION, VOSK, tone, write_wave

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.no_cover, pytest.mark.slow]

CLOSE_1013 = b"\x88\x02" + (1013).to_bytes(2)
"""The frame alone: the TCP connection stays."""
HERTZ = 440
PIECE = 3_200


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """One whose microphones hear a tone."""
    sound = write_wave(tmp_path_factory.mktemp("sound") / "tone.wav", tone(5, 48_000, HERTZ), 48_000)
    options = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={sound}",
    ]
    async with needed(*options) as browser:
        yield browser


OpenConsole = Callable[..., Any]


@pytest_asyncio.fixture(loop_scope="session")
async def console(browser: Browser, start: Serve) -> AsyncIterator[OpenConsole]:
    async with AsyncExitStack() as stack:
        opened: list[Watched] = []

        async def console(
            url: str | None, kind: str = "vosk", *, script: str = RECOGNISER, expected: str | tuple[str, ...] = ()
        ) -> Page:
            service = await start(ears_url=url, ears_kind=kind, **PATIENT)
            context = await browser.new_context(**USUAL, permissions=["microphone"])
            stack.push_async_callback(context.close)
            watched = Watched(await context.new_page(), expected=expected)
            watched.watch()
            watched.page.set_default_timeout(PATIENCE * 1000)
            await watched.page.add_init_script(script)
            opened.append(watched)
            await watched.page.goto(service.http_url)
            await expect(watched.page.locator("body")).to_have_attribute("data-state", "open")
            return watched.page

        yield console
        assert [watched.errors for watched in opened] == [[]] * len(opened)


@pytest.mark.parametrize("kind", ["vosk", "funasr", "whisperlive", "whisperlivekit", "sherpa-onnx"])
async def test_a_spoken_question_is_heard_by_a_recogniser_of_ones_own_and_answered(
    kind: str, console: OpenConsole, dify: StandInDify
) -> None:
    dify.will(answer("Press it."))
    async with recogniser(MANNERS[kind]) as server:
        page = await console(server.url, kind)
        await page.locator("#mic").click()
        await expect(page.locator("#mic-hint")).to_have_text(f"Speech is recognised by {server.url[5:]}.")
        await expect(page.locator("#mic")).to_have_attribute("aria-pressed", "true")
        await expect(page.locator(".line.partial")).to_have_count(1)
        await server.until(lambda: len(server.calls[0].sound) >= 5)
        # A quarter of the loudest, and a sine: 15 dB below it.
        assert await page.locator("#level").evaluate("meter => meter.value") == pytest.approx(0.75, abs=0.02)
        await page.locator("#mic").click()
        await expect(page.locator("#mic")).to_have_attribute("aria-pressed", "false")
        await expect(page.locator("#level")).to_be_hidden()
        asked = "how do i pause?" if kind == "sherpa-onnx" else QUESTION
        await expect(card(page, asked).locator(".answer")).to_have_text("Press it.")
    (call,) = server.calls
    ear = EARS[kind]
    assert [message | {"uid": None} for message in call.opening] == opening(kind)
    assert call.closing == ear.closing(len(call.sound))
    # 100 ms each, as `listen` sends them.
    wrapped = ear.wrap(bytes(PIECE))
    assert {(type(piece), len(piece)) for piece in call.sound} == {(type(wrapped), len(wrapped))}
    assert_tone(call.sound[1:5], "f" if kind in {"whisperlive", "sherpa-onnx"} else "h")


def opening(kind: str) -> list[Any]:
    """What `listen` says first, but for what is new each time."""
    wishes = Wishes(language="en" if kind == "whisperlive" else None)
    return [json.loads(frame) | {"uid": None} for frame in EARS[kind].opening(wishes)]


def assert_tone(pieces: list[Any], form: str) -> None:
    """It is as loud as it was, and as high, which it is at the right rate only."""
    samples: Any = array(form, b"".join(pieces))
    loudest = 1 if form == "f" else 32_768
    assert max(samples) / loudest == pytest.approx(8_000 / 32_768, rel=0.1)
    crossed = [at for at, (one, other) in enumerate(itertools.pairwise(samples)) if (one < 0) != (other < 0)]
    # Most of them: where the machine is busy, the browser's own microphone has gaps.
    apart = median(after - before for before, after in itertools.pairwise(crossed))
    assert apart == pytest.approx(16_000 / (2 * HERTZ), rel=0.02)


async def test_a_browser_that_makes_no_samples_of_this_rate_is_helped(console: OpenConsole) -> None:
    only_its_own = """
    const Context = AudioContext;
    globalThis.AudioContext = class extends Context {
      constructor(options = {}) {
        if (options.sampleRate) throw new DOMException("", "NotSupportedError");
        super({ ...options, sampleRate: 44_100 });
      }
    };
    """
    async with recogniser(VOSK) as server:
        page = await console(server.url, script=only_its_own)
        await page.locator("#mic").click()
        await server.until(lambda: bool(server.calls) and len(server.calls[0].sound) >= 5)
        await page.locator("#mic").click()
        await expect(card(page, QUESTION)).to_be_visible()
    assert_tone(server.calls[0].sound[1:5], "h")


async def test_a_lost_recogniser_is_called_again_and_hears_again_what_had_no_final(
    console: OpenConsole, dify: StandInDify
) -> None:
    dify.will(answer("Press it."))
    async with recogniser(VOSK) as server:
        server.drops = 1
        page = await console(server.url, expected="WebSocket connection")
        await page.locator("#mic").click()
        await server.until(lambda: len(server.calls) == 2 and len(server.calls[1].sound) >= 3)
        first, second = (call.sound for call in server.calls)
        assert second[: len(first)] == first
        await page.locator("#mic").click()
        await expect(page.locator(".card.answered")).to_have_count(1)
        await expect(card(page, QUESTION).locator(".answer")).to_have_text("Press it.")


async def test_a_recogniser_that_is_not_there_is_said_to_be_tried_again(console: OpenConsole) -> None:
    host = f"127.0.0.1:{free_port()}"
    page = await console(f"ws://{host}", expected="WebSocket connection")
    async with AsyncExitStack() as stack:
        for seconds in ("0.5", "1", "2"):
            hint = f"The recogniser {host} is not there. Next try in {seconds} s."
            await stack.enter_async_context(seen(page, "#mic-hint.important", hint))
        await page.locator("#mic").click()
    await page.locator("#mic").click()
    await expect(page.locator("#mic-hint:not(.important)")).to_have_text(f"Speech is recognised by {host}.")


@pytest.mark.parametrize(
    ("manners", "told"),
    [
        (replace(VOSK, says=[], closing_code=4001), "no credits (4001)"),
        (
            replace(MANNERS["whisperlive"], says=[{"status": "ERROR", "message": "no model"}], closing_code=1011),
            "no model",
        ),
    ],
    ids=["as it closes", "before it closes"],
)
async def test_what_a_recogniser_says_when_it_refuses_is_shown(
    console: OpenConsole, manners: Manners, told: str
) -> None:
    kind = "vosk" if manners.says == [] else "whisperlive"
    async with recogniser(manners) as server:
        page = await console(server.url, kind)
        await page.locator("#mic").click()
        hint = f"The recogniser {server.url[5:]} says: {told}. Next try in"
        await expect(page.locator("#mic-hint.important")).to_contain_text(hint)
        await page.locator("#mic").click()


async def test_a_microphone_is_switched_off_while_its_recogniser_closes(console: OpenConsole) -> None:
    is_closing, is_off = asyncio.Event(), asyncio.Event()

    async def close_slowly(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoclose=False)
        await socket.prepare(request)
        assert request.transport is not None
        request.transport.write(CLOSE_1013)
        while (await socket.receive()).type is not WSMsgType.CLOSE:
            pass
        is_closing.set()
        await is_off.wait()
        request.transport.abort()
        return socket

    app = web.Application()
    app.router.add_get("/", close_slowly)
    async with TestServer(app) as server:
        page = await console(f"ws://{server.host}:{server.port}/")
        await page.locator("#mic").click()
        async with asyncio.timeout(PATIENCE):
            await is_closing.wait()
        await page.locator("#mic").click()
        await expect(page.locator("#mic")).to_have_attribute("aria-pressed", "false")
        is_off.set()


async def test_a_complaint_beside_the_words_is_shown(console: OpenConsole, dify: StandInDify) -> None:
    dify.will(answer("Press it."))
    async with recogniser(replace(VOSK, says=[{"type": "Error", "description": "too fast"}])) as server:
        page = await console(server.url)
        await page.locator("#mic").click()
        hint = f"The recogniser {server.url[5:]} says: too fast"
        await expect(page.locator("#mic-hint.important")).to_have_text(hint)
        await page.locator("#mic").click()
        await expect(card(page, QUESTION)).to_be_visible()


async def test_the_address_says_at_once_what_forbids_it(console: OpenConsole) -> None:
    async with recogniser(VOSK) as server:
        host = server.url.removeprefix("ws://")
        page = await console(f"{server.url}/ears")
        await page.locator("#open-settings").click()
        field, problem = page.get_by_label("Address of the recogniser"), page.locator("#ears-problem")
        await expect(page.get_by_label("Who hears you")).to_have_value("vosk")
        await expect(field).to_have_value(f"{server.url}/ears")
        forbidden = "This page may not connect to ears.example:2700, only to its own host and to the one in EARS_URL."
        for text, told in {
            "ws://ears.example:2700": forbidden,
            "127.0.0.1:2700": "An address begins with ws:// or wss:// or, on this host, with /",
            f"ws://me:secret@{host}": "An address begins with ws:// or wss:// or, on this host, with /",
            "/ears": "",
            f"{server.url}/other": "",
            "ws://ears.example:2700/": forbidden,
        }.items():
            await field.fill(text)
            await expect(problem).to_have_text(told)
        await field.blur()
        await expect(page.locator("#mic")).to_be_disabled()
        await expect(page.locator("#mic-hint.important")).to_have_text(forbidden)
        # What the policy forbids is not kept; what it allows is.
        for text, kept in {
            "ws://ears.example:2700/": f"{server.url}/ears",
            f"{server.url}/other": f"{server.url}/other",
        }.items():
            await field.fill(text)
            await field.blur()
            await page.reload()
            await expect(field).to_have_value(kept)
            await page.locator("#open-settings").click()
        await page.get_by_role("button", name="Close", exact=True).click()
        await page.locator("#mic").click()
        await server.until(lambda: bool(server.calls) and bool(server.calls[0].sound))
        assert server.calls[0].path == "/other"
        await page.locator("#open-settings").click()
        # Whoever chooses the browser's recogniser does not go on with the other one.
        await page.get_by_label("Who hears you").select_option("")
        await expect(page.locator("#mic")).to_have_attribute("aria-pressed", "false")
        await expect(page.locator("#mic-hint")).to_contain_text("by your browser")
        await expect(page.locator("#level")).to_be_hidden()
        await expect(field).to_be_hidden()
        await server.until(lambda: bool(server.calls[0].closing))


async def test_a_microphone_can_be_chosen_and_may_go_away(console: OpenConsole) -> None:
    watch = """
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    globalThis.asked = [];
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      asked.push(wanted.audio.deviceId);
      return (globalThis.stream = await ask(wanted));
    };
    """
    async with recogniser(VOSK) as server:
        page = await console(server.url, script=watch)
        await page.locator("#mic").click()
        await page.locator("#open-settings").click()
        chooser = page.locator("#ears-device")
        await expect(chooser).to_be_visible()
        name = await chooser.locator("option").last.get_attribute("value")
        await chooser.select_option(name)
        await expect(page.locator("#mic")).to_have_attribute("aria-pressed", "false")
        await page.get_by_role("button", name="Close", exact=True).click()
        await page.locator("#mic").click()
        await server.until(lambda: len(server.calls) == 2 and bool(server.calls[1].sound))
        assert (await page.evaluate("asked"))[1] == name
        await page.evaluate("stream.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
        await expect(page.locator("#mic-hint.important")).to_have_text("There is no microphone.")
        await expect(page.locator("#mic")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ("NotAllowedError", "The microphone is blocked for this page."),
        ("NotFoundError", "There is no microphone."),
    ],
)
async def test_a_microphone_that_cannot_be_had_is_said(console: OpenConsole, problem: str, told: str) -> None:
    refuse = f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{problem}'));"
    page = await console("ws://127.0.0.1:9", script=refuse)
    await page.locator("#mic").click()
    await expect(page.locator("#mic-hint.important")).to_have_text(told)
    await expect(page.locator("#mic")).to_have_attribute("aria-pressed", "false")


async def test_who_has_only_a_recogniser_of_the_browser_or_none_is_told(console: OpenConsole) -> None:
    page = await console(None, script="delete globalThis.SpeechRecognition; delete globalThis.webkitSpeechRecognition;")
    await expect(page.locator("#mic")).to_be_disabled()
    await page.locator("#open-settings").click()
    await page.get_by_label("Who hears you").select_option("Vosk")
    await page.get_by_label("Address of the recogniser").fill("/ears")
    await page.get_by_label("Address of the recogniser").blur()
    await expect(page.locator("#mic")).to_be_enabled()
