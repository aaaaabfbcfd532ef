"""What the service is started with and cannot use stops it before anything listens, with one line that names it."""

from __future__ import annotations

import re
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.lifecycle.test_process import connect_line, forked, started
from tests.service import ROOT

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]  # what it tries is no part of this process

UVICORN = ("uvicorn", "app.main:app", "--port", "0")
TRACED = {"TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:9"}
TOO_LONG = "a" * 5_000  # the system itself refuses to look for it, as it does where it may not look

PROVIDERS = {
    "broken": "def open(:",
    "failing": "1 / 0",
    "unset": "import os\ndef open(settings): os.environ['MY_RAG_URL']",
    "unasked": "async def open(settings): ...",
    "misspelt": "from app.services.rag import Offers\ndef open(settings): return Offers(is_statless=True)",
    "number": "open = 3",
    "unopened": """
from contextlib import asynccontextmanager

@asynccontextmanager
async def open(settings):
    raise OSError("first line\\nsecond line")
    yield
""",
}


async def refusal(folder: Path, **environment: str) -> str:
    """The one line with which this start ends."""
    start = partial(started, "-m") if "OTEL_PROPAGATORS" in environment else forked  # an import reads that one
    async with start("app", cwd=folder, PORT="0", **environment) as process:
        assert await process.rest() == 2
    (line,) = process.lines
    return line


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SSL_CERT_FILE", "nowhere.pem", "nowhere.pem cannot be read: No such file or directory"),
        ("SSL_CERT_FILE", ".", ". cannot be read: Is a directory"),
        ("SSL_CERT_FILE", "text.pem", "text.pem holds no certificate"),
        ("SSL_CERT_DIR", "nowhere:neither", "nowhere:neither is not a folder"),
        ("SSL_CERT_DIR", ".", ". holds no certificate under the name of its hash: run openssl rehash"),
        ("SSLKEYLOGFILE", "nowhere/keys", "nowhere/keys cannot be written to: No such file or directory"),
        ("KNOWLEDGE_DIR", TOO_LONG, f"{TOO_LONG} is not a folder"),
        ("PROMETHEUS_MULTIPROC_DIR", TOO_LONG, f"{TOO_LONG} is not a folder"),
        ("APP_TITLE", "\udcff", "holds what is not text in UTF-8"),
        ("HOST", "\udcff", "holds what is not text in UTF-8"),
        ("OTEL_PROPAGATORS", "nobody", "cannot be loaded: Propagator nobody not found"),
    ],
)
async def test_one_line_names_the_variable_that_cannot_be_used(
    tmp_path: Path, variable: str, value: str, told: str
) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    more = {"RAG_PROVIDER": "local"} if variable == "KNOWLEDGE_DIR" else {}
    line = await refusal(tmp_path, **{variable: value}, **more)
    assert line.startswith(f"realtime-rag: {variable}: {told}")


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_CERTIFICATE", "REQUESTS_CA_BUNDLE"])
async def test_what_only_the_exporter_of_traces_reads_is_looked_at_where_there_are_traces(
    tmp_path: Path, variable: str
) -> None:
    line = await refusal(tmp_path, **TRACED, **{variable: "nowhere.pem"})
    assert line == f"realtime-rag: {variable}: nowhere.pem cannot be read: No such file or directory\n"
    async with forked("app", cwd=tmp_path, PORT="0", **{variable: "nowhere.pem"}) as process:
        await connect_line(process)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate, in a folder in which it is found by its hash."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    path = folder / "own.pem"
    key = ("-newkey", "rsa:2048", "-nodes", "-keyout", str(tmp_path / "key.pem"))
    subprocess.run(["openssl", "req", "-x509", *key, "-subj", "/CN=own", "-out", path], check=True, capture_output=True)
    subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
    return path


async def test_certificates_that_are_there_are_believed(tmp_path: Path, certificate: Path) -> None:
    for environment in (
        {"SSL_CERT_FILE": str(certificate), "SSL_CERT_DIR": "nowhere"},  # the file comes first, as httpx has it
        {"SSL_CERT_DIR": f"nowhere:{certificate.parent}"},
        {**TRACED, "REQUESTS_CA_BUNDLE": str(certificate.parent)},
        {"RAG_PROVIDER": "local", "KNOWLEDGE_DIR": ".", "SSL_CERT_FILE": "nowhere.pem"},  # nobody reads it
    ):
        async with forked("app", cwd=tmp_path, PORT="0", **environment) as process:
            await connect_line(process)


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        ("broken", "cannot be loaded: SyntaxError: "),
        ("failing", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("unset", "cannot be opened: KeyError: 'MY_RAG_URL'"),
        ("unasked", "cannot be opened: TypeError: coroutine has no query() or no offers"),
        ("misspelt", "cannot be opened: TypeError: Offers.__init__() got an unexpected keyword argument 'is_statless'"),
        ("number", "cannot be opened: TypeError: 'int' object is not callable"),
        ("unopened", "cannot be opened: OSError: first line second line"),
    ],
)
async def test_a_provider_that_fails_ends_the_start_with_its_reason(tmp_path: Path, provider: str, told: str) -> None:
    (tmp_path / "mine.py").write_text(PROVIDERS[provider])
    line = await refusal(tmp_path, RAG_PROVIDER="mine:open", PYTHONPATH=f"{ROOT}:{tmp_path}", PYTHONWARNINGS="ignore")
    assert line.startswith(f"realtime-rag: RAG_PROVIDER: mine:open {told}")


async def test_where_a_provider_has_failed_is_in_the_log_for_who_looks(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PROVIDERS["unset"])
    environment = {"RAG_PROVIDER": "mine:open", "PYTHONPATH": f"{ROOT}:{tmp_path}", "LOG_LEVEL": "DEBUG"}
    async with forked("app", cwd=tmp_path, PORT="0", **environment) as process:
        assert await process.rest() == 2
    assert any("mine.py" in line for line in process.lines)


@pytest.mark.parametrize("environment", [{"LOG_LEVEL": "LOUD"}, {"RAG_PROVIDER": "mine:open"}], ids=["setting", "open"])
async def test_plain_uvicorn_and_its_workers_end_too(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "mine.py").write_text(PROVIDERS["unset"])
    path = f"{ROOT}:{tmp_path}"
    async with forked(*UVICORN, cwd=tmp_path, PYTHONPATH=path, **environment) as process:
        assert await process.rest() == 2
    async with forked(*UVICORN, "--workers", "2", cwd=tmp_path, PYTHONPATH=path, **environment) as process:
        await process.rest()  # without an end, a worker would be started again for ever
    for line in process.lines:
        assert re.match(r"realtime-rag: (LOG_LEVEL|RAG_PROVIDER): |(\x1b\[\d+m)?(INFO|ERROR)", line), line


async def test_a_folder_in_the_place_of_the_file_of_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert await refusal(tmp_path) == "realtime-rag: .env: is not a file\n"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file is known here that not even root can read")
async def test_a_file_of_settings_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to("/proc/self/mem")
    assert await refusal(tmp_path) == "realtime-rag: .env: cannot be read: Input/output error\n"


async def test_a_number_of_processes_that_is_meant_for_others_changes_nothing(tmp_path: Path) -> None:
    async with forked("app", cwd=tmp_path, PORT="0", WEB_CONCURRENCY="many") as process:
        await connect_line(process)
