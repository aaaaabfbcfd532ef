"""Which questions may be only the beginning of one: a question word with little behind it, and no mark."""

from __future__ import annotations

from typing import Final

from app.models.likeness import ends_in_a_mark, plain
from app.models.verdicts import Verdict

# Where the verb comes late or none is needed ("где вокзал", 이거 얼마예요), so few words are all.
_LANGUAGES: Final = frozenset({"en", "de", "fr", "es", "it", "pt"})
_FEW: Final = 2
_JOINTS: Final = "and but or so okay ok then well und aber also et mais y pero e ma mas"
_LEADS: Final = frozenset(_JOINTS.split())
# What is counted is named behind these.
_COUNTS: Final = frozenset({"how many", "how much", "wie viele", "wie viel", "combien de"})
_CHINESE: Final = """
    多久 多长时间 多長時間 什么时候 什麼時候 几点 幾點 几个 幾個 多少 哪个 哪個 哪些 哪里 哪裡 哪儿 为什么 為什麼 谁 誰
"""
_UNSPACED: Final = frozenset(_CHINESE.split())


def may_begin(verdict: Verdict) -> bool:
    """Whether it is all, or goes on at once: "how long", "which one", "how many people", 多久."""
    if verdict.reason not in {"wh_front", "wh_word"} or verdict.others or ends_in_a_mark(verdict.question):
        return False
    words = plain(verdict.question)
    if verdict.language not in _LANGUAGES:
        return words in _UNSPACED
    said = words.split()
    while said and said[0] in _LEADS:
        del said[0]
    return len(said) <= _FEW or (len(said) == _FEW + 1 and " ".join(said[:_FEW]) in _COUNTS)
