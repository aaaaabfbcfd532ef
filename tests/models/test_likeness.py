"""What is known of ASCII without a look at its letters is what the letters say."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from app.models.likeness import _UNSPACED, _WORD, COPY_WORDS, _has_no_spaces, corrects, is_long_enough, plain

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


def plainly_corrects(new: str, old: str) -> bool:
    """The same, word by word to the end."""
    ours, theirs = _WORD.findall(new), _WORD.findall(old)
    size = len(theirs)
    while ours and theirs and ours[0] == theirs[0]:
        ours, theirs = ours[1:], theirs[1:]
    while ours and theirs and ours[-1] == theirs[-1]:
        ours, theirs = ours[:-1], theirs[:-1]
    for number, words in ((ours, theirs), (theirs, ours)):
        if len(number) == 1 and number[0].isdigit() and 1 <= len(words) <= 4 and not any(map(str.isdigit, words)):
            return True
    pairs = [(one, other) for one, other in zip(ours, theirs, strict=False) if one != other]
    is_even = len(ours) == len(theirs)
    differing = {word for pair in pairs for word in pair} if is_even else {*ours, *theirs}
    count = len(pairs) if is_even else len(theirs)
    return (
        len(ours) <= len(theirs)
        and 5 * count <= size
        and not any(word.isdigit() or word in {"not", "no"} for word in differing)
    )


@given(st.data(), st.lists(st.sampled_from(["a", "b", "not", "no", "1", "22", "要"]), min_size=1, max_size=12))
def test_texts_are_compared_no_further_than_tells(data: st.DataObject, words: list[str]) -> None:
    changed = list(words)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(changed)))
        new = data.draw(st.lists(st.sampled_from(["a", "c", "not", "3"]), max_size=2))
        changed[at : at + data.draw(st.integers(0, 2))] = new
    one, other = " ".join(words), " ".join(changed)
    assert corrects(one, other) == (one == other or plainly_corrects(one, other))
    assert corrects(other, one) == (one == other or plainly_corrects(other, one))
