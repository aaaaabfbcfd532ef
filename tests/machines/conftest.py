"""What the machines are made of: a folder that goes away, copies of this checkout, and root file systems of Debian."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.service import ROOT

PACKAGES = "python3,python3-venv,python3-pip,ca-certificates,make"

Debian = Callable[[str], Path]


def call(*command: str | Path, **options: object) -> None:
    """Run a command that has to end well; what it prints is shown as it comes."""
    print("\n$", *command, flush=True)
    done = subprocess.run(list(map(str, command)), timeout=2 * 3600, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: see above"


def copy_checkout(folder: Path) -> Path:
    """What a fresh clone holds, and nothing that was installed or compiled."""
    ignored = shutil.ignore_patterns(".git", ".venv", "*cache*", ".hypothesis", ".coverage*", ".env")
    return shutil.copytree(ROOT, folder / "checkout", ignore=ignored)


def variables() -> dict[str, str]:
    """What a fresh machine has to know of this one: how it reaches a package index."""
    kept = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")
    mine = {name: value for name, value in os.environ.items() if name.upper().startswith(kept)}
    return {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", **mine}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards: a machine takes a gigabyte, and pytest would keep those of three runs."""
    with tempfile.TemporaryDirectory(prefix="machine-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def debian() -> Iterator[Debian]:
    """`debian("trixie")`: the root file system of that release, as a tar file; skips where it cannot be made."""
    with tempfile.TemporaryDirectory(prefix="debian-") as path:

        @cache
        def make(release: str) -> Path:
            tar = Path(path) / f"{release}.tar"
            # sid is signed for a few days only.
            options = ['--aptopt=Acquire::Check-Valid-Until "false"'] if release == "sid" else []
            call(
                "mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", *options, release, tar, *mirror()
            )
            return tar

        def get(release: str) -> Path:
            if not shutil.which("mmdebstrap"):
                pytest.skip("mmdebstrap is not installed, which makes root file systems of Debian")
            return make(release)

        yield get


def mirror() -> list[str]:
    """Where this machine gets Debian's packages from, if it is one of Debian; else mmdebstrap knows."""
    about = Path("/etc/os-release")
    if not about.exists() or "\nID=debian\n" not in about.read_text():
        return []
    shown = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True)
    return [uri for uri in shown.stdout.split() if "security" not in uri][:1]
