"""The lock files and the version are what they should be."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import app
from tests.service import ROOT

pytestmark = pytest.mark.slow

RUNTIME, DEV = ROOT / "requirements.txt", ROOT / "requirements-dev.txt"


def requirements(path: Path) -> dict[str, list[str]]:
    """Each pinned requirement, with its marker, and its hashes."""
    entries = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    split = (entry.split("--hash=") for entry in entries if entry.strip())
    return {pin.strip(): [each.strip() for each in hashes] for pin, *hashes in split}


@pytest.mark.parametrize("path", [RUNTIME, DEV], ids=lambda path: path.name)
def test_a_lock_file_holds_pins_and_hashes_and_no_address(path: Path) -> None:
    assert "://" not in path.read_text(encoding="utf-8")
    pinned = requirements(path)
    assert pinned
    for pin, hashes in pinned.items():
        assert re.match(r"[\w.\[\]-]+==\S+", pin), pin
        assert hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), pin


def test_what_runs_is_what_is_tested() -> None:
    # For which machines may be said in more words in the one than in the other.
    runtime, dev = (
        {pin.split(" ;")[0]: hashes for pin, hashes in requirements(path).items()} for path in (RUNTIME, DEV)
    )
    assert {pin: dev.get(pin) for pin in runtime} == runtime


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for path, wanted in [(RUNTIME, project["project"]["dependencies"]), (DEV, project["dependency-groups"]["dev"])]:
        locked = {re.split(r"[=\[]", pin)[0] for pin in requirements(path)}
        assert {re.split(r"[^\w.-]", each)[0].lower() for each in wanted} <= locked


def test_the_version_is_written_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == app.__version__


def test_nothing_that_is_installed_lacks_what_it_requires() -> None:
    # The lock is installed with --no-deps: what it does not list is not there.
    check = subprocess.run(
        [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"], capture_output=True, text=True
    )
    if "No module named pip" in check.stderr:
        pytest.skip("this environment was made without pip, which is what looks for missing requirements")
    assert check.returncode == 0, check.stdout


@pytest.mark.parametrize("path", ["Makefile", "Dockerfile"])
def test_a_lock_is_installed_as_it_is_whatever_was_released_since(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip (?:--python \S+ )?install [^;&\n]*", text)
    assert installs
    assert all("--no-deps" in each and "--require-hashes" in each for each in installs), installs
