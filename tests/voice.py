"""Who speaks and who hears in tests: flite and pocketsphinx."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.util import find_spec

import pytest

IS_LOCKED = sys.version_info[:2] == (3, 11) and sys.platform == "linux" and platform.machine() == "x86_64"
"""Whether requirements-dev.txt lists pocketsphinx for this Python: elsewhere it would have to be compiled."""


def need_pocketsphinx() -> None:
    if find_spec("pocketsphinx") is None:
        _lack("pocketsphinx, which hears, is not installed", is_required=IS_LOCKED)


def need_voice() -> None:
    need_pocketsphinx()
    if shutil.which("flite") is None:
        _lack("there is no flite, which speaks (Debian: flite)", is_required=True)


def _lack(reason: str, *, is_required: bool) -> None:
    if is_required and os.environ.get("REQUIRE_VOICE") == "1":
        pytest.fail(f"{reason}, and REQUIRE_VOICE=1")
    pytest.skip(reason)
