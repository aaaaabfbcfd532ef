"""A voice is heard and answered by one command, with nothing played: flite speaks, pocketsphinx hears."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.spoken import meaning, speak
from tests.conftest import Serve
from tests.tools.test_listen import write_wave
from tests.voice import need_voice

pytestmark = [pytest.mark.slow, pytest.mark.no_cover]

# To hear takes half as long as to speak: `make machines` tries twelve questions.
TALK = [
    "Good morning everybody.",
    "How can I change the port?",
    "That is a good idea.",
    "When does the meeting begin?",
]


async def test_spoken_questions_are_answered_once_each_and_no_statement(
    start: Serve, from_docs: dict[str, Any], tmp_path: Path
) -> None:
    need_voice()
    # A busy machine hears late: a word that stands still meanwhile has not been said to its end.
    service = await start(**from_docs, stale_partial_seconds=60)
    pause = bytes(2 * 12_000)
    spoken = [await asyncio.to_thread(speak, sentence, "rms", tmp_path) for sentence in TALK]
    path = write_wave(tmp_path / "talk.wav", pause + pause.join(spoken) + pause)
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "app",
            "listen",
            str(path),
            "--from",
            "pocketsphinx",
            "--url",
            service.ws_url,
            "--json",
        ),
        stdout=asyncio.subprocess.PIPE,
    )
    written, _ = await process.communicate()
    asked = json.loads(written)["questions"]
    assert process.returncode == 0
    assert {question["outcome"] for question in asked} == {"answered"}
    meant = Counter(max(TALK, key=lambda sentence: meaning(sentence, question["text"])) for question in asked)
    assert meant == {sentence: 1 for sentence in TALK if sentence.endswith("?")}
    (about_the_port,) = [question["answer"] for question in asked if "port" in question["text"]]
    assert "set `PORT` in `.env`" in about_the_port
