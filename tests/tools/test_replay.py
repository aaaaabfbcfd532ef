"""`python -m app replay` as its user runs it: a file in, a talk with the real service, then figures and a status."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from app.tools.replay import command
from app.tools.replay.score import Spread
from app.tools.replay.screen import safe
from tests.client import PATIENCE
from tests.conftest import Serve
from tests.service import ROOT, open_terminal
from tests.standin.dify import StandInDify
from tests.standin.exchange import Exchange
from tests.standin.scripts import answer, error_event, hang, replaced_answer, status, wait

Rows = list[dict[str, Any]]


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    def table(self) -> dict[str, str]:
        rows = self.out.rpartition("\n\n")[2].splitlines()[:-1]
        return {row[:20].strip(): row[20:] for row in rows}


Replay = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Replay:
    """Write this content to a file and replay it at once; further arguments are the command line's."""

    async def replay(content: str | Rows, url: str, *arguments: str) -> Outcome:
        path = tmp_path / "talk"
        path.write_text(content if isinstance(content, str) else lines(content), encoding="utf-8")
        capsys.readouterr()
        try:
            code = await asyncio.to_thread(command.main, [str(path), "--url", url, "--speed", "0", *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return Outcome(code, *capsys.readouterr())

    return replay


def lines(rows: Rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def final(at_ms: int, text: str, **fields: Any) -> dict[str, Any]:
    return {"at_ms": at_ms, "text": text, "is_final": True, **fields}


def out(at_ms: int, **frame: Any) -> dict[str, Any]:
    return {"at_ms": at_ms, "direction": "out", "frame": frame}


# What a person sees


async def test_a_labelled_talk_that_holds_is_shown_line_by_line_and_ends_well(
    start: Serve, dify: StandInDify, replay: Replay
) -> None:
    dify.will(answer("Two years,\n", "from today.", sources=[{"position": 1, "document_name": "manual.md"}]))
    talk = [
        {"at_ms": 0, "text": "i bought"},
        final(0, "I bought it today.", asks=False),
        final(100, "How long is the warranty?", asks=True, speaker="guest"),
    ]
    outcome = await replay(talk, (await start()).ws_url)
    assert (outcome.status, outcome.err) == (0, "")
    shown = [line[10:] for line in outcome.out.splitlines()]
    assert shown[0].startswith("connected, session ")
    assert "> I bought it today." in shown
    assert any(line.startswith("  waiting_for_question: not_a_question (") for line in shown)
    assert "? How long is the warranty?" in shown
    assert [line for line in shown if line.startswith("< ")] == ["< Two years,", "< from today."]
    assert any(line.startswith("= answered: first text ") and line.endswith("sources: 1") for line in shown)
    assert "i bought" not in outcome.out  # a partial is news for a moment only
    assert "\x1b" not in outcome.out
    table = outcome.table()
    assert (table["questions found"], table["errors"], table["labelled lines"]) == ("1", "none", "2")
    assert (table["precision"], table["recall"]) == ("1.00", "1.00")
    assert table["total"].startswith("median ")
    assert outcome.out.endswith("\nas expected\n")


async def test_labels_that_do_not_hold_are_named_and_end_with_status_1(start: Serve, replay: Replay) -> None:
    talk = [final(0, "What is RAG?", asks=False), final(1, "I see.", asks=True), final(2, "Who made it?", asks=True)]
    outcome = await replay(talk, (await start()).ws_url)
    assert outcome.status == 1
    table = outcome.table()
    assert (table["precision"], table["recall"]) == ("0.50", "0.50")
    assert table["should not have"] == "line 1: What is RAG?"
    assert table["should have asked"] == "line 2: I see."
    assert outcome.out.endswith("\nnot as expected\n")


async def test_plain_text_is_one_final_a_line(start: Serve, dify: StandInDify, replay: Replay) -> None:
    outcome = await replay("\ufeffhello there\n\n怎么申请退款\r\n", (await start()).ws_url, "--json")
    assert outcome.status == 0
    (question,) = outcome.document["questions"]
    assert (question["line"], question["outcome"]) == (3, "answered")
    assert dify.requests[0].query == "怎么申请退款"


async def test_lines_of_plain_text_keep_their_distance(start: Serve, replay: Replay) -> None:
    outcome = await replay("I see.\nWho made it?\n", (await start()).ws_url, "--gap", "1", "--speed", "5")
    (second,) = [line for line in outcome.out.splitlines() if line.endswith("> Who made it?")]
    assert float(second[:8]) >= 0.2


async def test_a_talk_may_be_as_fast_as_wished(start: Serve, dify: StandInDify, replay: Replay) -> None:
    go_on = asyncio.Event()
    dify.will(answer("One", wait(go_on), " and two."), answer("Three."))
    talk = [
        final(0, "What is RAG?", asks=True, speaker="a"),
        final(90_000, "Who made it?", asks=True, speaker="b"),
        final(90_001, "I forgot.", asks=False, speaker="b"),
    ]

    async def let_go() -> None:
        await dify.asked()
        go_on.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(let_go())
        outcome = await replay(talk, (await start()).ws_url, "--json", "--speed", "1000000")
    assert outcome.status == 0
    assert [(q["line"], q["outcome"]) for q in outcome.document["questions"]] == [(1, "answered"), (2, "answered")]
    assert outcome.document["labels"]["misses"] == []


# What is found


async def test_a_question_that_goes_on_counts_once(start: Serve, dify: StandInDify, replay: Replay) -> None:
    async def answer_the_whole(exchange: Exchange) -> None:
        await (answer("Ten.") if "red" in exchange.recorded.query else hang())(exchange)

    dify.will(answer_the_whole, answer_the_whole)
    talk = [final(0, "What is the price", asks=True, end_of_turn=True), final(1, "of the red one", asks=True)]
    outcome = await replay(talk, (await start()).ws_url, "--json", "--speed", "1000")
    assert outcome.status == 0
    (question,) = outcome.document["questions"]
    assert (question["text"], question["line"]) == ("What is the price of the red one", 2)
    assert outcome.document["labels"] == {"lines": 1, "precision": 1.0, "recall": 1.0, "misses": []}


async def test_a_question_that_may_go_on_is_waited_for(start: Serve, replay: Replay) -> None:
    url = (await start(wait_min_ms=100, wait_max_ms=100)).ws_url
    outcome = await replay([final(0, "how do i", asks=True)], url, "--json")
    assert outcome.status == 0
    assert outcome.document["questions"][0]["wait_ms"] > 0


async def test_a_partial_at_the_end_may_still_ask(start: Serve, replay: Replay) -> None:
    url = (await start(stale_partial_seconds=0.02)).ws_url
    talk = [final(0, "That is all.", asks=False), {"at_ms": 5, "text": "what is RAG?"}]
    outcome = await replay(talk, url, "--json")
    assert outcome.status == 0
    assert outcome.document["questions"][0]["line"] == 2


async def test_a_question_that_is_given_up_was_not_asked(start: Serve, dify: StandInDify, replay: Replay) -> None:
    dify.will(answer("One", hang()))
    talk = [
        out(0, type="asr_chunk", text="What is RAG?", is_final=True),
        out(1, type="asr_chunk", text="Who made it?", is_final=True, speaker="b"),
        out(2, type="control", action="cancel"),
        out(3, type="asr_chunk", text="I see.", is_final=True),
    ]
    outcome = await replay(talk, (await start()).ws_url, "--json", "--speed", "1000")
    assert [(q["line"], q["reason"]) for q in outcome.document["questions"]] == [(1, "cancelled")]
    assert "Who made it?" not in [request.query for request in dify.requests]


async def test_frames_are_sent_again_in_a_session_of_their_own(start: Serve, dify: StandInDify, replay: Replay) -> None:
    frames = [
        {"at_ms": 0, "direction": "in", "frame": {"type": "ack", "session_id": "old", "seq": 1}},
        out(10, type="configure", inputs={"customer": "4711"}, session_id="old"),
        out(20, type="control", action="instant_query", text="Opening hours", id="mine"),
        out(30, type="control", action="pause"),
        out(40, type="asr_chunk", text="What is RAG?", is_final=True),
        out(50, type="control", action="stop"),
    ]
    outcome = await replay(frames, (await start()).ws_url, "--json")
    assert outcome.status == 0
    assert [(q["text"], q["line"]) for q in outcome.document["questions"]] == [("Opening hours", None)]
    assert outcome.document["session_id"] not in {None, "old"}
    assert dify.requests[0].body["inputs"] == {"customer": "4711"}


async def test_an_answer_that_is_replaced_is_the_new_one(start: Serve, dify: StandInDify, replay: Replay) -> None:
    dify.will(replaced_answer("No idea", "Two years."), replaced_answer("No idea", "Two years."))
    url = (await start()).ws_url
    outcome = await replay("How long is the warranty?", url, "--json")
    assert outcome.document["questions"][0]["answer"] == "Two years."
    shown = (await replay("How long is the warranty?", url)).out
    assert "(this replaces the answer so far)" in shown


# What goes wrong


@pytest.mark.parametrize(
    ("script", "errors"),
    [
        (status(400), {"RAG_REJECTED": 1}),
        (error_event(after=["Two "]), {"RAG_FAILED": 1}),
    ],
)
async def test_a_failed_answer_is_not_as_expected(
    start: Serve, dify: StandInDify, replay: Replay, script: Any, errors: dict[str, int]
) -> None:
    dify.will(script, script)
    url = (await start()).ws_url
    outcome = await replay("What is RAG?", url, "--json")
    assert (outcome.status, outcome.document["errors"], outcome.document["as_expected"]) == (1, errors, False)
    shown = await replay("What is RAG?", url)
    assert shown.table()["errors"] == " ".join(f"{code} {n}" for code, n in errors.items())


async def test_a_refused_message_is_not_as_expected(start: Serve, replay: Replay) -> None:
    url = (await start(max_message_bytes=256)).ws_url
    frames = [
        out(0, type="control", action="dance"),
        out(1, type="control", action="instant_query"),
        out(2, type="asr_chunk", text="x" * 300),
        out(3, type="keepalive"),
    ]
    outcome = await replay(frames, url, "--json")
    assert outcome.status == 1
    assert outcome.document["errors"] == {"UNKNOWN_ACTION": 1, "NO_FINAL_ASR": 1, "MESSAGE_TOO_LARGE": 1}
    assert "! NO_FINAL_ASR: " in (await replay(frames, url)).out


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "there is nothing in it"),
        (b"\xff\xfe", "not UTF-8"),
        ('{"at_ms": 0', "line 1: not JSON"),
        ('{"at_ms": 0, "text": "a"}\n[1]', "line 2: not a JSON object"),
        ('{"at_ms": 0}', "line 1: has neither text nor frame"),
        ('{"text": "a"}', "line 1: at_ms"),
        ('{"at_ms": true, "text": "a"}', "line 1: at_ms"),
        ('{"at_ms": 9, "text": "a"}\n{"at_ms": 8, "text": "a"}', "line 2: at_ms"),
        ('{"at_ms": 0, "text": "a", "aks": true}', "line 1: aks"),
        ('{"at_ms": 0, "text": "a", "is_final": true, "asks": 1}', "line 1: asks"),
        ('{"at_ms": 0, "text": "a", "asks": true}', "line 1: asks"),
        ('{"at_ms": 0, "text": 7}', "line 1: text"),
        ('{"at_ms": 0, "text": "a", "type": "control", "action": "stop"}', "line 1: action"),
        ('{"at_ms": 0, "text": "a", "type": "keepalive"}', "line 1: type"),
        ('{"at_ms": 0, "direction": "up", "frame": {}}', "line 1: direction"),
        ('{"at_ms": 0, "direction": "out", "frame": 1}', "line 1: frame"),
        ('{"at_ms": 0, "direction": "in", "frame": {}}', "no frame in it was sent"),
    ],
)
def test_a_bad_file_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | bytes, complaint: str
) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert command.main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"replay: {path}")
    assert complaint in error
    assert error.count("\n") == 1


def test_a_missing_file_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"replay: {tmp_path / 'nowhere'}: No such file or directory\n"


@pytest.mark.parametrize(
    "arguments",
    [["--speed", "-1"], ["--speed", "fast"], ["--speed", "inf"], ["--url", "http://127.0.0.1"], ["--token", "a b"]],
)
async def test_bad_arguments_are_refused(replay: Replay, arguments: list[str]) -> None:
    outcome = await replay("What is RAG?", "ws://127.0.0.1:9", *arguments)
    assert outcome.status == 2
    assert outcome.out == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1"])
async def test_without_an_address_it_goes_where_the_settings_put_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    with socket.socket() as taken:  # nobody answers here, and nobody else can
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.chdir(tmp_path)
        (tmp_path / ".env").write_text(f"HOST={host}\nPORT={port}\nWS_PATH=/talk\nRAG_PROVIDER=nobody\n")
        (tmp_path / "talk").write_text("What is RAG?")
        assert await asyncio.to_thread(command.main, ["talk"]) == 3
    name = {"127.0.0.1": host, "::1": "[::1]"}.get(host, "localhost")
    assert capsys.readouterr().err.startswith(f"replay: ws://{name}:{port}/talk cannot be reached")


@pytest.mark.parametrize(
    ("port", "told"),
    [("0", "replay: with PORT=0 the service takes any port"), ("eighty", "realtime-rag: PORT: Input should be")],
)
def test_a_port_that_says_nothing_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str, told: str
) -> None:
    monkeypatch.setenv("PORT", port)
    (tmp_path / "talk").write_text("What is RAG?")
    try:
        status = command.main([str(tmp_path / "talk")])
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == 2
    assert capsys.readouterr().err.startswith(told)


# A service that does not do what it should


@asynccontextmanager
async def pretender(handle: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """A WebSocket server that is not the service."""
    async with serve(handle, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"


async def greet(socket: ServerConnection) -> None:
    await socket.send('{"type":"ack","session_id":"s","seq":1,"message":"connected","protocol":"1"}')
    await socket.send('{"type":"status","session_id":"s","seq":2,"stage":"listening"}')


async def test_a_service_that_is_not_there_is_trouble(start: Serve, replay: Replay) -> None:
    service = await start()
    nobody = await replay("What is RAG?", "ws://127.0.0.1:1/ws", "--json")
    assert (nobody.status, nobody.document["as_expected"]) == (3, False)
    assert "cannot be reached" in nobody.document["trouble"]
    assert nobody.err == f"replay: {nobody.document['trouble']}\n"
    elsewhere = await replay("What is RAG?", service.ws_url + "/other")
    assert (elsewhere.status, elsewhere.out) == (3, "")
    assert "HTTP 403" in elsewhere.err


@pytest.mark.parametrize("from_environment", [False, True])
async def test_the_token_goes_in_the_header_and_a_wrong_one_is_trouble(
    replay: Replay, monkeypatch: pytest.MonkeyPatch, from_environment: bool
) -> None:
    seen: list[str | None] = []

    async def refuse(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen.append(socket.request.headers.get("Authorization"))
        await socket.send(
            '{"type":"error","code":"UNAUTHORIZED","message":"The token is not known.","retryable":false}'
        )
        await socket.close(4401)

    if from_environment:
        monkeypatch.setenv("REALTIME_RAG_TOKEN", "t-1")
    async with pretender(refuse) as url:
        outcome = await replay("What is RAG?", url, *([] if from_environment else ["--token", "t-1"]))
    assert outcome.status == 3
    assert "(4401, UNAUTHORIZED): The token is not known." in outcome.err
    assert "t-1" not in outcome.out + outcome.err
    assert seen == ["Bearer t-1"]


async def test_a_service_that_leaves_is_trouble(replay: Replay) -> None:
    async def leave(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        await socket.close(1012)

    async with pretender(leave) as url:
        outcome = await replay("What is RAG?\n", url)
    assert (outcome.status, outcome.err) == (3, "replay: the connection was lost (1012)\n")


async def test_a_service_that_falls_silent_is_trouble(replay: Replay) -> None:
    async def fall_silent(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.wait_closed()

    async with pretender(fall_silent) as url:
        outcome = await replay("What is RAG?\n", url, "--patience", "0.05")
    assert outcome.status == 3
    assert "silent for 0.05 s" in outcome.err


async def test_a_service_that_speaks_otherwise_is_trouble(replay: Replay) -> None:
    async def babble(socket: ServerConnection) -> None:
        await socket.send("[]")
        await socket.wait_closed()

    async with pretender(babble) as url:
        outcome = await replay("What is RAG?\n", url)
    assert outcome.status == 3
    assert "no frame of the protocol" in outcome.err


async def test_a_service_that_does_not_close_is_trouble(replay: Replay) -> None:
    async def stay(socket: ServerConnection) -> None:
        await greet(socket)
        async for _ in socket:
            await socket.send('{"type":"ack","session_id":"s","seq":3,"received_type":"keepalive"}')

    async with pretender(stay) as url:
        # As long as a busy machine takes for an answer: silence before the end is another trouble.
        outcome = await replay([out(0, type="keepalive")], url, "--patience", "2")
    assert outcome.status == 3
    assert "did not close" in outcome.err


# The command


async def run(*arguments: str, stdout: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app", "replay", *arguments),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1"},
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.slow
async def test_it_is_a_command_whose_status_says_how_it_went(start: Serve, tmp_path: Path) -> None:
    (tmp_path / "talk").write_text(lines([final(0, "I see.", asks=True)]), encoding="utf-8")
    process = await run(str(tmp_path / "talk"), "--url", (await start()).ws_url)
    async with asyncio.timeout(3 * PATIENCE):
        shown, err = await process.communicate()
    assert (process.returncode, err) == (1, b"")
    assert shown.endswith(b"\nnot as expected\n")


@pytest.mark.slow
async def test_ctrl_c_ends_it_without_a_traceback(start: Serve, dify: StandInDify, tmp_path: Path) -> None:
    dify.will(answer("One", hang()))
    (tmp_path / "talk").write_text("What is RAG?", encoding="utf-8")
    process = await run(str(tmp_path / "talk"), "--url", (await start()).ws_url)
    async with asyncio.timeout(3 * PATIENCE):
        await dify.asked()
        process.send_signal(signal.SIGINT)
        shown, err = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in shown + err


@pytest.mark.slow
async def test_nobody_has_to_read_to_the_end(start: Serve, tmp_path: Path) -> None:
    (tmp_path / "talk").write_text("What is RAG?", encoding="utf-8")
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        process = await run(str(tmp_path / "talk"), "--url", (await start()).ws_url, stdout=theirs)
    finally:
        os.close(theirs)
    async with asyncio.timeout(3 * PATIENCE):
        _, err = await process.communicate()
    assert (process.returncode, err) == (141, b"")


@pytest.mark.slow
async def test_on_a_terminal_it_has_colours_and_grows_and_nothing_can_steer_it(
    start: Serve, dify: StandInDify, tmp_path: Path
) -> None:
    dify.will(answer("Two", "\x1b]0;stolen\x07 years.\n", "\u202eYes."))
    talk = [{"at_ms": 0, "text": "how long is"}, final(1, "How long is the warranty?", asks=True)]
    (tmp_path / "talk").write_text(lines(talk), encoding="utf-8")
    url = (await start()).ws_url
    terminal, theirs = open_terminal()
    try:
        process = await run(str(tmp_path / "talk"), "--url", url, "--speed", "0", stdout=theirs)
    finally:
        os.close(theirs)
    try:
        async with asyncio.timeout(3 * PATIENCE):
            shown = await asyncio.to_thread(read_all, terminal)
            await process.communicate()
    finally:
        os.close(terminal)
    assert process.returncode == 0
    assert "> how long is  1/2" in shown  # the partial, until the final takes its place
    assert "\r\x1b[2K" in shown
    assert "\x1b[1m? How long is the warranty?\x1b[0m" in shown
    assert "Two\ufffd]0;stolen\ufffd years.\r\n" in shown
    assert "\ufffdYes." in shown
    assert "\x1b[32mas expected\x1b[0m" in shown


def read_all(terminal: int) -> str:
    """What a program writes to a terminal until it ends."""
    data = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux's word for a terminal whose other side is closed
            piece = b""
        if not piece:
            return data.decode()
        data += piece


def test_safe_text_keeps_every_script_and_drops_every_control() -> None:
    assert safe("Größe 怎么 👩‍🔬\ta\nb") == "Größe 怎么 👩‍🔬 a b"
    assert safe("\x00\x1b[2J\x9b\ud800\u2066") == "\ufffd\ufffd[2J\ufffd\ufffd\ufffd"


def test_a_spread_is_the_median_and_the_95th() -> None:
    assert Spread.of([*range(1, 101), None]) == Spread(50.5, 95)
    assert Spread.of([7]) == Spread(7, 7)
    assert Spread.of([None]) == Spread(None, None)
