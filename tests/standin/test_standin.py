"""The stand-in itself, over real sockets: what other tests rely on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx
import pytest

from tests.service import browse
from tests.standin import events
from tests.standin.dify import StandInDify
from tests.standin.exchange import PATIENCE, Script, Step
from tests.standin.scripts import (
    PING,
    agent_answer,
    answer,
    bare_error,
    blocking,
    chatflow,
    chatflow_failed,
    chatflow_paused,
    close_before_head,
    cut,
    end,
    error_event,
    hang,
    keep_open,
    new_agent_answer,
    pause,
    pings_forever,
    raw,
    replaced_answer,
    reset,
    reset_before_head,
    send,
    slow_head,
    status,
    think_answer,
    trickle,
    wait,
)

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]  # what it tries is no part of this process


@pytest.fixture
async def dify() -> AsyncIterator[StandInDify]:
    async with StandInDify() as dify:
        yield dify


@pytest.fixture
async def http(dify: StandInDify) -> AsyncIterator[httpx.AsyncClient]:
    async with client(dify) as http:
        yield http


def client(dify: StandInDify, key: str = "app-stand-in") -> httpx.AsyncClient:
    return browse(dify.base_url, headers={"Authorization": f"Bearer {key}"})


def asking(query: str = "What is RAG?", **fields: Any) -> dict[str, Any]:
    return {"query": query, "inputs": {}, "user": "someone", "response_mode": "streaming", **fields}


async def ask(http: httpx.AsyncClient, query: str = "What is RAG?", **fields: Any) -> httpx.Response:
    return await http.post("/chat-messages", json=asking(query, **fields))


def parsed(body: bytes) -> list[dict[str, Any]]:
    """The data events of a body that is exactly Dify's two block forms."""
    *blocks, rest = body.split(b"\n\n")
    assert rest == b""
    return [json.loads(block.removeprefix(b"data: ")) for block in blocks if block != b"event: ping"]


def kinds(body: bytes) -> list[str]:
    return [event["event"] for event in parsed(body)]


def text(body: bytes) -> str:
    return "".join(e["answer"] for e in parsed(body) if e["event"] in ("message", "agent_message"))


async def test_answers_by_default_like_a_chat_app(dify: StandInDify, http: httpx.AsyncClient) -> None:
    response = await ask(http)

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["transfer-encoding"] == "chunked"
    *_, closing = stream = parsed(response.content)
    assert text(response.content) == "Stand-in answer."
    assert [*stream[0]][:5] == ["event", "conversation_id", "message_id", "created_at", "task_id"]
    assert {event["task_id"] for event in stream} == {closing["task_id"]}
    assert closing["event"] == "message_end"
    assert isinstance(closing["metadata"]["usage"]["total_price"], str)
    assert dify.requests[0].body == asking()
    assert dify.requests[0].key == dify.api_key
    assert (dify.running, dify.most_running, dify.hang_ups) == (0, 1, 0)


async def test_plays_scripts_in_order(dify: StandInDify, http: httpx.AsyncClient) -> None:
    dify.will(answer("One"), answer("Two"))

    assert [text((await ask(http)).content) for _ in range(3)] == ["One", "Two", "Stand-in answer."]


@pytest.mark.parametrize(
    ("script", "order", "said"),
    [
        (answer("é", " ü"), ["message", "message", "message_end"], "é ü"),
        (think_answer("Hm", "Yes"), ["message"] * 6 + ["message_end"], "<think>\nHm\n</think>\n\nYes"),
        (replaced_answer("No", "Yes"), ["message", "message_replace", "message_end"], "No"),
        (
            agent_answer("It rains"),
            ["agent_thought"] * 4 + ["agent_message", "agent_thought", "message_end"],
            "It rains",
        ),
        (
            new_agent_answer("It ", "rains"),
            ["agent_thought", "agent_message", "agent_message", "message", "message_end"],
            "It rainsIt rains",
        ),
        (
            chatflow("Hi", nodes=["Look"]),
            [
                "workflow_started",
                "node_started",
                "message",
                "node_finished",
                "message_end",
                "workflow_finished",
            ],
            "Hi",
        ),
        (chatflow("Hi", nodes=[], order="only_end"), ["workflow_started", "message", "message_end"], "Hi"),
        (
            chatflow("Hi", nodes=[], order="finished_first"),
            ["workflow_started", "message", "workflow_finished", "message_end"],
            "Hi",
        ),
        (
            chatflow("Hi", nodes=[], order="only_finished"),
            ["workflow_started", "message", "workflow_finished"],
            "Hi",
        ),
        (
            chatflow_failed("So "),
            ["workflow_started", "node_started", "message", "node_finished", "workflow_finished", "error"],
            "So ",
        ),
        (chatflow_failed(synthetic=True), ["workflow_started", "workflow_finished"], ""),
        (
            chatflow_paused(),
            ["workflow_started", "node_started", "human_input_required", "workflow_paused"],
            "",
        ),
        (error_event(after=["So "]), ["message", "error"], "So "),
        (bare_error(), ["error"], ""),
        ([send(events.unknown()), end(), send(PING)], ["crystal_ball"], ""),
        (raw(events.stream(events.message("Hi"), PING), split_at=[3, 9]), ["message"], "Hi"),
    ],
    ids=[
        *("chat", "think", "replaced", "agent", "new_agent"),
        *("flow", "only_end", "finished_first", "only_finished", "failed", "synthetic", "paused"),
        *("error", "bare_error", "end", "raw"),
    ],
)
async def test_ready_made_scripts(
    dify: StandInDify, http: httpx.AsyncClient, script: Script, order: list[str], said: str
) -> None:
    dify.will(script)

    body = (await ask(http)).content

    assert kinds(body) == order
    assert text(body) == said


async def test_synthetic_failures_name_only_task_and_run(dify: StandInDify, http: httpx.AsyncClient) -> None:
    dify.will(chatflow_failed(synthetic=True))

    body = (await ask(http)).content

    assert body.startswith(PING)
    assert [*parsed(body)[0]] == ["event", "task_id", "workflow_run_id", "data"]


async def test_citations_are_a_list_null_or_absent(dify: StandInDify, http: httpx.AsyncClient) -> None:
    dify.will(answer(sources=[events.citation()]), answer(sources=None), answer(sources=events.ABSENT, usage=None))

    metadata = [parsed((await ask(http)).content)[-1]["metadata"] for _ in range(3)]

    assert metadata[0]["retriever_resources"][0]["document_name"] == "Handbook.md"
    assert metadata[1]["retriever_resources"] is None
    assert metadata[2] == {"annotation_reply": None, "usage": None}


async def test_writes_both_json_styles(dify: StandInDify, http: httpx.AsyncClient) -> None:
    dify.will(answer("é\u2028", style="classic"), answer("é\u2028"))

    assert b'"answer": "\\u00e9\\u2028"' in (await ask(http)).content
    assert '"answer":"é\u2028"'.encode() in (await ask(http)).content


async def test_trickles_byte_by_byte(dify: StandInDify, http: httpx.AsyncClient) -> None:
    dify.will([trickle(1), answer("é")], [trickle(7, 2), answer("é"), pause(0), end()])

    async with http.stream("POST", "/chat-messages", json=asking()) as response:
        pieces = [piece async for piece in response.aiter_raw()]

    assert len(pieces) > 100
    assert text(b"".join(pieces)) == "é"
    assert text((await ask(http)).content) == "é"


async def test_holds_until_the_test_says_go(dify: StandInDify, http: httpx.AsyncClient) -> None:
    go = asyncio.Event()
    dify.will(answer("One", wait(go), " two"))

    async with http.stream("POST", "/chat-messages", json=asking()) as response:
        pieces = response.aiter_bytes()
        assert text(await anext(pieces)) == "One"
        assert dify.running == 1
        go.set()
        assert text(b"".join([piece async for piece in pieces])) == " two"


async def test_holds_back_the_head(dify: StandInDify, http: httpx.AsyncClient) -> None:
    go = asyncio.Event()
    dify.will([slow_head(go), answer("Late")])
    response = asyncio.create_task(ask(http))

    await dify.asked()
    assert dify.running == 1
    go.set()

    assert text((await response).content) == "Late"


@pytest.mark.parametrize(
    "script",
    [hang(), hang(head=False), pings_forever(0.001), [answer("Hi"), keep_open()]],
    ids=["silent", "headless", "pinging", "kept_open"],
)
async def test_notices_a_hang_up(dify: StandInDify, http: httpx.AsyncClient, script: Script) -> None:
    dify.will(script)
    response = asyncio.create_task(ask(http))
    await dify.asked()

    response.cancel()

    await dify.hung_up()
    await dify.idle()
    with pytest.raises(asyncio.CancelledError):
        await response


@pytest.mark.parametrize("last", [cut(), reset(), end()], ids=["cut", "reset", "end"])
async def test_all_that_was_said_arrives_before_the_end(dify: StandInDify, http: httpx.AsyncClient, last: Step) -> None:
    dify.will([send(events.message("x" * 1_000_000)), last])
    body = b""

    with contextlib.suppress(httpx.TransportError):
        async with http.stream("POST", "/chat-messages", json=asking()) as response:
            async for piece in response.aiter_raw():
                body += piece

    assert text(body) == "x" * 1_000_000
    assert dify.hang_ups == 0


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (close_before_head(), httpx.RemoteProtocolError),
        (reset_before_head(), httpx.ReadError),
        ([send(events.message("Hi")), cut()], httpx.RemoteProtocolError),
        ([send(events.message("Hi")), reset()], httpx.ReadError),
    ],
    ids=["close_before_head", "reset_before_head", "cut", "reset"],
)
async def test_breaks_connections(
    dify: StandInDify, http: httpx.AsyncClient, script: Script, error: type[Exception]
) -> None:
    dify.will(script)

    with pytest.raises(error):
        await ask(http)

    await dify.idle()
    assert dify.hang_ups == 0
    assert text((await ask(http)).content) == "Stand-in answer."


async def test_answers_with_any_status(dify: StandInDify, http: httpx.AsyncClient) -> None:
    dify.will(
        status(429, headers={"Retry-After": "7"}),
        status(502, html="<html>Bad Gateway</html>"),
        status(400, {"code": "app_unavailable", "message": "No.", "status": 400}),
    )

    busy, gateway, refused = [await ask(http) for _ in range(3)]

    assert (busy.status_code, busy.headers["retry-after"]) == (429, "7")
    assert busy.json()["code"] == "too_many_requests"
    assert (gateway.status_code, gateway.text) == (502, "<html>Bad Gateway</html>")
    assert gateway.headers["content-type"].startswith("text/html")
    assert refused.json()["code"] == "app_unavailable"


@pytest.mark.parametrize(
    ("fields", "code", "name"),
    [
        ({"user": None}, 400, "invalid_param"),
        ({"query": ""}, 400, "invalid_param"),
        ({"inputs": None}, 400, "invalid_param"),
        ({"response_mode": "loud"}, 400, "invalid_param"),
        ({"conversation_id": "nonsense"}, 400, "invalid_param"),
        ({"conversation_id": "8d5ce4a4-4f1f-4b06-b3d1-5f3a4c7bb7d0"}, 404, "not_found"),
    ],
)
async def test_refuses_what_dify_refuses(
    dify: StandInDify, http: httpx.AsyncClient, fields: dict[str, Any], code: int, name: str
) -> None:
    response = await ask(http, **fields)

    assert response.status_code == code
    assert response.json()["code"] == name
    assert response.json()["status"] == code
    assert len(dify.requests) == 1


async def test_refuses_other_keys_and_bodies(dify: StandInDify, http: httpx.AsyncClient) -> None:
    async with client(dify, "app-other") as other:
        refused = await ask(other)
        dify.api_keys.add("app-other")
        taken = await ask(other)
    not_json = await http.post("/chat-messages", content=b"{", headers={"Content-Type": "application/json"})
    not_typed = await http.post("/chat-messages", content=b"{}")

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'Bearer realm="api"'
    assert taken.status_code == 200
    assert (not_json.status_code, not_typed.status_code) == (400, 415)


async def test_a_conversation_belongs_to_its_key_and_user(dify: StandInDify, http: httpx.AsyncClient) -> None:
    named = parsed((await ask(http)).content)[0]["conversation_id"]

    again = await ask(http, conversation_id=named)
    assert parsed(again.content)[0]["conversation_id"] == named
    assert (await ask(http, conversation_id=named, user="other")).status_code == 404
    dify.forget_conversations()
    assert (await ask(http, conversation_id=named)).status_code == 404

    dify.will(answer("Hi", conversation_id="c-1"))
    await ask(http)
    assert (await ask(http, conversation_id="c-1")).status_code == 200
    assert dify.most_running_per_conversation == {
        **dict.fromkeys(dify.most_running_per_conversation, 1),
        "c-1": 1,
    }


async def test_a_chatflow_of_1_14_pings_where_others_refuse(dify: StandInDify, http: httpx.AsyncClient) -> None:
    dify.required_inputs.add("name")
    inputs = {"name": "K2"}
    gone = str(uuid.uuid4())
    in_vain: list[dict[str, Any]] = [
        {},
        {"inputs": inputs, "query": ""},
        {"inputs": inputs, "conversation_id": gone},
    ]
    assert [(await ask(http, **fields)).status_code for fields in in_vain] == [400, 400, 404]

    dify.only_pings = 0.01
    for has_worker, fields in [*((True, fields) for fields in in_vain), (False, {"inputs": inputs})]:
        dify.has_worker = has_worker
        async with http.stream("POST", "/chat-messages", json=asking(**fields)) as response:
            pieces = response.aiter_bytes()
            assert response.status_code == 200
            assert [await anext(pieces) for _ in range(2)] == [PING, PING]
    await dify.hung_up(4)

    dify.has_worker = True
    assert kinds((await ask(http, inputs=inputs)).content)[-1] == "message_end"
    dify.concurrency_limit = 0
    assert (await ask(http, inputs=inputs)).status_code == 429
    assert (await ask(http, user="")).status_code == 400


async def test_answers_as_json_when_not_asked_to_stream(dify: StandInDify, http: httpx.AsyncClient) -> None:
    dify.will(
        chatflow("One", " two"),
        blocking("Three", mode="agent-chat"),
        error_event("provider_quota_exceeded"),
        chatflow_failed(with_error_event=False),
        replaced_answer("No", "Yes"),
        raw(b'{"half":'),
    )

    mode = {"response_mode": "blocking"}
    whole, ready, failed, flow, replaced, half = [await ask(http, **mode) for _ in range(6)]

    assert (whole.json()["answer"], whole.json()["mode"]) == ("One two", "chat")
    assert whole.json()["metadata"]["usage"]["total_tokens"] == 439
    assert (ready.json()["answer"], ready.json()["mode"]) == ("Three", "agent-chat")
    assert (failed.status_code, failed.json()["code"]) == (400, "provider_quota_exceeded")
    assert flow.json()["message"].startswith("Run failed")
    assert replaced.json()["answer"] == "Yes"
    assert half.content == b'{"half":'


@pytest.mark.parametrize(("mode", "name"), [("agent-chat", "invalid_param"), ("agent", "bad_request")])
async def test_agents_refuse_to_block(mode: str, name: str) -> None:
    async with StandInDify(mode=mode) as dify, client(dify) as http:
        refused = await ask(http, response_mode="blocking")
        assert (refused.status_code, refused.json()["code"]) == (400, name)
        assert (await http.get("/info")).json()["mode"] == mode


async def test_the_stop_call_ends_the_stream_of_the_right_user(dify: StandInDify, http: httpx.AsyncClient) -> None:
    dify.will(chatflow("One", hang()))

    async with http.stream("POST", "/chat-messages", json=asking()) as response:
        pieces = response.aiter_bytes()
        body = await anext(pieces)
        while b'"message"' not in body:
            body += await anext(pieces)
        task_id = parsed(body)[0]["task_id"]
        for task, user in [(task_id, "other"), ("unknown", "someone"), (task_id, "someone")]:
            stop = await http.post(f"/chat-messages/{task}/stop", json={"user": user})
            assert (stop.status_code, stop.json()) == (200, {"result": "success"})
        body += b"".join([piece async for piece in pieces])

    await dify.stopped(3)
    assert kinds(body)[-2:] == ["message_end", "workflow_finished"]
    assert parsed(body)[-1]["data"]["status"] == "stopped"
    assert [(stop.user, stop.found) for stop in dify.stops] == [
        ("other", False),
        ("someone", False),
        ("someone", True),
    ]
    assert dify.cut_short == 1
    await dify.hung_up()
    assert (await http.post(f"/chat-messages/{task_id}/stop", json={})).status_code == 400
    assert dify.hang_ups == 0


async def stopped(dify: StandInDify, http: httpx.AsyncClient, script: Script, *, reads_on: bool) -> bytes:
    """Ask in the conversation "c", stop at the first text, and hang up or read on to the closing events."""
    stops = len(dify.stops)
    dify.will([script])
    async with http.stream("POST", "/chat-messages", json=asking()) as response:
        pieces = response.aiter_bytes()
        body = await anext(pieces)
        while b'"message"' not in body:
            body += await anext(pieces)
        task_id = parsed(body)[0]["task_id"]
        await http.post(f"/chat-messages/{task_id}/stop", json={"user": "someone"})
        while reads_on and not kinds(body)[-1].endswith(("_end", "_finished")):
            body += await anext(pieces)
    await dify.hung_up(stops + 1)
    await dify.idle()
    return body


async def test_a_stopped_answer_is_kept_only_if_it_is_read_on(dify: StandInDify, http: httpx.AsyncClient) -> None:
    one = answer("One", hang(), conversation_id="c")
    dify.on_stop.delay = 2.0  # so long a reader has to leave
    assert kinds(await stopped(dify, http, one, reads_on=False))[-1] == "message"
    dify.on_stop.delay = 0.05
    assert kinds(await stopped(dify, http, one, reads_on=True))[-1] == "message_end"

    assert dify.memory["c"] == ["", "One"]
    assert (dify.hang_ups, dify.cut_short) == (1, 1)


async def test_a_stopped_chatflow_of_1_14_ends_at_workflow_finished(dify: StandInDify, http: httpx.AsyncClient) -> None:
    dify.on_stop.flow_says_message_end, dify.on_stop.flow_status = False, "failed"
    body = await stopped(dify, http, chatflow("One", hang()), reads_on=True)

    assert "message_end" not in kinds(body)
    assert parsed(body)[-1]["data"]["status"] == "failed"


async def test_the_body_of_a_stopped_run_may_stay_open(dify: StandInDify, http: httpx.AsyncClient) -> None:
    dify.on_stop.stays_open = asyncio.Event()
    await stopped(dify, http, answer("One", hang(), conversation_id="c"), reads_on=True)

    assert dify.memory["c"] == ["One"]
    assert dify.hang_ups == 1


async def test_the_stop_call_can_be_late_fail_or_be_in_vain(dify: StandInDify, http: httpx.AsyncClient) -> None:
    go = asyncio.Event()
    dify.stop_replies(after=go)
    late = asyncio.create_task(http.post("/chat-messages/t/stop", json={"user": "someone"}))
    await dify.stopped()
    assert not late.done()
    go.set()
    assert (await late).json() == {"result": "success"}

    dify.stop_replies(status(500))
    assert (await http.post("/chat-messages/t/stop", json={"user": "someone"})).status_code == 500

    dify.stop_replies()
    dify.will(answer("One", hang(deaf=True)))
    async with http.stream("POST", "/chat-messages", json=asking()) as response:
        pieces = response.aiter_bytes()
        task_id = parsed(await anext(pieces))[0]["task_id"]
        await http.post(f"/chat-messages/{task_id}/stop", json={"user": "someone"})
        assert dify.running == 1
    await dify.hung_up()


@pytest.mark.parametrize(("status", "code"), [(429, "too_many_requests"), (400, "invalid_param")])
async def test_a_limit_refuses_the_crowd(
    dify: StandInDify, http: httpx.AsyncClient, status: Literal[400, 429], code: str
) -> None:
    dify.concurrency_limit = 1
    dify.says_crowded_with = status
    go = asyncio.Event()
    dify.will(answer("One", wait(go)))
    first = asyncio.create_task(ask(http))
    await dify.asked()

    refused = await ask(http)
    go.set()

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert (await first).status_code == 200
    assert (await ask(http)).status_code == 200


async def test_counts_what_runs_at_once_in_a_conversation(dify: StandInDify, http: httpx.AsyncClient) -> None:
    named = parsed((await ask(http)).content)[0]["conversation_id"]
    go = asyncio.Event()
    dify.will(*[answer(wait(go))] * 3)
    questions = [asyncio.create_task(ask(http, conversation_id=named)) for _ in range(2)]
    questions.append(asyncio.create_task(ask(http)))
    await dify.asked(4)
    await dify.until(lambda: dify.running == 3)
    go.set()
    await asyncio.gather(*questions)

    assert dify.most_running == 3
    assert sorted(dify.most_running_per_conversation.values()) == [1, 2]


async def test_a_hang_up_is_seen_before_the_next_question(dify: StandInDify) -> None:
    async with client(dify) as http:
        named = parsed((await ask(http)).content)[0]["conversation_id"]
        for _ in range(20):
            dify.will([send(events.message("Hi")), hang()])
            async with http.stream("POST", "/chat-messages", json=asking(conversation_id=named)):
                pass
            await ask(http, conversation_id=named)

    assert dify.most_running_per_conversation == {named: 1}
    assert dify.hang_ups == 20


async def test_numbers_connections_and_drops_kept_alive_ones(dify: StandInDify, http: httpx.AsyncClient) -> None:
    await ask(http)
    await ask(http)
    dify.drops_kept_alive = True
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(http)
    await ask(http)
    dify.drops_kept_alive = False
    assert await dify.close_idle_connections() == 1
    await ask(http)

    assert [request.connection for request in dify.requests] == [1, 1, 2, 3]
    assert [request.connection for request in dify.dropped] == [1]


@pytest.mark.parametrize("path", ["/info", "/parameters", "/meta", "/messages?user=a", "/conversations"])
async def test_serves_the_fixed_calls(dify: StandInDify, http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 200
    assert (await httpx.AsyncClient.get(http, path, headers={"Authorization": ""})).status_code == 401
    dify.replies(path.partition("?")[0], status(503, html=""))
    assert (await http.get(path)).status_code == 503
    dify.replies(path.partition("?")[0], None)
    assert (await http.get(path)).status_code == 200
    assert len(dify.calls) == 4
    assert (await http.get("/nowhere")).status_code == 404
    assert (await http.get("/", headers={"Authorization": ""})).json()["api_version"] == "v1"


async def test_ends_whatever_runs_and_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    async with StandInDify() as dify, client(dify) as http:
        dify.will(hang(), hang(head=False), pings_forever(0.001), [answer("Hi"), keep_open(asyncio.Event())])
        questions = [asyncio.create_task(ask(http)) for _ in range(4)]
        await dify.asked(4)
        await dify.__aexit__(None, None, None)
        failures = await asyncio.gather(*questions, return_exceptions=True)

    assert all(isinstance(failure, httpx.TransportError) for failure in failures)
    assert dify.hang_ups == 0
    assert asyncio.all_tasks() == before


async def test_a_failing_script_fails_the_test() -> None:
    async def fails(_: object) -> None:
        raise ValueError("a mistake")

    with pytest.RaisesGroup(ValueError):
        async with StandInDify() as dify, client(dify) as http:
            dify.will(fails)
            with pytest.raises(httpx.TransportError):
                await ask(http)


async def test_waiting_in_vain_fails(monkeypatch: pytest.MonkeyPatch, dify: StandInDify) -> None:
    monkeypatch.setattr("tests.standin.dify.PATIENCE", 0.01)

    with pytest.raises(AssertionError, match="1 questions; saw 0 questions"):
        await dify.asked()


async def test_runs_as_a_process_that_stamps_its_tokens() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.standin.dify", "--first-token-ms", "1", "--token-ms", "1",
        "--tokens", "3", "--api-key", "app-test", "--stamp", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        base_url = (await process.stdout.readline()).decode().strip()
        key = {"Authorization": "Bearer app-test"}
        async with browse(base_url, headers=key) as http:
            sent = time.monotonic_ns()
            body = (await ask(http)).content
            received = time.monotonic_ns()
            in_one = (await ask(http, response_mode="blocking")).json()["answer"]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    assert kinds(body) == ["message", "message", "message", "message_end"]
    stamps = [int(stamp) for stamp in text(body).split()]
    assert stamps == sorted(stamps)
    assert sent < stamps[0] < received
    assert len(in_one.split()) == 3
    assert os.path.basename(base_url) == "v1"
