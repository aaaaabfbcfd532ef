"""A Dify that does what a test tells it, on a real socket; also a process for trials and load.

    async with StandInDify() as dify:
        dify.will(answer("Hello"), status(503))
        ...
        await dify.asked(2)

`python -m tests.standin.dify --help` shows the process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

from aiohttp import web

from tests.standin.events import Ids, Style
from tests.standin.exchange import (
    PATIENCE,
    Exchange,
    Recorded,
    Script,
    StopHabits,
    error_response,
    json_response,
    until_cancelled,
)
from tests.standin.load import Generated, fast_loop, raise_file_limit
from tests.standin.scripts import DEFAULT, pings_forever, slow_head, status

RESULT = {"result": "success"}
MODES = ("chat", "agent-chat", "agent", "advanced-chat")


@dataclass(frozen=True, slots=True)
class StopCall:
    task_id: str
    user: str
    at: float
    """`time.monotonic()`."""
    found: bool
    """A running stream of this user was ended by it."""


@dataclass(slots=True, eq=False)
class _Connection:
    number: int
    is_used: bool = False
    is_busy: bool = False


class StandInDify:
    """Faithful unless told otherwise: keys, users, conversations and the order of its checks are Dify's."""

    def __init__(
        self,
        *,
        api_key: str = "app-stand-in",
        mode: str = "chat",
        style: Style = "compact",
        default: Script = DEFAULT,
        port: int = 0,
        keeps_records: bool = True,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode is one of {MODES}")
        self.api_key = api_key
        self.api_keys = {api_key}
        """The keys it takes; add more for tenants. Empty: any."""
        self.mode = mode
        self.style: Style = style
        self.default = default
        self.concurrency_limit: int | None = None
        self.says_crowded_with: Literal[400, 429] = 429
        """The status beyond `concurrency_limit`: 0.15 and 1.14 say 400 `invalid_param`."""
        self.on_stop = StopHabits()
        self.required_inputs: set[str] = set()
        """The variables of the app's form: without them a question is refused."""
        self.only_pings: float | None = None
        """Ping so often, for ever, in place of refusing a run, as the streams of 1.14's chatflows do: a conversation
        that is gone, inputs that do not fit, an empty query and no worker look alike."""
        self.has_worker = True
        self.drops_kept_alive = False
        """Close a kept-alive connection, unanswered, when the next request arrives on it."""

        self.requests: list[Recorded] = []
        """Every `POST /chat-messages` that was read, refused ones included."""
        self.calls: list[Recorded] = []
        """Everything else: stops, probes, lists."""
        self.dropped: list[Recorded] = []
        """What `drops_kept_alive` dropped; it is in neither of the other lists."""
        self.feedback: list[Mapping[str, Any]] = []
        """What was thought of its messages, by those who had asked for them."""
        self.stops: list[StopCall] = []
        self.hang_ups = 0
        self.cut_short = 0
        """Answers that the stop call ended, read to their closing event."""
        self.memory: dict[str, list[str]] = {}
        """The answers that each conversation remembers: of one that was hung up on before its end, nothing."""
        self.most_running = 0
        self.most_running_per_conversation: dict[str, int] = {}

        self._port = port
        self._keeps_records = keeps_records
        self._scripts: deque[Script] = deque()
        self._replies: dict[str, Script] = {}
        self._messages: dict[str, str] = {}
        self._conversations: dict[str, tuple[str, str]] = {}
        self._running: dict[str, Exchange] = {}
        self._connections: dict[asyncio.Transport, _Connection] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._faults: list[Exception] = []
        self._news = asyncio.Event()
        self._stops_late = False
        self._is_closing = False

    # --- Life ---

    async def __aenter__(self) -> Self:
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=4096)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_closing = True
        handlers = {task for task in self._tasks if not task.done()}
        for task in handlers:
            task.cancel()
        if handlers:
            await asyncio.wait(handlers)
        for transport in self._connections:
            # One that was closed and has sent its last byte since cannot be aborted any more.
            if not transport.is_closing() or transport.get_write_buffer_size():
                transport.abort()
        await self._runner.cleanup()
        await _ticks(3)  # for the connections' last callbacks
        if self._faults and exc is None:
            raise ExceptionGroup("scripts of the stand-in failed", self._faults)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    # --- What it shall do ---

    def will(self, *scripts: Script) -> None:
        """Queue one script for each of the coming questions; after them come default answers."""
        self._scripts.extend(scripts)

    def replies(self, path: str, script: Script | None) -> None:
        """Answer every call of `path` ("/info") like this from now on; None: as usual again."""
        self._replies.pop(path, None)
        if script is not None:
            self._replies[path] = script

    def stop_replies(self, script: Script | None = None, *, after: asyncio.Event | None = None) -> None:
        """Answer the stop calls like this, without effect; or with `after`, properly but late."""
        self._stops_late = after is not None
        self.replies("/stop", script if after is None else [slow_head(after), status(200, RESULT)])

    def forget_conversations(self) -> None:
        """Every conversation so far is deleted: 404 from now on."""
        self._conversations.clear()

    async def close_idle_connections(self) -> int:
        """Close the kept-alive connections now, as a timeout would; returns how many."""
        idle = [
            transport
            for transport, connection in self._connections.items()
            if not connection.is_busy and not transport.is_closing()
        ]
        for transport in idle:
            transport.close()
        await _ticks(3)
        return len(idle)

    # --- What it saw ---

    @property
    def running(self) -> int:
        """Questions that are being answered now."""
        return sum(exchange.is_running for exchange in self._running.values())

    async def asked(self, n: int = 1) -> None:
        """Wait until `n` questions have arrived, counted from the start."""
        await self.until(lambda: len(self.requests) >= n, f"{n} questions")

    async def hung_up(self, n: int = 1) -> None:
        """Wait until the client has ended `n` answers, by the stop call or by closing them, counted from the start."""
        await self.until(lambda: self.hang_ups + self.cut_short >= n, f"{n} hang-ups")

    async def stopped(self, n: int = 1) -> None:
        """Wait until `n` stop calls have arrived, counted from the start."""
        await self.until(lambda: len(self.stops) >= n, f"{n} stop calls")

    async def idle(self) -> None:
        """Wait until no answer runs."""
        await self.until(lambda: not self.running, "silence")

    async def until(self, reached: Callable[[], bool], what: str = "a condition") -> None:
        """Wait for anything that the arrival or the end of a request brings about."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not reached():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(
                f"waited {PATIENCE:.0f} s for {what}; saw {len(self.requests)} questions, "
                f"{self.running} running, {self.hang_ups} hang-ups, {len(self.stops)} stop calls, "
                f"{len(self.dropped)} dropped"
            ) from None

    # --- Requests ---

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport, task = request.transport, asyncio.current_task()
        assert transport is not None
        assert task is not None
        connection = self._connections.get(transport)
        if connection is None:
            connection = self._connections[transport] = _Connection(len(self._connections) + 1)
        is_kept_alive = connection.is_used
        connection.is_used = connection.is_busy = True
        self._tasks.add(task)
        try:
            recorded = await _record(request, connection.number)
            if self.drops_kept_alive and is_kept_alive:
                self.dropped.append(recorded)
                transport.close()
                await until_cancelled()
            return await self._route(recorded, request, transport)
        except (ConnectionError, web.RequestPayloadError):  # the client has gone
            return await _lose(transport)
        except Exception as fault:  # a script's: shown when the stand-in ends
            self._faults.append(fault)
            return await _lose(transport)
        finally:
            self._tasks.discard(task)
            connection.is_busy = False
            if not self._keeps_records:
                del self._connections[transport]
            self._tell()

    async def _route(
        self, recorded: Recorded, request: web.BaseRequest, transport: asyncio.Transport
    ) -> web.StreamResponse:
        is_question = (recorded.method, recorded.path) == ("POST", "/chat-messages")
        if self._keeps_records:
            (self.requests if is_question else self.calls).append(recorded)
            self._tell()
        if is_question:
            if refusal := self._refuse_call(recorded, request) or self._refuse_question(recorded):
                return refusal
            refusal = self._refuse_run(recorded)
            if self.only_pings is not None and (refusal or not self.has_worker):
                exchange = Exchange(recorded, request, transport, Ids(), self.style, streams=True)
                return await exchange.run(pings_forever(self.only_pings), self._hang_up)
            return refusal or self._refuse_crowd() or await self._question(recorded, request, transport)
        if recorded.path == "/":
            welcome = {"welcome": "Dify OpenAPI", "api_version": "v1", "server_version": "1.16.0"}
            return json_response(welcome)
        if refusal := self._refuse_call(recorded, request):
            return refusal
        task_id = _stop_task(recorded)
        if task_id is not None:
            if not recorded.user:
                return error_response(400, "invalid_param", "Arg user must be provided.")
            self._stop(task_id, recorded)
        script = self._replies.get("/stop" if task_id is not None else recorded.path)
        if script is not None:
            exchange = Exchange(recorded, request, transport, Ids(), self.style, streams=False)
            return await exchange.run(script, lambda: None)
        if task_id is not None:
            return json_response(RESULT)
        body = self._fixed(recorded)
        return json_response(body) if body else error_response(404, "not_found", "Not found.")

    def _refuse_call(self, recorded: Recorded, request: web.BaseRequest) -> web.Response | None:
        if self.api_keys and recorded.key not in self.api_keys:
            return error_response(401, "unauthorized", "Access token is invalid")
        if recorded.method == "POST" and request.content_type != "application/json":
            return error_response(415, "unsupported_media_type", "The body has to be JSON.")
        if recorded.method == "POST" and not recorded.is_json:
            return error_response(400, "bad_request", "The request body is not a JSON object.")
        return None

    def _refuse_question(self, recorded: Recorded) -> web.Response | None:
        """Dify's checks of a question, in Dify's order: what anybody can see in it."""
        body = recorded.body
        if not isinstance(body.get("user"), str) or not body["user"]:
            return error_response(400, "invalid_param", "Arg user must be provided.")
        mode = body.get("response_mode")
        if mode not in ("streaming", "blocking", None):
            return error_response(400, "invalid_param", "response_mode: streaming or blocking")
        if mode != "streaming" and self.mode == "agent-chat":
            return error_response(400, "invalid_param", "Agent Chat App does not support blocking mode")
        if mode == "blocking" and self.mode == "agent":
            return error_response(400, "bad_request", "This app does not support blocking mode")
        return None

    def _refuse_run(self, recorded: Recorded) -> web.Response | None:
        """What is found out when it is to be run."""
        body = recorded.body
        if not isinstance(body.get("query"), str) or not body["query"]:
            return error_response(400, "invalid_param", "query is required")
        if not isinstance(body.get("inputs"), dict):
            return error_response(400, "invalid_param", "inputs is required")
        if missing := self.required_inputs - body["inputs"].keys():
            return error_response(400, "invalid_param", f"{min(missing)} is required in input form")
        return self._refuse_conversation(recorded) if self._keeps_records else None

    def _refuse_conversation(self, recorded: Recorded) -> web.Response | None:
        wanted = recorded.conversation_id
        if not wanted or self._conversations.get(wanted) == (recorded.key, recorded.user):
            return None
        if wanted not in self._conversations and not _is_uuid(wanted):
            return error_response(400, "invalid_param", "conversation_id must be a valid UUID")
        return error_response(404, "not_found", "Conversation Not Exists.")

    def _refuse_crowd(self) -> web.Response | None:
        limit = self.concurrency_limit
        if not self._keeps_records or limit is None or self.running < limit:
            return None
        text = f"The current maximum concurrent requests allowed is {limit}."
        status = self.says_crowded_with
        code = "too_many_requests" if status == 429 else "invalid_param"
        return error_response(status, code, f"Too many requests. Please try again later. {text}")

    async def _question(
        self, recorded: Recorded, request: web.BaseRequest, transport: asyncio.Transport
    ) -> web.StreamResponse:
        mode = recorded.body.get("response_mode") or ("streaming" if self.mode == "agent" else "blocking")
        exchange = Exchange(
            recorded,
            request,
            transport,
            Ids.fresh(recorded.conversation_id, int(time.time())),
            self.style,
            streams=mode == "streaming",
            app_mode=self.mode,
            named=self._named,
            on_stop=self.on_stop,
        )
        script = self._scripts.popleft() if self._scripts else self.default
        if self._running and self._keeps_records:
            # The hang-up of the question before may be in the same batch of socket events.
            await _ticks(4)
        self._running[exchange.ids.task_id] = exchange
        self._messages[exchange.ids.message_id] = recorded.user
        self._named(exchange)
        try:
            response = await exchange.run(script, self._hang_up)
            self.cut_short += exchange.is_cut_short
            return response
        finally:
            del self._running[exchange.ids.task_id]
            if self._keeps_records:
                kept = exchange.text if exchange.is_kept else ""
                self.memory.setdefault(exchange.ids.conversation_id, []).append(kept)

    def _named(self, exchange: Exchange) -> None:
        if not self._keeps_records:
            return
        conversation_id = exchange.ids.conversation_id
        self._conversations[conversation_id] = (exchange.recorded.key, exchange.recorded.user)
        running = [other.ids.conversation_id for other in self._running.values() if other.is_running]
        self.most_running = max(self.most_running, len(running))
        most = self.most_running_per_conversation
        most[conversation_id] = max(most.get(conversation_id, 0), running.count(conversation_id))
        self._tell()

    def _hang_up(self) -> None:
        if not self._is_closing:
            self.hang_ups += 1
            self._tell()

    def _stop(self, task_id: str, recorded: Recorded) -> None:
        exchange = self._running.get(task_id)
        # A scripted reply has no effect, but a late one has, and at once.
        is_effective = "/stop" not in self._replies or self._stops_late
        found = (
            is_effective
            and exchange is not None
            and exchange.is_running
            and (exchange.recorded.user, exchange.recorded.key) == (recorded.user, recorded.key)
        )
        self.stops.append(StopCall(task_id, recorded.user, recorded.at, found))
        self._tell()
        if found and exchange is not None:
            exchange.stop()

    def _fixed(self, recorded: Recorded) -> dict[str, Any] | None:
        if recorded.method != "GET":
            match recorded.path.split("/"):
                case ["", "messages", name, "feedbacks"] if self._messages.get(name) == recorded.user:
                    self.feedback.append(recorded.body)
                    self._tell()
                    return RESULT
            return None
        match recorded.path:
            case "/info":
                return {
                    "name": "Stand-in",
                    "description": "",
                    "tags": [],
                    "mode": self.mode,
                    "author_name": "Someone",
                }
            case "/parameters":
                return {
                    "opening_statement": "",
                    "suggested_questions": [],
                    "retriever_resource": {"enabled": True},
                    "user_input_form": [],
                    "file_upload": {"enabled": False},
                }
            case "/meta":
                return {"tool_icons": {}}
            case "/messages" | "/conversations":
                return {"limit": 20, "has_more": False, "data": []}
        return None

    def _tell(self) -> None:
        self._news.set()


async def _lose(transport: asyncio.Transport) -> NoReturn:
    transport.abort()
    await until_cancelled()
    raise AssertionError


async def _record(request: web.BaseRequest, connection: int) -> Recorded:
    at = time.monotonic()
    raw = await request.read()
    try:
        body = json.loads(raw) if raw else None
    except ValueError:
        body = None
    return Recorded(
        method=request.method,
        path="/" + request.path.removeprefix("/v1").strip("/"),
        headers=request.headers,
        body=body if isinstance(body, dict) else {},
        params=request.query,
        connection=connection,
        at=at,
        is_json=isinstance(body, dict),
    )


def _stop_task(recorded: Recorded) -> str | None:
    match recorded.path.split("/"):
        case ["", "chat-messages", task_id, "stop"] if recorded.method == "POST":
            return task_id
    return None


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


async def _ticks(n: int) -> None:
    """Let the loop deliver what its sockets have ready."""
    for _ in range(n):
        await asyncio.sleep(0)


# --- The process -----------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.standin.dify",
        description="A stand-in Dify that streams a generated answer to every question. Prints its base URL.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free one")
    parser.add_argument("--api-key", help="the one key it takes; any if not given")
    parser.add_argument("--mode", choices=MODES, default="chat", help="the app mode that /info tells")
    parser.add_argument("--first-token-ms", type=float, default=400)
    parser.add_argument("--token-ms", type=float, default=20)
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--stamp", action="store_true", help="each token is the time it was sent, in ns")
    chosen = parser.parse_args(argv)
    script = Generated(
        first_token=chosen.first_token_ms / 1000,
        token=chosen.token_ms / 1000,
        tokens=chosen.tokens,
        stamp=chosen.stamp,
    )
    dify = StandInDify(
        api_key=chosen.api_key or "", mode=chosen.mode, default=script, port=chosen.port, keeps_records=False
    )
    if chosen.api_key is None:
        dify.api_keys.clear()
    raise_file_limit()
    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        runner.run(_serve(dify))


async def _serve(dify: StandInDify) -> None:
    told_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_end.set)
    async with dify:
        print(dify.base_url, flush=True)
        await told_to_end.wait()


if __name__ == "__main__":
    main()
