"""A record is one line that holds no token, whoever writes it and whatever it quotes."""

from __future__ import annotations

import io
import logging
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonjsonlogger.json import JsonFormatter
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from app.observability import logs
from tests.lifecycle.test_process import connect_line, forked, service_of
from tests.service import Service, browse, make_settings
from tests.standin.dify import StandInDify
from tests.standin.scripts import error_event, status

SECRET = "planted-0f3c"


@pytest.fixture(params=["json", "text"])
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the service's own log settings write."""
    root = logging.getLogger()
    before = root.handlers, root.level
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure(make_settings(log_format=request.param, log_level="DEBUG"))
    yield stream
    root.handlers, level = before
    root.setLevel(level)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('"WebSocket /ws?token=SECRET" [accepted]', '"WebSocket /ws?token=***" [accepted]'),
        ("/ws?token=SECRET&last_seq=4 403", "/ws?token=***&last_seq=4 403"),
        ("/ws?last_seq=4&resume_token=SECRET", "/ws?last_seq=4&resume_token=***"),
        ("/ws?resume_token=SECRET&token=SECRET.SECRET%20", "/ws?resume_token=***&token=***"),
        ('"GET /ws?token=a"SECRET\'SECRET HTTP/1.1"', '"GET /ws?token=*** HTTP/1.1"'),
        ("/ws?tok%65n=SECRET", "/ws?tok%65n=***"),
        ("/ws?%54OKEN=SECRET", "/ws?%54OKEN=***"),
        ("/ws%3Ftoken=SECRET", "/ws%3Ftoken=***"),
        ('{"type":"ack","resume_token":"SECRET","seq":1}', '{"type":"ack","resume_token":"***","seq":1}'),
        ("{'token': 'SECRET'}", "{'token': '***'}"),
        (r"{\"resume_token\": \"SECRET\"}", r"{\"resume_token\": \"***\"}"),
        ("Authorization: Bearer SECRET", "Authorization: Bearer ***"),
        ("realtime-rag.v1, bearer.SECRET, x", "realtime-rag.v1, bearer.***, x"),
        ("not valid: eyJhbGciOi.eyJzdWIi.SECRET-_x", "not valid: ***"),
        ("total_tokens=96, a bearer of news", "total_tokens=96, a bearer *** news"),
        ("nothing secret", "nothing secret"),
    ],
)
def test_a_token_is_replaced_where_it_stands(text: str, clean: str) -> None:
    assert logs.redact(text.replace("SECRET", SECRET)) == clean


def test_a_record_loses_its_tokens_whoever_makes_it(log: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "peer", f"/ws?token={SECRET}")
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "peer", "GET", f"/?resume_token={SECRET}&a=b", "1.1", 200
    )
    logging.getLogger("some.library").warning("split: token=%s", SECRET)
    logging.getLogger("some.library").warning("more", extra={"url": f"ws://host/?token={SECRET}"}, stack_info=True)
    text = log.getvalue()
    assert SECRET not in text
    assert "/ws?token=***" in text
    assert "/?resume_token=***&a=b HTTP/1.1" in text
    assert "split: token=***" in text


def test_an_exception_loses_its_tokens_and_keeps_the_rest(log: io.StringIO) -> None:
    try:
        raise ValueError(f"no such page: /ws?token={SECRET}")
    except ValueError:
        logging.getLogger("some.library").exception("it failed")
    try:
        raise KeyError("harmless")
    except KeyError:
        logging.getLogger("some.library").exception("it failed")
    text = log.getvalue()
    assert SECRET not in text
    assert "ValueError: no such page: /ws?token=***" in text
    assert "KeyError: 'harmless'" in text


FORGED = "12:00:00 INFO    app: forged"
WORDS = f"a\r\n{FORGED}\v\x85\u2028\x1b[2J\x9b1m\u202e\x7f\ud83d" + "x" * 60_000


def lines_of(log: str) -> list[str]:
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]", log)
    return log.removesuffix("\n").split("\n")


def test_whatever_words_are_logged_a_record_is_one_line_without_control_characters(log: io.StringIO) -> None:
    logging.getLogger("some.library").warning("it says %s", WORDS)
    logging.getLogger("some.library").warning(WORDS, extra={"url": WORDS, "session_id": WORDS})
    lines = lines_of(log.getvalue())
    assert len(lines) == 2
    assert max(map(len, lines)) < 4 * logs.MAX_LINE_CHARS
    assert "xxx…" in lines[0]


def test_the_words_of_an_exception_begin_no_record(log: io.StringIO) -> None:
    try:
        raise ValueError(WORDS)
    except ValueError:
        logging.getLogger("some.library").exception("it failed", stack_info=True)
    first, *rest = lines_of(log.getvalue())
    assert "it failed" in first
    assert all(line.startswith("    ") for line in rest)
    assert len(log.getvalue()) < 6 * logs.MAX_LINE_CHARS


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_an_error_code_of_dify_forges_no_line(dify: StandInDify, tmp_path: Path, log_format: str) -> None:
    code = f"oh\n{FORGED} \x1b[2J" + "x" * 60_000
    dify.will(error_event(code), status(400, {"code": code, "message": "No.", "status": 400}))
    settings = {"PORT": "0", "LOG_FORMAT": log_format, "DIFY_API_KEY": dify.api_key, "DIFY_BASE_URL": dify.base_url}
    async with forked("app", cwd=tmp_path, **settings) as process:
        url = (await process.read_until("Connect to")).partition("ws://127.0.0.1:")[2]
        async with Service(int(url.partition("/")[0])).connect() as client:
            for text in ("What is RAG?", "And what is not?"):
                assert "error" in (await client.ask(text))[-2]
        process.process.send_signal(signal.SIGTERM)
        await process.rest()
    told = [line for line in process.lines if "oh" in line and "forged" in line]
    assert len(told) >= 2
    assert not [line for line in process.lines if line.startswith(FORGED) or "\x1b" in line or len(line) > 1000]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        return f"?token={SECRET}"


@pytest.mark.parametrize("argument", [f"?token={SECRET}", Unprintable()])
def test_a_record_that_cannot_be_formatted_is_told_without_its_tokens(log: io.StringIO, argument: object) -> None:
    logging.getLogger("some.library").warning("%d %s", argument, 1)
    text = log.getvalue()
    assert SECRET not in text
    assert "?token=***" in text


@pytest.mark.slow
async def test_no_token_of_a_handshake_is_logged_even_at_debug(dify: StandInDify, tmp_path: Path) -> None:
    settings = {"PORT": "0", "LOG_LEVEL": "DEBUG", "DIFY_API_KEY": dify.api_key, "DIFY_BASE_URL": dify.base_url}
    async with forked("app", cwd=tmp_path, **settings) as process:
        service = service_of(await connect_line(process))
        for url in (service.ws_url, f"{service.ws_url}/no-such-path"):
            socket = connect(
                f"{url}?token={SECRET}&resume_token={SECRET}",
                additional_headers={"Authorization": f"Bearer {SECRET}"},
                subprotocols=[Subprotocol("realtime-rag.v1"), Subprotocol(f"bearer.{SECRET}")],
                proxy=None,
            )
            with suppress(InvalidStatus):
                async with socket:
                    pass
        async with browse() as http:
            await http.get(f"{service.http_url}/health?token={SECRET}")
        process.process.send_signal(signal.SIGTERM)
        await process.rest()
    text = "".join(process.lines)
    assert SECRET not in text
    assert text.count("?token=***") == 3
    assert text.count("&resume_token=***") == 2


texts = st.text(alphabet=st.characters(exclude_categories=()))
values = st.integers() | st.booleans() | st.floats() | st.datetimes() | st.lists(texts)


@given(
    text=texts | st.sampled_from(["to\u212aen=x", "%54oken=x", "BEARER x", "eYJa.b.c", "a\u2028b", "a\tb\xa0c\u3000"])
)
def test_what_is_looked_at_first_saves_nothing_that_is_to_be_hidden(text: str) -> None:
    assert logs.redact(text) == logs._TOKENS.sub(lambda found: f"{found[1] or found[2] or found[3] or ''}***", text)
    assert not logs._CONTROLS.search(text) or not text.isprintable()
    assert not logs._is_tidy(text) or logs.tidy(text) == text


@given(
    message=texts | st.integers() | st.dictionaries(texts, texts),
    name=texts,
    session=st.none() | texts | st.integers(),
    more=st.dictionaries(texts | st.sampled_from(["time", "level", "_a", "reason"]), texts | st.none() | values),
)
def test_a_record_is_written_by_template_as_by_the_library(
    message: object, name: str, session: object, more: dict[str, object]
) -> None:
    record = logging.makeLogRecord({**more, "levelname": "INFO", "name": name, "msg": message, "color_message": "x"})
    record.session_id, record.query_id = session, None
    formatter = logs._json_formatter()
    assert formatter.format(record) == JsonFormatter.format(formatter, record)  # type: ignore[arg-type]
    record.exc_text, record.more = "Traceback", 7
    assert formatter.format(record) == JsonFormatter.format(formatter, record)  # type: ignore[arg-type]
