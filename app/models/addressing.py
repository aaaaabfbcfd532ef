"""Who is spoken to: a name in front is no part of a question, and says for whom it is."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Final

import regex

from app.models.likeness import holds, plain

# So many letters make a name that is still known with one of them wrong, where somebody is surely being called.
LONG_NAME: Final = 4

GREETINGS: Final = (
    "hey|hi|hello|dear|hallo|hola|oye|salut|dis|ciao|ehi|olá|oi|привет|эй|слушай|merhaba|selam|hai|halo|này"
    "|हे|सुनो|مرحبا|يا"
)
_BEFORE_A_NAME: Final = rf"ok|okay|so|well|and|but|oh|嘿|喂|嗨|你好|哎|ねえ|ねぇ|야|{GREETINGS}"
_GREETING: Final = regex.compile(
    rf"\s*(?:(?:{_BEFORE_A_NAME})(?:[\s,，、،!！]+|(?<=\p{{Han}}|\p{{Hiragana}}|\p{{Hangul}})))*", regex.I
)
_WORD: Final = regex.compile(r"[\p{L}\p{M}\p{N}'’-]+")
_PAUSE: Final = regex.compile(r"\s*[,，、،!！.。…:：]+\s*|\s*")


@lru_cache(1024)
def _pattern(name: str) -> regex.Pattern[str]:
    ending = "" if regex.search(r"[\p{Han}\p{Hiragana}\p{Katakana}]\Z", name) else r"(?![\p{L}\p{M}\p{N}])"
    return regex.compile(regex.escape(name, literal_spaces=True) + ending, regex.I)


def call_of(text: str, names: Collection[str]) -> int:
    """How long the call of one of these names in front of a text is ("hey dora, …"); 0 if there is none.

    Behind a greeting or before a pause, one letter of a long name may have been heard wrong.
    """
    if not names:
        return 0
    greeting = _GREETING.match(text)
    start = 0 if greeting is None else greeting.end()
    ends = [found.end() for name in names if (found := _pattern(name).match(text, start))]
    word = _WORD.match(text, start)
    if not ends and word is not None:
        pause = _PAUSE.match(text, word.end())
        is_call = start > 0 or (pause is not None and bool(pause[0].strip()))
        heard = word[0].casefold()
        if is_call and any(len(name) >= LONG_NAME and _is_near(heard, name.casefold()) for name in names):
            ends = [word.end()]
    if not ends:
        return 0
    behind = _PAUSE.match(text, max(ends))
    end = max(ends) if behind is None else behind.end()
    return end if end < len(text) else 0


def is_named(text: str, names: Collection[str]) -> bool:
    """Whether one of these is called in front of a text, or named anywhere in it."""
    if call_of(text, names):
        return True
    words = plain(text)
    return any(holds(words, plain(name)) for name in names)


def _is_near(one: str, other: str) -> bool:
    """Whether they differ by one letter at most: another one, one more or one less."""
    shorter, longer = sorted((one, other), key=len)
    at = next((at for at, pair in enumerate(zip(shorter, longer, strict=False)) if pair[0] != pair[1]), len(shorter))
    if len(shorter) == len(longer):
        return shorter[at + 1 :] == longer[at + 1 :]
    return len(longer) == len(shorter) + 1 and shorter[at:] == longer[at + 1 :]
