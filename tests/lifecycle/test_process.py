"""The service as an operator starts it: a process of its own, on a free port, ended by a signal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.forked import Fork, fork
from tests.rules import text_of
from tests.service import ROOT, Service, browse, open_terminal
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, hang

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]  # what it tries is no part of this process

PATIENCE = 180.0
"""Seconds: where all processors are busy, what is imported for a start takes half a minute."""


class Process:
    def __init__(self, process: asyncio.subprocess.Process | Fork) -> None:
        self.process = process
        self.lines: list[str] = []

    async def read_until(self, text: str) -> str:
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stderr.readline()).decode():
                self.lines.append(line)
                if text in line:
                    return line
        raise AssertionError(f"ended without {text!r}: {''.join(self.lines)}")

    async def rest(self) -> int:
        """Read the log to its end and return the exit status."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            self.lines += (await self.process.stderr.read()).decode().splitlines(keepends=True)
            return await self.process.wait()


@asynccontextmanager
async def started(*command: str, cwd: Path = ROOT, **environment: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Process(process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with its workers, if it has any left
        await process.wait()


@asynccontextmanager
async def forked(module: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> AsyncIterator[Process]:
    """As `started("-m", module, ...)`, for a tenth of the work: tests/forked.py says what it does not see."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    async with fork(module, arguments, cwd, env) as process:
        yield Process(process)


async def connect_line(process: Process) -> dict[str, Any]:
    record = json.loads(await process.read_until("Connect to"))
    assert isinstance(record, dict)
    return record


def service_of(record: dict[str, Any]) -> Service:
    return Service(int(record["url"].split(":")[2].split("/")[0]))


async def test_the_entry_point_serves_and_ends_in_mid_answer_with_everything_closed(
    dify: StandInDify, tmp_path: Path
) -> None:
    dify.will(answer("One", hang()))
    async with started(
        "-m",
        "app",
        cwd=tmp_path,
        PORT="0",
        DIFY_API_KEY=dify.api_key,
        DIFY_BASE_URL=dify.base_url,
        DRAIN_SECONDS="0.1",
    ) as process:
        service = service_of(await connect_line(process))
        async with service.connect() as client:
            await client.say("What is RAG?")
            await client.until(content="One")
            process.process.send_signal(signal.SIGTERM)
            assert await client.close_code() == 1012
        await dify.hung_up()
        await dify.stopped()
        assert await process.rest() == 0
    records = [json.loads(line) for line in process.lines]
    assert all({"time", "level", "logger", "message", "session_id", "query_id"} <= record.keys() for record in records)
    assert any(record["logger"] == "uvicorn.error" for record in records)
    (outcome,) = [record for record in records if "outcome" in record]
    assert outcome["session_id"] == client.frames[0]["session_id"]
    assert outcome["query_id"] == client.frames[-2]["query_id"]
    assert (outcome["outcome"], outcome["level"]) == ("interrupted", "INFO")
    log = "".join(process.lines)
    assert "What is RAG?" not in log
    assert dify.api_key not in log


@pytest.mark.parametrize(
    ("arguments", "status"), [(["replay", "--help"], 0), (["evaluate", "nowhere"], 2), (["dance"], 2)]
)
async def test_a_tool_runs_in_place_of_the_service(tmp_path: Path, arguments: list[str], status: int) -> None:
    async with forked("app", *arguments, cwd=tmp_path) as process:
        assert await process.rest() == status
    assert "Connect to" not in "".join(process.lines)


def open_files(pid: int) -> list[str]:
    """How many the process may have, softly and at all."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
    return line.split()[3:5]


async def test_it_takes_as_many_open_files_as_it_is_granted_and_ctrl_c_ends_it_without_a_traceback(
    tmp_path: Path,
) -> None:
    few = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 400))
os.execv(sys.executable, [sys.executable, "-m", "app"])
"""
    async with started("-c", few, cwd=tmp_path, PORT="0") as process:
        await connect_line(process)
        assert open_files(process.process.pid) == ["400", "400"]
        process.process.send_signal(signal.SIGINT)
        assert await process.rest() == 0
    assert "Traceback" not in "".join(process.lines)


@pytest.mark.parametrize(
    "lacking",
    [
        "sys.modules['resource'] = None; del signal.SIGHUP",  # Windows
        "import resource; resource.setrlimit = lambda *_: int('more than there are')",
    ],
    ids=["no limits, no hang-up", "limits that cannot be raised"],
)
async def test_it_starts_where_the_system_has_less(tmp_path: Path, lacking: str) -> None:
    code = f"import runpy, signal, sys; {lacking}; runpy.run_module('app', run_name='__main__')"
    async with started("-c", code, cwd=tmp_path, PORT="0") as process:
        await connect_line(process)


async def test_it_starts_without_a_key_and_says_so(tmp_path: Path) -> None:
    async with forked("app", cwd=tmp_path, PORT="0", LOG_FORMAT="text") as process:
        warning = await process.read_until("DIFY_API_KEY")
        assert "WARNING" in warning
        line = await process.read_until("Connect to")
        service = Service(int(line.split("127.0.0.1:")[1].split("/")[0]))
        async with service.connect() as client:
            assert (await client.ask("What is RAG?"))[-2]["error"]["code"] == "RAG_NOT_CONFIGURED"
        async with browse() as http:
            health = (await http.get(f"{service.http_url}/health")).json()
            assert (health["provider"], health["dify_configured"]) == ("dify", False)
            assert (await http.get(f"{service.http_url}/health/ready")).status_code == 503


async def test_it_answers_from_its_own_docs_with_the_local_provider() -> None:
    async with forked("app", PORT="0", RAG_PROVIDER="local", KNOWLEDGE_DIR="docs") as process:
        service = service_of(await connect_line(process))
        async with service.connect() as client:
            frames = await client.ask("what happens when dify is slow")
        assert text_of(frames)
        assert frames[-2]["sources"]


async def test_uvicorn_can_start_it_too(tmp_path: Path) -> None:
    async with started("-m", "uvicorn", "app.main:app", "--port", "0", cwd=tmp_path, WS_PATH="/talk") as process:
        record = json.loads(await process.read_until("Uvicorn running"))
        port = int(record["message"].split(":")[2].split(" ")[0])
        async with Service(port, "/talk").connect() as client:
            await client.send("keepalive")
            await client.until(received_type="keepalive")


@pytest.mark.parametrize("command", [["app"], ["uvicorn", "app.main:app"]])
async def test_a_malformed_setting_stops_the_start_with_one_line(tmp_path: Path, command: list[str]) -> None:
    async with forked(*command, cwd=tmp_path, DIFY_TIMEOUT="soon", DIFY_API_KEY="app-secret") as process:
        assert await process.rest() == 2
    (line,) = process.lines
    assert line.startswith("realtime-rag: DIFY_TIMEOUT: ")


@pytest.mark.parametrize("command", [["app"], ["uvicorn", "app.main:app"]])
async def test_a_proxy_that_speaks_socks_stops_the_start_with_one_line(tmp_path: Path, command: list[str]) -> None:
    async with forked(*command, cwd=tmp_path, ALL_PROXY="socks5://127.0.0.1:1080") as process:
        assert await process.rest() == 2
    (line,) = process.lines
    assert line.startswith("realtime-rag: ALL_PROXY: a proxy of the kind 'socks5' is not spoken to")


async def test_a_taken_port_is_an_error_and_not_a_start(dify: StandInDify, tmp_path: Path) -> None:
    port = dify.base_url.split(":")[2].split("/")[0]
    async with forked("app", cwd=tmp_path, PORT=port) as process:
        assert await process.rest() == 2
    (line,) = process.lines
    assert line == f"realtime-rag: PORT: cannot listen on 127.0.0.1, port {port}: Address already in use\n"


@pytest.mark.parametrize("host", ["x86_64-conda-linux-gnu", "a" * 64, "203.0.113.1", "fe80::1"])
async def test_an_address_that_is_not_of_this_machine_stops_the_start_with_one_line(tmp_path: Path, host: str) -> None:
    async with forked("app", cwd=tmp_path, HOST=host, PORT="0") as process:
        assert await process.rest() == 2
    (line,) = process.lines
    assert line.startswith("realtime-rag: HOST: ")
    assert host in line


async def test_all_addresses_are_those_of_both_kinds(tmp_path: Path) -> None:
    """A proxy that comes by IPv4 is known by its address of IPv4."""
    async with forked("app", cwd=tmp_path, HOST="::", PORT="0", ALLOWED_HOSTS="rag.example") as process:
        service = service_of(await connect_line(process))
        proxied = {"Origin": "https://rag.example", "X-Forwarded-Host": "rag.example"}
        async with service.connect(additional_headers=proxied) as client:
            assert client.token
        if socket.has_ipv6:
            async with browse() as http:
                assert (await http.get(service.http_url.replace("127.0.0.1", "[::1]") + "/health")).status_code == 200


async def test_the_log_is_for_people_on_a_terminal_and_for_programs_elsewhere(tmp_path: Path) -> None:
    terminal, theirs = open_terminal()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app",
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": "0"},
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""
        async with asyncio.timeout(PATIENCE):
            while b"Connect to" not in shown:
                shown += await asyncio.to_thread(os.read, terminal, 4096)
        process.send_signal(signal.SIGTERM)
        await process.wait()
    finally:
        os.close(terminal)
    assert b" INFO    app: Open http://" in shown
