"""The chunks of OpenAI-compatible servers, without a network: what they mean, and every way to cut them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import RagBrokenStream, RagError, RagFailed
from app.models.answers import AnswerEnd, AnswerEvent, Progress, Said, Source, TextDelta
from app.services.openai_events import NO_ANSWER, OpenAiAnswer, describe
from app.services.streams import MAX_WHOLE_BYTES, SseParser
from tests.standin.openai import DONE, PING, USAGE, chunk, event, usage

RECORDED = Path(__file__).parents[3] / "shared" / "openai-streams"
END = chunk(finish="stop")
PASSAGES = [Source(position=number, title=f"T{number}", source=f"{number}.md") for number in (1, 2, 3)]
TALK = [Said("Yes.", "Anna", 5.0 * number).as_source(number) for number in (1, 2)]


def read(*pieces: bytes, passages: Sequence[Source] = (), talk: Sequence[Source] = ()) -> list[AnswerEvent]:
    """All events; raises what the answer raises."""
    parser, answer = SseParser(), OpenAiAnswer(passages, talk)
    events: list[AnswerEvent] = []
    for piece in pieces:
        for data, name in parser.feed(piece):
            events.extend(answer.feed(data, name))
            if answer.is_over:
                return events
    return [*events, *answer.end_of_stream()]


def text_of(events: list[AnswerEvent]) -> str:
    return "".join(each.text for each in events if isinstance(each, TextDelta))


def end_of(events: list[AnswerEvent]) -> AnswerEnd:
    assert isinstance(events[-1], AnswerEnd)
    return events[-1]


@pytest.mark.parametrize(
    "pieces",
    [
        [chunk(role="assistant", content=None), chunk("Hel"), chunk("lo"), END, usage(), DONE],
        [chunk("", role="assistant"), chunk("Hello"), END, usage(), DONE],
        [chunk("Hello", role="assistant"), chunk(finish="stop"), event({"choices": [{"delta": {}}], "usage": USAGE})],
        [chunk("Hello").replace(b"data: ", b"data:"), event({"choices": [{"finish_reason": "stop"}], "usage": USAGE})],
        [event({"choices": [{"delta": {"content": "Hello"}}], "usage": {}}), END, usage(), PING],
        [event({"choices": None}), event({"choices": [None]}), event([]), chunk("Hello"), END, usage(), DONE],
        [PING, PING, chunk("Hello"), PING, END, usage(**USAGE, cost=0.1, details={"cached": 1}), DONE],
        [chunk("Hello"), chunk(finish="something new"), usage(), DONE],
        [b"data: what is this\n\n", chunk("Hello"), END, usage(), DONE],
    ],
    ids=["llama.cpp", "vllm", "litellm", "ragflow", "anythingllm", "odd", "pings", "unknown end", "garbage"],
)
def test_an_answer_is_read_however_a_server_writes_it(pieces: list[bytes]) -> None:
    events = read(*pieces)
    assert text_of(events) == "Hello"
    assert end_of(events) == AnswerEnd(usage=USAGE)


LARGE = "x" * (MAX_WHOLE_BYTES + 1)


@pytest.mark.parametrize(
    "large",
    [chunk(LARGE), chunk(role="assistant", refusal=LARGE), event({"choices": [{"message": {"content": LARGE}}]})],
    ids=["delta", "refusal", "message"],
)
def test_text_that_is_too_large_breaks_the_stream_and_is_not_left_out(large: bytes) -> None:
    with pytest.raises(RagBrokenStream):
        read(chunk("Hel"), large, chunk("lo"), END, DONE)


@pytest.mark.parametrize(
    "large",
    [chunk(content="", reasoning_content=LARGE), chunk(reasoning=LARGE), event({"x": {"content": LARGE}})],
    ids=["thought", "other thought", "unknown"],
)
def test_what_is_not_shown_is_skipped_whatever_its_size(large: bytes) -> None:
    assert text_of(read(chunk("Hel"), large, chunk("lo"), END, DONE)) == "Hello"


@pytest.mark.parametrize("finish", ["length", "content_filter", "tool_calls", "abort", "error"])
def test_an_answer_that_was_cut_off_is_incomplete_and_nothing_is_a_failure(finish: str) -> None:
    assert end_of(read(chunk("Hel"), chunk(finish=finish), DONE)).incomplete
    with pytest.raises(RagFailed, match=finish):
        read(chunk(finish=finish), DONE)


@pytest.mark.parametrize("rest", [[], [DONE]])
def test_without_a_reason_for_the_end_a_text_is_incomplete_and_no_text_is_a_broken_stream(rest: list[bytes]) -> None:
    assert end_of(read(chunk("Hel"), *rest)).incomplete
    with pytest.raises(RagBrokenStream):
        read(chunk(role="assistant"), *rest)


def test_thinking_is_progress_and_never_shown() -> None:
    for thought in (
        [chunk(reasoning_content="hm"), chunk(reasoning_content="hm")],
        [chunk(reasoning="hm")],
        [chunk("<thi"), chunk("nk>hm</th"), chunk("ink>\n\n")],
    ):
        assert read(*thought, chunk("Hello"), END)[:-1] == [Progress("thinking"), TextDelta("Hello")]


@pytest.mark.parametrize(
    "error",
    [
        event({"error": {"message": "out of memory", "code": 500}}),
        event({"error": "out of memory"}),
        event({"message": "out of memory"}, "error"),
        event({"code": 1, "statusText": "x", "message": "out of memory"}, "error"),
    ],
)
def test_an_error_in_mid_stream_fails_and_after_the_end_changes_nothing(error: bytes) -> None:
    with pytest.raises(RagFailed, match="out of memory"):
        read(chunk("Hel"), error)
    assert not end_of(read(chunk("Hello"), END, error)).incomplete


@pytest.mark.parametrize("data", ["quota exceeded", '"quota"', "[1]", "null", "{bad"])
def test_an_event_called_error_is_one_whatever_its_data(data: str) -> None:
    error = f"event: error\ndata: {data}\n\n".encode()
    with pytest.raises(RagFailed):
        read(chunk("Hel"), error)
    assert not end_of(read(chunk("Hello"), END, error)).incomplete


def test_an_error_in_place_of_an_answer_is_a_failure() -> None:
    with pytest.raises(RagFailed):
        read(chunk("**ERR"), chunk("OR**: no such model"), END)
    assert text_of(read(chunk("**ER"), chunk(" is bold**"), END)) == "**ER is bold**"


def test_a_step_of_a_workflow_is_progress() -> None:
    step = event({"status": "running", "name": "Search"}, "flowNodeStatus")
    assert read(step, chunk("Hi"), END)[0] == Progress("Search")


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (
            [
                chunk("Hi"),
                chunk(
                    finish="stop",
                    reference=[{"document_name": "a.md", "url": "u", "similarity": 0.5, "content": "text"}],
                ),
            ],
            ("a.md", "u", 0.5, "text"),
        ),
        (
            [
                event(
                    {
                        "sources": [
                            {
                                "source": {"name": "base"},
                                "document": ["text"],
                                "metadata": [{"name": "a.md", "source": "u"}],
                                "distances": [0.5],
                            }
                        ]
                    }
                ),
                chunk("Hi"),
                END,
            ],
            ("a.md", "u", 0.5, "text"),
        ),
        (
            [
                chunk("Hi"),
                END,
                DONE,
                event(
                    [
                        {"moduleName": "x"},
                        {"quoteList": [{"sourceName": "a.md", "sourceId": "u", "score": 0.5, "q": "text"}]},
                    ],
                    "flowResponses",
                ),
            ],
            ("a.md", "u", 0.5, "text"),
        ),
        (
            [
                chunk("Hi"),
                END,
                event(
                    [
                        {
                            "quoteList": [
                                {"sourceName": "a", "sourceId": "u", "score": [{"value": 1}], "q": "q", "a": "a"}
                            ]
                        }
                    ],
                    "flowResponses",
                ),
            ],
            ("a", "u", 1.0, "q\na"),
        ),
    ],
    ids=["ragflow", "open-webui", "fastgpt", "fastgpt-newer"],
)
def test_the_sources_of_servers_that_have_some_are_shown(pieces: list[bytes], expected: tuple[Any, ...]) -> None:
    (source,) = end_of(read(*pieces)).sources
    assert (source.title, source.source, source.score, source.snippet) == expected


# --- Passages to cite ---


def test_the_passages_that_were_cited_are_the_sources_and_numbers_of_none_go() -> None:
    events = read(chunk("At nine ["), chunk("2], or ten [7][2, 9]."), END, passages=PASSAGES)
    assert text_of(events) == "At nine [2], or ten [2]."
    assert end_of(events).sources == (PASSAGES[1],)


def test_lines_of_the_talk_are_cited_beside_passages() -> None:
    events = read(chunk("Forty [t"), chunk("2], at nine [1, t1][t3][4]."), END, passages=PASSAGES, talk=TALK)
    assert text_of(events) == "Forty [t2], at nine [1, t1]."
    assert end_of(events).sources == (PASSAGES[0], *TALK)


def test_lines_of_the_talk_that_are_not_cited_are_no_sources() -> None:
    assert end_of(read(chunk("Forty."), END, passages=PASSAGES, talk=TALK)).sources == tuple(PASSAGES)
    assert end_of(read(chunk("Forty."), END, talk=TALK)).sources == ()
    assert text_of(read(chunk("Forty [t1]."), END, passages=PASSAGES)) == "Forty [t1]."  # there was no talk to cite


def test_without_a_citation_all_passages_are_the_sources() -> None:
    assert end_of(read(chunk("At nine."), END, passages=PASSAGES)).sources == tuple(PASSAGES)


def test_brackets_in_code_and_of_the_server_itself_stay() -> None:
    assert text_of(read(chunk("a[9] = f()[8]"), END, passages=PASSAGES)) == "a[9] = f()[8]"
    assert text_of(read(chunk("At nine [9] ["), END)) == "At nine [9] ["


@pytest.mark.parametrize(
    "pieces", [[NO_ANSWER], ["NO_", "ANSWER", "."], ["\n", "NO_ANSWER\n"], ["<think>x</think>NO_ANSWER"]]
)
def test_a_model_that_says_that_it_has_no_answer_says_nothing(pieces: list[str]) -> None:
    events = read(*map(chunk, pieces), END, usage(), passages=PASSAGES)
    assert [each for each in events if not isinstance(each, Progress)] == [AnswerEnd(usage=USAGE, found=False)]


def test_what_only_begins_like_it_is_shown() -> None:
    assert text_of(read(chunk("NO"), chunk(", it does not."), END, passages=PASSAGES)) == "NO, it does not."
    assert text_of(read(chunk("  NO"), END, passages=PASSAGES)) == "  NO"
    assert text_of(read(chunk(NO_ANSWER), END)) == NO_ANSWER  # nobody told it to say so


@given(st.lists(st.text("[]0123 ,abt", max_size=6)))
def test_citations_are_the_same_however_the_text_is_cut(texts: list[str]) -> None:
    whole = read(chunk("x " + "".join(texts)), END, passages=PASSAGES, talk=TALK)
    cut = read(chunk("x "), *map(chunk, texts), END, passages=PASSAGES, talk=TALK)
    assert (text_of(cut), end_of(cut).sources) == (text_of(whole), end_of(whole).sources)


# --- A whole reply ---


def test_a_server_that_does_not_stream_is_one_text() -> None:
    choice = b'{"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}'
    body = b'{"choices":[' + choice + b'],"usage":{"total_tokens":3}}'
    assert list(OpenAiAnswer().feed_whole(body)) == [TextDelta("Hello"), AnswerEnd(usage={"total_tokens": 3})]


@pytest.mark.parametrize("body", [b"[]", b"{}", b"null", b"no", b'{"code":102,"message":"no chat"}'])
def test_a_reply_that_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(RagError):
        list(OpenAiAnswer().feed_whole(body))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "m", "type": "t", "code": None}}, "t: m"),
        ({"error": {"message": "m", "code": 404}}, "404: m"),
        ({"error": "m"}, "m"),
        ({"detail": "m"}, "m"),
        ({"code": 102, "message": "m"}, "102: m"),
        ({"detail": [{"msg": "m"}]}, "an error without a code"),
        ([], "what is no error and no answer"),
    ],
)
def test_an_error_says_what_it_is_in_every_shape(body: object, said: str) -> None:
    assert describe(body) == said


@given(st.lists(st.sampled_from([chunk("a"), END, DONE, PING, usage(), b"data: {\n\n", b"\n"]) | st.binary(max_size=9)))
def test_any_stream_is_read_or_fails_with_a_code(pieces: list[bytes]) -> None:
    with suppress(RagError):
        end_of(read(*pieces))


# --- Recorded streams ---


def body_of(name: str) -> bytes:
    """The body of a recorded reply, without the sizes of HTTP chunks where they were kept."""
    head, _, body = (RECORDED / f"{name}.txt").read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    assert b" 200 " in head.partition(b"\n")[0]
    lines = body.split(b"\n")
    return b"\n".join(line for line in lines if line.startswith((b"data:", b":", b"event:")) or not line)


EXPECTED = {
    "llamacpp-answer": (True, True),
    "llamacpp-slow-prompt-pings": (True, False),
    "litellm-mock": (False, True),
    "litellm-upstream-cut": (False, True),
    "litellm-upstream-think": (False, True),
    "llamacpp-client-closes": (True, False),
    "litellm-client-closes": (True, False),
}
"""Whether it is incomplete, and whether it tells what it cost."""


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded streams (../shared/openai-streams) are not here")
@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_stream_is_the_same_answer_however_it_is_cut(name: str) -> None:
    body = body_of(name)
    whole = read(body)
    assert text_of(whole)
    is_incomplete, has_usage = EXPECTED[name]
    assert end_of(whole).incomplete == is_incomplete
    assert (end_of(whole).usage is not None) == has_usage
    by_byte = read(*(body[at : at + 1] for at in range(len(body))))
    assert (text_of(by_byte), end_of(by_byte)) == (text_of(whole), end_of(whole))
    for size in (2, 3, 7, 64, 1000):
        borders = [*range(0, len(body), size), len(body)]
        cut = read(*(body[start:stop] for start, stop in pairwise(borders)))
        assert (text_of(cut), end_of(cut)) == (text_of(whole), end_of(whole))


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded streams (../shared/openai-streams) are not here")
def test_a_recorded_failure_in_mid_stream_is_one() -> None:
    with pytest.raises(RagFailed, match="out of memory"):
        read(body_of("litellm-upstream-error"))
