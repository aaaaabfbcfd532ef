"""One form for what reads the same: accents in one piece, letters of full or half width, marks that nobody sees."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from unicodedata import is_normalized, normalize

import regex

# Unicode's Default_Ignorable_Code_Point: soft hyphens, zero-width spaces and joiners, variation selectors.
_NEVER_SEEN: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Not `[…]+`, for which each place of a text is tried: a first letter is sought at a quarter of the cost.
_UNSEEN: Final = re.compile(f"[{_NEVER_SEEN}][{_NEVER_SEEN}]*+")
# Left as they are: the rules of each language know these marks, and most Chinese and Japanese texts have nothing else.
# Single Korean letters (ㅋㅋ) would become half syllables.
_LEFT: Final = "！（），．：；？～…\u3000\u3131-\u3163\u3165-\u318e"
_LEAVE: Final = re.compile(f"([{_LEFT}][{_LEFT}]*+)")
_ANY_LEFT: Final = re.compile(_LEAVE.pattern[1:-1])
# What belongs to the character before it, at least once it is written in the other form.
_DEPENDENT: Final = rf"[\P{{ccc=0}}\p{{NFKC_QC=M}}{_NEVER_SEEN}\u0f73\u0f75\u0f81\uff9e-\uffdc]"
# Marks are sorted, which takes quadratic time: of more than anybody puts on one letter (UAX #15), the first count.
_SORTED: Final = r"[\P{ccc=0}\u0f73\u0f75\u0f81\uff9e\uff9f]"
_MOST_SORTED: Final = 30
_PILE: Final = regex.compile(rf"({_SORTED}{{{_MOST_SORTED}}}){_SORTED}+")
_IN_A_PILE: Final = regex.compile(_SORTED)
_UNIT: Final = regex.compile(rf"(?V1)([^{_LEFT}]{_DEPENDENT}+|{_DEPENDENT}+|[\p{{NFKC_QC=N}}--[{_LEFT}]])")
# Long texts are read by these, each whole by itself.
_PIECE: Final = regex.compile(rf"(?s).{{64}}{_DEPENDENT}*+|.+")
_FEW: Final = 256
_BLOCK: Final = regex.compile(rf"(?s).{{{_FEW}}}{_DEPENDENT}*+|.+")


def name_form(name: str) -> str:
    """The form in which names are the same."""
    return name if name.isascii() else normalize("NFC", _without_piles(name))


def compared(text: str) -> str:
    """The form in which texts are the same."""
    return text if text.isascii() else normalize("NFKC", _without_piles(_UNSEEN.sub("", text)))


def beginning(text: str, most: int) -> str:
    """The first so many characters of that form, for the work that it takes to make them."""
    if len(text) <= _FEW:
        return compared(text)[:most]
    letters = ""
    for piece in _BLOCK.finditer(text):
        letters += compared(piece[0])
        if len(letters) >= most:
            break
    return letters[:most]


def _without_piles(text: str) -> str:
    # One mark of a pile stands at one of these places.
    if _IN_A_PILE.search(text[_MOST_SORTED :: _MOST_SORTED + 1]) is None:
        return text
    return _PILE.sub(r"\1", text)


def said(text: str) -> str:
    """What was said, as it came; empty if there is nothing to see."""
    text = text.replace("\0", " ").strip()
    return text if text.isascii() or compared(text).strip() else ""


_letter = lru_cache(4096)(compared)  # the same few thousand, again and again


def _letters(part: str) -> str:
    return _letter(part) if len(part) < 9 else compared(part)


def _read(piece: str) -> str:
    return "".join(part if index % 2 else _letters(part) for index, part in enumerate(_LEAVE.split(piece)))


def _is_read_as_it_is(text: str) -> bool:
    """Whether nothing in it would be read otherwise, as in most texts."""
    is_normal = is_normalized("NFKC", text) or is_normalized("NFKC", _ANY_LEFT.sub("", text))
    return is_normal and _UNSEEN.search(text) is None


class Reading:
    """A text, at most the last so many characters of it, in the form in which it is judged, and the way back."""

    def __init__(self, text: str, most: int) -> None:
        self._written = text = text[-most:]
        self._pieces: list[tuple[str, str]] = []
        """As they were written and as they are read."""
        self._unread = self._cut = 0
        self.text = text
        if not text.isascii() and not _is_read_as_it_is(text):
            length = 0
            for piece in reversed(_PIECE.findall(text)):
                if length >= most:  # one sign may stand for eighteen letters
                    self._unread += len(piece)
                    continue
                self._pieces.insert(0, (piece, _read(piece)))
                length += len(self._pieces[0][1])
            self.text = "".join(read for _, read in self._pieces)[-most:]
            self._cut = length - len(self.text)

    def original(self, start: int, end: int) -> str:
        """What these characters were written as."""
        if not self._pieces:
            return self._written[start:end]
        return self._written[self._place(start) : self._place(end, is_end=True)]

    def _place(self, index: int, *, is_end: bool = False) -> int:
        index, place = index + self._cut, self._unread
        for piece, read in self._pieces:
            if index >= len(read):
                index, place = index - len(read), place + len(piece)
                continue
            for number, part in enumerate(_UNIT.split(piece)):
                size = len(_letters(part)) if number % 2 else len(part)
                if index < size:
                    # several characters may have been one
                    return place + (index if number % 2 == 0 else len(part) if is_end and index else 0)
                index, place = index - size, place + len(part)
        return place
