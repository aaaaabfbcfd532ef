"""README and docs say what is so: their commands run, their frames and settings are those of the code."""

from __future__ import annotations

import ast
import asyncio
import importlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import httpx
import pytest
from aiohttp import web
from dotenv import dotenv_values
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from app import __main__, config, errors, main, values
from app.codes import CloseCode, ErrorCode
from app.config import Settings, load_settings
from app.identity import Gate, Identity, signed, tenants
from app.identity.tenants import Tenant, load_tenants
from app.lifecycle import readiness
from app.models import answering, asking, lifetime, listening, messages, numbering, session, verdicts
from app.models.answers import Question, TextDelta
from app.observability import metrics, tracing
from app.observability.metrics import Metrics
from app.routers.health import Health
from app.services import dify_client, providers, trust
from app.services.local import index_file, indexer
from app.services.local_rag import NOTHING_FITS
from app.sessions import live, table
from app.sessions.shared import store as shared_store
from tests.client import PATIENCE, Client
from tests.conftest import Serve
from tests.rules import Frame, text_of
from tests.service import ROOT, indexed, make_settings
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, wait

DOCS = ROOT / "docs"
ROOT_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in ROOT_PAGES), *sorted(DOCS.glob("*.md"))]
HOSTS = {"127.0.0.1", "dify.ai", "api.dify.ai", "keepachangelog.com", "semver.org", "shop.example", "realtime_rag;"}
LANGUAGES = {"sh", "json", "python", "html", "js", "ini", "text", "toml", "promql", "yaml"}


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(language: str, *pages: Path) -> list[str]:
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [block for page in pages or PAGES for block in fence.findall(read(page))]


def without_code(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)


def first_cells(page: Path, head: str) -> list[str]:
    """The first column of every table in which it is called `head`."""
    found = re.findall(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n)+)", read(page), re.MULTILINE)
    return [row.strip("|").split(" | ")[0].strip() for row in "".join(found).splitlines()]


async def run(*command: str | Path, stdin: str | None = None, **environment: str) -> str:
    """Run a command that ends by itself; return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(3 * PATIENCE):
            output, _ = await process.communicate(None if stdin is None else stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    return output.decode()


# Pages


def slug(heading: str) -> str:
    """The anchor of a heading, as code hosts make it."""
    kept = (c for c in heading.strip().lower() if c in "-_ " or unicodedata.category(c)[0] in "LN")
    return "".join(kept).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if target.startswith("https:"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), target
        if anchor:
            assert anchor in map(slug, re.findall(r"^#+ (.*)$", without_code(linked), re.MULTILINE)), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_other_host(page: Path) -> None:
    assert set(re.findall(r"\w+://([^/:\s)\"]+)", read(page))) <= HOSTS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_block_is_of_a_kind_that_is_tried(page: Path) -> None:
    fences = re.findall(r"^```(.*)$", read(page), re.MULTILINE)
    assert set(fences[::2]) <= LANGUAGES
    assert set(fences[1::2]) <= {""}


def test_the_index_lists_every_page() -> None:
    text = read(DOCS / "index.md")
    assert all(f"({page.name})" in text for page in DOCS.glob("*.md") if page.name != "index.md")


def test_the_architecture_names_every_module() -> None:
    text = read(DOCS / "architecture.md")
    modules = {path.name for path in (ROOT / "app").rglob("*.py")} - {"__init__.py"}
    assert not {name for name in modules if f"`{name}`" not in text}


# Commands


def commands() -> list[list[str]]:
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in dict.fromkeys(lines)]


@pytest.mark.slow
async def test_the_python_of_the_readme_prints_an_answer(start: Serve, from_docs: dict[str, Any]) -> None:
    service = await start(**from_docs)
    (code,) = blocks("python", ROOT / "README.md")
    assert "ws://127.0.0.1:8000/ws/realtime-asr" in code
    printed = await run(
        sys.executable, "-c", code.replace("ws://127.0.0.1:8000/ws/realtime-asr", service.ws_url), PYTHONUTF8="1"
    )
    assert "Set the Dify key" in printed
    assert "'final': True" in printed.splitlines()[-1]


@pytest.mark.slow
async def test_the_python_of_the_frontend_page_prints_an_answer(start: Serve, from_docs: dict[str, Any]) -> None:
    service = await start(**from_docs)
    (code,) = blocks("python", DOCS / "frontend.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    assert "ws://127.0.0.1:8000/ws/realtime-asr" in code
    code = code.replace("ws://127.0.0.1:8000/ws/realtime-asr", service.ws_url)
    printed = await run(sys.executable, "-c", code, stdin="How do I set the Dify key?\n", PYTHONUTF8="1")
    assert "Answering with Dify › Set the Dify key" in printed.splitlines()


# Frames


def lines_of_json() -> Iterator[str]:
    for block in blocks("json"):
        yield from block.splitlines()
    for block in blocks("text"):
        yield from (line[2:] for line in block.splitlines() if line.startswith(("< {", "> {")))
    for page in PAGES:
        yield from re.findall(r"`(\{\"type\".*?\})`", read(page))


@pytest.mark.parametrize("line", sorted(set(lines_of_json())))
def test_every_frame_is_one_of_the_contract_with_known_fields_only(line: str) -> None:
    frame = json.loads(line)
    model: type[messages.ServerFrame]
    match frame["type"]:
        case "ack":
            model = messages.Ack
        case "status":
            model = messages.Status
        case "answer":
            model = messages.FinalAnswer if frame["final"] else messages.Answer
        case "error":
            model = messages.Error
            for only in (messages.Unauthorized(), messages.SessionLimit()):
                if frame["code"] == only.code:
                    assert json.loads(only.to_json()) == frame
                    return
        case _:
            assert messages.parse(line).model_dump(exclude_none=True) == frame
            return
    assert json.loads(model.model_validate_json(line).to_json()) == frame


def masked(frame: Frame) -> Frame:
    """Without what differs from run to run."""
    varying = {"session_id", "query_id", "timing", "usage", "resume_token"} | (
        {"conversation_id"} if frame.get("conversation_id") else set()
    )
    shown = {name: "…" if name in varying else value for name, value in frame.items()}
    # Every change of the docs changes by how much a passage fits.
    return shown | {"sources": [source | {"score": "…"} for source in frame.get("sources", ())]}


async def replay(exchange: str, client: Client, go_on: asyncio.Event) -> None:
    """Send and receive what the lines say. `go_on` is set with the first text."""
    welcome = list(client.frames)
    for line in exchange.splitlines():
        if line.startswith("> "):
            await client.send_raw(line[2:])
            continue
        frame = welcome.pop(0) if welcome else await client.receive()
        assert masked(frame) == masked(json.loads(line[2:]))
        if frame["type"] == "answer":
            go_on.set()


@pytest.mark.slow
async def test_the_exchange_of_the_readme_is_what_happens(start: Serve, from_docs: dict[str, Any]) -> None:
    service = await start(**from_docs)
    (exchange,) = (block for block in blocks("text", ROOT / "README.md") if block.startswith("<"))
    async with service.connect() as client:
        await replay(exchange, client, asyncio.Event())


async def test_the_exchange_of_the_protocol_is_what_happens(client: Client, dify: StandInDify) -> None:
    (exchange,) = blocks("text", DOCS / "protocol.md")
    go_on = asyncio.Event()
    dify.will(answer("Two years,", wait(go_on), " from the day of purchase."))
    await replay(exchange, client, go_on)


# The closed sets of the protocol


def codes_of(root: type[errors.ServiceError]) -> dict[str, type[errors.ServiceError]]:
    found: dict[str, type[errors.ServiceError]] = {}
    for error in root.__subclasses__():
        found |= {error.code: error, **codes_of(error)}
    return found


def ticked(name: str) -> str:
    return f"`{name}`"


def test_every_code_of_an_answer_is_in_the_protocol() -> None:
    codes = codes_of(errors.RagError)
    rows = re.findall(r"^\| `([A-Z_]+)` \| (yes|no) \|", read(DOCS / "protocol.md"), re.MULTILINE)
    assert dict(rows) == {code: "yes" if getattr(error, "retryable", False) else "no" for code, error in codes.items()}
    text = read(DOCS / "dify.md")
    assert not {code for code in codes if f"| `{code}` |" not in text}


def strings_of_session() -> Iterator[tuple[str, str]]:
    """Where a string stands in the session and around it (the name of the call or argument), and the string."""
    modules = (session, asking, answering, numbering, listening, lifetime, live, table)
    for node in (node for module in modules for node in ast.walk(tree_of(module))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if node.args and isinstance(node.args[0], ast.Constant):
                yield called, str(node.args[0].value)
            for keyword in node.keywords:
                if keyword.arg and isinstance(keyword.value, ast.Constant):
                    yield keyword.arg, str(keyword.value.value)
        elif isinstance(node, ast.arg) and node.arg == "reason" and isinstance(node.annotation, ast.Subscript):
            yield from (("reason", text) for text in ast.literal_eval(node.annotation.slice))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant) and node.value.value:
            yield getattr(node.target, "id", ""), str(node.value.value)  # the default of a field


def tree_of(module: ModuleType) -> ast.AST:
    return ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))


def test_every_code_of_a_message_is_in_the_protocol() -> None:
    documented = [name.strip("`") for name in first_cells(DOCS / "protocol.md", "code")]
    of_answers = codes_of(errors.RagError).keys() - {"RATE_LIMITED"}
    assert {code for code in documented if code.isupper()} - of_answers == set(ErrorCode)
    assert {error.code for error in codes_of(errors.ClientError).values()} <= set(ErrorCode)
    assert {messages.Unauthorized().code, messages.SessionLimit().code} <= set(ErrorCode)


def test_every_stage_reason_and_action_is_in_the_protocol() -> None:
    page = DOCS / "protocol.md"
    assert set(first_cells(page, "stage")) == set(map(ticked, get_args(messages.Stage)))
    reasons = {
        text for place, text in strings_of_session() if place in {"reason", "waiting", "interrupt", "Keep", "Ending"}
    }
    assert set(first_cells(page, "reason")) == set(map(ticked, reasons))
    assert set(first_cells(page, "not resumed")) == set(map(ticked, get_args(messages.NotResumed)))
    text = read(page)
    assert all(f'"action": "{action}"' in text for action in get_args(messages.Action))
    assert set(first_cells(page, "value")) == set(map(ticked, get_args(messages.OnNewQuestion)))
    assert all(f"`{phase}`" in text for phase in get_args(errors.Phase))


def test_every_close_code_is_in_the_protocol() -> None:
    rows = re.findall(r"^\| (\d{4}) \|", read(DOCS / "protocol.md"), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted(CloseCode)


def test_every_code_can_be_looked_up_when_there_is_trouble() -> None:
    page, protocol = DOCS / "troubleshooting.md", DOCS / "protocol.md"
    closes = [row for row in first_cells(page, "close code") if "made up by the client" not in row]
    assert closes == re.findall(r"^\| (\d{4}) \|", read(protocol), re.MULTILINE)
    of_answers = set(map(ticked, codes_of(errors.RagError)))
    assert set(first_cells(page, "code of an answer")) == of_answers
    assert set(first_cells(page, "code of a message")) == set(map(ticked, ErrorCode))


def test_every_exit_status_can_be_looked_up() -> None:
    source = read(ROOT / "app" / "__main__.py") + read(ROOT / "app" / "config.py")
    ends = set(re.findall(r"(?:sys\.exit|SystemExit)\((\d+)\)", source))
    assert set(first_cells(DOCS / "troubleshooting.md", "exit status")) == set(map(ticked, ends | {"0"}))


REFUSING = {"StartError", "ValueError", "refuse_to_start"}


def refusals() -> Iterator[str]:
    """What the lines of a start that fails have in common: the longest text of each that stands in the code."""
    modules = [config, values, tenants, signed, index_file, indexer, providers, trust, metrics, tracing, main, __main__]
    modules.append(shared_store)
    for node in (node for module in modules for node in ast.walk(tree_of(module))):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in REFUSING:
            continue
        text = node.args[-1]
        choices = [n.value for n in ast.walk(text) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        longest = max(choices, key=len, default="")
        yield re.sub(r"^([A-Za-z_]+)?: ", "", longest).strip(" :,;")
    yield from (signed.INSTALL.partition(" `")[0], "is not a folder", "does not exist")


def test_every_refusal_to_start_can_be_looked_up() -> None:
    documented = {row.strip("`") for row in first_cells(DOCS / "troubleshooting.md", "the line says")}
    told = set(refusals())
    assert not {row for row in documented if not any(row in text for text in told)}
    assert not {text for text in told if text and not any(row in text for row in documented)}


def test_every_field_of_every_frame_is_in_the_protocol() -> None:
    page = DOCS / "protocol.md"
    documented = set(re.findall(r"`(\w+)`", " ".join([*first_cells(page, "field"), "`seq` `type`"])))
    frames: list[type[messages.Frame]] = [*get_args(messages.ClientMessage), *get_args(messages.ServerMessage)]
    frames += [messages.VerdictNote]
    assert not {name for frame in frames for name in frame.model_fields if name not in documented}


def test_every_reason_of_a_verdict_is_documented() -> None:
    text = read(DOCS / "questions.md")
    assert not {reason for reason in verdicts.REASONS if f"`{reason}`" not in text}


def test_the_verdict_of_the_docs_is_what_comes() -> None:
    (block,) = blocks("python", DOCS / "questions.md")
    code, _, shown = block.partition("# ")
    names: dict[str, Any] = {}
    *_, call = code.strip().splitlines()
    exec(code, names)
    assert repr(eval(call, names)) == re.sub(r"\n# +", " ", shown).strip()


# Settings


def default_of(name: str) -> str:
    default = Settings.model_fields[name].default
    if isinstance(default, tuple):
        return ",".join(default)
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def test_every_setting_is_in_the_configuration() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \| (.*) \|$", read(DOCS / "configuration.md"), re.MULTILINE)
    assert [name for name, _, _ in rows] == [name.upper() for name in Settings.model_fields]
    for name, default, meaning in rows:
        expected = default_of(name.lower())
        assert default == (ticked(expected) if expected else "none")
        assert meaning.replace("`", "") == Settings.model_fields[name.lower()].description


def test_the_example_lists_every_setting_with_its_meaning_and_default() -> None:
    expected = [
        f"# {field.description}\n{name.upper()}={default_of(name)}\n" for name, field in Settings.model_fields.items()
    ]
    assert read(ROOT / ".env.example") == "\n".join(expected)


def test_a_copy_of_the_example_changes_nothing() -> None:
    assert Settings(_env_file=ROOT / ".env.example") == Settings(_env_file=None)


def test_the_lines_for_a_dotenv_file_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handbook").mkdir()
    for block in blocks("ini"):
        (tmp_path / ".env").write_text(block, encoding="utf-8")
        assert {name.lower() for name in dotenv_values(".env")} <= set(Settings.model_fields)
        assert load_settings().is_provider_configured


def test_the_tenants_of_the_docs_are_taken_and_every_key_of_theirs_is_documented(tmp_path: Path) -> None:
    for block in blocks("toml"):
        (tmp_path / "tenants.toml").write_text(block, encoding="utf-8")
        assert load_tenants(tmp_path / "tenants.toml")
    documented = set(re.findall(r"`(\w+)`", " ".join(first_cells(DOCS / "configuration.md", "key"))))
    assert documented == set(Tenant.model_fields)


def test_a_wrong_setting_is_reported_as_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOG_FORMAT", "xml")
    with pytest.raises(SystemExit) as end:
        load_settings()
    assert end.value.code == 2
    assert [capsys.readouterr().err] == blocks("text", DOCS / "configuration.md")


def test_the_fields_of_the_health_page_are_documented() -> None:
    text = read(DOCS / "configuration.md")
    assert all(f"`{name}`" in text for name in Health.model_fields)


# Security


def test_every_test_that_security_names_exists() -> None:
    text, path = read(ROOT / "SECURITY.md"), ""
    named = re.findall(r"`([\w/.]*)::(\w+)`", text)
    assert named
    for file, test in named:
        path = file or path
        assert re.search(rf"^(async )?def {test}\(", read(ROOT / path), re.MULTILINE), f"{path}::{test}"
    files = re.findall(r"`(tests/[\w/.]+)`", text) + re.findall(r"`(tests/[\w/.]+)`", read(DOCS / "operations.md"))
    assert not {file for file in files if not (ROOT / file).exists()}


def test_every_threat_has_a_test() -> None:
    rows = re.findall(r"^\| (?!threat|---)(.*) \|$", read(ROOT / "SECURITY.md"), re.MULTILINE)
    assert rows
    assert not [row for row in rows if "::test_" not in row.split(" | ")[-1]]


# Tokens


async def test_a_token_and_its_hash_are_made_as_shown(tmp_path: Path) -> None:
    (command,) = (command for command in commands() if command[:2] == ["python3", "-c"])
    printed = await run(sys.executable, *command[1:])
    token, digest = re.findall(r"^token(?:_sha256)?: (\S+)$", printed, re.MULTILINE)
    file = tmp_path / "tenants.toml"
    file.write_text(f'[[tenants]]\nname = "acme"\ntoken_sha256 = "{digest}"\n')
    found = Gate(make_settings(auth_tokens_file=file)).admit([], [f"bearer.{token}"], b"")
    assert isinstance(found, Identity)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
async def test_a_signed_token_is_made_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command in commands():
        if command[0] == "openssl":
            await run(*command)
    (code,) = blocks("python", DOCS / "operations.md")
    token = (await run(sys.executable, "-c", code)).strip()
    settings = make_settings(jwt_public_key_file=tmp_path / "public.pem")
    found = Gate(settings).admit([(b"authorization", f"Bearer {token}".encode())], [], b"")
    assert isinstance(found, Identity)
    assert found.user_prefix == "acme-"


def test_every_reason_not_to_be_ready_is_documented() -> None:
    assert set(get_args(readiness.Reason)) <= {
        name.strip("`") for name in first_cells(DOCS / "configuration.md", "reason")
    }


# Metrics


def test_every_metric_is_documented_with_its_labels() -> None:
    collectors = Metrics(make_settings(redis_url="unix:///redis")).registry._collector_to_names
    kept = [each for each in collectors if isinstance(each, MetricWrapperBase)]
    names = [f"{each._name}_total" if isinstance(each, Counter) else each._name for each in kept]
    rows = re.findall(r"^\| `(realtime_rag_\w+)` \| (.*?) *\|", read(DOCS / "observability.md"), re.MULTILINE)
    documented = {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    assert documented == {name: each._labelnames for name, each in zip(names, kept, strict=True)}


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("architecture", f"all in {dify_client.LEAVE_SECONDS} s at most"),
        ("dify", f"takes {dify_client.LEAVE_SECONDS} s at most"),
        ("architecture", f"{dify_client.SPARE_CONNECTIONS} more, for stop calls"),
    ],
)
def test_a_figure_of_the_docs_is_the_one_of_the_code(page: str, words: str) -> None:
    assert words in read(DOCS / f"{page}.md")


def test_every_close_code_of_ours_is_counted_as_itself() -> None:
    metrics = Metrics(make_settings(redis_url="unix:///redis"))
    for code in CloseCode:
        metrics.count_close(code)
        assert metrics.registry.get_sample_value("realtime_rag_connections_closed_total", {"code": str(int(code))}) == 1


# A provider of one's own


@pytest.fixture
def my_rag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (code,) = blocks("python", DOCS / "providers.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    path = tmp_path / "my_rag.py"
    path.write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop("my_rag", None)


async def test_the_provider_of_the_docs_answers(start: Serve, my_rag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def ask(request: web.Request) -> web.StreamResponse:
        asked.append(await request.json())
        if len(asked) > 1:
            return web.Response(status=500)
        response = web.StreamResponse()
        await response.prepare(request)
        for text in ("Two ", "years.\n"):
            await response.write(text.encode())
        return response

    backend = web.Application()
    backend.router.add_post("/ask", ask)
    runner = web.AppRunner(backend, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        monkeypatch.setenv("MY_RAG_URL", f"http://127.0.0.1:{runner.addresses[0][1]}")
        service = await start(rag_provider="my_rag:open_my_rag")
        async with service.connect() as client:
            assert text_of(await client.ask("How long is the warranty?")) == "Two years.\n"
            failed = (await client.ask("How long is it?"))[-2]
    finally:
        await runner.cleanup()
    with_what_it_follows = "How long is the warranty? How long is it?"  # it says that it remembers nothing
    assert asked == [{"question": "How long is the warranty?"}, {"question": with_what_it_follows}]
    assert failed["error"]["code"] == "RAG_UNAVAILABLE"


async def test_the_client_that_the_docs_recommend_to_providers_works(dify: StandInDify) -> None:
    text = read(DOCS / "providers.md")
    (path,) = re.findall(r"`(app[\w.]+\.Transport)`", text)
    module, _, name = path.rpartition(".")
    (code,) = re.findall(r"`(httpx\.AsyncClient\(transport=.*?)`", text)
    known = {"httpx": httpx, name: getattr(importlib.import_module(module), name), "url": dify.base_url}
    async with eval(code, known) as http:
        assert (await http.get(f"{dify.base_url}/")).json()["welcome"]
    async with httpx.AsyncClient(transport=known[name](dify.base_url)) as http:  # the number may be left out
        assert (await http.get(f"{dify.base_url}/")).status_code == 200


# What the service knows about itself


@pytest.mark.parametrize(
    ("question", "source", "fragment"),
    [
        ("What is this service for?", "index.md", "hears questions in live transcripts"),
        ("so what happens when dify is slow", "dify.md", "RAG_TIMEOUT"),
        ("What happens when Dify is down?", "dify.md", "RAG_UNAVAILABLE"),
        ("How do I set the Dify key?", "dify.md", "DIFY_API_KEY=app-your-key"),
        ("how do i set the dify a p i key", "dify.md", "DIFY_API_KEY=app-your-key"),
        ("How do I pause?", "protocol.md", '"action": "pause"'),
        ("how do i cancel an answer", "protocol.md", "`cancel`"),
        ("What does RAG_TIMEOUT mean?", "protocol.md", "did not answer in time"),
        ("what happens to a new question during an answer", "protocol.md", "interrupt"),
        ("how well are questions recognised", "questions.md", "5 to 8 %"),
        ("what does low_confidence mean", "protocol.md", "MIN_CONFIDENCE"),
        ("how do i connect deepgram", "recognisers.md", "--from deepgram"),
        ("how do i connect vosk", "recognisers.md", "--from vosk"),
        ("how do I use my microphone", "faq.md", "app listen"),
        ("which speech recogniser should I use", "faq.md", "punctuation"),
        ("how do I open the console", "frontend.md", "Open the address of the service in a browser"),
        ("what happens when the connection is lost", "frontend.md", "tries again"),
        ("how do i send a token", "frontend.md", "`bearer.<token>`"),
        ("how do I run it with docker", "deployment.md", "docker run"),
        ("where do I find the logs", "configuration.md", "standard error"),
        ("how do I write my own provider", "providers.md", "`query`"),
        ("how does back pressure work", "architecture.md", "waits until its frame is out"),
        ("how do I come back after a lost connection", "protocol.md", "last_seq"),
        ("what does SLOW_CONSUMER mean", "protocol.md", "reads too slowly"),
        ("what can resume not cover", "operations.md", "sessions live in its memory"),
        ("这个服务是做什么的", "zh.md", "听出问题"),
        ("怎么配置 Dify 密钥", "zh.md", "`.env`"),
        ("Dify 很慢的时候会怎么样", "zh.md", "querying_rag"),
        ("怎么暂停", "zh.md", '"action": "pause"'),
        ("话没说完会怎么样", "zh.md", "may_continue"),
        ("为什么没有提问", "zh.md", "not_a_question"),
        ("断线以后怎么恢复", "zh.md", "resume_token"),
        ("谁可以连接", "zh.md", "AUTH_TOKENS_FILE"),
        ("端口怎么改", "zh.md", "PORT"),
    ],
)
async def test_the_docs_answer_what_a_newcomer_asks(
    question: str, source: str, fragment: str, from_docs: dict[str, Any]
) -> None:
    async with indexed(make_settings(**from_docs)) as rag:
        events = [event async for event in rag.query(Question(question, user="newcomer"))]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    first, _, place = text.partition("\n\n— ")
    assert place.startswith(f"{source} §")
    assert fragment in text
    assert first != NOTHING_FITS


# The first minute


SLOW = "**When Dify is slow, the client sees `querying_rag` and waits"
PAUSE = '"action": "pause"'
FIRST_ANSWERS = {
    "so what happens when Dify is slow": SLOW,
    "What happens when Dify is slow?": SLOW,
    "How do I cancel an answer?": "**To cancel the running answer, send a `control` with the action `cancel`",
    "How do I pause?": "To pause, send a `control` with the action `pause`",
    "so how do I pause": PAUSE,
    "What is this service for?": "This service hears questions in live transcripts and streams the answers back.",
    "那 Dify 很慢的时候会怎么样": "Dify 很慢的时候，客户端停留在 `querying_rag`",
    "Dify 很慢的时候会怎么样？": "Dify 很慢的时候，客户端停留在 `querying_rag`",
    "怎么取消回答？": '取消回答：发送 `{"type": "control", "action": "cancel"}`',
    "怎么暂停？": PAUSE,
    "这个服务是做什么的？": "从语音识别的实时文字中听出问题",
}
"""What a newcomer asks in the first minute, and what the first quote says."""


def first_quote(frames: list[Frame]) -> str:
    return text_of(frames).partition("\n\n— ")[0]


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_every_question_of_a_recording_gets_its_answer(
    start: Serve, language: str, from_docs: dict[str, Any]
) -> None:
    service = await start(**from_docs)
    talk = read(ROOT / "app" / "static" / "transcripts" / f"{language}.jsonl").splitlines()
    asked = []
    async with service.connect() as client:
        for line in map(json.loads, talk):
            await client.send("asr_chunk", **{key: line[key] for key in ("text", "is_final", "language")})
            if line.get("asks"):
                asked.append(line["text"])
                frames = await client.until(stage="idle")
                assert FIRST_ANSWERS[line["text"]] in first_quote(frames)
        heard = [frame["question"] for frame in client.frames if frame.get("stage") == "analyzing"]
        assert heard == asked
    assert len(asked) == 2


def sentences_to_try() -> list[str]:
    """The example buttons of the console, and what the quickstart has one type."""
    buttons = re.findall(r'"examples\.own-docs\.\d": "(.*)"', read(ROOT / "app" / "static" / "i18n.js"))
    typed = re.findall(r"^- Type `(.*)` and press Enter: it is asked", read(DOCS / "quickstart.md"), re.MULTILINE)
    assert (len(buttons), len(typed)) == (6, 1)
    return [*buttons, *typed]


@pytest.mark.parametrize("said", sentences_to_try())
async def test_what_a_newcomer_is_told_to_say_gets_its_answer(
    start: Serve, said: str, from_docs: dict[str, Any]
) -> None:
    service = await start(**from_docs)
    async with service.connect() as client:
        await client.say("Good morning everybody.")
        assert (await client.until(type="status"))[-1]["reason"] == "not_a_question"
        quote = first_quote(await client.ask(said))
    assert FIRST_ANSWERS[said] in quote
    assert not quote.endswith(("```", ":"))  # code alone, or what announces it alone, says nothing


COURTESIES = [
    *("Thanks everybody.", "Good morning.", "Okay, let's start.", "Ok so moving on.", "Hi Anna, hi Ben.", "Anna."),
    *("Danke schön, alle zusammen.", "Muchas gracias a todos.", "Merci beaucoup à tous.", "Let me share my screen."),
    *("谢谢大家。", "大家好，我们开始吧。", "おはようございます。", "The line is slow today.", "We move on Monday."),
]


@pytest.mark.no_cover  # many times the same lines
async def test_courtesies_before_a_question_change_nothing(start: Serve, from_docs: dict[str, Any]) -> None:
    service = await start(**from_docs)

    async def answered(asked: str, *before: str) -> str:
        async with service.connect() as client:
            for said in before:
                await client.say(said)
                assert (await client.until(type="status"))[-1]["reason"] == "not_a_question"
            return first_quote(await client.ask(asked))

    for number, (asked, quote) in enumerate(FIRST_ANSWERS.items()):
        assert quote in await answered(asked, COURTESIES[number], COURTESIES[number + 4])
    for asked in ("how do I pause it", "what does it cost"):  # which lean on what was said before
        alone = await answered(asked)
        for said in COURTESIES:
            assert await answered(asked, said) == alone, said


async def test_the_recording_gets_the_answer_that_the_readme_shows() -> None:
    shown = [json.loads(line[2:]) for line in read(ROOT / "README.md").splitlines() if line.startswith("< {")]
    asked = {frame["question"] for frame in shown if "question" in frame}
    assert asked == {"so what happens when Dify is slow"}
    assert FIRST_ANSWERS[asked.pop()] in first_quote(shown)
