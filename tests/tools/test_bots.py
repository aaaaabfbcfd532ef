"""Meeting bots that come to `python -m app listen --serve PORT`: with the key, and with nothing else."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.client import PATIENCE
from tests.conftest import Serve
from tests.forked import Fork, fork
from tests.service import ROOT
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer
from tests.standin.zoom import CLIENT, MEETING, SECRET, STREAM, TOKEN, StandInZoom, signed, webhook
from tests.tools.test_listen import QUESTION

pytestmark = [pytest.mark.slow, pytest.mark.no_cover]


@dataclass
class Listening:
    process: Fork
    port: int
    shown: bytes = b""

    async def until(self, words: str) -> None:
        async with asyncio.timeout(PATIENCE):
            self.shown += await self.process.stdout.readuntil(words.encode())

    async def end(self) -> tuple[int, str]:
        async with asyncio.timeout(PATIENCE):
            self.shown += await self.process.stdout.read()
            err = await self.process.stderr.read()
            return await self.process.wait(), err.decode()

    async def post(self, body: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            return await client.post(f"http://127.0.0.1:{self.port}/bot", content=body, headers=headers)


def listen(ear: str, port: int, url: str, key: str) -> AbstractAsyncContextManager[Fork]:
    arguments = ("listen", "--from", ear, "--serve", str(port), "--url", url)
    return fork("app", arguments, ROOT, {**os.environ, "RECOGNISER_KEY": key})


@asynccontextmanager
async def listening(ear: str, url: str, key: str) -> AsyncIterator[Listening]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    async with listen(ear, port, url, key) as process:
        listener = Listening(process, port)
        await listener.until("listening at port")
        yield listener


async def test_recall_is_let_in_with_the_key(start: Serve, dify: StandInDify) -> None:
    dify.will(answer("Press it."))
    words = [
        {"text": word, "start_timestamp": {"relative": 1}, "end_timestamp": {"relative": 2}}
        for word in QUESTION.split()
    ]
    told = {"event": "transcript.data", "data": {"data": {"words": words, "participant": {"id": 1, "name": "Anna"}}}}
    async with listening("recall", (await start()).ws_url, "s3cret") as bot:
        url = f"ws://127.0.0.1:{bot.port}/bot?key="
        with pytest.raises(InvalidStatus, match="403"):
            await connect(url, proxy=None)
        async with connect(url + "s3cret", proxy=None) as dialled:
            await dialled.send("no JSON")
            await dialled.send(json.dumps(told))
            await bot.until("= answered")
        bot.process.send_signal(signal.SIGINT)
        assert await bot.end() == (0, "")
    assert f"> Anna: {QUESTION}" in bot.shown.decode()
    assert "questions found     1" in bot.shown.decode()


ATTENDEE_KEY = base64.b64encode(b"of the project").decode()


def posted(trigger: str, **data: Any) -> tuple[str, str]:
    """A webhook of Attendee, and its signature."""
    message = {"trigger": trigger, "bot_id": "bot_1", "idempotency_key": "é", "data": data}
    canonical = json.dumps(message, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    signature = hmac.digest(b"of the project", canonical.encode(), "sha256")
    return json.dumps(message, indent=1), base64.b64encode(signature).decode()


async def test_attendee_posts_what_it_hears_until_its_bot_has_ended(start: Serve, dify: StandInDify) -> None:
    dify.will(answer("Press it."))
    said = {"speaker_name": "Anna", "speaker_uuid": "u", "timestamp_ms": 1, "transcription": {"transcript": QUESTION}}
    body, signature = posted("transcript.update", **said)
    async with listening("attendee", (await start()).ws_url, ATTENDEE_KEY) as bot:
        for wrong in ("", "AAAA", signature[:-4] + "AAA="):
            assert (await bot.post(body, **{"X-Webhook-Signature": wrong})).status_code == 401
        assert (await bot.post("no JSON", **{"X-Webhook-Signature": signature})).status_code == 400
        assert (await bot.post("x" * 1_000_001)).status_code == 400
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{bot.port}/")).status_code == 405
        for _ in range(2):  # what had no reply in time is posted again
            assert (await bot.post(body, **{"X-Webhook-Signature": signature})).status_code == 200
        await bot.until("= answered")
        body, signature = posted("bot.state_change", new_state="ended")
        assert (await bot.post(body, **{"X-Webhook-Signature": signature})).status_code == 200
        assert await bot.end() == (0, "")
    assert f"> Anna: {QUESTION}" in bot.shown.decode()
    assert len(dify.requests) == 1


@pytest.mark.parametrize("drops", [0, 1])
async def test_zoom_tells_of_a_meeting_and_its_streams_are_heard_until_it_stops(
    start: Serve, dify: StandInDify, drops: int
) -> None:
    dify.will(answer("Press it."))
    told = {"msg_type": 17, "content": {"user_id": 7, "user_name": "Anna", "timestamp": 1, "data": QUESTION}}
    zoom = StandInZoom([told])
    zoom.drops = drops
    async with (
        zoom.served(),
        listening("zoom", (await start()).ws_url, f"{CLIENT}:{SECRET}:{TOKEN}") as bot,
    ):
        asked = await bot.post(
            '{"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}}'
        )
        plain = "qgg8vlvZRS6UYooatFL8Aw"
        assert asked.json() == {"plainToken": plain, "encryptedToken": signed(TOKEN, plain)}
        # Nobody gets a webhook signed by asking for it so.
        forged = {"event": "endpoint.url_validation", "payload": {"plainToken": 'v0:1:{"event": "x"}'}}
        odd: list[Any] = [forged, [], "", 1, None, {"event": {}, "payload": {}}, {**forged, "payload": "x"}]
        for bad in odd:
            assert (await bot.post(json.dumps(bad))).status_code in {400, 401}
        meeting: dict[str, Any] = {"meeting_uuid": MEETING, "rtms_stream_id": STREAM, "server_urls": zoom.url}
        for headers, body in [
            ({}, webhook("meeting.rtms_started", **meeting)[1]),
            webhook("meeting.rtms_started", at=1, **meeting),
        ]:
            assert (await bot.post(body, **headers)).status_code == 401
        headers, body = webhook("meeting.rtms_started", **meeting)
        for _ in range(2):
            assert (await bot.post(body, **headers)).status_code == 200
        await bot.until("= answered")
        headers, body = webhook("meeting.rtms_stopped", meeting_uuid=MEETING, rtms_stream_id=STREAM)
        assert (await bot.post(body, **headers)).status_code == 200
        assert await bot.end() == (0, "")
    assert f"> Anna: {QUESTION}" in bot.shown.decode()
    assert [wanted["media_type"] for wanted in zoom.wanted] == [8] * (1 + drops)


async def test_what_zoom_refuses_is_told(start: Serve) -> None:
    async with (
        StandInZoom([], status=2).served() as zoom,
        listening("zoom", (await start()).ws_url, f"{CLIENT}:{SECRET}:{TOKEN}") as bot,
    ):
        meeting: dict[str, Any] = {"meeting_uuid": MEETING, "rtms_stream_id": STREAM, "server_urls": zoom.url}
        headers, body = webhook("meeting.rtms_started", **meeting)
        assert (await bot.post(body, **headers)).status_code == 200
        assert await bot.end() == (4, "listen: Zoom refuses: not for you (2)\n")


async def test_a_port_that_is_taken_and_a_secret_that_is_none_are_told(start: Serve) -> None:
    url = (await start()).ws_url
    async with listening("attendee", url, ATTENDEE_KEY) as bot:
        for key, told in [
            (ATTENDEE_KEY, f"listen: cannot listen on port {bot.port}: "),
            ("#", "listen: RECOGNISER_KEY "),
        ]:
            async with listen("attendee", bot.port, url, key) as process, asyncio.timeout(PATIENCE):
                err = await process.stderr.read()
                assert await process.wait() == 3
            assert err.decode().startswith(told)
