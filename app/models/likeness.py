"""Which texts say the same: by their words, whatever their case, marks and spelling."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Final

import regex

from app.models.spelling import beginning

# Marks are letters in part: क and की are two words.
_NOT_WORDS: Final = regex.compile(r"[^\p{L}\p{M}\p{N}]+")
_SPACED: Final = bytes(ord(chr(code).lower()) if chr(code).isalnum() else ord(" ") for code in range(128)).ljust(256)
_UNSPACED: Final = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_MARKED: Final = regex.compile(r"(?r)\p{Sentence_Terminal}[\p{P}\s]{0,8}")
_WORD: Final = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]|[^\s\p{Han}\p{Hiragana}\p{Katakana}]+")

# A correction changes one word of so many at most.
WORDS_A_CHANGE: Final = 5
# Longer texts are compared as they are, not word by word: the work on one is bounded.
MAX_COMPARED: Final = 400
# So many words may be one number: two hundred and fifty.
NUMBER_WORDS: Final = 4
# What is shorter is said by many, and often. Of a script without spaces, a word has one or two characters.
COPY_WORDS: Final = 4
COPY_CHARS: Final = 6
# One of these more or less says the opposite.
_OPPOSITES: Final = """
    not no never nothing nobody cannot without t nicht kein keine nie ne pas jamais non mai sin nunca
    不 没 無 无 未 別 别 안 못
"""
_NOT: Final = frozenset(_OPPOSITES.split())


def plain(text: str) -> str:
    """The words alone: two finals that differ by case, spaces, punctuation or spelling in Unicode say the same."""
    if text.isascii():
        # The same, at a sixth of the cost.
        return b" ".join(text.encode().translate(_SPACED).split()).decode()
    # One sign may stand for eighteen letters: of a text of such, the beginning is enough.
    letters = beginning(text, 2 * len(text) + 64)
    return _NOT_WORDS.sub(" ", letters.casefold()).strip()


plain_again = lru_cache(64)(plain)
"""The same of what every final is compared with: an answer, what others are saying."""


@lru_cache(64)
def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _equal(pairs: Iterable[tuple[str, str]]) -> int:
    """How many pairs are equal, up to the first that is not."""
    number = -1
    for number, (one, other) in enumerate(pairs):
        if one != other:
            return number
    return number + 1


def _has_no_spaces(words: str) -> bool:
    """Whether a plain text ends in a script without spaces."""
    last = words[-1:]
    return not last.isascii() and _UNSPACED.match(last) is not None


def ends_in_a_mark(text: str) -> bool:
    """Whether a text ends as a sentence does that somebody has punctuated."""
    return _MARKED.match(text) is not None


def extends(longer: str, shorter: str) -> bool:
    """Whether one plain text is the other with more words at its end."""
    if not longer.startswith(shorter) or len(longer) == len(shorter):
        return False
    return longer[len(shorter)] == " " or _has_no_spaces(shorter)


def grows(longer: str, shorter: str) -> bool:
    """The same, where the last word may have grown, too."""
    return len(longer) > len(shorter) and longer.startswith(shorter)


def holds(longer: str, shorter: str) -> bool:
    """Whether the words of one plain text stand together in the other."""
    return shorter in longer if _has_no_spaces(shorter) else f" {shorter} " in f" {longer} "


def corrects(new: str, old: str) -> bool:
    """Whether one plain text is the other, heard better: nothing is added, and one word in five differs at most.

    A number in other form is no difference; another number is another text, and so is one that says the opposite.
    """
    if new == old:
        return True
    if max(len(new), len(old)) > MAX_COMPARED:
        return False
    ours, theirs = _words(new), _words(old)
    size = len(theirs)
    front = _equal(zip(ours, theirs, strict=False))
    ours, theirs = ours[front:], theirs[front:]
    back = _equal(zip(reversed(ours), reversed(theirs), strict=False))
    ours, theirs = ours[: len(ours) - back], theirs[: len(theirs) - back]
    if _is_one_number(ours, theirs) or _is_one_number(theirs, ours):
        return True
    if len(ours) > len(theirs):
        return False
    most = size // WORDS_A_CHANGE
    if len(ours) == len(theirs):
        changed = (pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1])
        pairs = list(islice(changed, most + 1))  # most texts are not alike at all
        differing, count = {word for pair in pairs for word in pair}, len(pairs)
    elif len(theirs) > most:
        return False
    else:
        differing, count = {*ours, *theirs}, len(theirs)
    return count <= most and _NOT.isdisjoint(differing) and not any(map(str.isdigit, differing))


def lingers(new: str, old: str) -> bool:
    """Whether one plain text is the other, corrected or with one more word at its end, as noise may leave it."""
    if not extends(new, old):
        return corrects(new, old)
    if len(new) > MAX_COMPARED:
        return False
    size = len(_words(old))
    return size >= WORDS_A_CHANGE and len(_words(new)) == size + 1


def _is_one_number(digits: list[str], words: list[str]) -> bool:
    is_digits = len(digits) == 1 and digits[0].isdigit()
    return is_digits and 1 <= len(words) <= NUMBER_WORDS and not any(map(str.isdigit, words))


def is_long_enough(words: str) -> bool:
    """Whether a plain text is too long to be said by two by chance."""
    if words.isascii():
        return words.count(" ") >= COPY_WORDS - 1  # the same, at a tenth of the cost
    needed = COPY_CHARS if _has_no_spaces(words) else COPY_WORDS
    return sum(1 for _ in islice(_WORD.finditer(words), needed)) == needed


def copies(one: str, other: str) -> bool:
    """Whether two plain texts are one that was heard twice: nearly the same, or one as the beginning of the other."""
    if not (is_long_enough(one) and is_long_enough(other)):
        return False
    return corrects(one, other) or corrects(other, one) or extends(one, other) or extends(other, one)
