"""The client and the mappers as a package of npm: what is in it, what it exports, and how that is typed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest

from app import __version__
from app.models.messages import Action, AsrChunk, Configure, Frame, Tuning
from tests.client import PATIENCE
from tests.service import ROOT

STATIC = ROOT / "app" / "static"
PACKAGE: dict[str, Any] = json.loads((STATIC / "package.json").read_text(encoding="utf-8"))
MODULES = ("client", "recognisers")
# How the declarations are made of the JSDoc.
DECLARE = (
    *("--allowJs", "--declaration", "--emitDeclarationOnly", "--skipLibCheck"),
    *("--target", "es2022", "--module", "es2022", "--lib", "es2023,dom,dom.iterable"),
)
USE = """
import { RealtimeRag, addTo, type Chunk } from "realtime-rag-client";
import { deepgram, vosk } from "realtime-rag-client/recognisers";
const rag = new RealtimeRag(new URL("wss://rag.example/ws/realtime-asr"), { token: "t", keepalive_ms: 5000 });
const heard: Chunk[] = vosk()({ text: "how long" });
heard.concat(deepgram()({})).forEach((chunk) => rag.chunk(chunk));
rag.control("feedback", { query_id: "c1-1", rating: "like" });
rag.configure({ auto_detect: "suggest", tuning: { wait_max_ms: 600, query_scope: "aggregated" } });
const text: string = addTo("", { content: "a" });
// @ts-expect-error
rag.control("dance");
// @ts-expect-error
rag.configure({ tuning: { wait_max_ms: "soon" } });
// @ts-expect-error
rag.chunk({ is_final: true });
"""


def command(name: str, how: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: {how}")
    return found


def run(*line: str | Path, cwd: Path) -> str:
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=6 * PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def declared(name: str) -> str:
    return (STATIC / f"{name}.d.ts").read_text(encoding="utf-8")


def fields(declaration: str, name: str) -> set[str]:
    (body,) = re.findall(rf"^ *(?:export type {name} =|{name}\?:) \{{\n(.*?)^ *\}};$", declaration, re.M | re.S)
    indent = min(len(line) - len(line.lstrip()) for line in body.splitlines())
    return set(re.findall(rf"^ {{{indent}}}(\w+)\??:", body, re.M))


def test_it_is_of_the_version_of_the_service() -> None:
    assert PACKAGE["version"] == __version__


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_exports_is_declared(name: str) -> None:
    exported = r"^export (?:async )?(?:function|const|class) (\w+)"
    code = (STATIC / f"{name}.js").read_text(encoding="utf-8")
    assert set(re.findall(exported, code, re.M)) == set(re.findall(exported, declared(name), re.M))


def test_the_types_have_the_fields_of_the_protocol() -> None:
    def of(model: type[Frame], *without: str) -> set[str]:
        return model.model_fields.keys() - {"type", "session_id", *without}

    client = declared("client")
    assert fields(client, "Chunk") == of(AsrChunk)
    assert fields(client, "SessionSettings") == of(Configure, "id")
    assert fields(client, "tuning") == of(Tuning)
    (actions,) = re.findall(r"export type Action = (.*);", client)
    assert set(re.findall(r'"(\w+)"', actions)) == set(get_args(Action))


@pytest.mark.slow
def test_the_declarations_are_those_of_the_modules(tmp_path: Path) -> None:
    tsc = command("tsc", "npm install -g typescript@5.9")
    if not (version := run(tsc, "--version", cwd=tmp_path)).startswith("Version 5.9."):
        pytest.skip(f"tsc 5.9 has made them, others write them otherwise; this is {version}")
    for name in MODULES:
        shutil.copy(STATIC / f"{name}.js", tmp_path)
    run(tsc, *(f"{name}.js" for name in MODULES), *DECLARE, "--outDir", "out", cwd=tmp_path)
    for name in MODULES:
        assert (tmp_path / "out" / f"{name}.d.ts").read_text(encoding="utf-8") == declared(name)


@pytest.mark.slow
def test_what_npm_packs_can_be_used(tmp_path: Path) -> None:
    npm, node = command("npm", "it comes with Node"), command("node", "nodejs.org has it")
    (packed,) = json.loads(run(npm, "pack", STATIC, "--json", "--offline", "--ignore-scripts", cwd=tmp_path))
    assert {file["path"] for file in packed["files"]} == {*PACKAGE["files"], "package.json"}
    (tmp_path / "node_modules").mkdir()
    run("tar", "-xf", packed["filename"], "-C", "node_modules", cwd=tmp_path)
    (tmp_path / "node_modules" / "package").rename(tmp_path / "node_modules" / PACKAGE["name"])
    (tmp_path / "use.mjs").write_text(
        'import { addTo } from "realtime-rag-client";\n'
        'import { vosk } from "realtime-rag-client/recognisers";\n'
        'console.log(addTo("a", { content: "b" }), vosk()({ text: "how long" })[0].text);\n'
    )
    assert run(node, "use.mjs", cwd=tmp_path) == "ab how long\n"
    tsc = shutil.which("tsc")
    if tsc is None:
        return  # the test before says so
    (tmp_path / "use.mts").write_text(USE)
    strict = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom"]
    strict.append("--skipDefaultLibCheck")  # what comes with it takes half of the time
    run(tsc, "use.mts", *strict, cwd=tmp_path)
