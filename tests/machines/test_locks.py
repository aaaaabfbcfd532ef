"""The locks are installed by the oldest pip that a supported Python brings, and lack nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.machines.conftest import call, variables
from tests.service import ROOT

pytestmark = pytest.mark.machines

OLDEST_PIP = "23.0.1"


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_an_old_pip_installs_all_of_a_lock(folder: Path, lock: str) -> None:
    python = folder / "bin" / "python"
    call(sys.executable, "-m", "venv", folder)
    call(python, "-m", "pip", "install", "-q", f"pip=={OLDEST_PIP}", env=variables())
    shown = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, text=True, check=True).stdout
    assert shown.startswith(f"pip {OLDEST_PIP} ")
    call(python, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", ROOT / lock, env=variables())
    call(python, "-m", "pip", "check")
