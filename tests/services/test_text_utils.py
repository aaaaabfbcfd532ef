"""Cutting answers into pieces: nothing lost, nothing torn, at the best place there is."""

from __future__ import annotations

import asyncio

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from app.models.answers import AnswerEnd, AnswerEvent, ConversationNamed, Progress, TextDelta, TextReplaced
from app.services.cuts import split_text
from app.services.text_utils import split_event, stream_answer
from tests.client import PATIENCE

FAMILY = "👨‍👩‍👧‍👦"
FRANCE, JAPAN = "🇫🇷", "🇯🇵"
ACCENTED = "e\u0301"
THUMB = "👍🏽"

texts = st.lists(
    st.sampled_from(
        [FAMILY, FRANCE, JAPAN, ACCENTED, THUMB, "각", "नि", "\r\n", "\n", "\n\n", " ", "\u3000", "\u2028", "。",
         "！」", ". ", "!", "?\n", "3.14", "水", "知识库", "word", "- item", "# Head", "`x`",
         "\u200d", "\u0301", "\x00"]
    )
    | st.text(max_size=8),
    max_size=40,
).map("".join)  # fmt: skip
limits = st.integers(1, 30)


def clusters(text: str) -> list[str]:
    return regex.findall(r"\X", text)


@given(text=texts, limit=limits)
@example(text="", limit=1)
@example(text=FAMILY * 3, limit=3)
@example(text=FRANCE * 5, limit=3)
def test_pieces_fit_and_joined_are_the_text(text: str, limit: int) -> None:
    pieces = list(split_text(text, limit))

    assert "".join(pieces) == text
    assert all(1 <= len(piece) <= limit for piece in pieces)


@given(text=texts, limit=limits)
@example(text=FRANCE + JAPAN + FRANCE, limit=3)
@example(text="a\r\nb", limit=2)
@example(text=f"ab{FAMILY}cd", limit=8)
def test_a_cluster_is_only_cut_when_it_does_not_fit(text: str, limit: int) -> None:
    borders: set[int] = set()
    at = 0
    for cluster in clusters(text):
        if len(cluster) > limit:
            borders.update(range(at, at + len(cluster)))
        at += len(cluster)
        borders.add(at)

    at = 0
    for piece in split_text(text, limit):
        at += len(piece)
        assert at in borders


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        ("", 5, []),
        ("short", 5, ["short"]),
        ("One. Two. Three.", 10, ["One. Two. ", "Three."]),
        ("One! Two three four", 12, ["One! ", "Two three ", "four"]),
        ("今天多云。最高二十二度。", 8, ["今天多云。", "最高二十二度。"]),
        ("他说：「好。」然后走了很远", 9, ["他说：「好。」", "然后走了很远"]),
        ("今天最高气温二十二度", 4, ["今天最高", "气温二十", "二度"]),
        ("Pi is 3.14159 or so", 12, ["Pi is ", "3.14159 or ", "so"]),
        ("see a.b.c/d?e=f!g or", 10, ["see ", "a.b.c/d?e=", "f!g or"]),
        ("Hello world. Next", 12, ["Hello world.", " Next"]),
        ("Hello world.  Next", 13, ["Hello world. ", " Next"]),
        ("Hello world Next", 11, ["Hello ", "world Next"]),
        ("今天多云。 最高", 5, ["今天多云。", " 最高"]),
        ("- one\n- two\n- three", 13, ["- one\n- two\n", "- three"]),
        ("# Head\n\nText that goes on", 12, ["# Head\n\n", "Text that ", "goes on"]),
        ("(Really?) Yes, of course", 14, ["(Really?) ", "Yes, of course"]),
        ("one two three", 8, ["one two ", "three"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        (f"ab{FAMILY}", 4, ["ab", FAMILY[:4], FAMILY[4:]]),
        (f"ab{FAMILY}c", 7, ["ab", f"{FAMILY}"[:7], "c"]),
        (f"abc{FRANCE}{JAPAN}", 4, ["abc", FRANCE + JAPAN]),
        (f"abc{ACCENTED}", 4, ["abc", ACCENTED]),
        (f"abc{THUMB}", 4, ["abc", THUMB]),
        ("abc\r\ndef", 4, ["abc", "\r\n", "def"]),
    ],
)
def test_a_cut_falls_behind_a_sentence_else_a_space_else_a_character(text: str, limit: int, pieces: list[str]) -> None:
    assert list(split_text(text, limit)) == pieces


def test_a_long_answer_is_cut_behind_its_sentences() -> None:
    text = "The kettle is blue. " * 200

    assert {piece[-2:] for piece in split_text(text, 64)} == {". "}


@pytest.mark.parametrize(
    "event",
    [
        TextDelta("short"),
        TextDelta(""),
        TextReplaced(""),
        TextReplaced("short"),
        Progress("a note that is longer than the limit"),
        ConversationNamed("a name that is longer than the limit"),
        AnswerEnd(conversation_id="a name that is longer than the limit"),
    ],
)
def test_an_event_that_fits_or_has_no_text_stays_as_it_is(event: AnswerEvent) -> None:
    assert list(split_event(event, 5)) == [event]


def test_a_long_delta_becomes_several() -> None:
    assert list(split_event(TextDelta("one two three"), 8)) == [TextDelta("one two "), TextDelta("three")]


def test_only_the_first_piece_of_a_long_replacement_replaces() -> None:
    assert list(split_event(TextReplaced("one two three"), 4)) == [
        TextReplaced("one "),
        TextDelta("two "),
        TextDelta("thre"),
        TextDelta("e"),
    ]


async def test_a_finished_answer_is_streamed_in_its_pieces() -> None:
    text = f"今天多云。{FAMILY} One two. " * 20

    assert [piece async for piece in stream_answer(text, 16)] == list(split_text(text, 16))
    assert [piece async for piece in stream_answer("", 16)] == []


async def test_others_run_between_two_pieces() -> None:
    async def speak(name: str) -> None:
        async for _ in stream_answer("one two three ", 6):
            turns.append(name)

    turns: list[str] = []
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        tasks.create_task(speak("a"))
        tasks.create_task(speak("b"))

    assert turns == ["a", "b"] * 3
