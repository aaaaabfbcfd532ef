"""A text that is heard where it is read: the same answer as by waking its reader, and only while that waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import RagError
from app.models.answers import AnswerEnd, AnswerEvent, Question, Source, TextDelta
from app.services.bodies import Body
from app.services.breaker import Breaker
from app.services.deadlines import Deadlines
from app.services.dify_events import DifyAnswer
from app.services.guarded import GuardedProvider
from app.services.openai_events import OpenAiAnswer
from app.services.rag import Hear, Offers, RagProvider, ask
from app.services.streams import SseParser
from app.services.upstream import Reading, hearing
from tests.client import PATIENCE
from tests.standin import events, openai
from tests.standin.events import Ids

IDS = Ids()


@dataclass(frozen=True)
class Unending:
    """Deadlines that never come, and how often a text has moved them."""

    moved: list[None]

    def text_came(self) -> None:
        self.moved.append(None)


def read(
    pieces: Iterable[bytes], *, heard: bool, strip_think: bool = True
) -> tuple[list[object], int, str | None, int]:
    """What the answer says in all, how many texts it counts, its task, and how many were heard."""
    answer = DifyAnswer(strip_think=strip_think)
    said, moved = read_by(answer, pieces, heard=heard)
    return said, answer.texts, answer.task_id, moved


def read_by(answer: DifyAnswer | OpenAiAnswer, pieces: Iterable[bytes], *, heard: bool) -> tuple[list[object], int]:
    """What the answer says in all, and how many texts were heard."""
    parser = SseParser()
    said: list[AnswerEvent] = []
    deadlines = Unending([])

    def hear(text: str) -> bool:
        said.append(TextDelta(text))
        return True

    take = hearing(parser, answer, deadlines, hear)  # type: ignore[arg-type]  # of deadlines this is all that it needs
    try:
        for piece in pieces:
            if heard and take(piece):
                continue
            for data, name in parser.feed(piece):
                said.extend(answer.feed(data, name))
                if answer.is_over:
                    return joined(said), len(deadlines.moved)
        said.extend(answer.end_of_stream())
    except RagError as error:
        return [*joined(said), str(error)], len(deadlines.moved)
    return joined(said), len(deadlines.moved)


def joined(said: list[AnswerEvent]) -> list[object]:
    told: list[object] = []
    for event in said:
        if not isinstance(event, TextDelta):
            told.append(event)
        elif told and isinstance(told[-1], str):
            told[-1] += event.text
        else:
            told.append(event.text)
    return told


TAGS = ["<", "<think>", "</think>", "think>"]
HALVES = ["\ud83d", "\ude00"]
TEXTS = st.sampled_from(["", "kettle ", "\n\n", "é水😀", '"\\', "\u2028", *TAGS, *HALVES]) | st.text(max_size=5)
CUTS = st.sets(st.integers(1, 6000), max_size=4)
EVENTS = st.one_of(
    TEXTS.map(events.message),
    TEXTS.map(events.message),
    TEXTS.map(events.message),
    TEXTS.map(events.agent_message),
    TEXTS.map(lambda text: events.message_file(answer=text)),
    TEXTS.map(events.message_replace),
    st.just(events.reasoning_chunk("hm")),
    st.just(events.node_started("Search")),
    st.just(events.workflow_finished("whole")),
    st.just(events.message_end()),
    st.just(events.error("no")),
    st.just(events.unknown()),
    st.sampled_from([b"data: {", b"id: 5\n", b"\r", b"\n", b"data: {}\r\r"]),
    st.sampled_from([b"\n", b"\r", b"\r\n", b"\ndata: "]).map(
        lambda space: wire(events.message("odd ")).replace(b", ", b"," + space)
    ),
    st.sampled_from([b"event: ping\n\n", b": hm\n\n", b"data: 5\n\n", b"data: {\n\n", b"data: {}\r\n\r\n", b"\n\n"]),
    TEXTS.map(lambda text: b"event: message\ndata: %b\n\n" % _json({"answer": text})),
)


@given(
    st.lists(EVENTS, max_size=12),
    st.sets(st.integers(1, 6000), max_size=4),
    st.booleans(),
    st.sampled_from(["", "task_id"]),
)
@example([events.message("y" * 5000)], set(), True, "")
@example([events.message("a")], set(), True, "task_id")
@example([events.message("a")], set(), True, "conversation_id")
@example([b"data: {", events.message("a")], set(), True, "")
@example([events.message("a"), b'data: {"event": "message",\n"answer": "b"}\n\n'], set(), True, "")
@example([events.message("a"), b'data: {"event": "message",\r"answer": "b"}\n\n'], set(), True, "")
@example([events.message("a"), events.agent_message("b"), events.message("ab")], set(), True, "")
@example([events.message("a"), events.message("<th"), events.message("ink>b</think>c")], set(), True, "")
@example([events.message("a"), events.message("\ud83d"), events.message("\ude00")], set(), True, "")
def test_what_is_heard_is_what_would_have_been_read(
    items: list[events.Event | bytes], borders: set[int], strips: bool, missing: str
) -> None:
    first = b"data: %b\n\n" % _json(events.complete(events.message("First. "), IDS, without={missing}))
    whole = [wire(item) for item in [first, *items]]
    body = b"".join(whole)
    ends = [0, *sorted(border for border in borders if border < len(body)), len(body)]
    cut = [body[start:stop] for start, stop in pairwise(ends)]
    for pieces in (whole, cut, [whole[0], body[len(whole[0]) :]]):
        heard, plain = (read(pieces, heard=each, strip_think=strips) for each in (True, False))
        assert heard[:3] == plain[:3]


def wire(item: events.Event | bytes) -> bytes:
    """As Dify writes it; half a pair has no other form than the escaped one."""
    return item if isinstance(item, bytes) else b"data: %b\n\n" % _json(events.complete(item, IDS))


def _json(event: events.Event) -> bytes:
    try:
        return json.dumps(event, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(event).encode()


def test_nearly_every_text_is_heard() -> None:
    start = events.stream(events.node_started("Search"), ids=IDS)
    texts = ["First. ", *(f"word{n} " for n in range(9)), "水 "]
    pieces = [start, *(events.stream(events.message(text), ids=IDS) for text in texts)]
    assert read(pieces, heard=True)[3] == 10  # the first is never
    assert read(pieces, heard=True, strip_think=False)[3] == 10
    assert read(pieces, heard=False)[3] == 0


SOURCES = tuple(Source(position=number, title="A page", source="a.md") for number in (1, 2))
CITING = TEXTS | st.sampled_from(["[1]", "[", "1]", "a[2, 7] b", "f[1]", " [t1]", "NO_ANS", "WER", "**ERROR**"])
CHUNKS = st.one_of(
    CITING.map(openai.chunk),
    CITING.map(openai.chunk),
    CITING.map(openai.chunk),
    CITING.map(lambda text: openai.chunk(text, reasoning_content="hm")),
    CITING.map(lambda text: openai.chunk(text, finish="stop")),
    CITING.map(lambda text: openai.chunk(text, reference={"chunks": [{"content": "A quote."}]})),
    CITING.map(lambda text: openai.event({"choices": [{"message": {"content": text}}]})),
    CITING.map(lambda text: openai.event({"choices": [{"delta": {"content": text}}], "usage": {"total_tokens": 3}})),
    CITING.map(lambda text: openai.event({"choices": [{"delta": {"content": text}}, {"delta": {}}], "usage": None})),
    CITING.map(lambda text: openai.event({"choices": [{"delta": {"content": text}}], "sources": [{"title": "A"}]})),
    st.sampled_from(
        [
            {"choices": 5},
            {"choices": [5]},
            {"choices": [{"delta": 5}]},
            {"error": {"message": "no"}},
            {"choices": []},
            {},
        ]
    ).map(openai.event),
    st.sampled_from([b"data: [DONE]\n\n", b": hm\n\n", b"data: {\n\n", b"data: 5\n\n", b"data: {"]),
)


@given(st.lists(CHUNKS, max_size=12), CUTS, st.booleans())
def test_what_is_heard_of_an_openai_server_is_what_would_have_been_read(
    items: list[bytes], borders: set[int], cites: bool
) -> None:
    whole = [openai.chunk("First. "), *items]
    body = b"".join(whole)
    ends = [0, *sorted(border for border in borders if border < len(body)), len(body)]
    cut = [body[start:stop] for start, stop in pairwise(ends)]
    for pieces in (whole, cut, [whole[0], body[len(whole[0]) :]]):
        heard, plain = (OpenAiAnswer(SOURCES if cites else ()) for _ in range(2))
        assert read_by(heard, pieces, heard=True)[0] == read_by(plain, pieces, heard=False)[0]
        assert heard.texts == plain.texts


@pytest.mark.parametrize("sources", [(), SOURCES])
def test_nearly_every_text_of_an_openai_server_is_heard(sources: tuple[Source, ...]) -> None:
    pieces = [openai.chunk(text) for text in ["First. ", *(f"word{n} " for n in range(9)), "水 "]]
    assert read_by(OpenAiAnswer(sources), pieces, heard=True)[1] == 10  # the first is never


def test_a_text_that_nobody_takes_is_left_whole() -> None:
    parser, answer = SseParser(), DifyAnswer()
    for data, name in parser.feed(events.stream(events.message("First. "), ids=IDS)):
        list(answer.feed(data, name))
    take = hearing(parser, answer, Unending([]), lambda _: False)  # type: ignore[arg-type]
    piece = events.stream(events.message("Second."), ids=IDS)
    assert not take(piece)
    ((data, name),) = parser.feed(piece)
    assert list(answer.feed(data, name)) == [TextDelta("Second.")]


class Direct:
    """A body whose bytes come by hand."""

    def __init__(self) -> None:
        self.hear: Callable[[bytes], bool] | None = None
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def __aiter__(self) -> Direct:
        return self

    async def __anext__(self) -> bytes:
        return await self.pieces.get()

    def listen(self, hear: Callable[[bytes], bool] | None) -> None:
        self.hear = hear


class Stream(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        yield b""


def body_over(direct: Direct, **headers: str) -> Body:
    return Body.of(httpx.Response(200, headers=headers, stream=Stream(), extensions={"realtime_rag.body": direct}))


async def test_nothing_is_heard_behind_the_end_of_the_reading() -> None:
    direct, answer, parser = Direct(), DifyAnswer(), SseParser()
    deadlines = Deadlines(PATIENCE, PATIENCE, PATIENCE)
    heard: list[str] = []

    async def feed(chunk: bytes, told: list[AnswerEvent]) -> None:
        for data, name in parser.feed(chunk):
            told.extend(answer.feed(data, name))

    def hear(text: str) -> bool:
        heard.append(text)
        return True

    take = hearing(parser, answer, deadlines, hear)
    reading = Reading(answer, feed, body_over(direct), deadlines, take=take)
    direct.pieces.put_nowait(events.stream(events.message("First. "), ids=IDS))
    while not isinstance(await anext(reading), TextDelta):
        pass
    assert direct.hear is take
    assert direct.hear(events.stream(events.message("Second. "), ids=IDS))
    assert heard == ["Second. "]
    await reading.aclose()
    assert direct.hear is None


def test_compressed_bytes_are_not_heard() -> None:
    direct = Direct()
    body_over(direct, **{"content-encoding": "gzip"}).listen(lambda _: True)
    assert direct.hear is None
    body_over(direct).listen(lambda _: True)
    assert direct.hear is not None


class Teller:
    """Has its second text heard, if somebody hears."""

    offers = Offers()

    async def query(self, question: Question, hear: Hear | None = None) -> AsyncGenerator[AnswerEvent, None]:
        for text in ("First. ", "Second. "):
            if text == "First. " or hear is None or not hear(text):
                yield TextDelta(text)
        yield AnswerEnd()


class Censor:
    """Wraps another one, and has to see each text."""

    offers = Offers()

    def __init__(self, provider: RagProvider) -> None:
        self._provider = provider

    async def query(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        async for event in self._provider.query(question):
            yield event


class Failing:
    offers = Offers()

    async def query(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        raise RagError("away")
        yield


def guarded(first: RagProvider, fallback: RagProvider | None = None) -> GuardedProvider:
    return GuardedProvider(first, Breaker(0, 30), fallback, name="first", fallback_name="second")


@pytest.mark.parametrize(
    ("provider", "heard"),
    [
        (Teller(), ["Second. "]),
        (guarded(Teller()), ["Second. "]),
        (guarded(Failing(), Teller()), ["Second. "]),
        (Censor(Teller()), []),
        (guarded(Censor(Teller())), []),
    ],
)
async def test_only_who_takes_it_is_given_an_ear(provider: RagProvider, heard: list[str]) -> None:
    texts: list[str] = []

    def hear(text: str) -> bool:
        texts.append(text)
        return True

    yielded = [event async for event in ask(provider, Question("well?", "u"), hear) if isinstance(event, TextDelta)]
    assert texts == heard
    assert [event.text for event in yielded] + texts == ["First. ", "Second. "]
