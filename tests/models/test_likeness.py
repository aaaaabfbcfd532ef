"""What is known of ASCII without a look at its letters is what the letters say."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from app.models.likeness import _UNSPACED, _WORD, COPY_WORDS, _has_no_spaces, is_long_enough, plain

texts = st.lists(st.sampled_from(["a", "b1", "c's", "don't", "é", "的", "あ"]), max_size=8).map(" ".join) | st.text()


@given(texts)
@example("")
@example("a b c")
@example("a b c d")
def test_whether_words_are_enough_is_known_by_their_spaces(text: str) -> None:
    words = plain(text)
    if words.isascii():
        assert is_long_enough(words) == (len(_WORD.findall(words)) >= COPY_WORDS)


@given(texts)
def test_a_script_has_no_spaces_by_its_last_letter(text: str) -> None:
    assert _has_no_spaces(text) == (_UNSPACED.match(text[-1:]) is not None)
