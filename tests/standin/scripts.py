"""What the stand-in does with a question: steps, and ready-made scripts of them.

A script is a step, or a list of scripts. Steps may also stand between the texts of a ready-made script:
`answer("Hel", wait(go), "lo")`. The body ends by itself after the last step. For a blocking request the same
scripts give the JSON of what they said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Literal

from aiohttp import web

from tests.standin import events
from tests.standin.events import ABSENT, PING, USAGE, Absent, Event, Style
from tests.standin.exchange import PATIENCE, Exchange, Script, Step, json_response, until_cancelled

Sources = Sequence[Mapping[str, Any]] | Absent | None
Usage = Mapping[str, Any] | Absent | None
Text = str | Step
Order = Literal["end_first", "finished_first", "only_end", "only_finished"]

# --- Steps in the body -----------------------------------------------------------------------------------


def send(*items: Event | bytes, without: Sequence[str] = ()) -> Step:
    """Events (their ids are filled in, but for those in `without`) or bytes as they are."""

    async def step(exchange: Exchange) -> None:
        for item in items:
            await exchange.send(item, without=without)

    return step


def wait(event: asyncio.Event) -> Step:
    """Hold, with the head out, until the test sets `event`."""

    async def step(exchange: Exchange) -> None:
        await exchange.flush()
        await _set(event)

    return step


async def _set(event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await event.wait()
    except TimeoutError:
        raise AssertionError(f"a script waited {PATIENCE:.0f} s for an event that no test set") from None


def pause(seconds: float) -> Step:
    async def step(exchange: Exchange) -> None:
        await exchange.flush()
        await asyncio.sleep(seconds)

    return step


def hang(*, head: bool = True, deaf: bool = False) -> Step:
    """Say nothing more, not even a ping, until the client hangs up or the server closes.

    `head=False`: not even a response head, if none is out yet. `deaf`: the stop call does not end it either.
    """

    async def step(exchange: Exchange) -> None:
        exchange.is_deaf |= deaf
        if head:
            await exchange.flush()
        await until_cancelled()

    return step


def pings_forever(interval: float) -> Step:
    async def step(exchange: Exchange) -> None:
        while True:
            await exchange.send(PING)
            await exchange.flush()
            await asyncio.sleep(interval)

    return step


def keep_open(until: asyncio.Event | None = None) -> Step:
    """Leave the body open though all is said, as when Dify makes up a title; then end it properly."""
    return hang() if until is None else wait(until)


def end() -> Step:
    """End the body properly, though the list goes on (with nothing that is heard)."""

    async def step(exchange: Exchange) -> None:
        await exchange.end()

    return step


def cut() -> Step:
    """Close the connection without the end of the body."""

    async def step(exchange: Exchange) -> None:
        await exchange.flush()
        await exchange.cut()

    return step


def reset() -> Step:
    """Break the connection with a RST, after all that was said has left."""

    async def step(exchange: Exchange) -> None:
        await exchange.flush()
        await exchange.reset()

    return step


def raw(body: bytes, *, split_at: Sequence[int] = ()) -> Step:
    """Replay bytes, as one write or split at these offsets."""
    borders = [0, *split_at, len(body)]
    return send(*(body[start:stop] for start, stop in pairwise(borders)))


# --- Steps for the response as a whole -------------------------------------------------------------------


def status(
    code: int,
    json: Mapping[str, Any] | None = None,
    *,
    html: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Step:
    """Answer with this status: `json`, `html`, or (neither) Dify's JSON for that status."""

    async def step(exchange: Exchange) -> None:
        if html is not None:
            response = web.Response(status=code, text=html, content_type="text/html", headers=headers)
        else:
            response = json_response(_default_error(code) if json is None else json, code, headers)
        await exchange.reply(response)

    return step


def _default_error(code: int) -> Mapping[str, Any]:
    names = {
        400: "invalid_param",
        401: "unauthorized",
        403: "forbidden",
        404: "not_found",
        429: "too_many_requests",
    }
    messages = {404: "Conversation Not Exists.", 429: "Too many requests. Please try again later."}
    name = names.get(code, "internal_server_error")
    return {"code": name, "message": messages.get(code, "Something is wrong."), "status": code}


def slow_head(event: asyncio.Event) -> Step:
    """Hold back even the response head until the test sets `event`."""

    async def step(exchange: Exchange) -> None:
        await _set(event)

    return step


def reset_before_head() -> Step:
    async def step(exchange: Exchange) -> None:
        await exchange.reset()

    return step


def close_before_head() -> Step:
    """Take the request and close the connection without one byte."""

    async def step(exchange: Exchange) -> None:
        await exchange.cut()

    return step


def trickle(*sizes: int) -> Step:
    """From here on, cut the body into pieces of these sizes, in turn; `trickle(1)` is byte by byte."""

    async def step(exchange: Exchange) -> None:
        exchange.sizes = sizes

    return step


def blocking(answer: str, **fields: Any) -> Step:
    """The JSON of a blocking answer, whatever was asked for; `fields` are added or put in place."""

    async def step(exchange: Exchange) -> None:
        ids = exchange.ids
        body = {
            "event": "message",
            "task_id": ids.task_id,
            "id": ids.message_id,
            "message_id": ids.message_id,
            "conversation_id": ids.conversation_id,
            "mode": exchange.app_mode,
            "answer": answer,
            "metadata": {"annotation_reply": None, "retriever_resources": [], "usage": dict(USAGE)},
            "created_at": ids.created_at,
        }
        await exchange.reply(json_response(body | fields))

    return step


# --- Ready-made scripts ----------------------------------------------------------------------------------


def answer(
    *texts: Text,
    sources: Sources = (),
    usage: Usage = USAGE,
    conversation_id: str | None = None,
    style: Style | None = None,
) -> Step:
    """A chat app: the texts, then `message_end`."""

    async def step(exchange: Exchange) -> None:
        _begin(exchange, conversation_id, style)
        await _say(exchange, texts)
        await exchange.send(events.message_end(sources, usage))

    return step


def think_answer(thought: str, *texts: Text, **more: Any) -> Step:
    """A reasoning model: `<think>` tags in the text, each split over two deltas."""
    return answer("<th", "ink>\n", thought, "\n</thi", "nk>\n\n", *texts, **more)


def replaced_answer(before: str, replacement: str, *after: Text, **more: Any) -> Step:
    """Moderation: `message_replace` drops what was said; more text may follow."""
    return answer(before, send(events.message_replace(replacement)), *after, **more)


def agent_answer(
    *texts: Text,
    tool: str = "weather",
    sources: Sources = (),
    usage: Usage = USAGE,
    conversation_id: str | None = None,
    style: Style | None = None,
) -> Step:
    """An agent: steps that repeat with the same id, each time fuller, text as `agent_message`."""

    async def step(exchange: Exchange) -> None:
        _begin(exchange, conversation_id, style)
        tool_input = f'{{"{tool}": {{"city": "Lyon"}}}}'
        await exchange.send(events.agent_thought())
        await exchange.send(events.agent_thought(tool=tool, tool_input=tool_input))
        await exchange.send(events.agent_thought(tool=tool, tool_input=tool_input, observation="Rain."))
        await exchange.send(events.agent_thought(id="thought-2", position=2))
        said = await _say(exchange, texts, events.agent_message)
        await exchange.send(events.agent_thought(said, id="thought-2", position=2))
        await exchange.send(events.message_end(sources, usage))

    return step


def new_agent_answer(
    *texts: Text,
    whole: str | None = None,
    sources: Sources = (),
    usage: Usage = USAGE,
    conversation_id: str | None = None,
    style: Style | None = None,
) -> Step:
    """A New Agent: `agent_message` deltas, then one `message` with the whole answer (or `whole`)."""

    async def step(exchange: Exchange) -> None:
        _begin(exchange, conversation_id, style)
        await exchange.send(events.agent_thought())
        said = await _say(exchange, texts, events.agent_message)
        await exchange.send(events.message(said if whole is None else whole))
        await exchange.send(events.message_end(sources, usage))

    return step


def chatflow(
    *texts: Text,
    order: Order = "end_first",
    nodes: Sequence[str] = ("Retrieval", "LLM"),
    ping: bool = True,
    sources: Sources = (),
    usage: Usage = USAGE,
    conversation_id: str | None = None,
    style: Style | None = None,
) -> Step:
    """A chatflow: all nodes but the last run before the text, the last one gives it."""

    async def step(exchange: Exchange) -> None:
        _begin(exchange, conversation_id, style)
        async with _workflow(exchange, nodes, ping):
            said = await _say(exchange, texts)
        message_end = events.message_end(sources, usage)
        finished = events.workflow_finished(said)
        closing = {
            "end_first": (message_end, finished),
            "finished_first": (finished, message_end),
            "only_end": (message_end,),
            "only_finished": (finished,),
        }
        for event in closing[order]:
            await exchange.send(event)

    return step


def chatflow_failed(
    text_before: str = "",
    *,
    message: str = "[tool] The weather is out of order.",
    with_error_event: bool = True,
    synthetic: bool = False,
) -> Step:
    """A failed workflow, with or without the `error` event after it.

    `synthetic`: it failed before it began, and the events made up for that name
    neither conversation nor message.
    """

    async def step(exchange: Exchange) -> None:
        failed = events.workflow_finished(text_before, status="failed", error=message)
        if synthetic:
            nameless = ("conversation_id", "message_id", "created_at")
            await exchange.send(PING)
            await exchange.send(events.workflow_started(exchange.recorded.query), without=nameless)
            await exchange.send(failed, without=nameless)
            return
        _begin(exchange)
        async with _workflow(exchange, ("LLM",), ping=True, error=message):
            if text_before:
                await exchange.send(events.message(text_before))
        await exchange.send(failed)
        if with_error_event:
            await exchange.send(events.error(message, "invalid_param", 400))

    return step


def chatflow_paused(text_before: str = "") -> Step:
    """A workflow that waits for a person: no `message_end`, the body ends."""

    async def step(exchange: Exchange) -> None:
        _begin(exchange)
        await exchange.send(PING)
        await exchange.send(events.workflow_started(exchange.recorded.query))
        await exchange.send(events.node_started("Approve", node_type="human-input"))
        if text_before:
            await exchange.send(events.message(text_before))
        await exchange.send(events.human_input_required())
        await exchange.send(events.workflow_paused())

    return step


def error_event(
    code: str = "completion_request_error",
    status: int = 400,
    message: str = "[model] The model is out of order.",
    *,
    after: Sequence[Text] = (),
) -> Step:
    """An `error` event with HTTP 200, as the only event or after some text."""

    async def step(exchange: Exchange) -> None:
        _begin(exchange)
        await _say(exchange, after)
        await exchange.send(events.error(message, code, status))

    return step


def bare_error(message: str = "Run failed.", status: int = 500) -> Step:
    """The `error` event of a relay: neither code nor ids."""
    return send(events.block({"event": "error", "message": message, "status": status}))


def _begin(exchange: Exchange, conversation_id: str | None = None, style: Style | None = None) -> None:
    if conversation_id is not None:
        exchange.rename(conversation_id)
    if style is not None:
        exchange.style = style


async def _say(exchange: Exchange, texts: Sequence[Text], kind: Callable[[str], Event] = events.message) -> str:
    for text in texts:
        if isinstance(text, str):
            await exchange.send(kind(text))
        elif not exchange.is_over:
            await text(exchange)
    return "".join(text for text in texts if isinstance(text, str))


@asynccontextmanager
async def _workflow(
    exchange: Exchange, nodes: Sequence[str], ping: bool, error: str | None = None
) -> AsyncIterator[None]:
    exchange.headers["X-Workflow-Run-ID"] = exchange.ids.workflow_run_id
    if ping:
        await exchange.send(PING)
    await exchange.send(events.workflow_started(exchange.recorded.query))
    for index, title in enumerate(nodes, 1):
        await exchange.send(events.node_started(title, index=index))
        if index < len(nodes):
            await exchange.send(events.node_finished(title, index=index))
    yield
    if nodes:
        state = "failed" if error else "succeeded"
        await exchange.send(events.node_finished(nodes[-1], index=len(nodes), status=state, error=error))


DEFAULT: Script = answer("", "Stand-in", " answer", ".", "")

__all__ = [
    "ABSENT",
    "DEFAULT",
    "PING",
    "USAGE",
    "Exchange",
    "Script",
    "Step",
    "agent_answer",
    "answer",
    "bare_error",
    "blocking",
    "chatflow",
    "chatflow_failed",
    "chatflow_paused",
    "close_before_head",
    "cut",
    "end",
    "error_event",
    "hang",
    "keep_open",
    "new_agent_answer",
    "pause",
    "pings_forever",
    "raw",
    "replaced_answer",
    "reset",
    "reset_before_head",
    "send",
    "slow_head",
    "status",
    "think_answer",
    "trickle",
    "wait",
]
