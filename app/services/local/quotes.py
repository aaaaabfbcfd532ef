"""Which parts of which passages answer a question, or that none do."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, compress, pairwise, starmap
from math import exp
from typing import Literal, NamedTuple

from app.models.answers import Said
from app.services.local.knowledge import SEPARATOR, Knowledge, Passage
from app.services.local.leaning import points, without_courtesies
from app.services.local.passages import Unit, units
from app.services.local.spoken import WithTalk
from app.services.local.terms import has_han, question_words, text_terms

# What a passage is told by, and how much each weighs in the chance that it answers: fitted on questions with known
# answers and on others whose topic is nowhere in the folder.
CHANCE = -5.2
BM25, SENTENCE, WINDOW, NEAR, HEADING, WORD, UNKNOWN = 2.9, 3.7, 2.0, 1.8, 2.0, 0.26, -1.5
MOST_WORDS = 6  # more do not make it any likelier
NEAR_TERMS = 6  # between two words that belong together
WINDOW_UNITS = 3

FITS = 0.30
FITS_HAN = 0.45  # Chinese characters are found everywhere
FIRST_CHARS = 600
OTHER_CHARS = 250
# Talk before a question that says next to nothing by itself counts half, and else not at all.
FEW_WORDS = 2
TALK = 0.5


class Quote(NamedTuple):
    """What stands around the unit `best` of a passage, in its order there. `score` is the chance that it answers."""

    passage: Passage
    units: tuple[Unit, ...]
    best: Unit
    score: float

    @property
    def text(self) -> str:
        return _joined(self.units, [unit.text for unit in self.units])

    @property
    def marked(self) -> str:
        """The text in Markdown, with its best part in bold where there are others."""
        if len(self.units) == 1 or self.best.is_code:
            return self.text
        return _joined(self.units, [_bold(unit.text) if unit is self.best else unit.text for unit in self.units])


def _joined(parts: Sequence[Unit], texts: Sequence[str]) -> str:
    return "".join(part.before + text for part, text in zip(parts, texts, strict=True)).strip()


def _bold(text: str) -> str:
    # Without the mark at its end: after a Chinese one the asterisks would not count.
    line, gap, rest = text.partition("\n")
    words = line.rstrip(".!?:;。！？：；”’」』）")
    return f"**{words}**{line[len(words) :]}{gap}{rest}"


Searched = Knowledge | WithTalk


class _Need(NamedTuple):
    """A word of the question and how much it matters."""

    terms: tuple[str, ...]
    weight: float
    size: float


class _Limits(NamedTuple):
    """`fits`: of the chance from which on something is quoted. `beside`: of the best chance, for another passage; none:
    any will do beside one that fits. `candidates`: passages of the full-text search that are judged.
    """

    fits: float
    beside: float | None
    quotes: int
    candidates: int = 12


Wanted = Literal["quotes", "passages", "candidates"]
LIMITS: dict[Wanted, _Limits] = {
    "quotes": _Limits(fits=1, beside=0.7, quotes=3),
    "passages": _Limits(fits=0.5, beside=0, quotes=5),  # for a model, which can still refuse
    "candidates": _Limits(fits=0.5, beside=None, quotes=30, candidates=30),  # to be ranked by somebody else
}
"""What somebody may want to find."""


class _Judged(NamedTuple):
    passage: Passage
    units: list[Unit]
    best: int
    rank: float
    chance: float


def find_quotes(
    knowledge: Knowledge,
    question: str,
    context: str = "",
    *,
    leans_on: str = "",
    talk: Sequence[Said] = (),
    wanted: Wanted = "quotes",
) -> list[Quote]:
    """The passages that fit, best first; none when no one is likely to answer.

    The question decides. One that `leans_on` what was said is asked alone and with that, and the surer answer counts.
    Talk before it, the `context`, only helps another one that says next to nothing. `talk` is searched like the folder.
    """
    limits = LIMITS[wanted]
    least = (FITS_HAN if has_han(question) else FITS) * limits.fits
    leads = without_courtesies(leans_on)
    whole = f"{leads} {question}"
    with knowledge.lock:
        searched = WithTalk(knowledge, talk, _terms(whole)) if talk else knowledge
        needs, unknown = _needs(searched, question)
        quotes = _quotes(searched, needs, unknown, least, limits)
        if leads:
            led = _quotes(searched, *_needs(searched, whole), least, limits)
            first, other = (led, quotes) if _sureness(led) > _sureness(quotes) else (quotes, led)
            quotes = first if wanted == "quotes" else _all_of(first, other, limits)  # a model can still tell
        # One that names something stays about that, whatever was said before.
        says_little = sum(need.size for need in needs) < FEW_WORDS and (not needs or points(question))
        said = "" if leans_on else without_courtesies(context)
        if quotes or not said or not says_little:
            return quotes
        # In the folder alone: what leads to the question would answer it.
        return _quotes(knowledge, [*_halves(knowledge, said), *needs], unknown, least, limits)


def _terms(text: str) -> set[str]:
    return {term for word in question_words(text) for term in word.terms}


def _sureness(quotes: Sequence[Quote]) -> float:
    return quotes[0].score if quotes else 0


def _halves(knowledge: Knowledge, said: str) -> list[_Need]:
    needs, _ = _needs(knowledge, said)
    return [need._replace(weight=need.weight * TALK, size=need.size * TALK) for need in needs]


def _all_of(first: Iterable[Quote], others: Iterable[Quote], limits: _Limits) -> list[Quote]:
    quotes: dict[str, Quote] = {}
    for quote in chain(first, others):
        quotes.setdefault(quote.text, quote)
    return [*quotes.values()][: limits.quotes]


def _quotes(knowledge: Searched, needs: Sequence[_Need], unknown: float, least: float, limits: _Limits) -> list[Quote]:
    candidates = knowledge.search((term for need in needs for term in need.terms), limits.candidates)
    judged = [found for passage in candidates if (found := _judge(knowledge, passage, needs, unknown))]
    judged.sort(key=lambda found: -found.rank)
    if limits.beside is None and any(found.chance > least for found in judged):
        least = 0
    quotes: dict[str, Quote] = {}  # the same words may stand in several files
    for found in judged:
        if found.chance > least:
            around = _around(found, OTHER_CHARS if quotes else FIRST_CHARS)
            quote = Quote(found.passage, around, found.units[found.best], found.chance)
            quotes.setdefault(quote.text, quote)
            least = max(quote.score * (limits.beside or 0), least)
    return [*quotes.values()][: limits.quotes]


def _needs(knowledge: Searched, question: str) -> tuple[list[_Need], float]:
    """The words of a question, and the share of its weight that stands nowhere in the folder."""
    words = question_words(question)
    # Of the pairs around a character, the commonest one is the word; the other may be there by chance.
    known = [[weight for term in word.terms if (weight := knowledge.weight(term)) is not None] for word in words]
    weights = [min(weights) for weights in known if weights]
    # A word that stands nowhere is either another way to say it or another topic: it counts like the others.
    usual = sum(weights) / len(weights) if weights else 0
    needs = [
        _Need(word.terms, min(weights, default=usual) * word.size, word.size)
        for word, weights in zip(words, known, strict=True)
    ]
    unknown = sum(need.weight for need, weights in zip(needs, known, strict=True) if not weights)
    return needs, unknown / (sum(need.weight for need in needs) or 1)


def _judge(knowledge: Searched, passage: Passage, needs: Sequence[_Need], unknown: float) -> _Judged | None:
    parts = units(passage.text)
    if not parts:
        return None
    wanted = {term for need in needs for term in need.terms}
    terms = [text_terms(part.text) for part in parts]
    whole_text = [*text_terms(passage.title), *chain.from_iterable(terms)]
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, term in enumerate(whole_text):
        if term in wanted:
            places[term].append(place)
    found = [sorted(chain.from_iterable(places.get(term, ()) for term in need.terms)) for need in needs]
    weights = [need.weight for need in needs]
    whole = sum(weights)
    half = 1.2 * (0.25 + 0.75 * len(whole_text) / knowledge.usual_length)
    bm25 = sum(weight * len(at) / (len(at) + half) for weight, at in zip(weights, found, strict=True)) / whole
    pairs = [sum(pair) for pair in pairwise(weights)]
    near = sum(compress(pairs, starmap(_are_near, pairwise(found)))) / (sum(pairs) or 1)
    there = [wanted.intersection(each) for each in terms]
    shares = [_share(needs, each) / whole for each in there]
    best = max(range(len(parts)), key=shares.__getitem__)
    # A heading says what all below it is about.
    heading = passage.title.rpartition(SEPARATOR)[2]
    topic = wanted.intersection(text_terms(heading))
    # A speaker speaks of many things.
    names = {term for word in question_words(heading) for term in word.terms} if passage.said is None else set()
    named = len(names & wanted) / (len(names) or 1)
    score = (
        CHANCE
        + BM25 * bm25
        + SENTENCE * max(_share(needs, topic | each) for each in there) / whole
        + WINDOW * max(_share(needs, topic.union(*there[i : i + WINDOW_UNITS])) for i in range(len(there))) / whole
        + NEAR * near
        + HEADING * named
        + WORD * min(sum(need.size for need, at in zip(needs, found, strict=True) if at), MOST_WORDS)
        + UNKNOWN * unknown
    )
    rank = 2 * bm25 + shares[best] + near / 2 + named / 2
    return _Judged(passage, parts, best, rank, 1 / (1 + exp(-score)))


def _share(needs: Sequence[_Need], there: set[str]) -> float:
    return sum(need.weight for need in needs if not there.isdisjoint(need.terms))


def _are_near(places: Sequence[int], others: Sequence[int]) -> bool:
    return any(
        at < len(others) and others[at] <= place + NEAR_TERMS
        for place in places
        for at in (bisect_left(others, place - NEAR_TERMS),)
    )


def _around(found: _Judged, limit: int) -> tuple[Unit, ...]:
    """The best unit with what stands around it, as much as fits; code never without what it is about."""
    start, end = found.best, found.best + 1
    parts = found.units
    room = limit - len(parts[start].text)
    grown = True
    while grown:
        grown = False
        for at in (end, start - 1):
            if 0 <= at < len(parts) and len(parts[at].text) <= room:
                room -= len(parts[at].text)
                start, end = min(start, at), max(end, at + 1)
                grown = True
    if parts[start].is_code and start:
        start -= 1
    return tuple(parts[start:end])
