"""Every command that README and docs print is given to a shell as it stands, in a checkout, as whoever reads them does.

What is changed is only where the service is, and of how many processes. Engines and clusters are not here: what their
commands name has to exist.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import dropwhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.lifecycle.server import TRY
from tests.client import PATIENCE, open_client
from tests.conftest import Serve
from tests.lifecycle.test_process import Process, forked, started
from tests.rules import Frame
from tests.service import ROOT, Service, browse
from tests.standin.recognisers import Manners, recogniser
from tests.test_docs import DOCS, PAGES, blocks, read, run

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]  # what it tries is no part of this process

SNIPPETS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks("sh", page), start=1)
]
HERE = "ws://127.0.0.1:8000/ws/realtime-asr"
MEMORY = "/dev/shm/realtime-rag"

# What these commands have known for years: of Docker 20.10, Compose 2 and Kubernetes 1.30.
KNOWN = {
    "docker build": {"-t"},
    "docker run": {
        *("--rm", "--detach", "--name", "--restart", "--read-only", "--cap-drop", "--security-opt", "--memory", "-v"),
        *("--pids-limit", "--ulimit", "--stop-timeout", "--log-driver", "--env-file", "--env", "-e", "--publish", "-p"),
    },
    "docker stop": {"-t"},
    "docker kill": {"--signal"},
    "docker compose up": {"--build", "--detach", "--wait"},
    "docker compose -f": {"--project-directory", "--build", "--detach", "--wait"},
    "kubectl create secret generic": {"--from-env-file"},
    "kubectl apply": {"-f"},
    "kubectl rollout status": set(),
    "kubectl rollout restart": set(),
}
MADE_BY_READERS = {".env", "secret.env"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a finished environment and what its reader has made: a talk and a provider."""
    for name in ("Makefile", "app", "docs", "tests", "requirements.txt", "requirements-dev.txt", "compose.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    for name in ("uvicorn", "websockets"):
        (tmp_path / ".venv" / "bin" / name).symlink_to(Path(sys.executable).with_name(name))
    (talk,) = (block for block in blocks("text", DOCS / "replay.md") if '"asks"' in block)
    (tmp_path / "talk.jsonl").write_text(talk, encoding="utf-8")
    (provider,) = blocks("python", DOCS / "providers.md")
    (tmp_path / "my_rag.py").write_text(provider, encoding="utf-8")
    return tmp_path


async def ask_make_run(checkout: Path, **environment: str) -> tuple[str, Frame]:
    """Start `make run`, ask what it says to ask; return what it said and the final frame."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    process = await asyncio.create_subprocess_exec(
        "make",
        "run",
        cwd=checkout,
        stderr=asyncio.subprocess.PIPE,
        env={**inherited, "PORT": "0", **environment},
        start_new_session=True,
    )
    assert process.stderr
    try:
        async with asyncio.timeout(3 * PATIENCE):
            said = ""
            while "Connect to" not in said:
                line = (await process.stderr.readline()).decode()
                assert line, f"it ended: {said}"
                said += line
        url, message = re.findall(r"Connect to (\S+) and send (\{.*?\})", said.replace("\\", ""))[-1]
        # Who asks sooner may have to wait for it.
        async with browse() as http, asyncio.timeout(PATIENCE):
            page = f"http://{urlsplit(url).netloc}/health/ready"
            while (await http.get(page)).json()["reason"] == "indexing":
                pass
        async with open_client(url) as client:
            await client.send_raw(message)
            frames = await client.until(stage="idle")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        await process.stderr.read()
        await process.wait()
    return said, frames[-2]


async def test_make_run_answers_from_the_docs_and_says_how_to_ask(checkout: Path) -> None:
    said, final = await ask_make_run(checkout, LOG_FORMAT="text")  # as on a terminal
    assert final["sources"][0]["title"] == "Realtime RAG › What this service is for"
    assert re.search(r"Open http://127\.0\.0\.1:\d+/ in a browser", said)
    line = next(line for line in said.splitlines() if "Connect to" in line)
    (shown,) = (block for block in blocks("text", ROOT / "README.md") if "Connect to" in block)
    assert re.sub(r"^\S+|:\d+/", "", line) == re.sub(r"^\S+|:\d+/", "", shown.strip())
    assert TRY in shown
    for shown in blocks("text", DOCS / "quickstart.md")[0].splitlines():
        assert re.sub(r":\d+/", "", shown) in re.sub(r":\d+/", "", said)


async def test_make_run_takes_a_dotenv_file_or_a_key_instead(checkout: Path) -> None:
    said, _ = await ask_make_run(checkout, DIFY_API_KEY="app-x", DIFY_BASE_URL="http://127.0.0.1:9/v1")
    assert "Indexed" not in said
    (checkout / ".env").write_text(read(ROOT / ".env.example"), encoding="utf-8")
    said, final = await ask_make_run(checkout)
    assert final["error"]["code"] == "RAG_NOT_CONFIGURED"
    assert said.startswith("{")


class Shell:
    def __init__(self, folder: Path, start: Callable[..., Awaitable[Service]]) -> None:
        self._folder = folder
        self._start = start

    async def do(self, line: str, **environment: str) -> str:
        """Run what ends by itself; return what it prints."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        script = f"cd {shlex.quote(str(self._folder))}\n{line}"
        return await run("bash", "-euc", script, PATH=path, PYTHONUTF8="1", **environment)

    @asynccontextmanager
    async def served(self, line: str, **environment: str) -> AsyncIterator[Process]:
        """Within this runs what serves until it is told to end."""
        shell = "import os, sys; os.execvp('bash', ['bash', '-euc', sys.argv[1]])"
        taken = {"PORT": "0", "UVICORN_PORT": "0"}
        async with started("-c", shell, line, cwd=self._folder, **taken, **environment) as process:
            await process.read_until("Application startup complete")
            yield process
            os.killpg(process.process.pid, signal.SIGTERM)
            await process.rest()
        assert "Traceback" not in "".join(process.lines)

    async def obey(self, line: str) -> None:
        line = line.replace(MEMORY, str(self._folder / "memory"))
        match list(dropwhile(re.compile(r"[A-Z_]+=").match, shlex.split(line))):
            case ["make", _]:
                await self.do(line, MAKEFLAGS="n")  # what it would run; `make run` itself: tests/test_docs.py
            case [".venv/bin/python", "-m", "app", "replay", *options]:
                await self._replay(line, "--json" in options)
            case [".venv/bin/python", "-m", "app", "listen", *_]:
                await self._listen(line)
            case [".venv/bin/python", "-m", "app"] | [".venv/bin/python", "-m", "uvicorn", *_]:
                async with self.served(line.replace(":4318", ":9").replace("--workers 4", "--workers 2")):
                    pass
            case [".venv/bin/uvicorn", *_]:
                key = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost"
                await self.do(key)
                async with self.served(line.replace("8443", "0")):
                    pass
            case [".venv/bin/python", "-m", module, *_] if module.startswith("tests."):
                async with forked(module, "--help", cwd=self._folder) as process:  # they take minutes
                    assert await process.rest() == 0
            case [".venv/bin/websockets", _]:
                await self._talk(line)
            case ["kill", "-HUP", "<process id>"]:
                await self._hang_up(line)
            case ["pip", "install", *_]:
                await self.do(line, PIP_DRY_RUN="1", PIP_NO_INDEX="1")  # it is there, and of a version that will do
            case ["mkdir" | "openssl" | "python3" | "export", *_]:
                await self.do(line)
            case ["docker" | "kubectl", *_] as words:
                self._check(words)
            case other:
                raise AssertionError(f"nobody tries {other}")

    async def _replay(self, line: str, is_json: bool) -> None:
        service = await self._start(ws_path="/talk")
        port = service.http_url.rpartition(":")[2]
        # One that only the service minds is none of the replay's business.
        (self._folder / ".env").write_text(f"PORT={port}\nWS_PATH=/talk\nDIFY_TIMEOUT=soon\n")
        shown = await self.do(line.replace(HERE, service.ws_url))
        assert json.loads(shown)["as_expected"] if is_json else shown.endswith("as expected\n")

    async def _listen(self, line: str) -> None:
        service = await self._start()
        shutil.copy(ROOT / "app" / "tools" / "listen" / "question.wav", self._folder / "talk.wav")
        says = [{"text": "how can i change the port"}]
        async with recogniser(Manners(lambda frame: "eof" in str(frame), last=says)) as vosk:
            shown = await self.do(f"{line} --recogniser {vosk.url} --url {service.ws_url}")
        assert "< > It listens on port 8000" in shown

    async def _talk(self, line: str) -> None:
        service = await self._start()
        (frame,) = blocks("json", ROOT / "README.md")
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euc", line.replace(HERE, service.ws_url)),
            cwd=self._folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin
        assert process.stdout
        try:
            async with asyncio.timeout(3 * PATIENCE):
                await process.stdout.readuntil(b'"listening"')
                process.stdin.write(frame.encode())
                shown = await process.stdout.readuntil(b'"idle"')
                process.stdin.close()
                await process.stdout.read()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        assert b"DIFY_API_KEY" in shown

    async def _hang_up(self, line: str) -> None:
        (tenants,) = blocks("toml", DOCS / "configuration.md")
        (self._folder / "tenants.toml").write_text(tenants, encoding="utf-8")
        async with self.served(".venv/bin/python -m app", AUTH_TOKENS_FILE="tenants.toml") as process:
            await self.do(line.replace("<process id>", str(process.process.pid)))
            await process.read_until("who may connect was read again")

    def _check(self, words: list[str]) -> None:
        tool = next(tool for tool in KNOWN if words[: len(tool.split())] == tool.split())
        rest = words[len(tool.split()) :]
        assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= KNOWN[tool]
        files = re.findall(r"(?<![\w/:.-])[\w./-]+\.(?:env|yaml)\b|(?<!\S)\.env\b", " ".join(rest).replace("=", " "))
        assert all((ROOT / name).is_file() for name in set(files) - MADE_BY_READERS), files
        if tool in {"docker build", "docker compose up"}:
            assert (ROOT / "Dockerfile").is_file()
        for folder in re.findall(r"\$PWD/([\w./-]+):", " ".join(rest)):
            assert folder == "handbook" or (ROOT / folder).is_dir()  # the reader's own


@pytest.mark.parametrize("snippet", SNIPPETS)
async def test_every_snippet_runs_in_the_shell(
    checkout: Path, start: Serve, from_docs: dict[str, Any], snippet: str
) -> None:
    await run("bash", "-nc", snippet)
    if ("openssl" in snippet or "--ssl" in snippet) and shutil.which("openssl") is None:
        pytest.skip("there is no openssl")
    if "pip install" in snippet and importlib.util.find_spec("pip") is None:
        pytest.skip("this environment was made without pip")
    shell = Shell(checkout, partial(start, **from_docs))
    for line in snippet.replace("\\\n", " ").splitlines():
        await shell.obey(line)
