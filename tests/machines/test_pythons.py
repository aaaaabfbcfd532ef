"""A fresh clone is green on every supported Python, on machines that have nothing else, and beside busy neighbours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.machines.conftest import Debian, call, copy_checkout, variables
from tests.service import ROOT

pytestmark = pytest.mark.machines

# All that is mounted goes with the shell's own view of the file systems.
CHROOT = """
set -e
for path in dev proc etc/ssl/certs; do mount --rbind /$path "$0/$path"; done
exec chroot "$0" make -C /checkout test
"""


def without_make() -> dict[str, str]:
    """The environment without what a make tells the makes that it starts."""
    return {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}


@pytest.mark.parametrize("python", ["python3.12", "python3.13", "python3.14"])
def test_a_fresh_clone_is_green_on_a_python_of_this_machine(folder: Path, python: str) -> None:
    path = shutil.which(python)
    # A shim may stand for a Python that is not there.
    if path is None or subprocess.run([path, "-c", "import venv"], capture_output=True).returncode:
        pytest.skip(f"there is no {python} on this machine's PATH")
    call("make", "-C", copy_checkout(folder), "test", f"PYTHON={path}", env=without_make())


@pytest.mark.parametrize(("release", "python"), [("bookworm", "3.11"), ("trixie", "3.13"), ("sid", "3.14")])
def test_a_fresh_clone_is_green_on_a_bare_debian(debian: Debian, folder: Path, release: str, python: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can change to another root file system")
    tar = debian(release)
    call("tar", "-C", folder, "-xf", tar)
    copy_checkout(folder)
    for name in ("etc/resolv.conf", "etc/hosts", "etc/pip.conf"):
        if Path("/", name).exists():
            shutil.copy(Path("/", name), folder / name)
    assert (folder / "usr" / "bin" / f"python{python}").exists()
    call("unshare", "--mount", "sh", "-c", CHROOT, folder, env=variables())


@pytest.fixture
def busy_neighbours() -> Iterator[None]:
    """Four processes that take all the time they get."""
    with ExitStack() as stack:
        for _ in range(4):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


@pytest.mark.usefixtures("busy_neighbours")
def test_the_suite_is_green_on_a_busy_machine() -> None:
    call(sys.executable, "-m", "pytest", "-q", "-n", "5", "--dist", "loadfile", "--no-loadscope-reorder", cwd=ROOT)
