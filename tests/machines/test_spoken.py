"""A voice is heard and its questions are asked, once each, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.spoken import measure
from tests.service import make_settings
from tests.voice import need_voice

pytestmark = pytest.mark.machines


async def test_of_twelve_spoken_questions_nine_are_asked_and_no_statement(from_docs: dict[str, Any]) -> None:
    need_voice()
    result = await measure("rms", make_settings(**from_docs))
    assert len(result.asked) >= 9, result.missed
    assert (result.false, result.double) == ([], [])
