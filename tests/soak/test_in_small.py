"""The proof of `make soak` in small: the same code, for seconds."""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service import make_settings, serve
from tests.soak.attackers import ATTACKS, Attack
from tests.soak.bad_client import bad_client
from tests.soak.fuzz import KEYS, SETTINGS, WORDS, Talker, fuzz
from tests.soak.reconnects import reconnects
from tests.soak.replicas import replicas
from tests.soak.report import Part
from tests.soak.soak import soak
from tests.soak.unread import unread

# Other tests reach the same lines; here they are run many times.
pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["asr_chunk", "asr_chunk", "control", "configure", "keepalive", "song"])
ACTIONS = st.sampled_from(["pause", "resume", "cancel", "reset", "instant_query", "stop", "fly"])
PROPER = st.fixed_dictionaries(
    {"type": TYPES, "text": st.sampled_from(WORDS), "action": ACTIONS}, optional={"is_final": st.booleans()}
)
ODD = st.builds(
    lambda message, more: message | more, PROPER, st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=2)
)
FRAMES = st.one_of(PROPER.map(json.dumps), ODD.map(json.dumps), VALUES.map(json.dumps), st.text(), st.binary())


def assert_good(part: Part) -> None:
    assert part.is_good, f"\n{part}"


def test_a_crowd_gets_one_outcome_for_each_question_and_leaves_nothing_behind() -> None:
    assert_good(asyncio.run(soak(sessions=12, seconds=2, warm_up=1, resume_seconds=2)))


def test_reconnects_leave_memory_flat() -> None:
    assert_good(asyncio.run(reconnects(count=50, warm_up=50)))


def test_one_bad_client_costs_the_others_no_answer_and_the_service_little_memory() -> None:
    assert_good(asyncio.run(bad_client(seconds=0.3, sessions=2, most_ms=math.inf)))


@pytest.mark.parametrize("trouble", ["cut sockets", "kill one"])
def test_two_replicas_lose_nothing(trouble: str) -> None:
    assert_good(asyncio.run(replicas(trouble, sessions=6, seconds=2, pause_seconds=0.05)))


def test_every_attack_is_there() -> None:
    assert set(ATTACKS) == {name for name in vars(Attack) if not name.startswith("_")} - {"plug", "connect", "pour"}


def test_who_never_reads_a_long_answer_costs_little_and_is_told_in_the_end() -> None:
    assert_good(asyncio.run(unread(megabytes=8, to_the_end=False)))


def test_frames_by_chance_break_no_session() -> None:
    assert_good(asyncio.run(fuzz(frames=800)))


def test_no_frame_breaks_a_session(from_docs: dict[str, Any]) -> None:
    async def talk(url: str, frames: list[str | bytes]) -> None:
        talker = await Talker.connect(url)
        try:
            await talker.send(frames)
        finally:
            await talker.close()

    values = {name.lower(): value for name, value in SETTINGS.items()} | from_docs
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        service = runner.run(stack.enter_async_context(serve(make_settings(**values))))
        try:

            @settings(max_examples=15)
            @given(st.lists(FRAMES, min_size=1, max_size=12))
            def check(frames: list[str | bytes]) -> None:
                runner.run(talk(service.ws_url, frames))

            check()
        finally:
            runner.run(stack.aclose())
