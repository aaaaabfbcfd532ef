"""The container is built and watched as the docs say; without a container engine, its parts are tried one by one."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest

from app.config import OWN_DOCS
from tests.checkers import check
from tests.client import PATIENCE
from tests.conftest import Serve
from tests.service import ROOT
from tests.test_docs import commands, run

pytestmark = pytest.mark.slow

DOCKERFILE = ROOT / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines if line)]


def final_stage() -> dict[str, str]:
    stage: dict[str, str] = {}
    for name, rest in instructions():
        if name == "FROM":
            stage = {}
        stage[name] = f"{stage[name]}\n{rest}" if name in stage else rest
    return stage


def health_command() -> list[str]:
    command = json.loads(final_stage()["HEALTHCHECK"].partition("CMD ")[2])
    assert isinstance(command, list)
    return command


def test_hadolint_has_nothing_to_say() -> None:
    check("hadolint", "--no-color", DOCKERFILE)


def test_it_runs_the_entry_itself_so_that_signals_reach_it() -> None:
    stage = final_stage()
    assert json.loads(stage["CMD"]) == ["python", "-m", "app"]
    assert "ENTRYPOINT" not in stage
    assert "STOPSIGNAL" not in stage


def test_it_runs_as_a_numeric_user_that_is_not_root() -> None:
    user, group = final_stage()["USER"].split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_it_holds_the_environment_the_application_and_something_to_answer_from() -> None:
    copies = final_stage()["COPY"].splitlines()
    assert [copy.split()[-1] for copy in copies] == ["/opt/venv", "/srv/app", "/srv/docs"]
    assert all(copy.startswith("--from=build ") for copy in copies)
    assert "RUN" not in final_stage()
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = ["*", "!app", "!docs/*.md", "!requirements.txt", "**/__pycache__"]
    assert [rule for rule in rules if not rule.startswith("#")] == kept
    assert str(OWN_DOCS) == "docs"
    assert final_stage()["WORKDIR"] == "/srv"


def test_the_base_image_is_an_argument_of_both_stages() -> None:
    names = [rest.split(" AS ")[0] for name, rest in instructions() if name == "FROM"]
    assert names == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    assert instructions()[0] == ("ARG", "PYTHON_IMAGE=python:3.13-slim")


def test_what_is_installed_is_checked_by_hash() -> None:
    (install,) = (rest for name, rest in instructions() if name == "RUN" and " install " in rest)
    assert {"--no-deps", "--require-hashes", "--no-cache-dir"} <= set(shlex.split(install))


def test_it_listens_on_all_addresses_and_writes_nothing() -> None:
    variables = dict(word.split("=", 1) for word in shlex.split(final_stage()["ENV"]))
    assert variables["HOST"] == "0.0.0.0"
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert variables["PATH"].startswith("/opt/venv/bin:")


async def test_the_health_check_passes_while_the_service_answers(start: Serve) -> None:
    service = await start()
    python, *arguments = health_command()
    assert python == "python"
    await run(sys.executable, *arguments, PORT=service.http_url.rpartition(":")[2], http_proxy="http://127.0.0.1:9")


def test_the_health_check_fails_when_nobody_listens() -> None:
    command = [sys.executable, *health_command()[1:]]
    # Port 9 of this machine discards, if it does anything.
    end = subprocess.run(command, env={"PORT": "9"}, capture_output=True, timeout=3 * PATIENCE, check=False)
    assert end.returncode == 1


@pytest.mark.parametrize("command", [each for each in commands() if each[:2] == ["docker", "build"]], ids=" ".join)
def test_the_documented_builds_make_the_image(command: list[str]) -> None:
    assert command == ["docker", "build", "-t", "realtime-rag", "."]


@pytest.mark.parametrize("command", [each for each in commands() if each[:2] == ["docker", "run"]], ids=" ".join)
def test_the_documented_commands_fit_the_image(command: list[str]) -> None:
    assert command[-1] == "realtime-rag"
    port = final_stage()["EXPOSE"]
    assert {f"{port}:{port}", f"127.0.0.1:{port}:{port}"} & set(command)
    assert "--read-only" in command
    # A whole .env may name an address that cannot be reached from outside the container.
    assert "--env-file" not in command or "HOST=0.0.0.0" in command
    mounts = [word for word in command if word.endswith(":ro")]
    assert all(mount.split(":")[1] == f"{final_stage()['WORKDIR']}/docs" for mount in mounts)


def test_its_guide_is_its_own_whatever_is_mounted_over_the_docs() -> None:
    copied = [rest.split() for name, rest in instructions() if name == "COPY"]
    assert ["docs", "/srv/app/docs"] in copied
