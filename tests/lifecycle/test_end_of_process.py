"""How a process ends under load: by a signal no answer is lost; by `kill -9` nothing is promised that is gone."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.lifecycle.signals import REPEAT_SECONDS
from tests.client import Client
from tests.lifecycle.test_process import PATIENCE, Process, forked, started
from tests.rules import text_of
from tests.scrape import scrape
from tests.service import Service, browse
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, hang, wait

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]  # what it tries is no part of this process

APP = ("app",)
UVICORN = ("uvicorn", "app.main:app", "--port", "0")
UVICORN_WORKERS = (*UVICORN, "--workers", "2")
WORKERS = ("app", "serve")  # with the setting of this name

every_entry = pytest.mark.parametrize("command", [APP, UVICORN, WORKERS], ids=["app", "uvicorn", "workers"])
several_workers = pytest.mark.parametrize("command", [WORKERS, UVICORN_WORKERS], ids=["app", "uvicorn"])

CLIENTS = 20


class Running:
    """A service in a process of its own, and the clients in it."""

    def __init__(self, process: Process, workers: int, service: Service, clients: AsyncExitStack) -> None:
        self.process = process
        self._workers = workers
        self.service = service
        self._clients = clients

    async def connect(self) -> Client:
        client: Client = await self._clients.enter_async_context(self.service.connect(max_queue=1))
        return client

    async def asking(self, text: str = "What is RAG?") -> Client:
        """A client whose answer has begun."""
        client = await self.connect()
        await client.say(text)
        await client.until(content="One")
        return client

    def signal(self, number: signal.Signals) -> None:
        self.process.process.send_signal(number)

    async def drains(self) -> None:
        """Wait until every worker does."""
        for _ in range(self._workers):
            await self.process.read_until('"draining ')

    async def exit_status(self) -> int:
        return await self.process.rest()

    @property
    def log(self) -> str:
        return "".join(self.process.lines)

    def workers(self) -> list[int]:
        """Their process ids."""
        found = re.findall(r"Started server process \[(\d+)\]", self.log)
        assert len(found) == self._workers
        return [int(number) for number in found]


async def answered(http: httpx.AsyncClient, url: str) -> httpx.Response:
    """Ask until there is an answer: a worker may begin or, without clients, end just as it is asked."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(httpx.TransportError):
                return await http.get(url)


@asynccontextmanager
async def running(
    command: tuple[str, ...], dify: StandInDify, tmp_path: Path, is_whole: bool = False, /, **more: str
) -> AsyncIterator[Running]:
    settings = {"PORT": "0", "DIFY_API_KEY": dify.api_key, "DIFY_BASE_URL": dify.base_url, **more}
    if command == WORKERS:
        settings["WORKERS"] = "2"
    start = partial(started, "-m") if is_whole else forked
    async with start(*command, cwd=tmp_path, **settings) as process, AsyncExitStack() as clients:
        line = await process.read_until("Uvicorn running" if command[0] == "uvicorn" else "Connect to")
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found is not None
        workers = 2 if command in {WORKERS, UVICORN_WORKERS} else 1
        if workers > 1:  # only they serve
            for _ in range(workers):
                await process.read_until("Application startup complete")
        service = Service(int(found[1]))
        async with browse() as http:  # workers have started before they listen
            await answered(http, f"{service.http_url}/health")
        yield Running(process, workers, service, clients)


async def close_of(client: Client) -> tuple[str, str | None, int | None]:
    """The last frame's stage and reason, and the close code."""
    code = await client.close_code()
    return client.frames[-1]["stage"], client.frames[-1].get("reason"), code


GOODBYE = ("closed", "draining", 1012)


@pytest.mark.parametrize(
    ("command", "number"),
    [
        *((command, number) for command in (APP, UVICORN, WORKERS) for number in (signal.SIGTERM, signal.SIGINT)),
        (UVICORN_WORKERS, signal.SIGTERM),
    ],
)
async def test_no_running_answer_is_lost(
    dify: StandInDify, tmp_path: Path, command: tuple[str, ...], number: signal.Signals
) -> None:
    go = asyncio.Event()
    dify.default = answer("One", wait(go), " two.")
    is_whole = (command, number) == (WORKERS, signal.SIGTERM)  # once its workers are started as users start them
    async with running(command, dify, tmp_path, is_whole, DRAIN_SECONDS="60") as process:
        idle = await process.connect()
        clients = await asyncio.gather(*(process.asking() for _ in range(CLIENTS)))
        process.signal(number)
        await process.drains()
        assert await close_of(idle) == GOODBYE
        await clients[0].say("And what else is there?", id="late")
        refusal = (await clients[0].until(type="error"))[-1]
        assert (refusal["code"], refusal["retryable"]) == ("DRAINING", True)
        await nobody_is_let_in(process.service)
        go.set()
        for client in clients:
            assert await close_of(client) == GOODBYE
            assert text_of(client.frames) == "One two."
            assert set(client.rules.states.values()) == {"ended"}
            assert [frame["reason"] for frame in client.frames if frame.get("stage") == "idle"] == ["answered"]
        assert await process.exit_status() == 0
    assert dify.hang_ups == 0
    assert dify.stops == []
    assert "Traceback" not in process.log


async def nobody_is_let_in(service: Service) -> None:
    async with browse() as http:
        ready = await answered(http, f"{service.http_url}/health/ready")
        assert (ready.status_code, ready.json()["reason"]) == (503, "draining")
        assert (await answered(http, f"{service.http_url}/health")).status_code == 200
    with pytest.raises(InvalidStatus) as refused:
        await connect(service.ws_url, proxy=None)
    assert refused.value.response.status_code == 503
    assert int(refused.value.response.headers["Retry-After"]) > 0


@every_entry
async def test_what_takes_longer_than_it_may_is_interrupted_and_told_so(
    dify: StandInDify, tmp_path: Path, command: tuple[str, ...]
) -> None:
    dify.default = answer("One", hang())
    async with running(command, dify, tmp_path, DRAIN_SECONDS="0.5") as process:
        clients = await asyncio.gather(*(process.asking() for _ in range(CLIENTS)))
        process.signal(signal.SIGTERM)
        for client in clients:
            assert await close_of(client) == GOODBYE
            assert [frame["reason"] for frame in client.frames if frame.get("stage") == "interrupting"] == ["draining"]
        assert await process.exit_status() == 0
    await dify.hung_up(CLIENTS)
    assert len(dify.stops) == CLIENTS


@pytest.mark.parametrize("command", [APP, UVICORN], ids=["app", "uvicorn"])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_a_second_signal_means_now(
    dify: StandInDify, tmp_path: Path, command: tuple[str, ...], second: signal.Signals
) -> None:
    dify.default = answer("One", hang())
    async with running(command, dify, tmp_path, DRAIN_SECONDS="600") as process:
        idle = await process.connect()
        clients = await asyncio.gather(*(process.asking() for _ in range(CLIENTS)))
        process.signal(signal.SIGTERM)
        assert await close_of(idle) == GOODBYE
        process.signal(second)
        for client in clients:
            assert await close_of(client) == GOODBYE
            assert client.frames[-2]["stage"] == "interrupting"
        assert await process.exit_status() == 0


@several_workers
async def test_a_second_signal_means_now_to_several_workers_too(
    dify: StandInDify, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """As Ctrl-C sends it, to all of them; uvicorn's supervisor passes only the first one on."""
    dify.default = answer("One", hang())
    async with running(command, dify, tmp_path, DRAIN_SECONDS="600") as process:
        workers = process.workers()
        clients = await asyncio.gather(*(process.asking() for _ in range(CLIENTS)))
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        process.signal(signal.SIGINT)
        await process.drains()
        await asyncio.sleep(REPEAT_SECONDS + 1)  # within this time the supervisor's own signal is no second one
        assert dify.running == CLIENTS
        for worker in workers:
            with suppress(ProcessLookupError):  # one without clients has ended already
                os.kill(worker, signal.SIGINT)
        for client in clients:
            assert await close_of(client) == GOODBYE
        assert await process.exit_status() == 0


@every_entry
async def test_a_client_that_does_not_read_holds_no_drain_up(
    dify: StandInDify, tmp_path: Path, command: tuple[str, ...]
) -> None:
    dify.default = answer("One", *["x" * 10_000] * 5_000)  # more than all buffers on the way hold
    async with running(command, dify, tmp_path, DRAIN_SECONDS="1") as process:
        deaf = await process.connect()
        await deaf.say("What is RAG?")
        await deaf.until(type="answer")  # and never reads again
        idle = await process.connect()
        process.signal(signal.SIGTERM)
        assert await close_of(idle) == GOODBYE
        async with asyncio.timeout(PATIENCE / 6):
            assert await process.exit_status() == 0
        deaf.socket.transport.abort()
    assert "Traceback" not in process.log
    # The signal came while an answer was being sent, and yet is no part of that session.
    drains = [line for line in process.process.lines if '"logger": "app.sessions.table"' in line]
    assert drains
    assert all('"session_id": null, "query_id": null' in line for line in drains)


@every_entry
async def test_ctrl_c_with_nobody_there_ends_it_at_once(
    dify: StandInDify, tmp_path: Path, command: tuple[str, ...]
) -> None:
    async with running(command, dify, tmp_path) as process:
        async with process.service.connect():
            pass  # it serves by now
        process.signal(signal.SIGINT)
        assert await process.exit_status() == 0
    assert "Traceback" not in process.log


async def test_after_kill_9_a_client_that_comes_back_is_told_the_truth(dify: StandInDify, tmp_path: Path) -> None:
    dify.default = answer("One", hang())
    async with running(APP, dify, tmp_path) as process:
        clients = await asyncio.gather(*(process.asking() for _ in range(CLIENTS)))
        process.signal(signal.SIGKILL)
        for client in clients:
            with pytest.raises(ConnectionClosed):
                await client.until(stage="closed")
            assert client.socket.close_code == 1006
        assert await process.exit_status() == -signal.SIGKILL
    await dify.hung_up(CLIENTS)
    dify.default = answer("One two.")
    async with running(APP, dify, tmp_path) as process:
        await asyncio.gather(*(starts_anew(process.service, client) for client in clients))


async def starts_anew(service: Service, client: Client) -> None:
    former = client.frames[0]["session_id"]
    async with service.reconnect(client) as greeting:
        assert (greeting["resumed"], greeting["reason"], greeting["seq"]) == (False, "unknown_token", 1)
        assert greeting["session_id"] != former
        await client.until(stage="listening")
        assert text_of(await client.ask("What is RAG?")) == "One two."


async def test_a_session_parked_in_one_process_is_not_known_in_another_and_still_there_in_its_own(
    dify: StandInDify, tmp_path: Path
) -> None:
    go = asyncio.Event()
    dify.will(answer("One", wait(go), " two."))
    dify.default = answer("One two.")
    async with running(APP, dify, tmp_path) as first, running(APP, dify, tmp_path) as second:
        client = await first.asking()
        client.socket.transport.abort()
        stranger = Client(client.socket)
        stranger.token = client.token
        stranger.frames = [*client.frames]
        await starts_anew(second.service, stranger)
        async with first.service.reconnect(client) as greeting:
            assert greeting["resumed"] is True
            go.set()
            await client.until(stage="idle")
        assert text_of(client.frames) == "One two."
        health = await second.service.health()
        assert (health["sessions"], health["parked"]) == (0, 0)


async def test_workers_count_together_read_their_files_again_and_are_replaced(
    dify: StandInDify, tmp_path: Path
) -> None:
    async with running(WORKERS, dify, tmp_path) as process:
        assert "WORKERS=2" in process.log
        workers = process.workers()
        clients = [await process.connect() for _ in range(8)]
        async with asyncio.timeout(PATIENCE):
            while (page := await scrape(process.service)).get("sessions_open") != len(clients):
                pass  # nothing tells when the other one has counted
        assert page.get("ready_processes") == 2
        process.signal(signal.SIGHUP)
        for _ in workers:
            await process.process.read_until("read again")
        assert [await client.ask("What is RAG?") for client in clients]  # nobody has lost a session
        os.kill(workers[0], signal.SIGKILL)
        await process.process.read_until("Application startup complete")
        process.signal(signal.SIGTERM)
        assert await process.exit_status() == 0


async def test_workers_that_cannot_start_end_with_one_line_each(tmp_path: Path) -> None:
    async with forked("app", cwd=tmp_path, PORT="0", WORKERS="2", RAG_PROVIDER="no.such:one") as process:
        assert await process.rest() == 2
    log = "".join(process.lines)
    assert "RAG_PROVIDER: no.such:one cannot be loaded" in log
    assert "Traceback" not in log
