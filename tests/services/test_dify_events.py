"""Dify's bytes and events, without a network: every rule of how an answer is read, and every way to cut it."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import RagBrokenStream, RagError, RagFailed
from app.models.answers import (
    MAX_SOURCES,
    SNIPPET_CHARS,
    AnswerEnd,
    AnswerEvent,
    ConversationNamed,
    Progress,
    Source,
    TextDelta,
    TextReplaced,
)
from app.services import dify_events, large_json, streams
from app.services.dify_events import CLOSING_KINDS, DifyAnswer
from app.services.streams import THINKING, EventHead, SseParser, ThinkFilter, merge_texts
from app.services.streams import plain as read_plain
from tests.standin import events
from tests.standin.events import ABSENT, PING, Event, Ids

IDS = Ids()


# --- Bytes into events ---


def cut_at(data: bytes, borders: Iterable[int]) -> list[bytes]:
    return [data[start:stop] for start, stop in pairwise([0, *sorted(borders), len(data)])]


def parsed(chunks: Iterable[bytes]) -> list[bytes]:
    parser = SseParser()
    return [bytes(data) for chunk in chunks for data, _ in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("body", "payloads"),
    [
        (b'data: {"a":1}\n\n', [b'{"a":1}']),
        (b'data: {"a":1}\r\rdata: {"b":2}\r\r', [b'{"a":1}', b'{"b":2}']),
        (b'data: {"a":1}\r\n\r\ndata: {"b":2}\r\n\r\n', [b'{"a":1}', b'{"b":2}']),
        (b'data: {"a":1}\r\n\ndata: {"b":2}\n\r\ndata: {"c":3}\r\r\n', [b'{"a":1}', b'{"b":2}', b'{"c":3}']),
        (b'\xef\xbb\xbfdata: {"a":1}\n\n', [b'{"a":1}']),
        (b'\xef\xbb\xbf\xef\xbb\xbfdata: {"a":1}\n\ndata: 2\n\n', [b"2"]),
        (b': hello\n\n: there\ndata: {"a":1}\n: you\n\n', [b'{"a":1}']),
        (b'data: {"a":\ndata: 1}\n\n', [b'{"a":\n1}']),
        (b'data: {"a":\nid: 7\ndata:1\nretry: 9\ndata: }\n\n', [b'{"a":\n1\n}']),
        (b'id: 1-0\ndata: {"a":1}\n\n', [b'{"a":1}']),
        (b'event: message\ndata: {"a":1}\n\n', [b'{"a":1}']),
        (b"event: ping\n\n", []),
        (b"event: ping\ndata:\n\n", []),
        (b"event: ping\ndata: \n\n", []),
        (b'event: ping\n\ndata: {"a":1}\n\nevent: ping\n\n', [b'{"a":1}']),
        (b'data:{"a":1}\n\n', [b'{"a":1}']),
        (b"data:  two spaces\n\n", [b" two spaces"]),
        (b'\n\n\n\n\ndata: {"a":1}\n\n\n\n\n', [b'{"a":1}']),
        (b"DATA: no\ndatabase: no\n data: no\nwhat is this\n\n", []),
        ('data: {"a":"\u2028\u2029\u0085\v\f\x1c"}\n\n'.encode(), ['{"a":"\u2028\u2029\u0085\v\f\x1c"}'.encode()]),
        ('data: {"a":"水📚"}\n\n'.encode(), ['{"a":"水📚"}'.encode()]),
        (b'data: {"a":1}\n\ndata: {"b":2}\n', [b'{"a":1}']),
        (b'data: {"a":1}', []),
        (b"", []),
    ],
    ids=[
        "LF", "CR", "CRLF", "mixed", "BOM", "only one BOM", "comments", "two data lines", "other fields between",
        "id", "event field", "ping", "ping with empty data", "ping with a space", "pings between", "no space",
        "one space", "blank lines", "other fields", "unicode line ends", "characters", "unfinished", "no end", "empty",
    ],
)  # fmt: skip
def test_an_event_stream_is_read_as_the_standard_says_wherever_it_is_cut(body: bytes, payloads: list[bytes]) -> None:
    assert parsed([body]) == payloads
    assert parsed(cut_at(body, range(1, len(body)))) == payloads
    for border in range(len(body)):
        assert parsed(cut_at(body, [border])) == payloads


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"data: 1\n\n", b""),
        (b"data: {}\n\n", b""),
        (b"event: error\ndata: 1\n\n", b"error"),
        (b"data: {}\nevent:error\n\n", b"error"),
        (b"event: a\nevent: error\ndata: 1\n\n", b"error"),
        (b"event: ping\n\ndata: 1\n\n", b""),
        (b"event\ndata: 1\nevents: a\n\n", b""),
    ],
)
def test_an_event_has_the_name_that_stands_in_its_block(body: bytes, name: bytes) -> None:
    parser = SseParser()

    assert [found for byte in body for _, found in parser.feed(bytes([byte]))] == [name]


def test_an_empty_read_between_cr_and_lf_changes_nothing() -> None:
    assert parsed([b"data: 1\r", b"", b"\n\r", b"", b"\ndata: 2\r\n\r\n"]) == [b"1", b"2"]


def test_an_event_comes_out_with_the_byte_that_ends_it() -> None:
    parser = SseParser()

    assert parser.feed(b"data: 1\r\n") == []
    assert parser.feed(b"\r") == [(b"1", b"")]
    assert parser.feed(b"\ndata: 2\n") == []
    assert parser.feed(b"\n") == [(b"2", b"")]


field_lines = st.sampled_from(
    ['data: {"a":1}', 'data:{"水":"\u2028"}', "data:", "data", "event: ping", ": x", "id: 1", "x", "\ufeffdata: 2"]
)
any_streams = st.lists(st.tuples(field_lines, st.sampled_from(["\n", "\r", "\r\n"])) | st.just(("", "\n")), max_size=30)


@given(lines=any_streams, data=st.data())
def test_any_rechunking_gives_the_same_events(lines: list[tuple[str, str]], data: st.DataObject) -> None:
    body = "".join(text + end for text, end in lines).encode()
    borders = data.draw(st.lists(st.integers(0, len(body)), max_size=12))

    assert parsed(cut_at(body, borders)) == parsed([body])


@given(
    values=st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), min_size=1), max_size=6),
    end=st.sampled_from(["\n", "\r", "\r\n"]),
    data=st.data(),
)
def test_every_json_comes_through_whole(values: list[dict[str, str]], end: str, data: st.DataObject) -> None:
    body = "".join(f"data: {json.dumps(value, ensure_ascii=False)}{end}{end}" for value in values).encode()
    borders = data.draw(st.lists(st.integers(0, len(body)), max_size=12))

    assert [json.loads(payload) for payload in parsed(cut_at(body, borders))] == values


def padded(size: int) -> bytes:
    """One `data` line of `size` bytes."""
    return b"data: " + b"x" * (size - len(b"data: "))


def in_reads(data: bytes) -> list[bytes]:
    return cut_at(data, range(16384, len(data), 16384))


def test_an_event_may_be_as_large_as_the_cap() -> None:
    line = padded(streams.MAX_WHOLE_BYTES)

    assert [len(payload) for payload in parsed(in_reads(line + b"\n\ndata: 1\n\n"))] == [len(line) - 6, 1]


def test_of_an_event_over_the_cap_only_the_head_comes_and_before_its_end() -> None:
    parser = SseParser()
    *reads, last = in_reads(padded(streams.MAX_WHOLE_BYTES + 1))
    for read in reads:
        assert parser.feed(read) == []

    ((head, name),) = parser.feed(last)
    assert isinstance(head, EventHead)
    assert (len(head), name) == (large_json.PIECE_BYTES - len(b"data: "), b"")


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_behind_an_event_over_the_cap_the_next_ones_are_whole(end: bytes, size: int) -> None:
    parser = SseParser()
    for read in in_reads(padded(streams.MAX_WHOLE_BYTES + 1)):
        parser.feed(read)
    rest = b"xx\nid: 1" + end + b"data: 1" + end + end + b"data: 2" + end
    told = [event for chunk in cut_at(rest, range(size, len(rest), size)) for event in parser.feed(chunk)]

    assert told == [(b"1", b""), (b"2", b"")]


def test_an_event_of_any_size_needs_bounded_memory() -> None:
    parser, read = SseParser(), b"x" * 65536
    parser.feed(b"data: ")
    tracemalloc.start()
    for _ in range(10 * streams.MAX_WHOLE_BYTES // len(read)):
        parser.feed(read)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 3 * streams.MAX_WHOLE_BYTES
    assert parser.feed(b"\n\ndata: 1\n\n") == [(b"1", b"")]


def test_a_comment_over_the_cap_is_no_event() -> None:
    comment = b": " + b"x" * (streams.MAX_WHOLE_BYTES + 1)

    assert parsed(in_reads(comment + b"\n\ndata: 1\n\n")) == [b"1"]


def test_events_below_the_cap_may_be_more_than_the_cap_together() -> None:
    one = padded(streams.MAX_WHOLE_BYTES // 2) + b"\n\n"

    assert len(parsed([one * 3])) == 3
    assert len(parsed(in_reads(one * 3))) == 3


# --- Think ---


def filtered(pieces: Iterable[str]) -> str:
    think = ThinkFilter()
    return "".join([think.feed(piece) for piece in pieces]) + think.flush()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Plain text.", "Plain text."),
        ("", ""),
        ("<think>Hm.</think>Yes.", "Yes."),
        ("<think>\nHm.\n</think>\n\nYes.\n", "Yes.\n"),
        ("<think></think> \t\u3000\nYes.", "Yes."),
        ("<think>Hm.</think>", ""),
        ("<think>Hm.</think>\n\n", ""),
        ("<think>a</think>\n<think>b</think>\n\nYes.", "Yes."),
        ("Yes. <think>Hm.</think>\n\nNo.", "Yes. \n\nNo."),
        ("<think>a</think>\n\nYes.<think>b</think> No.<think>c</think>\n", "Yes. No.\n"),
        ("\n <think>Hm.</think>\nYes.", "\n Yes."),
        ("Yes.<think>Hm.", "Yes."),
        ("<think>Hm.</thin", ""),
        ("<think>a<think>b</think>c</think>d", "c</think>d"),
        ("</think>Yes.", "</think>Yes."),
        ("Yes.</think>\n\nNo.", "Yes.</think>\n\nNo."),
        ("a <thin", "a <thin"),
        ("a < b and <thinking> <Think> <<think>x</think>", "a < b and <thinking> <Think> <"),
        ("<think>1 < 2 </ think></thin></think>Yes.", "Yes."),
        ("<think>x</think> <", "<"),
        ("\n\n Yes.", "\n\n Yes."),
        ("<think>用户问</think>\n\n杭州多云。", "杭州多云。"),
        ("<details>Hm.</details>Yes.", "<details>Hm.</details>Yes."),
    ],
)
def test_thoughts_are_left_out_wherever_the_text_is_cut(text: str, shown: str) -> None:
    assert filtered([text]) == shown
    assert filtered(text) == shown
    for border in range(len(text)):
        assert filtered([text[:border], text[border:]]) == shown


pieces_of_text = st.lists(
    st.sampled_from(["<think>", "</think>", "<", ">", "/", "think", "<th", "ink>", "</thi", " ", "\n", "Yes", "水"]),
    max_size=25,
)


@given(pieces=pieces_of_text, data=st.data())
def test_cutting_a_text_elsewhere_does_not_change_what_is_shown(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    borders = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    cut = [text[start:stop] for start, stop in pairwise([0, *borders, len(text)])]

    assert filtered(cut) == filtered([text]) == filtered(pieces)


@given(st.text(alphabet="<>/think \nab", max_size=60))
def test_without_an_opening_tag_nothing_is_lost(text: str) -> None:
    if ThinkFilter.OPEN not in text:
        assert filtered(text) == text


def test_text_that_cannot_be_a_tag_is_not_held_back() -> None:
    think = ThinkFilter()

    assert think.feed("a <b") == "a <b"
    assert think.feed("a <th") == "a "
    assert think.feed("e") == "<the"


# --- Events into answer events ---


@dataclass
class Heard:
    """What came out of an answer."""

    events: list[AnswerEvent] = field(default_factory=list)
    error: RagError | None = None
    answer: DifyAnswer = field(default_factory=DifyAnswer)

    @property
    def text(self) -> str:
        text = ""
        for event in self.events:
            match event:
                case TextDelta():
                    text += event.text
                case TextReplaced():
                    text = event.text
        return text

    @property
    def end(self) -> AnswerEnd:
        assert isinstance(self.events[-1], AnswerEnd)
        return self.events[-1]

    @property
    def notes(self) -> list[str]:
        return [event.note for event in self.events if isinstance(event, Progress)]

    @property
    def texts(self) -> list[AnswerEvent]:
        return [event for event in self.events if isinstance(event, TextDelta | TextReplaced)]


def hear_bytes(chunks: Iterable[bytes], *, strip_think: bool = True) -> Heard:
    """Read a whole body as the client does."""
    heard = Heard(answer=DifyAnswer(strip_think=strip_think))
    parser = SseParser()
    try:
        for chunk in chunks:
            for event in parser.feed(chunk):
                heard.events.extend(heard.answer.feed(*event))
                if heard.answer.is_over:
                    return heard
        heard.events.extend(heard.answer.end_of_stream())
    except RagError as error:
        heard.error = error
    return heard


def hear(*items: Event | bytes, strip_think: bool = True) -> Heard:
    return hear_bytes([events.stream(*items)], strip_think=strip_think)


def feed(answer: DifyAnswer, *items: Event) -> list[AnswerEvent]:
    return [heard for item in items for heard in answer.feed(json.dumps(events.complete(item, IDS)).encode())]


message, message_end = events.message, events.message_end


def test_a_chat_answer_is_its_deltas_and_its_end() -> None:
    heard = hear(message(""), message("The"), message(" K2"), message(""), message_end())

    assert heard.events == [
        ConversationNamed(IDS.conversation_id),
        TextDelta("The"),
        TextDelta(" K2"),
        AnswerEnd(conversation_id=IDS.conversation_id, usage=dict(events.USAGE), message_id=IDS.message_id),
    ]
    assert heard.answer.is_over
    assert heard.answer.task_id == IDS.task_id


def test_an_agent_answer_leaves_its_thoughts_and_files_out() -> None:
    heard = hear(
        events.agent_thought(),
        events.agent_thought(tool="weather", tool_input="{}"),
        events.agent_message(""),
        events.agent_message("It "),
        events.message_file(),
        events.agent_message("rains."),
        events.agent_thought("It rains.", observation="Rain."),
        message_end(),
    )

    assert heard.texts == [TextDelta("It "), TextDelta("rains.")]


@pytest.mark.parametrize(
    ("deltas", "whole", "texts"),
    [
        (["It ", "rains."], "It rains.", [TextDelta("It "), TextDelta("rains.")]),
        (["It ", "rain"], "It rains.", [TextDelta("It "), TextDelta("rain"), TextReplaced("It rains.")]),
        (["It rains.", " No."], "It rains.", [TextDelta("It rains."), TextDelta(" No."), TextReplaced("It rains.")]),
        (["", ""], "It rains.", [TextDelta("It rains.")]),
        (["<think>a</think>", "Yes."], "<think>a</think>Yes.", [TextDelta("Yes.")]),
        (["<think>a</think>", "Yes."], "Yes.", [TextDelta("Yes."), TextReplaced("Yes.")]),
        (["<think>never closed"], "Yes.", [TextDelta("Yes.")]),
        (["<"], "2 < 3", [TextDelta("2 < 3")]),
    ],
    ids=["confirms", "corrects", "shortens", "is all", "thought confirmed", "thought gone", "unclosed", "held"],
)
def test_the_whole_message_after_agent_messages_confirms_or_replaces(
    deltas: list[str], whole: str, texts: list[AnswerEvent]
) -> None:
    heard = hear(*map(events.agent_message, deltas), message(whole), message_end())

    assert heard.texts == texts
    assert heard.error is None


def test_the_whole_message_confirms_a_replaced_and_continued_agent_answer() -> None:
    heard = hear(
        events.agent_message("Bad"),
        events.message_replace("Good"),
        events.agent_message(" day"),
        message("Good day"),
        message_end(),
    )

    assert heard.texts == [TextDelta("Bad"), TextReplaced("Good"), TextDelta(" day")]


@pytest.mark.parametrize("reason", ["output_moderation", "", ABSENT])
def test_a_replacement_voids_the_text_and_goes_on(reason: Any) -> None:
    heard = hear(message("I say"), events.message_replace("I cannot", reason), message(" say that."), message_end())

    assert heard.texts == [TextDelta("I say"), TextReplaced("I cannot"), TextDelta(" say that.")]
    assert heard.text == "I cannot say that."


def test_a_replacement_may_come_last_repeat_the_text_or_be_empty() -> None:
    assert hear(message("A"), events.message_replace("A"), message_end()).text == "A"
    assert hear(message("A"), events.message_replace(""), message_end()).texts == [TextDelta("A"), TextReplaced("")]
    assert hear(events.message_replace("A"), message_end()).texts == [TextReplaced("A")]


@pytest.mark.parametrize(
    ("replacement", "after", "text"),
    [("No.", " Sorry.", "No. Sorry."), ("<think>a</think> No", ".", "No."), ("<thi", "nk>x</think>No.", "No.")],
)
def test_a_replacement_ends_a_thought_and_may_hold_one(replacement: str, after: str, text: str) -> None:
    heard = hear(message("<think>unclosed <"), events.message_replace(replacement), message(after), message_end())

    assert heard.text == text


def test_text_labelled_as_a_file_is_text() -> None:
    heard = hear(
        message("See "), events.message_file(), events.message_file(answer="here"), message("."), message_end()
    )

    assert heard.text == "See here."


def test_whatever_is_no_answer_is_left_out() -> None:
    heard = hear(
        PING,
        events.unknown(),
        events.unknown("text_chunk", data={"text": "no"}, answer="no"),
        {"event": "no_data"},
        {"event": 7, "answer": "no"},
        events.tts_message(),
        message("Yes."),
        events.agent_log(),
        events.unknown("parallel_branch_started", data={"answer": "no"}),
        events.unknown("iteration_started", data={}),
        events.unknown("loop_next", data={"pre_loop_output": {"answer": "no"}}),
        events.unknown("human_input_form_filled", data={"rendered_content": "no"}),
        message_end(),
        events.tts_message_end(),
        message("Too late."),
    )

    assert heard.texts == [TextDelta("Yes.")]
    assert heard.notes == []


@pytest.mark.parametrize("answer", [None, 7, ["a"], {"a": 1}, ABSENT])
@pytest.mark.parametrize("kind", ["message", "agent_message", "message_file", "message_replace"])
def test_an_answer_that_is_no_text_is_none(kind: str, answer: Any) -> None:
    event = {"event": kind} | ({} if answer is ABSENT else {"answer": answer})

    assert hear(event, message("Yes."), message_end()).text == "Yes."


@pytest.mark.parametrize("style", ["compact", "classic"])
def test_both_styles_of_json_are_read(style: events.Style) -> None:
    body = events.stream(message("今天📚\u2028晚\u0085上"), message_end(), style=style)

    assert hear_bytes([body]).text == "今天📚\u2028晚\u0085上"


def test_ids_come_from_the_first_event_that_has_them() -> None:
    answer = DifyAnswer()

    assert feed(answer, {"event": "workflow_started", "conversation_id": "", "task_id": None, "data": {}}) == []
    assert (answer.task_id, answer.conversation_id) == (None, None)
    assert list(answer.feed(b'{"event":"message","conversation_id":"c","answer":""}')) == [ConversationNamed("c")]
    assert list(answer.feed(b'{"event":"message","conversation_id":"d","task_id":"t","answer":""}')) == []
    assert list(answer.feed(b'{"event":"message","conversation_id":"e","task_id":"u","answer":""}')) == []
    assert (answer.task_id, answer.conversation_id) == ("t", "c")


# --- Chatflows ---

FLOW: Sequence[Event | bytes] = (PING, events.workflow_started("hi"), events.node_started("LLM"))


@pytest.mark.parametrize(
    "task_id", ["..", ".", "a/b", "a%2fb", "a?b", "a#b", "a\nb", "a b", "水", "a" * 129, "", 7, None, ["t"]]
)
def test_an_id_that_could_lead_elsewhere_is_none(task_id: object) -> None:
    answer = DifyAnswer()
    feed(answer, {"event": "message", "answer": "Hi", "task_id": task_id})
    assert answer.task_id is None
    feed(answer, message(" there"))
    assert answer.task_id == IDS.task_id


def test_a_conversation_has_a_name_of_bounded_length() -> None:
    long = "c" * (dify_events.MAX_ID_CHARS + 1)
    answer = DifyAnswer()
    assert feed(answer, {"event": "message", "answer": "", "conversation_id": long}) == []
    assert feed(answer, {"event": "message", "answer": "", "conversation_id": long[1:]}) == [
        ConversationNamed(long[1:])
    ]
    assert not any(
        isinstance(event, ConversationNamed)
        for event in DifyAnswer().feed_blocking(json.dumps({"answer": "Hi", "conversation_id": long}).encode())
    )


def test_a_chatflow_says_what_it_does() -> None:
    heard = hear(
        *FLOW,
        events.node_retry("LLM"),
        events.node_finished("LLM", outputs={"answer": "no", "text": "no"}),
        events.node_started(""),
        events.node_started("Answer"),
        message("Hi"),
        message_end(),
        events.workflow_finished("no"),
    )

    assert heard.notes == ["LLM", "Answer"]
    assert heard.texts == [TextDelta("Hi")]
    assert heard.answer.is_over


@pytest.mark.parametrize(
    "node_type",
    ["start", "end", "answer", "if-else", "iteration-start", "loop-start", "loop-end", "variable-aggregator",
     "variable-assigner", "assigner"],
)  # fmt: skip
def test_a_step_that_is_the_workflows_own_business_is_no_news(node_type: str) -> None:
    answer = DifyAnswer()
    told = feed(answer, events.node_started("Choose", node_type=node_type), message("Hi"), message_end())

    assert told == [ConversationNamed(IDS.conversation_id), TextDelta("Hi")]
    assert not answer.is_over  # it tells a chatflow all the same


@pytest.mark.parametrize("node_type", ["llm", "knowledge-retrieval", "iteration", "loop", "human-input", "new", None])
def test_any_other_step_is_news_whatever_type_it_has(node_type: Any) -> None:
    assert hear(events.node_started("Choose", node_type=node_type), message("Hi")).notes == ["Choose"]
    event: Event = {"event": "node_started", "data": {"title": "Choose", "node_type": ["start"]}}
    assert hear(event).notes == ["Choose"]


CLOSINGS = {
    "end_first": [message_end(), events.workflow_finished()],
    "finished_first": [events.workflow_finished(), message_end()],
    "only_end": [message_end()],
    "only_finished": [events.workflow_finished()],
}


@pytest.mark.parametrize("order", CLOSINGS)
def test_a_chatflow_closes_with_two_events_in_any_order_or_with_one(order: str) -> None:
    answer = DifyAnswer()
    feed(answer, events.workflow_started(), message("Hi"))
    first, *more = CLOSINGS[order]

    assert feed(answer, first) == []
    assert answer.is_closing
    assert not answer.is_over
    ended = feed(answer, *more) if more else list(answer.end_of_stream())

    assert answer.is_over
    assert [type(event) for event in ended] == [AnswerEnd]


@pytest.mark.parametrize("first", [events.node_started("LLM"), events.node_finished("LLM"), events.workflow_started()])
def test_any_event_of_a_workflow_tells_a_chatflow(first: Event) -> None:
    answer = DifyAnswer()
    feed(answer, first, message("Hi"), message_end())

    assert not answer.is_over


def test_a_stopped_workflow_is_incomplete_without_an_error() -> None:
    heard = hear(
        *FLOW, message("First,"), message_end(), events.workflow_finished(status="stopped", error="Stopped by user.")
    )

    assert heard.error is None
    assert heard.end.incomplete
    assert heard.text == "First,"


@pytest.mark.parametrize("status", ["succeeded", "partial-succeeded"])
def test_other_ends_of_a_workflow_are_complete(status: str) -> None:
    heard = hear(*FLOW, message("Hi"), message_end(), events.workflow_finished(status=status))

    assert not heard.end.incomplete


OUTPUT = events.workflow_finished("<think>\nTea?\n</think>\n\nTea it is.")


@pytest.mark.parametrize("items", [[OUTPUT], [message_end(), OUTPUT], [OUTPUT, message_end()], [message(""), OUTPUT]])
def test_an_answer_that_stands_in_the_outputs_alone_is_heard(items: list[Event]) -> None:
    heard = hear(*FLOW, *items)

    assert heard.error is None
    assert heard.text == "Tea it is."
    assert isinstance(heard.end, AnswerEnd)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (message("Hi"), "Hi"),
        (events.message_replace(""), ""),
        (message("<think>Tea"), ""),
        (events.message_file(answer="Hi"), "Hi"),
    ],
    ids=["text", "replaced by nothing", "a thought", "text of a file"],
)
def test_the_outputs_are_no_text_once_any_has_come(item: Event, text: str) -> None:
    heard = hear(*FLOW, item, message_end(), OUTPUT)

    assert heard.error is None
    assert heard.text == text


def test_what_a_stopped_workflow_has_put_out_is_half_an_answer() -> None:
    heard = hear(*FLOW, events.workflow_finished("Tea", status="stopped"))

    assert heard.text == "Tea"
    assert heard.end.incomplete


@pytest.mark.parametrize("outputs", [None, [], {}, {"answer": None}, {"answer": ["Hi"]}, {"text": "Hi"}])
def test_outputs_that_are_no_text_are_none(outputs: object) -> None:
    finished = events.workflow_finished()
    finished["data"]["outputs"] = outputs
    heard = hear(*FLOW, message_end(), finished)

    assert heard.error is None
    assert heard.text == ""


FAILED = events.workflow_finished(status="failed", error="[tool] out of order")
RESUMED = events.message_replace("Hi", "workflow_resumption_terminal")


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([events.error("out of order")], ""),
        ([message("Hi"), events.error("out of order")], "Hi"),
        ([events.block({"event": "error", "message": "Run failed.", "status": 500})], ""),
        ([*FLOW, FAILED], ""),
        ([*FLOW, FAILED, events.error("out of order", "invalid_param")], ""),
        ([*FLOW, message("Hi"), events.node_finished("LLM", status="failed"), FAILED], "Hi"),
        ([*FLOW, message("Hi"), RESUMED, message_end(), FAILED], "Hi"),
        ([*FLOW, message_end(), FAILED], ""),
        ([*FLOW, message("Hi"), events.error("out of order")], "Hi"),
        ([events.human_input_required(), events.workflow_paused()], ""),
        ([*FLOW, message("Hi"), events.human_input_required(), events.workflow_paused()], "Hi"),
    ],
    ids=[
        "error only", "error after text", "bare error", "failed", "failed with error", "failed after text",
        "resumption", "end without text, failed", "error in a workflow", "paused", "paused after text",
    ],
)  # fmt: skip
def test_a_failure_is_reported_after_the_text_that_came(items: list[Event | bytes], text: str) -> None:
    heard = hear(*items)

    assert type(heard.error) is RagFailed
    assert heard.text == text
    assert heard.answer.is_over
    assert not any(isinstance(event, AnswerEnd) for event in heard.events)


def test_a_failure_made_up_for_a_run_that_never_was_names_no_conversation() -> None:
    nameless = ("conversation_id", "message_id", "created_at")
    body = [events.block(events.complete(item, IDS, without=nameless)) for item in (events.workflow_started(), FAILED)]
    heard = hear_bytes(body)

    assert type(heard.error) is RagFailed
    assert heard.events == []
    assert heard.answer.task_id == IDS.task_id


def test_text_and_its_end_win_over_a_failure_made_up_later() -> None:
    answer = DifyAnswer()
    feed(answer, events.workflow_started(), message("The shop opens at nine."), message_end())
    ended = feed(answer, FAILED)

    assert [type(event) for event in ended] == [AnswerEnd]


LATE_ERROR = events.error("a plugin is out of order", "internal_server_error", 500)


@pytest.mark.parametrize("closing", [message_end(), events.workflow_finished("Hi")], ids=["message_end", "finished"])
def test_an_error_behind_a_whole_answer_spoils_it_no_more(closing: Event) -> None:
    heard = hear(*FLOW, message("Hi"), closing, LATE_ERROR)

    assert heard.error is None
    assert heard.text == "Hi"
    assert isinstance(heard.end, AnswerEnd)


def test_an_error_behind_an_end_without_text_is_a_failure() -> None:
    heard = hear(*FLOW, message_end(), LATE_ERROR)

    assert type(heard.error) is RagFailed


def test_an_annotation_hit_of_a_chatflow_ends_at_message_end() -> None:
    heard = hear(PING, message("The shop opens at nine."), message_end(), PING, PING)

    assert heard.text == "The shop opens at nine."
    assert heard.answer.is_over


@pytest.mark.parametrize("items", [[], [PING], [message("Hi")], [*FLOW, message("Hi")]])
def test_a_stream_that_ends_without_a_closing_event_is_broken(items: list[Event | bytes]) -> None:
    heard = hear(*items)

    assert type(heard.error) is RagBrokenStream
    assert not heard.answer.is_over


GARBAGE = {
    "ping": b"data: ping\n\n",
    "null": b"data: null\n\n",
    "done": b"data: [DONE]\n\n",
    "cut": b"data: {\n\n",
    "no JSON": b"data: nonsense\n\n",
    "array": b"data: [1]\n\n",
    "number": b"data: 7\n\n",
    "string": b'data: "message"\n\n',
    "deep": b"data: " + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n\n",
    "cut string": b'data: {"a":"\n\n',
    "zeros": b"data: \x00\x00\xff\xfe\n\n",
    "HTML": b"data: <html>\ndata: Sorry\n\n",
}
"""Events that nobody can read."""


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_an_event_that_cannot_be_read_is_skipped(garbage: bytes) -> None:
    heard = hear(garbage, message("Hi"), garbage, message(" there"), garbage, message_end())

    assert heard.error is None
    assert heard.texts == [TextDelta("Hi"), TextDelta(" there")]


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_a_stream_of_nothing_that_can_be_read_is_broken(garbage: bytes) -> None:
    heard = hear(garbage, PING, garbage)

    assert type(heard.error) is RagBrokenStream
    assert "not one event" in str(heard.error)
    assert not heard.answer.is_readable


def test_one_event_that_can_be_read_makes_a_stream_readable_whatever_comes_before_and_after() -> None:
    answer = DifyAnswer()
    assert answer.is_readable

    for payload, is_readable in [(b"ping", False), (b"{}", True), (b"null", True)]:
        list(answer.feed(payload))
        assert answer.is_readable is is_readable


def named(name: str, data: str | Event) -> bytes:
    return f"event: {name}\ndata: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


QUOTA = {"code": "provider_quota_exceeded", "message": "quota", "status": 400}


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (named("error", QUOTA), "provider_quota_exceeded"),
        (named("error", QUOTA | {"event": None}), "provider_quota_exceeded"),
        (named("error", QUOTA | {"event": ""}), "provider_quota_exceeded"),
        (named("error", {}), "without a code"),
        (named("error", "out of order"), "without a code"),
        (named("error", "null"), "without a code"),
        (named("message", QUOTA | {"event": "error"}), "provider_quota_exceeded"),
        (named("workflow_paused", {"data": {}}), "person"),
    ],
)
def test_an_event_that_is_named_outside_its_data_alone_is_what_it_is_called(failure: bytes, code: str) -> None:
    heard = hear(message("Half "), failure, message("more"), message_end())

    assert type(heard.error) is RagFailed
    assert code in str(heard.error)
    assert heard.text == "Half "


def test_texts_and_their_end_may_be_named_outside_too() -> None:
    heard = hear(named("message", {"answer": "Hi"}), named("error", message(" there")), named("message_end", {}))

    assert heard.text == "Hi there"
    assert heard.answer.is_over


@pytest.mark.parametrize("data", ["ping", "null", "{}", "7"])
def test_a_ping_with_data_is_a_ping(data: str, caplog: pytest.LogCaptureFixture) -> None:
    heard = hear(named("ping", data), message("Hi"), named("ping", data), message_end())

    assert heard.texts == [TextDelta("Hi")]
    assert caplog.records == []
    assert hear(named("ping", data)).answer.is_readable


def test_what_cannot_be_read_is_logged_once_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    hear(b"data: marzipan\n\n" * 50, message("Hi"), b"data: marzipan\n\n", message_end())

    assert len(caplog.records) == 1
    assert "marzipan" not in caplog.text


def test_numbers_that_are_none_do_no_harm() -> None:
    heard = hear(
        *FLOW,
        b'data: {"event":"node_finished","data":{"outputs":{"score":NaN,"far":-Infinity}}}\n\n',
        message("Hi"),
        message_end(),
        events.workflow_finished(),
    )

    assert heard.text == "Hi"


@pytest.mark.parametrize("data", [None, [], "text", 7])
def test_workflow_events_without_their_data_are_survived(data: object) -> None:
    heard = hear(
        {"event": "workflow_started", "data": {}},
        b"".join(
            events.block({"event": kind, "data": data}) for kind in ("node_started", "node_finished", "reasoning_chunk")
        ),
        message("Hi"),
        events.block({"event": "workflow_finished", "data": data}),
        events.block({"event": "message_end", "metadata": data}),
    )

    assert heard.text == "Hi"
    assert heard.end.usage is None


# --- Events too large to be kept ---

LARGE = "x" * (streams.MAX_WHOLE_BYTES + 1_000_000)


def hear_large(*items: Event | bytes) -> Heard:
    return hear_bytes(in_reads(events.stream(*items)))


@pytest.mark.parametrize(
    "large",
    [
        events.node_finished("Look", outputs={"text": LARGE}),
        events.node_finished("Look", outputs={"a\ud83d": 1, "text": LARGE}),
        events.unknown("agent_log", data={"text": LARGE}),
        events.agent_thought(LARGE),
        events.tts_message(LARGE),
        events.unknown("crystal_ball", answer=LARGE),
    ],
    ids=["node", "node with half an emoji", "log", "thought", "speech", "unknown"],
)
def test_an_event_that_is_not_shown_is_skipped_whatever_its_size(large: Event) -> None:
    large_block = events.block(events.complete(large, IDS), "classic")
    heard = hear_large(
        message("One"), large_block, message(" two"), large_block, message_end(), *CLOSINGS["only_finished"]
    )

    assert heard.error is None
    assert heard.text == "One two"


@pytest.mark.parametrize("large", [LARGE, f"[{LARGE}", f'"{LARGE}"'], ids=["text", "list", "string"])
def test_so_is_what_is_no_object_at_all(large: str) -> None:
    heard = hear_large(message("One"), f"data: {large}\n\n".encode(), message(" two"), message_end())

    assert (heard.text, heard.error) == ("One two", None)


def test_so_it_is_where_a_relay_sorts_the_keys() -> None:
    step = events.complete(events.node_finished("Look", outputs={"text": LARGE}), IDS)
    heard = hear_large(message("Hi"), f"data: {json.dumps(step, sort_keys=True)}\n\n".encode(), message_end())

    assert (heard.text, heard.error) == ("Hi", None)


@pytest.mark.parametrize(("name", "breaks"), [("node_finished", False), ("message", True), ("", True)])
def test_so_it_is_where_a_relay_names_it_outside_alone(name: str, breaks: bool) -> None:
    large = f'event: {name}\ndata: {{"text":"{LARGE}"}}\n\n'.encode()
    heard = hear_large(message("Hi"), large, message(" there"), message_end())

    assert (type(heard.error) is RagBrokenStream) == breaks
    assert heard.text == ("Hi" if breaks else "Hi there")


@pytest.mark.no_cover  # megabytes by the same lines
@pytest.mark.slow
@pytest.mark.parametrize("kind", [*dify_events.TEXT_KINDS, None])
def test_text_that_is_too_large_breaks_the_stream_and_is_not_left_out(kind: str | None) -> None:
    text = "x" * (streams.MAX_TEXT_BYTES + 100_000)
    event: Event = {"answer": text} if kind is None else {"event": kind, "answer": text}
    heard = hear_large(message("Hi"), events.block(event), message(" there"), message_end())

    assert type(heard.error) is RagBrokenStream
    assert heard.text == "Hi"


def test_an_end_that_is_too_large_ends_the_answer_with_what_it_says_first() -> None:
    cited = [events.citation(1, "a.pdf"), events.citation(2, "b.pdf", LARGE)]
    heard = hear_large(message("Hi"), message_end(cited))

    assert heard.answer.is_over
    assert [source.title for source in heard.end.sources] == ["a.pdf", "b.pdf"]
    assert heard.end.sources[1].snippet == ""


@pytest.mark.parametrize(("status", "fails"), [("succeeded", False), ("failed", True)])
def test_a_workflow_whose_end_is_too_large_still_says_how_it_ended(status: str, fails: bool) -> None:
    heard = hear_large(*FLOW, message("Hi"), events.workflow_finished(LARGE, status=status))

    assert (type(heard.error) is RagFailed) == fails
    assert heard.text == "Hi"


def test_an_error_that_is_too_large_has_its_code() -> None:
    heard = hear_large(message("Hi"), {"event": "error", "code": "out_of_order", "message": LARGE})

    assert type(heard.error) is RagFailed
    assert "out_of_order" in str(heard.error)


# --- Texts too long to be read in one go ---

LONG = "The kettle 水壶📚 boils.\n" * 40_000  # more than a megabyte


def long_block(kind: str, text: str = LONG, style: events.Style = "compact", **more: Any) -> bytes:
    return events.block(events.complete({"event": kind, "answer": text, **more}, IDS), style)


@pytest.mark.no_cover  # megabytes by the same lines
@pytest.mark.slow
@pytest.mark.parametrize("style", ["compact", "classic"])
@pytest.mark.parametrize("kind", ["message", "agent_message", "message_file", "message_replace"])
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_long_text_is_heard_in_pieces(kind: str, style: events.Style, end: bytes) -> None:
    body = events.stream(message("One "), long_block(kind, style=style), message(" two"), message_end())
    heard = hear_bytes(in_reads(body.replace(b"\n", end)))

    assert heard.error is None
    if kind == "agent_message":  # what follows is taken for the whole
        assert heard.text == " two"
        assert heard.texts[-1] == TextReplaced(" two")
    else:
        assert heard.text == ("" if kind == "message_replace" else "One ") + LONG + " two"
    assert max(len(getattr(event, "text", "")) for event in heard.events) <= large_json.PIECE_BYTES


@pytest.mark.no_cover  # megabytes by the same lines
@pytest.mark.slow
@pytest.mark.parametrize("lead", [b"id: 7\n", b": x\n", b""])
def test_what_follows_a_long_text_in_the_same_read_is_heard(lead: bytes) -> None:
    parts = [lead + long_block("message"), events.block(message(" two")), lead + long_block("message")]
    body = b"".join(parts) + events.stream(message_end())

    for size in (len(body), 1_000_000, 65_536):
        assert hear_bytes(cut_at(body, range(size, len(body), size))).text == LONG + " two" + LONG


@pytest.mark.parametrize(("whole", "replaced"), [(LONG, 0), (LONG + "!", 1), ("no", 1)])
def test_a_long_whole_message_confirms_or_replaces(whole: str, replaced: int) -> None:
    heard = hear_bytes(
        in_reads(long_block("agent_message") + long_block("message", whole) + events.stream(message_end()))
    )

    assert heard.text == whole
    assert sum(isinstance(event, TextReplaced) for event in heard.events) == replaced


def test_thoughts_in_a_long_text_are_left_out() -> None:
    heard = hear_bytes([long_block("message", f"<think>{LONG}</think>\n{LONG}"), events.stream(message_end())])

    assert heard.text == LONG


def test_no_step_of_reading_a_long_text_is_long() -> None:
    """What a step costs is what it reads: so many bytes, then it is the turn of others."""
    answer, data = DifyAnswer(), long_block("agent_message", style="classic")[6:-2]
    steps = list(answer.feed(data))
    assert len(steps) >= 2 * len(data) // large_json.PIECE_BYTES

    confirmed = list(answer.feed(long_block("message", style="classic")[6:-2]))
    assert set(confirmed) == {streams.PAUSE}
    assert len(confirmed) >= 2 * len(data) // large_json.PIECE_BYTES
    assert list(merge_texts(confirmed)) == []


@pytest.mark.parametrize("kind", [*dify_events.TEXT_KINDS, None])
def test_a_text_that_cannot_be_cut_may_have_a_megabyte(kind: str | None) -> None:
    def odd(size: int) -> bytes:
        event: Event = {"data": {}, "answer": "x" * size}
        return events.block(event if kind is None else {"event": kind, **event})

    assert hear(message("Hi"), odd(900_000), message_end()).error is None
    assert type(hear(message("Hi"), odd(1_100_000), message_end()).error) is RagBrokenStream
    assert type(hear_large(message("Hi"), odd(1_100_000), message_end()).error) is RagBrokenStream


def test_a_long_blocking_answer_is_read_in_pieces_too() -> None:
    heard = hear_blocking({"event": "message", "answer": LONG, "metadata": {"usage": dict(events.USAGE)}})

    assert heard.text == LONG
    assert heard.end.usage == events.USAGE
    assert len(heard.events) >= 2 * len(LONG.encode()) // large_json.PIECE_BYTES
    odd = hear_blocking({"data": {}, "answer": LONG})
    assert type(odd.error) is RagBrokenStream


# --- Characters that are none ---


def said(answer: str | bytes, kind: str = "message") -> bytes:
    """A text event with its JSON string as it stands here."""
    raw = answer if isinstance(answer, bytes) else answer.encode()
    return b'data: {"event":"%b","task_id":"t","answer":"%b"}\n\n' % (kind.encode(), raw)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([r"smile \ud83d end"], "smile \ufffd end"),
        ([r"smile \ude00 end"], "smile \ufffd end"),
        ([r"\ud83d\ud83d\ude00\ude00"], "\ufffd😀\ufffd"),
        ([r"\ud83d", r"\ude00 done"], "😀 done"),
        ([r"a \ud83d", "", r"\ude00", " done"], "a 😀 done"),
        ([r"a \ud83d", " done"], "a \ufffd done"),
        ([r"a \ud83d", "水"], "a \ufffd水"),
        ([r"a \ud83d", r"\ud83d", r"\ude00"], "a \ufffd😀"),
        ([r"a \ud83d"], "a \ufffd"),
        ([r"a \\ud83d"], r"a \ud83d"),
        ([b"a \xff b"], "a \ufffd b"),
        ([b"a \xed\xa0\xbd b"], "a \ufffd\ufffd\ufffd b"),
        ([b"a\x00\t\x1bb"], "a\x00\t\x1bb"),
        ([r"<think>\ud83d", r"</think>\ude00 Yes"], "\ufffd Yes"),
        ([r"Yes<thi\ud83d", "nk>"], "Yes<thi\ufffdnk>"),
    ],
    ids=[
        "first half", "second half", "halves around a pair", "cut pair", "empty delta between", "other text after",
        "other character after", "half, then a cut pair", "half at the end", "escaped backslash", "no UTF-8",
        "surrogate as UTF-8", "control characters", "thought", "in a tag",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["message", "agent_message", "message_file"])
def test_a_character_that_is_none_costs_no_more_than_itself(kind: str, pieces: list[str | bytes], text: str) -> None:
    heard = hear(message("Fine "), *[said(piece, kind) for piece in pieces], message_end())

    assert heard.error is None
    assert heard.text == "Fine " + text


def test_the_halves_of_a_pair_find_each_other_past_events_that_are_not_shown() -> None:
    heard = hear(said(r"\ud83d"), PING, events.node_started("LLM"), events.unknown(), said(r"\ude00"), message_end())

    assert heard.texts == [TextDelta("😀")]


@pytest.mark.parametrize(("whole", "texts"), [("😀", 1), (r"\ud83d\ude00", 1), (r"\ud83d", 3)])
def test_a_cut_pair_is_confirmed_or_corrected_by_the_whole_message(whole: str, texts: int) -> None:
    heard = hear(said(r"\ud83d", "agent_message"), said(r"\ude00", "agent_message"), said(whole), message_end())

    assert len(heard.texts) == texts
    assert heard.text == ("😀" if texts == 1 else "\ufffd")


def test_a_replacement_drops_half_a_pair_and_may_bring_one() -> None:
    heard = hear(
        said(r"a\ud83d"), said(r"b \ud83d", "message_replace"), said(r"\ude00"), said(r"\ude00"), message_end()
    )

    assert heard.texts == [TextDelta("a"), TextReplaced("b "), TextDelta("😀"), TextDelta("\ufffd")]


def test_ids_titles_and_sources_are_mended_too() -> None:
    heard = hear(
        rb'data: {"event":"node_started","conversation_id":"c\ude00","data":{"title":"N\ud83d"}}'
        b"\n\n",
        message("Hi"),
        rb'data: {"event":"message_end","metadata":{"retriever_resources":[{"document_name":"D\ud83d"}]}}' b"\n\n",
        events.workflow_finished(),
    )

    assert heard.events[:2] == [ConversationNamed("c\ufffd"), Progress("N\ufffd")]
    assert heard.end.sources[0].title == "D\ufffd"


@given(
    pieces=st.lists(st.text(st.sampled_from(["a", "水", "😀", "\ud83d", "\ude00"]), max_size=6), max_size=8),
    data=st.data(),
)
def test_halves_of_pairs_give_the_same_text_however_it_is_cut(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    borders = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    cut = [text[start:stop] for start, stop in pairwise([0, *borders, len(text)])]
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    assert hear(message("-"), *[said(json.dumps(piece)[1:-1]) for piece in cut], message_end()).text == "-" + whole


# --- Thoughts in an answer ---


def test_a_thought_shows_as_a_note_once_and_counts_as_text() -> None:
    answer = DifyAnswer()

    assert feed(answer, message("")) == [ConversationNamed(IDS.conversation_id)]
    assert answer.texts == 0
    assert feed(answer, message("<th")) == []
    assert feed(answer, message("ink>\n")) == [Progress(THINKING)]
    assert feed(answer, message("Hm.")) == []
    assert answer.texts == 3
    assert feed(answer, message("</think>\n\n"), message("Yes."), message("<think>x")) == [TextDelta("Yes.")]


def test_reasoning_beside_the_text_shows_as_a_note_and_counts_as_text() -> None:
    answer = DifyAnswer()

    told = feed(answer, events.reasoning_chunk("So, "), events.reasoning_chunk("yes.", is_final=True), message("Yes."))

    assert told == [ConversationNamed(IDS.conversation_id), Progress(THINKING), TextDelta("Yes.")]
    assert answer.texts == 3


def test_pings_nodes_and_thoughts_of_agents_do_not_count_as_text() -> None:
    answer = DifyAnswer()
    feed(
        answer,
        events.workflow_started(),
        events.node_started("LLM"),
        events.node_finished("LLM"),
        events.agent_thought("Hm."),
        events.agent_log(),
        events.message_file(),
        message(""),
        events.unknown(),
        events.tts_message(),
    )

    assert answer.texts == 0


def test_a_tag_begun_at_the_end_is_text() -> None:
    heard = hear(message("2 <"), message_end())

    assert heard.text == "2 <"
    assert [type(event) for event in heard.events[-2:]] == [TextDelta, AnswerEnd]


def test_kept_thoughts_are_text_without_a_note() -> None:
    texts = ["<th", "ink>Hm.", "</think>\n\n", "Yes. <"]
    heard = hear(*map(message, texts), message_end(), strip_think=False)

    assert heard.texts == [TextDelta(text) for text in texts]
    assert heard.notes == []
    replaced = hear(message("A"), events.message_replace("<think>x</think> B"), message_end(), strip_think=False)
    assert replaced.text == "<think>x</think> B"


# --- The end ---


def test_citations_become_sources() -> None:
    cited = [
        events.citation(1, "handbook.pdf", "The kettle boils."),
        events.citation(2, "notes.md", "x" * 1000, score=None),
        {"title": "Only a title", "content": None, "score": "high", "position": "first"},
        {},
        "nonsense",
        {"position": 9, "document_name": "", "title": "T", "dataset_name": None, "score": 1},
    ]
    heard = hear(message("Hi"), message_end(cited))  # type: ignore[arg-type]

    assert heard.end.sources == (
        Source(position=1, title="handbook.pdf", source="Handbooks", score=0.87, snippet="The kettle boils."),
        Source(position=2, title="notes.md", source="Handbooks", score=None, snippet="x" * SNIPPET_CHARS),
        Source(position=3, title="Only a title", source=""),
        Source(position=4, title="", source=""),
        Source(position=9, title="T", source="", score=1.0),
    )


@pytest.mark.parametrize("cited", [ABSENT, None, []])
def test_an_app_without_citations_has_no_sources(cited: Any) -> None:
    assert hear(message("Hi"), message_end(cited)).end.sources == ()


@pytest.mark.parametrize("cited", [{"a": 1}, "text", 7])
def test_citations_of_another_shape_are_none(cited: object) -> None:
    assert hear(message("Hi"), message_end(metadata={"retriever_resources": cited})).end.sources == ()


@pytest.mark.parametrize("usage", [ABSENT, None, {}])
def test_usage_may_be_missing(usage: Any) -> None:
    assert hear(message("Hi"), message_end(usage=usage)).end.usage is None


# --- Blocking ---


def hear_blocking(body: Mapping[str, Any], *, strip_think: bool = True) -> Heard:
    heard = Heard(answer=DifyAnswer(strip_think=strip_think))
    try:
        heard.events.extend(heard.answer.feed_blocking(json.dumps(dict(body)).encode()))
    except RagError as error:
        heard.error = error
    return heard


def test_a_blocking_answer_gives_the_same_events() -> None:
    metadata = {"retriever_resources": [events.citation()], "usage": dict(events.USAGE)}
    heard = hear_blocking({"conversation_id": "c", "answer": "<think>a</think>\n2 <", "metadata": metadata})

    assert heard.events[0] == ConversationNamed("c")
    assert heard.text == "2 <"
    assert heard.end.conversation_id == "c"
    assert heard.end.usage == events.USAGE
    assert [source.title for source in heard.end.sources] == ["Handbook.md"]
    assert heard.answer.is_over


@pytest.mark.parametrize("metadata", [None, {}, {"usage": None, "retriever_resources": None}])
def test_a_blocking_answer_may_lack_metadata(metadata: object) -> None:
    heard = hear_blocking({"answer": "Hi", "metadata": metadata})

    assert heard.events == [TextDelta("Hi"), AnswerEnd()]


def test_a_blocking_answer_keeps_thoughts_if_told_to() -> None:
    assert hear_blocking({"answer": "<think>a</think>b"}, strip_think=False).text == "<think>a</think>b"


@pytest.mark.parametrize("body", [{"paused_nodes": ["n"], "status": "paused"}, {}, {"answer": None}])
def test_a_blocking_answer_without_text_has_failed(body: dict[str, Any]) -> None:
    heard = hear_blocking(body)

    assert type(heard.error) is RagFailed
    assert heard.answer.is_over


@pytest.mark.parametrize(
    ("body", "text", "problem"),
    [
        ({"event": "workflow_paused", "answer": "Wait. ", "data": {"paused_nodes": ["n"]}}, "Wait. ", "person"),
        ({"event": "workflow_paused", "answer": "2 <"}, "2 <", "person"),
        ({"event": "workflow_paused", "answer": "a\ud83d"}, "a\ufffd", "person"),
        ({"event": "workflow_paused", "answer": None}, "", "person"),
        ({"event": "message", "answer": "Hi", "paused_nodes": ["n"]}, "Hi", "person"),
        ({"event": "error", "code": "internal_server_error", "answer": "Hi"}, "Hi", "internal_server_error"),
        ({"event": "error", "message": "No."}, "", "without a code"),
    ],
)  # fmt: skip
def test_a_blocking_reply_that_is_no_whole_answer_has_failed_after_its_text(
    body: dict[str, Any], text: str, problem: str
) -> None:
    heard = hear_blocking(body | {"conversation_id": "c"})

    assert type(heard.error) is RagFailed
    assert problem in str(heard.error)
    assert heard.events[0] == ConversationNamed("c")
    assert heard.text == text
    assert not any(isinstance(event, AnswerEnd) for event in heard.events)


# --- Merging ---


def test_texts_that_came_together_leave_as_one() -> None:
    merged = merge_texts(
        [
            ConversationNamed("c"),
            TextDelta("a"),
            TextDelta("b"),
            Progress("n"),
            TextDelta("c"),
            TextReplaced("d"),
            TextDelta("e"),
            TextDelta("f"),
        ]
    )

    assert list(merged) == [
        ConversationNamed("c"),
        TextDelta("ab"),
        Progress("n"),
        TextDelta("c"),
        TextReplaced("d"),
        TextDelta("ef"),
    ]
    assert list(merge_texts([])) == []
    assert list(merge_texts([TextDelta("a"), AnswerEnd()])) == [TextDelta("a"), AnswerEnd()]


# --- Whole streams, cut everywhere ---


@dataclass(frozen=True)
class Recording:
    """A body and what is to be heard of it."""

    body: bytes
    spoken: str
    kept: str
    conversation_id: str | None
    documents: tuple[str, ...] | int = ()
    """Their titles, or how many they are."""
    ends: str = "message_end"
    split_at: tuple[int, ...] = ()

    def check(self, heard: Heard, text: str) -> None:
        assert heard.text == text
        named = [event for event in heard.events if isinstance(event, ConversationNamed)]
        assert named == ([] if self.conversation_id is None else [ConversationNamed(self.conversation_id)])
        assert heard.events[: len(named)] == named
        assert type(heard.error) is ENDS.get(self.ends, type(None))
        if heard.error is None:
            assert heard.end.conversation_id == self.conversation_id
            titles = tuple(source.title for source in heard.end.sources)
            assert self.documents in (titles, len(titles))
            assert heard.end.incomplete == (self.ends == "stopped")


ENDS: dict[str, type[RagError]] = {
    "error": RagFailed,
    "cut": RagBrokenStream,
    "workflow failed": RagFailed,
    "paused for a person": RagFailed,
    "nothing but pings": RagBrokenStream,  # as the test ends it: in the wild it goes on for ever
}


THOUGHT = "<think>\nThe user asks for tea.\n</think>\n\n"
LIBRARY = "图书馆📚开到晚上九点。\n\n- 周末\u2028五点"

OWN: dict[str, Recording] = {
    "chat": Recording(
        events.stream(
            *map(message, ["", "Steep", " it", " for 3.5 minutes.", "\n\n", "- Then\u0085drink", ""]),
            message_end([events.citation(1, "tea.pdf"), events.citation(2, "water.md")]),
        ),
        "Steep it for 3.5 minutes.\n\n- Then\u0085drink",
        "Steep it for 3.5 minutes.\n\n- Then\u0085drink",
        IDS.conversation_id,
        ("tea.pdf", "water.md"),
    ),
    "classic": Recording(
        events.stream(
            message(LIBRARY[:4]), PING, message(LIBRARY[4:]), PING, message_end(ABSENT), style="classic"
        ),
        LIBRARY,
        LIBRARY,
        IDS.conversation_id,
    ),
    "compact": Recording(
        events.stream(message(LIBRARY[:4]), PING, message(LIBRARY[4:]), message_end(None)),
        LIBRARY,
        LIBRARY,
        IDS.conversation_id,
    ),
    "agent": Recording(
        events.stream(
            events.agent_thought(),
            events.agent_thought(tool="kettle", tool_input='{"kettle": {}}', observation="Hot."),
            *map(events.agent_message, ["", "It", " is", " hot.", ""]),
            events.agent_thought("It is hot.", id="thought-2"),
            message_end(ABSENT),
            events.tts_message_end(),
        ),
        "It is hot.",
        "It is hot.",
        IDS.conversation_id,
    ),
    "new agent": Recording(
        events.stream(*map(events.agent_message, ["水", "是热的"]), message("水是热的。"), message_end()),
        "水是热的。",
        "水是热的。",
        IDS.conversation_id,
    ),
    "chatflow": Recording(
        events.stream(
            *FLOW,
            events.node_finished("Retrieval", outputs={"result": [{"content": "x\n" * 50}], "answer": "no"}),
            message("Gate"),
            PING,
            message(" 7."),
            message_end([events.citation(1, "gates.txt")]),
            events.workflow_finished("no"),
        ),
        "Gate 7.",
        "Gate 7.",
        IDS.conversation_id,
        ("gates.txt",),
    ),
    "swapped": Recording(
        events.stream(*FLOW, message("Gate 7."), events.workflow_finished("no"), message_end([events.citation()])),
        "Gate 7.",
        "Gate 7.",
        IDS.conversation_id,
        ("Handbook.md",),
    ),
    "message_end missing": Recording(
        events.stream(*FLOW, message("Gate 7."), events.workflow_finished("no")),
        "Gate 7.",
        "Gate 7.",
        IDS.conversation_id,
    ),
    "think": Recording(
        events.stream(*map(message, ["<th", "ink>\nThe user asks", " for tea.\n</", "think>\n", "\nTea", " it is."]),
                      message_end()),
        "Tea it is.",
        THOUGHT + "Tea it is.",
        IDS.conversation_id,
    ),
    "stopped": Recording(
        events.stream(*FLOW, message("First,"), message_end(), events.workflow_finished(status="stopped")),
        "First,",
        "First,",
        IDS.conversation_id,
        ends="stopped",
    ),
    "replaced": Recording(
        events.stream(message("I say"), events.message_replace("No, "), message("I do not."), message_end()),
        "No, I do not.",
        "No, I do not.",
        IDS.conversation_id,
    ),
    "error": Recording(
        events.stream(PING, message("I s"), events.error("[model] out of order")), "I s", "I s", IDS.conversation_id,
        ends="error",
    ),
    "cut": Recording(
        events.stream(message("I s"), message("ay"))[:-30], "I s", "I s", IDS.conversation_id, ends="cut"
    ),
    "proxied": Recording(
        b"\xef\xbb\xbf: proxy\r\n\r\n"
        + events.stream(message("Hi"), PING, message(" there"), message_end()).replace(b"\n", b"\r\n"),
        "Hi there",
        "Hi there",
        IDS.conversation_id,
    ),
    "replayable": Recording(
        b"".join(
            events.block(events.complete(item, IDS), cursor=f"{number}-0")
            for number, item in enumerate([message("Hi"), message_end()])
        ),
        "Hi",
        "Hi",
        IDS.conversation_id,
    ),
}  # fmt: skip

SHARED = Path(__file__).parents[3] / "shared" / "dify-streams"


def recorded() -> Iterator[tuple[str, Recording]]:
    """The recordings that lie beside the repository, if they do."""
    for index in SHARED.rglob("expected.json"):
        for entry in json.loads(index.read_text(encoding="utf-8"))["streams"]:
            titles = entry.get("citation_documents")
            yield (
                entry["file"],
                Recording(
                    body=(index.parent / entry["file"]).read_bytes(),
                    spoken=entry.get("answer_spoken", entry["answer"]),
                    kept=entry["answer"],
                    conversation_id=entry["conversation_id"],
                    documents=entry["sources"] if titles is None else tuple(titles),
                    ends=entry["ends"],
                    split_at=tuple(entry.get("split_at", ())),
                ),
            )


RECORDED = dict(recorded())


def awkward_places(body: bytes) -> list[int]:
    """At line ends, inside of characters and behind every backslash."""
    return [place for place in range(1, len(body)) if body[place - 1] in b"\n\\" or body[place] >= 0x80]


def check_wherever_cut(recording: Recording) -> None:
    body = recording.body
    whole = hear_bytes([body])
    recording.check(whole, recording.spoken)
    recording.check(hear_bytes([body], strip_think=False), recording.kept)
    for chunks in (
        cut_at(body, range(1, len(body))),
        cut_at(body, recording.split_at),
        cut_at(body, awkward_places(body)),
        *(cut_at(body, range(size, len(body), size)) for size in (2, 3, 7, 64, 1000)),
    ):
        assert hear_bytes(chunks).events == whole.events
        recording.check(hear_bytes(chunks, strip_think=False), recording.kept)


@pytest.mark.no_cover  # a cut at every byte: others reach the same lines
@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_an_invented_stream_is_heard_wherever_it_is_cut(name: str) -> None:
    body = OWN[name].body
    check_wherever_cut(OWN[name])
    # In two: at every awkward place, and at every eighth other one unless WHOLE_MATRIX=1, as `make soak` sets it.
    every = 1 if os.environ.get("WHOLE_MATRIX") == "1" else 8
    for border in {*awkward_places(body), *range(0, len(body), every)}:
        OWN[name].check(hear_bytes(cut_at(body, [border])), OWN[name].spoken)


@given(name=st.sampled_from(sorted(OWN)), data=st.data())
def test_an_invented_stream_is_heard_however_it_is_cut(name: str, data: st.DataObject) -> None:
    recording = OWN[name]
    borders = data.draw(st.lists(st.integers(0, len(recording.body)), max_size=30))

    recording.check(hear_bytes(cut_at(recording.body, borders)), recording.spoken)


def is_object(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data.decode(errors="replace"), strict=False), dict)
    except ValueError:
        return False


def block_of(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
unreadable = st.one_of(
    st.sampled_from([block for name, block in GARBAGE.items() if name != "deep"]),
    st.binary(min_size=1).map(lambda data: data.replace(b"\n", b"").replace(b"\r", b"")).filter(bool).map(block_of),
    st.text(alphabet='{}[]":,e\\ \0\x85\u2028', min_size=1).map(str.encode).map(block_of),
    anything.map(json.dumps).map(str.encode).map(block_of),
).filter(lambda block: not is_object(block[6:]))
unknown = st.dictionaries(st.text(), anything).map(
    lambda more: events.block({**more, "event": "crystal_ball"}, "classic")
)
garbage = st.lists(st.one_of(unreadable, unknown, st.just(PING), st.just(b": comment\n\n")), max_size=3).map(b"".join)


@pytest.mark.slow
@given(name=st.sampled_from(sorted(set(OWN) - {"cut"})), data=st.data())
def test_garbage_between_its_events_changes_no_stream(name: str, data: st.DataObject) -> None:
    recording = OWN[name]
    end = b"\r\n\r\n" if b"\r" in recording.body else b"\n\n"
    blocks = [block + end for block in recording.body.split(end)[:-1]]
    body = b"".join(block + data.draw(garbage) for block in blocks)
    before = b"" if name == "proxied" else data.draw(garbage)  # its BOM comes first

    recording.check(hear_bytes([before + body]), recording.spoken)


@given(blocks=st.lists(unreadable, min_size=1), data=st.data())
def test_a_stream_of_any_garbage_and_nothing_else_is_broken(blocks: list[bytes], data: st.DataObject) -> None:
    body = PING.join(blocks)
    borders = data.draw(st.lists(st.integers(0, len(body)), max_size=10))
    heard = hear_bytes(cut_at(body, borders))

    assert type(heard.error) is RagBrokenStream
    assert heard.events == []
    assert not heard.answer.is_readable


@pytest.mark.no_cover  # a cut at every byte: others reach the same lines
@pytest.mark.skipif(not RECORDED, reason="the recorded streams (../shared/dify-streams) are not here")
@pytest.mark.parametrize("name", RECORDED or ["none"])
def test_a_recorded_stream_is_heard_wherever_it_is_cut(name: str) -> None:
    check_wherever_cut(RECORDED[name])


HUGE = "1" + "0" * 400
values_of_usage = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**301)
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.lists(st.just("\ud800"))
)


@pytest.mark.parametrize(
    ("usage", "plain"),
    [
        ('{"latency": NaN, "total_tokens": 3}', {"latency": None, "total_tokens": 3}),
        ('{"a": {"b": 1e999, "c": 1}}', {"a": {"b": None, "c": 1}}),
        ('{"a": [1, NaN, [{"b": -Infinity}]]}', {"a": [1, None, [{"b": None}]]}),
        (f'{{"a": {{"b": {HUGE}}}}}', {"a": {"b": None}}),
        (f'{{"a": {{"b": {HUGE * 13}}}}}', {"a": {"b": None}}),
        (r'{"a\ud83d": {"b": ["\ud83d", "\ud83d\ude00"]}}', {"a\ufffd": {"b": ["\ufffd", "😀"]}}),
        ('{"a": null, "b": true, "c": "", "d": {}}', {"a": None, "b": True, "c": "", "d": {}}),
    ],
)
@pytest.mark.parametrize("is_blocking", [False, True], ids=["streaming", "blocking"])
def test_usage_that_json_cannot_say_is_null_and_spoils_no_answer(
    usage: str, plain: dict[str, Any], is_blocking: bool
) -> None:
    body = f'{{"event": "message_end", "answer": "Hi", "metadata": {{"usage": {usage}}}}}'
    if is_blocking:
        heard = hear_blocking(large_json.read_json(body.encode()))
    else:
        heard = hear(message("Hi"), f"data: {body}\n\n".encode())

    assert heard.end.usage == plain
    assert heard.text == "Hi"
    json.dumps(heard.end.usage, allow_nan=False).encode()


@given(st.dictionaries(st.text(st.characters(exclude_categories=())), values_of_usage))
def test_usage_without_depth_is_read_the_short_way_as_any_other(usage: dict[str, Any]) -> None:
    assert repr(read_plain({"a": usage})) == repr({"a": read_plain(usage)})


@pytest.mark.parametrize("values", [{str(n): n for n in range(2_000)}, {"a": [[0]] * 1_000}, {"a": {"b": [0] * 2_000}}])
def test_usage_of_many_values_is_none_that_anybody_shows(values: dict[str, Any]) -> None:
    assert hear(message("Hi"), message_end(usage=values)).end.usage is None


def test_no_more_sources_are_read_than_are_shown() -> None:
    assert len(hear(message("Hi"), message_end([events.citation()] * 2_000)).end.sources) == MAX_SOURCES


@pytest.mark.parametrize("closing", CLOSING_KINDS)
def test_what_closes_an_answer_closes_it_though_it_cannot_be_read(closing: str) -> None:
    abyss = b'data: {"event":"%b","metadata":%b\n\n' % (closing.encode(), b'{"a":' * 5_000)
    heard = hear(message("Hi"), abyss)
    assert (heard.text, heard.error) == ("Hi", None)


def test_usage_of_any_depth_ends_somewhere() -> None:
    deep = b'{"usage": ' + b'{"a": ' * 150 + b"1" + b"}" * 151
    heard = hear(message("Hi"), b'data: {"event": "message_end", "metadata": ' + deep + b"}\n\n")

    assert json.dumps(heard.end.usage).count("{") == streams.MAX_USAGE_DEPTH


def test_numbers_that_json_does_not_have_do_not_spoil_the_sources() -> None:
    cited = f'[{{"score": {HUGE}, "position": {HUGE}}}, {{"score": NaN}}, {{"score": 1e999, "position": 7}}]'
    end = f'{{"event": "message_end", "metadata": {{"retriever_resources": {cited}}}}}'
    heard = hear(message("Hi"), f"data: {end}\n\n".encode())

    assert [(source.position, source.score) for source in heard.end.sources] == [(1, None), (2, None), (7, None)]
