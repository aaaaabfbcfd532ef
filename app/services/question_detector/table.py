"""Reads a sentence by a table of rules: the first rule that fits decides, and its name is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from app.models.verdicts import Reason
from app.services.question_detector.firsts import with_firsts
from app.services.question_detector.rules import IN_FRONT, Finding, behind_a_call, plain, without

# Of whole words: at the beginning behind lead words (front) or with them (opening), anywhere, at the end; there a space
# stands before the first one, too, so that each begins with one, which is found at a third of the cost of a border. As
# they are written: at the beginning behind lead words (match) or with them (match_all), anywhere behind lead words
# (search).
Place = Literal["front", "opening", "anywhere", "end", "match", "match_all", "search"]
Found = re.Match[str] | None
Finder = Callable[[str], Found]
_Rest = tuple[Finder | None, int, Finding, Finder | None, Finding]

_AROUND: Final[dict[Place, tuple[str, str]]] = {
    "front": (" (?:", ")(?= |$)"),
    "opening": (" (?:", ")(?= |$)"),
    "anywhere": (" (?:", ")(?= |$)"),
    "end": (" (?:", ")$"),
    "match": ("(?:", ")"),
    "match_all": ("(?:", ")"),
    "search": ("(?:", ")"),
}
_AS_WRITTEN: Final = frozenset({"match", "match_all", "search"})
_AT_THE_BEGINNING: Final = frozenset({"front", "opening", "match", "match_all"})
_WITH_LEAD: Final = frozenset({"opening", "anywhere", "end", "match_all"})


def _compile(place: Place, alternatives: Sequence[str]) -> re.Pattern[str]:
    before, after = _AROUND[place]
    words = with_firsts(alternatives) if place == "search" else "|".join(alternatives)
    return re.compile(f"{before}{words}{after}")


@dataclass(frozen=True, slots=True)
class Rule:
    """What any of the `alternatives` at that place tells, unless one of the `exceptions` stands anywhere.

    `also`: one of these stands there, too. `not_behind`: words that may not stand right before. `sure`: with these it
    is of that confidence.
    """

    name: str
    reason: Reason
    confidence: float
    place: Place
    alternatives: Sequence[str]
    exceptions: Sequence[str] = ()
    also: Sequence[str] = ()
    not_behind: Sequence[str] = ()
    sure: tuple[float, Sequence[str]] = (0.0, ())

    def finder(self) -> Finder:
        """Finds it in a text."""
        pattern = _compile(self.place, self.alternatives)
        find: Finder = pattern.match if self.place in _AT_THE_BEGINNING else pattern.search
        if self.not_behind:
            find = partial(_first, pattern, _compile("search", self.not_behind))
        also = self._search(self.also)
        return find if also is None else lambda text: None if also(text) is None else find(text)

    def read(self, *, with_lead: bool) -> int:
        """Which of the forms of a sentence (`Table.judge`) is read."""
        return with_lead + 2 * (self.place not in _AS_WRITTEN)

    def rest(self) -> _Rest:
        """Whether it is an exception, and in which form of the sentence; what it tells, if sure, too."""
        return (
            self._search(self.exceptions),
            self.read(with_lead=self.place not in _AS_WRITTEN or self.place in _WITH_LEAD),
            Finding(self.reason, self.confidence, rule=self.name),
            self._search(self.sure[1]),
            Finding(self.reason, self.sure[0], rule=self.name),
        )

    def _search(self, words: Sequence[str]) -> Finder | None:
        return _compile("search" if self.place in _AS_WRITTEN else "anywhere", words).search if words else None


def _first(pattern: re.Pattern[str], before: re.Pattern[str], text: str) -> Found:
    return next((found for found in pattern.finditer(text) if before.search(text, 0, found.start()) is None), None)


STATEMENT: Final = Finding("statement", 0.85, rule="statement")
_Reader = tuple[Finder, int, _Rest]


@dataclass(slots=True)
class Table:
    """The rules of a language, in their order.

    `lead`: words before the sentence proper. `open_ends`: a sentence that ends in one of these words is not finished,
    nor one that is `unfinished`, from its beginning to its end, or has an `open_end`; unless it is `closed` by what it
    is. Then it is sure by `doubt` of what it was. `calls`: a name with a comma may stand before a question. `rest`:
    what a sentence is that no rule fits.
    """

    rules: Sequence[Rule]
    lead: Sequence[str] = ()
    open_ends: frozenset[str] = frozenset()
    unfinished: Sequence[str] = ()
    open_end: Sequence[str] = ()
    closed: frozenset[Reason] = frozenset({"tag", "backchannel"})
    doubt: float = 0.7
    prepare: Callable[[str], str] = plain
    calls: bool = True
    rest: Finding = STATEMENT
    lead_words: re.Pattern[str] = field(init=False)
    _is_unfinished: Finder = field(init=False)
    _has_open_end: Finder | None = field(init=False)
    _readers: list[_Reader] = field(init=False)

    def __post_init__(self) -> None:
        self.lead_words = re.compile(f"(?:(?:{'|'.join(self.lead)}) )+" if self.lead else "(?!)")
        self._is_unfinished = re.compile(f"(?:{'|'.join(self.unfinished)})$" if self.unfinished else "(?!)").match
        self._has_open_end = re.compile(f"(?:{with_firsts(self.open_end)})$").search if self.open_end else None
        self._readers = [
            (rule.finder(), rule.read(with_lead=rule.place in _WITH_LEAD), rule.rest()) for rule in self.rules
        ]

    def decide(self, sentence: str) -> Finding:
        """Judge one sentence by its words alone."""
        whole = self.prepare(sentence)
        text = without(self.lead_words, whole)
        finding = self.judge(whole, text)
        if self.calls and not finding.asks and (rest := behind_a_call(sentence, self.prepare)):
            called = without(self.lead_words, rest)
            asked = self.judge(rest, called)
            if asked.reason in IN_FRONT:
                finding, text = asked, called
        if finding.reason in self.closed or not self._is_open(text):
            return finding
        return Finding(finding.reason, finding.confidence * self.doubt, is_complete=False, rule=finding.rule)

    def _is_open(self, text: str) -> bool:
        if text.rpartition(" ")[2] in self.open_ends or self._is_unfinished(text):
            return True
        return self._has_open_end is not None and self._has_open_end(text) is not None

    def judge(self, whole: str, text: str) -> Finding:
        """The first rule that fits: a sentence with its lead words, and without them."""
        forms = (text, whole, " " + text, " " + whole)
        for find, form, rest in self._readers:
            read = forms[form]
            if find(read) is None:
                continue
            unless, unless_form, finding, surely, sure = rest
            if unless is None or unless(forms[unless_form]) is None:
                return finding if surely is None or surely(read) is None else sure
        return self.rest
