"""What the code host runs and raises is well formed, pinned and least privileged; files are what editors are told."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests.checkers import check, check_schema, load_yaml
from tests.service import ROOT

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]  # what it tries is no part of this process

GITHUB = ROOT / ".github"
WORKFLOW = GITHUB / "workflows" / "ci.yml"
RELEASE = GITHUB / "workflows" / "release.yml"


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        (WORKFLOW, "vendor.github-workflows"),
        (WORKFLOW, "custom.github-workflows-require-timeout"),
        (RELEASE, "vendor.github-workflows"),
        (RELEASE, "custom.github-workflows-require-timeout"),
        (GITHUB / "dependabot.yml", "vendor.dependabot"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_the_code_host_would_take_it(path: Path, schema: str) -> None:
    check_schema(schema, path)


def test_zizmor_has_nothing_to_say() -> None:
    check("zizmor", "--offline", "--no-progress", "--pedantic", "--strict-collection", "--collect=all", GITHUB)


def steps() -> Iterator[dict[str, Any]]:
    for job in load_yaml(WORKFLOW)["jobs"].values():
        yield from job["steps"]


def test_actions_are_pinned_by_commit_with_one_version_each() -> None:
    lines = re.findall(r"uses: (.*)", WORKFLOW.read_text(encoding="utf-8"))
    assert len(lines) == sum("uses" in step for step in steps())
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line) for line in lines)
    assert len(set(lines)) == len({line.partition("@")[0] for line in lines})


def test_a_checkout_leaves_no_credentials_behind() -> None:
    checkouts = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(load_yaml(WORKFLOW)["jobs"])
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_jobs_may_only_read_the_code() -> None:
    workflow = load_yaml(WORKFLOW)
    assert workflow["permissions"] == {}
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == {
        name: {"contents": "read"} for name in workflow["jobs"]
    }


def test_the_oldest_and_the_newest_python_run_the_same_checks_as_a_checkout() -> None:
    job = load_yaml(WORKFLOW)["jobs"]["test"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    oldest = re.search(r'requires-python = ">=(.*)"', project)
    assert oldest
    assert job["strategy"]["matrix"]["python"] == [oldest[1], "3.14"]
    *installs, checks = [step["run"] for step in job["steps"] if "run" in step]
    assert checks == "make test"
    assert all("apt-get install" in step for step in installs)
    assert job["env"] == {"REQUIRE_BROWSER": "1", "REQUIRE_REDIS": "1", "REQUIRE_VOICE": "1"}


@pytest.mark.parametrize(("tests", "status"), [("true", 0), ("false", 2)])
def test_the_checks_get_what_a_bare_machine_lacks_and_end_with_the_runners_summary(
    tmp_path: Path, tests: str, status: int
) -> None:
    """A machine with a Python and nothing else that is needed; its packages bring a make."""
    machine, checkout = tmp_path / "bin", tmp_path / "checkout"
    machine.mkdir()
    for tool in ("bash", "cat", "chmod", "dirname", "env", "grep", "id", "sh"):
        (machine / tool).symlink_to(shutil.which(tool) or pytest.skip(f"there is no {tool}"))
    (machine / "python3").symlink_to(sys.executable)
    (machine / "apt-get").write_text(APT_GET)
    (machine / "apt-get").chmod(0o755)
    (machine / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (machine / "sudo").chmod(0o755)
    (checkout / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", checkout / ".ci")
    environment = {"PATH": str(machine), "BIN": str(machine), "REAL_MAKE": shutil.which("make") or "make"}
    makefile = f"test:\n\t@echo $(PYTHON) $$REQUIRE_BROWSER $$PWD; echo 7 passed; {tests}\n"
    (checkout / "Makefile").write_text(makefile)

    done = subprocess.run(
        [checkout / ".ci" / "run"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    assert done.stdout.splitlines() == [
        "apt-get update -q",
        "apt-get install -qy --no-install-recommends make openssl chromium-headless-shell fonts-noto-cjk prometheus"
        " redis-server nodejs npm node-typescript flite",
        f"python3 1 {checkout}",
        "7 passed",
    ]
    assert done.returncode == status


# Tells how it was called, and brings make.
APT_GET = """\
#!/bin/sh
echo "apt-get $*"
printf '#!/bin/sh\\nexec "$REAL_MAKE" "$@"\\n' > "$BIN/make"
chmod +x "$BIN/make"
"""


def test_the_checks_stop_at_the_first_thing_that_fails() -> None:
    assert "set -euo pipefail" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def properties(path: Path) -> dict[str, str]:
    """What `.editorconfig` says of a file; a later section wins."""
    parser = ConfigParser()
    parser.read_string("[top]\n" + (ROOT / ".editorconfig").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for pattern in parser.sections()[1:]:
        start, _, rest = pattern.partition("{")
        choices, _, end = rest.partition("}")
        if any(fnmatch(str(path.relative_to(ROOT)), start + choice + end) for choice in choices.split(",")):
            found |= parser[pattern]
    return found


# Other people's files, unchanged.
VENDORED = [ROOT / "app" / "static" / "vendor", ROOT / "tests" / "asyncapi"]


def texts() -> Iterator[Path]:
    names = {"*.css", "*.html", "*.js", "*.json", "*.md", "*.py", "*.toml", "*.yaml", "*.yml"}
    roots = [ROOT / name for name in ("app", "docs", "tests", ".github")]
    paths = [*ROOT.iterdir(), *(path for root in roots for path in root.rglob("*"))]
    ours = (path for path in paths if not any(path.is_relative_to(folder) for folder in VENDORED))
    yield from (path for path in ours if path.name == "Makefile" or any(map(path.match, names)))


def test_every_text_is_as_editors_are_told() -> None:
    wrong = []
    for path in texts():
        wanted, content = properties(path), path.read_bytes()
        if wanted.get("charset") == "utf-8":
            content.decode("utf-8")
        if wanted.get("end_of_line") == "lf" and b"\r" in content:
            wrong.append(f"{path}: carriage return")
        if wanted.get("insert_final_newline") == "true" and content and not content.endswith(b"\n"):
            wrong.append(f"{path}: no newline at the end")
        if wanted.get("trim_trailing_whitespace") == "true" and re.search(rb"[ \t]$", content, re.MULTILINE):
            wrong.append(f"{path}: white space at the end of a line")
        if wanted.get("indent_style") == "space" and re.search(rb"^ *\t", content, re.MULTILINE):
            wrong.append(f"{path}: a tab")
    assert wrong == []
