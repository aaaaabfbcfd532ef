"""Every fault of Dify, at every moment of an answer, whatever the client does meanwhile: each question has one outcome.

The outcome is a final answer, `interrupting`, or, for a client that comes back in vain, an honest `resumed: false`.
Then the next question works, and nothing is left running. `WHOLE_MATRIX=1`, as `make soak` sets it, leaves nothing out.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.client import PATIENCE, Client
from tests.conftest import Serve
from tests.rules import Frame, text_of
from tests.service import Service
from tests.standin import events
from tests.standin.dify import StandInDify
from tests.standin.exchange import Exchange, Script, Step, perform
from tests.standin.scripts import (
    DEFAULT,
    answer,
    bare_error,
    chatflow,
    chatflow_failed,
    chatflow_paused,
    close_before_head,
    cut,
    hang,
    pings_forever,
    reset,
    reset_before_head,
    send,
    status,
)

# Other tests reach the same lines; here they are run many times.
pytestmark = [pytest.mark.no_cover, pytest.mark.slow]

BROKEN, NEXT = "What is broken?", "What is next?"

# One attempt, so that it is the fault that is seen.
PATIENT: dict[str, Any] = {"dify_max_retries": 0}
# For what only a deadline ends.
HASTY = {**PATIENT, "dify_timeout": 3, "dify_stall_timeout": 3, "dify_total_timeout": 4}

# What Dify does, and what a client that waits is told: a code, or None for a whole answer.
Faults = dict[str, tuple[Script, str | None]]


def head() -> Step:
    """The head of the response, and nothing that is heard."""
    return send(events.PING)


def ended_by(after: Script, paused: Step, failed: Step) -> Faults:
    """What may happen in the body of a response, from `after` on."""
    return {
        "hangs": ([after, hang()], "RAG_TIMEOUT"),
        "hangs, deaf to stop": ([after, hang(deaf=True)], "RAG_TIMEOUT"),
        "pings forever": ([after, pings_forever(0.02)], "RAG_TIMEOUT"),
        "cuts": ([after, cut()], "RAG_BROKEN_STREAM"),
        "resets": ([after, reset()], "RAG_BROKEN_STREAM"),
        "ends early": (after, "RAG_BROKEN_STREAM"),
        "sends garbage": ([after, send(b"data: nonsense\n\n")], "RAG_BROKEN_STREAM"),
        "names an error": ([after, send(events.error("out of order", "completion_request_error", 400))], "RAG_FAILED"),
        "names an error without a code": ([after, bare_error()], "RAG_FAILED"),
        "fails its workflow": (failed, "RAG_FAILED"),
        "waits for a person": (paused, "RAG_FAILED"),
    }


MOMENTS: dict[str, Faults] = {
    "before the headers": {
        "hangs": (hang(head=False), "RAG_TIMEOUT"),
        "closes": (close_before_head(), "RAG_UNAVAILABLE"),
        "resets": (reset_before_head(), "RAG_UNAVAILABLE"),
        "refuses the key": (status(401), "RAG_REJECTED"),
        "has too much to do": (status(429), "RAG_RATE_LIMITED"),
        "breaks": (status(500), "RAG_UNAVAILABLE"),
        "is away": (status(503, html="<p>Away.</p>"), "RAG_UNAVAILABLE"),
        "is a page": (status(200, html="<p>Welcome.</p>"), "RAG_UNAVAILABLE"),
        "is elsewhere": (status(302, headers={"Location": "http://127.0.0.1:9/"}), "RAG_UNAVAILABLE"),
    },
    "before the first text": {
        **ended_by(head(), chatflow_paused(), chatflow_failed()),
        "says nothing": (answer(), "RAG_FAILED"),
        "fails before it begins": (chatflow_failed(synthetic=True), "RAG_FAILED"),
    },
    "in mid-text": ended_by(send(events.message("One")), chatflow_paused("One"), chatflow_failed("One")),
    "after the end": {
        "keeps the chat open": ([answer("One"), hang()], None),
        "keeps the workflow open": ([chatflow("One", order="only_end"), hang(deaf=True)], None),
        "pings forever": ([chatflow("One", order="only_end"), pings_forever(0.02)], None),
        "cuts": ([answer("One"), cut()], None),
        "cuts the workflow": ([chatflow("One", order="only_end"), cut()], None),
        "resets the workflow": ([chatflow("One", order="only_end"), reset()], None),
        "goes on talking": ([answer("One"), send(events.message("Two")), hang()], None),
        "sends garbage": ([answer("One"), send(b"data: nonsense\n\n"), hang()], None),
    },
}


class Trial:
    """A client with a broken question, up to the moment at which it acts."""

    def __init__(self, service: Service, dify: StandInDify, client: Client) -> None:
        self.service = service
        self.dify = dify
        self.client = client
        self.sockets = AsyncExitStack()

    @property
    def outcomes(self) -> int:
        """Questions of this client that have ended before its eyes."""
        return list(self.client.rules.states.values()).count("ended")

    async def until_ended(self, n: int = 1) -> None:
        while self.outcomes < n:
            await self.client.receive()

    async def reach(self, moment: str) -> None:
        asked = len(self.dify.requests)
        await self.client.say(BROKEN)
        await self.client.until(stage="querying_rag")
        await self.dify.asked(asked + 1)
        match moment:
            case "in mid-text":
                await self.client.until(content="One")
            case "after the end":
                await self.client.until(final=True)

    async def sessions(self, n: int) -> None:
        """Wait until the service has this many sessions."""
        async with asyncio.timeout(PATIENCE):
            while (await self.service.health())["sessions"] != n:  # noqa: ASYNC110 -- nobody tells of an end
                await asyncio.sleep(0.01)

    async def come_back(self, **query: Any) -> Frame:
        """Lose the connection, if it is still there, and return the greeting on the next one."""
        self.client.socket.transport.abort()
        return await self.sockets.enter_async_context(self.service.reconnect(self.client, **query))

    async def come_back_in_vain(self, reason: str, **query: Any) -> None:
        former = self.client.rules.session_id
        greeting = await self.come_back(**query)
        assert (greeting["resumed"], greeting["reason"], greeting["seq"]) == (False, reason, 1)
        assert greeting["session_id"] != former
        await self.client.until(stage="listening")


# What a client does. Each returns when its question has its outcome.


async def waits(trial: Trial) -> None:
    await trial.until_ended()


async def cancels(trial: Trial) -> None:
    await trial.client.control("cancel")
    await trial.client.until(stage="idle", reason="cancelled")
    assert trial.outcomes == 1


async def asks_at_once(trial: Trial) -> None:
    await trial.client.control("instant_query", text=NEXT)
    await trial.until_ended(2)


async def asks_another(trial: Trial) -> None:
    await trial.client.say(NEXT, speaker="somebody else")
    await trial.until_ended(2)


async def leaves(trial: Trial) -> None:
    await trial.client.socket.close(1000)
    await trial.sessions(1)


async def comes_back(trial: Trial) -> None:
    """What it missed comes once and in order: the rules go on as if nothing had been."""
    greeting = await trial.come_back()
    assert (greeting["resumed"], greeting["seq"]) == (True, trial.client.last_seq)
    await trial.until_ended()


async def comes_back_too_late(trial: Trial) -> None:
    trial.client.socket.transport.abort()
    await trial.sessions(1)
    await trial.come_back_in_vain("unknown_token")


async def comes_back_having_forgotten(trial: Trial) -> None:
    await trial.come_back_in_vain("frames_lost", last_seq=0)


Action = Callable[[Trial], Awaitable[None]]

# Beside what it does, what the service is set to.
ACTIONS: dict[Action, dict[str, Any]] = {
    waits: {},
    cancels: {},
    asks_at_once: {},
    asks_another: {},
    leaves: {},
    comes_back: {},
    comes_back_too_late: {"resume_seconds": 0.02},
    comes_back_having_forgotten: {"resume_frames": 1},
}


def chosen(moment: str, action: Action) -> list[tuple[str, tuple[Script, str | None]]]:
    """All faults of the moment for who waits, a third of them for the others, unless WHOLE_MATRIX=1."""
    faults = list(MOMENTS[moment].items())
    if action is waits or os.environ.get("WHOLE_MATRIX") == "1":
        return faults
    return faults[list(ACTIONS).index(action) % 3 :: 3]


def breaking(fault: Script) -> Step:
    """The fault for the broken question, and an answer for every other one."""

    async def step(exchange: Exchange) -> None:
        await perform(fault if exchange.recorded.query == BROKEN else DEFAULT, exchange)

    return step


@pytest.fixture(params=[pytest.param(action, id=action.__name__) for action in ACTIONS])
def action(request: pytest.FixtureRequest) -> Action:
    chosen: Action = request.param
    return chosen


@dataclass(frozen=True)
class Services:
    patient: Service
    hasty: Service

    def for_fault(self, moment: str, code: str | None) -> Service:
        return self.hasty if code == "RAG_TIMEOUT" else self.patient


@pytest.fixture
async def services(start: Serve, action: Action) -> Services:
    return Services(await start(**PATIENT, **ACTIONS[action]), await start(**HASTY, **ACTIONS[action]))


async def next_one_works(client: Client) -> None:
    await client.control("instant_query", text=NEXT)  # said once more, it would be a repetition
    frames = await client.until(type="status", stage="idle")
    assert text_of(frames, frames[-1]["query_id"]) == "Stand-in answer."


@pytest.mark.parametrize("moment", MOMENTS)
async def test_every_question_has_one_outcome_and_the_next_one_works(
    services: Services,
    dify: StandInDify,
    action: Action,
    moment: str,
    caplog: pytest.LogCaptureFixture,
    subtests: pytest.Subtests,
) -> None:
    caplog.set_level(logging.INFO, "app.outcomes")
    for name, (fault, code) in chosen(moment, action):
        service = services.for_fault(moment, code)
        with subtests.test(name):
            dify.default = breaking(fault)
            async with service.connect() as other, service.connect() as client:
                await next_one_works(other)
                trial = Trial(service, dify, client)
                await trial.reach(moment)
                async with trial.sockets:
                    await action(trial)
                    if action is not leaves:
                        await next_one_works(client)
                if action in {waits, comes_back}:
                    final = next(frame for frame in client.frames if frame.get("final"))
                    assert final.get("error", {}).get("code") == code
                    assert bool(final.get("incomplete")) == (moment == "in mid-text")
                await next_one_works(other)
            await dify.idle()
            await trial.sessions(0)
            assert max(dify.most_running_per_conversation.values()) == 1
            outcomes = Counter(vars(record)["query_id"] for record in caplog.records if hasattr(record, "outcome"))
            assert set(outcomes.values()) == {1}
            assert set(client.rules.states) <= set(outcomes)
            assert not [record for record in caplog.records if record.exc_info]
