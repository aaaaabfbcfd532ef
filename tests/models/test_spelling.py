"""What reads the same is the same, and the way back to what was written."""

from __future__ import annotations

import sys
from unicodedata import normalize

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from app.models.spelling import _LEFT, Reading, _is_read_as_it_is, beginning, compared, name_form

# Everything that some form writes differently, and random letters between.
ODD = (
    "e\u0301 é \u1100\u1161\u11a8 각 か\u3099 が ﾊﾟ ﾞ ｗ Ａ ？ ， … ﬁ ½ ﷺ Å \u00ad \u200b \u200d \ufeff"
    " ㅋ ㄱ \uffa1\uffc2 \u0f71\u0f72 \u0f73 \u0958 x ? . \n \u3000"
)
SIGNS = st.sampled_from(ODD.split(" "))
TEXTS = st.lists(SIGNS).map("".join) | st.lists(SIGNS, min_size=60).map("".join) | st.text()
MOST = sys.maxsize  # all of it


@given(TEXTS)
def test_a_reading_is_the_same_for_every_spelling(text: str) -> None:
    reading = Reading(text, MOST).text
    assert Reading(normalize("NFD", text), MOST).text == Reading(normalize("NFC", text), MOST).text
    assert compared(reading) == compared(text)
    assert Reading(reading, MOST).text == reading


@given(TEXTS, st.data())
def test_what_was_read_can_be_shown_as_it_was_written(text: str, data: st.DataObject) -> None:
    reading = Reading(text, MOST)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(reading.text)), min_size=2, max_size=2)))
    shown = reading.original(*cuts)
    assert shown in text
    assert reading.text[slice(*cuts)] in Reading(shown, MOST).text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (normalize("NFD", "이거 얼마예요"), "이거 얼마예요"),
        ("ﾍﾝﾋﾟﾝはできますか", "ヘンピンはできますか"),
        ("ｗｈａｔ ｉｓ ＲＡＧ？", "what is RAG？"),
        ("what is the refu\u00adnd po\u200blicy", "what is the refund policy"),
        ("\u00ad\ufeffwhat", "what"),
        ("ㅋㅋ 뭐예요", "ㅋㅋ 뭐예요"),
        ("多少钱，一共？", "多少钱，一共？"),
    ],
)
def test_examples_of_readings(text: str, read: str) -> None:
    assert Reading(text, MOST).text == read


@pytest.mark.parametrize("marks", ["\u0316\u0301", "\u0f73", "\uff9e\u0316", "\u0301\u200b\u0316"])
def test_of_marks_without_end_the_first_count(marks: str) -> None:
    """Two thousand take 18 ms to be sorted, thirty thousand a second."""
    pile = f"a{marks * 15_000}b"
    assert len(compared(pile)) < 100
    assert len(name_form(pile.replace("\u200b", ""))) < 100
    assert len(Reading(pile, MOST).text) < 100
    assert compared(f"a{marks * 10}b") == normalize("NFKC", f"a{marks * 10}b".replace("\u200b", ""))


@given(
    st.lists(st.sampled_from(["a", "é", "\u0301", "\u0301" * 28, "\u0316" * 31, "\u0f73"]), max_size=12).map("".join)
)
def test_a_pile_is_found_wherever_it_stands(text: str) -> None:
    first_marks = regex.sub(r"([\P{ccc=0}\u0f73]{30})[\P{ccc=0}\u0f73]+", r"\1", text)
    assert name_form(text) == normalize("NFC", first_marks)


@given(TEXTS)
def test_a_text_is_read_as_it_is_where_it_would_be_read_the_same(text: str) -> None:
    signs = regex.sub(rf"[{_LEFT}]+", "", text)
    assert _is_read_as_it_is(text) == (compared(signs) == signs == regex.sub(r"\p{DI}+", "", signs))


@given(TEXTS, st.integers(0, 700), st.sampled_from([1, 40]))
def test_the_beginning_of_a_text_is_made_without_the_rest(text: str, most: int, times: int) -> None:
    assert beginning(text * times, most) == compared(text * times)[:most]


@pytest.mark.parametrize("sign", ["x", "é", "が", "か\u3099", "ﾊﾟ", "\ufdfa"])
@pytest.mark.parametrize("times", [1, 300])
def test_examples_of_beginnings(sign: str, times: int) -> None:
    for most in (0, 100, 800, MOST):
        assert beginning(sign * times, most) == compared(sign * times)[:most]


@pytest.mark.no_cover  # a million times the same lines
@pytest.mark.slow
def test_what_nobody_sees_is_what_unicode_says() -> None:
    signs = "\n".join(map(chr, range(sys.maxunicode + 1)))  # not piled up
    assert compared(signs) == normalize("NFKC", regex.sub(r"\p{Default_Ignorable_Code_Point}+", "", signs))
    seen = regex.sub(r"[\p{Default_Ignorable_Code_Point}\p{Cs}\n]+", "", signs)
    assert all(compared("\n".join(seen)).split("\n"))


def test_names_are_the_same_in_one_piece_and_in_two() -> None:
    assert name_form(normalize("NFD", "Zoé")) == "Zoé" != name_form("Zoe")
