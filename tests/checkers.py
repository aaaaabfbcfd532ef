"""Checkers of other projects, installed beside pytest, and the files they check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.client import PATIENCE


def check(tool: str, *arguments: str | Path) -> None:
    """Run a checker that stands beside this Python; what it says goes into the failure."""
    command = [Path(sys.executable).parent / tool, *arguments]
    end = subprocess.run(command, capture_output=True, text=True, timeout=6 * PATIENCE, check=False)
    assert end.returncode == 0, end.stdout + end.stderr


def check_schema(name: str, path: Path) -> None:
    """Check a YAML file against a schema that check-jsonschema carries."""
    check("check-jsonschema", "--builtin-schema", name, path)


def load_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
