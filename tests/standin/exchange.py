"""One request while it is answered: what a script has in its hands."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import sys
import termios
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from aiohttp import web

from tests.standin import events
from tests.standin.events import Event, Ids, Style

PATIENCE = 60.0
"""Seconds after which anything that waits for a test gives up, so that a failing test ends."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it arrived."""

    method: str
    path: str
    """Below `/v1`, without the query string."""
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    params: Mapping[str, str]
    connection: int
    """1 for the first connection; equal numbers are one kept-alive connection."""
    at: float
    """`time.monotonic()`."""
    is_json: bool = True
    """Whether the body was a JSON object."""

    @property
    def query(self) -> str:
        return str(self.body.get("query", ""))

    @property
    def user(self) -> str:
        return str(self.body.get("user") or self.params.get("user") or "")

    @property
    def conversation_id(self) -> str:
        return str(self.body.get("conversation_id") or "")

    @property
    def key(self) -> str:
        scheme, _, key = self.headers.get("Authorization", "").partition(" ")
        return key if scheme.lower() == "bearer" else ""


@dataclass(slots=True)
class StopHabits:
    """What comes of a stop call: it differs by version, and by where in a workflow it finds the run."""

    delay: float = 0.0
    """Seconds until it takes effect: Dify looks once a second."""
    flow_says_message_end: bool = True
    """Not so in 1.14: its stopped chatflows end at `workflow_finished`."""
    flow_status: str = "stopped"
    """Between two nodes 1.14 may say `failed`."""
    stays_open: asyncio.Event | None = None
    """After the closing events, 0.15 keeps the body open until the model is done: 13 seconds were seen."""


@dataclass(eq=False)
class Exchange:
    """Scripts call its methods; which of them open the response head says each."""

    recorded: Recorded
    request: web.BaseRequest
    transport: asyncio.Transport
    ids: Ids
    style: Style
    streams: bool
    app_mode: str = "chat"
    named: Callable[[Exchange], None] = lambda _: None
    """Called when a script gives the conversation another id."""

    on_stop: StopHabits = field(default_factory=StopHabits)
    sizes: tuple[int, ...] = ()
    """Piece sizes of `trickle`, in turn; empty: every event is one write."""
    is_over: bool = False
    is_kept: bool = False
    """What it said stays in the conversation: it was still read when it ended."""
    is_deaf: bool = False
    """A deaf run takes no notice of the stop call."""
    response: web.StreamResponse | None = None
    headers: dict[str, str] = field(default_factory=dict)
    said: list[Event] = field(default_factory=list)

    _stopped: bool = False
    _closed_here: bool = False
    _raw: bytes = b""
    _held: bytes = b""
    _turn: int = 0

    def __post_init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task

    # --- For scripts ---

    async def send(self, item: Event | bytes, *, without: Sequence[str] = ()) -> None:
        """Send one event, completed with the ids of this stream, or bytes as they are. Opens the head."""
        if isinstance(item, bytes):
            if not self.streams and item != events.PING:
                self._raw += item
            await self.write(item)
            return
        event = events.complete(item, self.ids, without=without)
        self.said.append(event)
        await self.write(events.block(event, self.style))

    async def write(self, data: bytes) -> None:
        if self.is_over:
            raise RuntimeError("the script goes on after the end of its response")
        if not self.streams:
            return
        response = await self.open()
        # Lets the client read what was sent before, so that events do not all come in one piece.
        await asyncio.sleep(0)
        if not self.sizes:
            await response.write(data)
            return
        self._held += data
        while len(self._held) >= self._size():
            piece, self._held = self._held[: self._size()], self._held[self._size() :]
            self._turn += 1
            await response.write(piece)
            await asyncio.sleep(0)

    def _size(self) -> int:
        return self.sizes[self._turn % len(self.sizes)]

    async def flush(self) -> None:
        """Send what `trickle` still holds. Opens the head."""
        if self.streams:
            response, held = await self.open(), self._held
            self._held = b""
            if held:
                await response.write(held)

    async def open(self) -> web.StreamResponse:
        """Send the response head, once."""
        if self.response is None:
            self.response = web.StreamResponse(headers={"Cache-Control": "no-cache"} | self.headers)
            self.response.headers["Content-Type"] = "text/event-stream; charset=utf-8"
            self.response.enable_chunked_encoding()
            await self.response.prepare(self.request)
        return self.response

    async def end(self) -> None:
        """End the body as HTTP wants it. A blocking request gets the JSON of what was said."""
        if self.streams:
            await self.flush()
            assert self.response is not None
            self.is_over = True
            await self.response.write_eof()
        elif self._raw:
            await self.reply(web.Response(body=self._raw, content_type="application/json"))
        else:
            await self.reply(self._blocking())

    async def reply(self, response: web.Response) -> None:
        """Answer with a whole response instead of a stream."""
        if self.response is not None:
            raise RuntimeError("the head of this response is out already")
        self.is_over = True
        self.response = response

    async def cut(self) -> None:
        """Close the connection in the middle of the body (or before it): FIN, no terminator."""
        await self._close(self.transport.close)

    async def reset(self) -> None:
        """Close the connection with a RST."""
        await self._close(self._abort)

    async def _close(self, close: Callable[[], None]) -> None:
        while self._unsent():  # noqa: ASYNC110 -- nothing tells when the kernel has sent it all
            await asyncio.sleep(0.001)
        self.is_over = self._closed_here = True
        close()
        await until_cancelled()  # by the connection when it is lost

    def _unsent(self) -> int:
        if self.transport.is_closing():
            raise ConnectionResetError
        socket_queue = bytearray(4)
        # A RST throws away what the peer has not acknowledged.
        fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, socket_queue)
        return self.transport.get_write_buffer_size() + int.from_bytes(socket_queue, sys.byteorder)

    def _abort(self) -> None:
        fd = self.transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(fd)) as shared:  # uvloop's own object has no setsockopt
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def rename(self, conversation_id: str) -> None:
        """Go on under this conversation id."""
        self.ids = replace(self.ids, conversation_id=conversation_id)
        self.named(self)

    @property
    def is_running(self) -> bool:
        return not self.is_over and not self.transport.is_closing()

    @property
    def is_cut_short(self) -> bool:
        """The stop call ended it."""
        return self._stopped

    # --- For the server ---

    async def run(self, script: Script, on_hang_up: Callable[[], None]) -> web.StreamResponse:
        try:
            try:
                await perform(script, self)
                if not self.is_over:
                    await self.end()
                self.is_kept = True
            except asyncio.CancelledError:
                if not self._stopped or self.transport.is_closing():
                    raise
                self.task.uncancel()
                await self._end_stopped()
        except (asyncio.CancelledError, ConnectionError):
            if not self._closed_here:
                on_hang_up()
            raise
        finally:
            self.is_over = True
        assert self.response is not None
        return self.response

    def stop(self) -> None:
        """What the stop call does to a run: it ends, with its closing events."""
        asyncio.get_running_loop().call_later(self.on_stop.delay, self._stop)

    def _stop(self) -> None:
        if self.is_running and not self.is_deaf and not self._stopped:
            self._stopped = True
            self.task.cancel()

    async def _end_stopped(self) -> None:
        is_workflow = any(event["event"] == "workflow_started" for event in self.said)
        habits = self.on_stop
        if not is_workflow or habits.flow_says_message_end:
            await self.send(events.message_end())
        if is_workflow:
            await self.send(events.workflow_finished(status=habits.flow_status, error="Stopped by user."))
        self.is_kept = True
        if habits.stays_open is not None:
            await habits.stays_open.wait()
        await self.end()

    @property
    def text(self) -> str:
        """The answer so far."""
        text = ""
        for event in self.said:
            match event["event"]:
                case "message" | "agent_message":
                    text += event["answer"]
                case "message_replace":
                    text = event["answer"]
        return text

    def _blocking(self) -> web.Response:
        text = self.text
        metadata: Event = {}
        more: Event = {"event": "message"}
        for event in self.said:
            match event["event"]:
                case "message_end":
                    metadata = event["metadata"]
                case "workflow_paused":
                    run_id, metadata = self.ids.workflow_run_id, {"usage": None}
                    more = {"event": "workflow_paused", "workflow_run_id": run_id}
                    more |= {"data": event["data"] | {"answer": text}}
                case "error":
                    return error_response(event["status"], event["code"], event["message"])
                case "workflow_finished" if event["data"]["status"] == "failed":
                    return error_response(400, "invalid_param", f"Run failed: {event['data']['error']}")
        return json_response(
            {
                **more,
                "task_id": self.ids.task_id,
                "id": self.ids.message_id,
                "message_id": self.ids.message_id,
                "conversation_id": self.ids.conversation_id,
                "mode": self.app_mode,
                "answer": text,
                "metadata": metadata,
                "created_at": self.ids.created_at,
            }
        )


async def until_cancelled() -> None:
    await asyncio.get_running_loop().create_future()


Step: TypeAlias = Callable[[Exchange], Awaitable[None]]
Script: TypeAlias = "Step | Sequence[Script]"


async def perform(script: Script, exchange: Exchange) -> None:
    if callable(script):
        await script(exchange)
        return
    for step in script:
        if exchange.is_over:
            return
        await perform(step, exchange)


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(body, status=status, headers=headers)


def error_response(status: int, code: str, message: str) -> web.Response:
    headers = {"WWW-Authenticate": 'Bearer realm="api"'} if status == 401 else None
    return json_response({"code": code, "message": message, "status": status}, status, headers)
