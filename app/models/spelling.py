"""One form for what reads the same: accents in one piece, letters of full or half width, marks that nobody sees."""

from __future__ import annotations

import re
from typing import Final
from unicodedata import is_normalized, normalize

import regex

# Unicode's Default_Ignorable_Code_Point: soft hyphens, zero-width spaces and joiners, variation selectors.
_UNSEEN: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
# Left as they are: the rules of each language know these marks, and most Chinese and Japanese texts have nothing else.
# Single Korean letters (ㅋㅋ) would become half syllables.
_LEFT: Final = "！（），．：；？～…\u3000\u3131-\u3163\u3165-\u318e"
_LEAVE: Final = re.compile(f"[{_LEFT}]+")
# What belongs to the character before it, at least once it is written in the other form.
_DEPENDENT: Final = rf"[\P{{ccc=0}}\p{{NFKC_QC=M}}{_UNSEEN.pattern[1:-2]}\u0f73\u0f75\u0f81\uff9e-\uffdc]"
_UNIT: Final = regex.compile(rf"(?V1)[^{_LEFT}]{_DEPENDENT}+|{_DEPENDENT}+|[\p{{NFKC_QC=N}}--[{_LEFT}]]")


def name_form(name: str) -> str:
    """The form in which names are the same."""
    return name if name.isascii() else normalize("NFC", name)


def compared(text: str) -> str:
    """The form in which texts are the same."""
    return text if text.isascii() else normalize("NFKC", _UNSEEN.sub("", text))


class Reading:
    """A text in the form in which it is judged, and where each of its characters came from."""

    def __init__(self, text: str) -> None:
        self._original = text
        self._places: list[int] | None = None
        self.text = text
        # Few texts need more than these two lines.
        if not text.isascii() and (_UNSEEN.search(text) or not is_normalized("NFKC", _LEAVE.sub("", text))):
            self._rewrite()

    def _rewrite(self) -> None:
        parts: list[str] = []
        places: list[int] = []
        end = 0
        for unit in _UNIT.finditer(self._original):
            part = compared(unit[0])
            parts += self._original[end : unit.start()], part
            places += range(end, unit.start())
            places += [unit.start()] * len(part)
            end = unit.end()
        parts.append(self._original[end:])
        places += range(end, len(self._original) + 1)
        self.text, self._places = "".join(parts), places

    def original(self, start: int, end: int) -> str:
        """What these characters were written as."""
        if self._places is None:
            return self._original[start:end]
        while 0 < end < len(self.text) and self._places[end] == self._places[end - 1]:
            end += 1  # several may have been one
        return self._original[self._places[start] : self._places[end]]
