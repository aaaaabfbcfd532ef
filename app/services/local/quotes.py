"""Which sentences of which passages answer a question, or that none do."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from app.services.local.knowledge import Knowledge, Passage
from app.services.local.passages import sentences
from app.services.local.terms import question_words, text_terms

# A text fits when more than half of the question's weight is found in it. Not exactly half: of "the capital of
# France" a text about capital letters has one word of two.
FITS = 0.5
# Talk before the question is part of its text. So any ending may be the question, down to the last three words:
# shorter ones are found everywhere. Of three words or more, two must be found, however rare one of them is.
ENDING_WORDS = 3
MATCHING_WORDS = 2
# A heading says what a text is about: "shipping cost" is answered below "Shipping", whatever words are used there.
HEADING_BONUS = 1.5
CANDIDATES = 12  # passages of the full-text search that are judged
FEW_WORDS = 8  # of a question without talk before it
MAX_QUOTES = 3
BESIDE_THE_BEST = 0.75  # of the best score, for another passage
SECOND_SENTENCE = 0.25  # of the question's weight, that the first one lacks


class Quote(NamedTuple):
    """Sentences of a passage in their order there. `score` is between 0 and 1."""

    passage: Passage
    sentences: tuple[str, ...]
    score: float


class _Need(NamedTuple):
    """A word of the question and how much it matters."""

    terms: tuple[str, ...]
    weight: float
    size: float


class _Share(NamedTuple):
    """How much of the question's weight is found: of all of it, and of the ending that is found best."""

    whole: float
    ending: float
    words: float

    @property
    def score(self) -> float:
        return (self.whole + self.ending) / 2


def find_quotes(knowledge: Knowledge, question: str) -> list[Quote]:
    """The passages that fit, best first; none when all have too little of the question."""
    needs = _needs(knowledge, question)
    judged = [_quote(passage, needs) for passage in _candidates(knowledge, needs)]
    quotes: dict[tuple[str, ...], Quote] = {}  # the same sentences may stand in several files
    for quote in sorted(filter(None, judged), key=lambda quote: -quote.score):
        quotes.setdefault(quote.sentences, quote)
    best = max((quote.score for quote in quotes.values()), default=0)
    return [quote for quote in quotes.values() if quote.score >= best * BESIDE_THE_BEST][:MAX_QUOTES]


def _needs(knowledge: Knowledge, question: str) -> list[_Need]:
    words = question_words(question)
    # Of the pairs around a character, the commonest one is the word; the other may be there by chance.
    known = [[weight for term in word.terms if (weight := knowledge.weight(term)) is not None] for word in words]
    weights = [min(weights) for weights in known if weights]
    # A word that stands nowhere is either another way to say it or another topic: it counts like the others.
    usual = sum(weights) / len(weights) if weights else 0
    return [
        _Need(word.terms, min(weights, default=usual) * word.size, word.size)
        for word, weights in zip(words, known, strict=True)
    ]


def _candidates(knowledge: Knowledge, needs: Sequence[_Need]) -> list[Passage]:
    found = knowledge.search(_terms(needs), CANDIDATES)
    if len(needs) > FEW_WORDS:
        # Once more, because the talk before a short question would crowd out what has only the question.
        found += knowledge.search(_terms(needs[-FEW_WORDS:]), CANDIDATES)
    return list(dict.fromkeys(found))


def _terms(needs: Sequence[_Need]) -> set[str]:
    return {term for need in needs for term in need.terms}


def _quote(passage: Passage, needs: Sequence[_Need]) -> Quote | None:
    """The best sentences of a passage, or nothing if it does not fit."""
    units = sentences(passage.text)
    if not units:
        return None
    topic = set(text_terms(passage.title))
    terms = [set(text_terms(unit)) for unit in units]
    chosen = _choose(needs, terms)
    passage_share = _share(needs, set().union(*terms), topic)
    # Words that stand close together mean more than the same words all over a passage.
    quoted_share = _share(needs, set().union(*(terms[i] for i in chosen)), topic)
    if (passage_share.ending + quoted_share.ending) / 2 <= FITS or passage_share.words < _least_words(needs):
        return None
    score = (passage_share.score + quoted_share.score) / 2
    return Quote(passage, tuple(units[i] for i in chosen), score)


def _least_words(needs: Sequence[_Need]) -> float:
    return MATCHING_WORDS if sum(need.size for need in needs) >= ENDING_WORDS else 0


def _choose(needs: Sequence[_Need], units: Sequence[AbstractSet[str]]) -> list[int]:
    """The sentence with most of the question, and one more if that has much of what is missing."""
    best = max(range(len(units)), key=lambda i: _share(needs, units[i]).score)
    missing = [need for need in needs if units[best].isdisjoint(need.terms)]
    if len(missing) == len(needs):
        return [0, 1][: len(units)]  # only the heading fits: it means what follows
    gains = [sum(need.weight for need in missing if not unit.isdisjoint(need.terms)) for unit in units]
    second = max(range(len(units)), key=gains.__getitem__)
    is_worth_it = gains[second] > SECOND_SENTENCE * sum(need.weight for need in needs)
    return sorted((best, second)) if is_worth_it else [best]


def _share(needs: Sequence[_Need], terms: AbstractSet[str], topic: AbstractSet[str] = frozenset()) -> _Share:
    asked = found = size = words = ending = 0.0
    for need in reversed(needs):
        is_topic = not topic.isdisjoint(need.terms)
        asked += need.weight
        size += need.size
        if is_topic or not terms.isdisjoint(need.terms):
            found += need.weight * (HEADING_BONUS if is_topic else 1)
            words += need.size
        if size >= ENDING_WORDS:
            ending = max(ending, found / asked)
    whole = min(found / asked, 1)
    return _Share(whole, min(max(ending, whole), 1), words)
