"""What was said in a talk, searched beside the index of a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set

from app.models.answers import TALK, Said
from app.services.local.knowledge import Knowledge, Passage, weight
from app.services.local.terms import text_terms


class WithTalk:
    """`Knowledge` with one passage more for each final of a talk that has any of these terms, questions left out.

    The others count for nothing: however much is said beside the point, a question is answered as without it.
    """

    def __init__(self, knowledge: Knowledge, talk: Sequence[Said], wanted: Set[str]) -> None:
        self.lock = knowledge.lock
        self._knowledge = knowledge
        self._lines: list[tuple[Passage, frozenset[str]]] = []
        self._having: Counter[str] = Counter()
        terms = 0
        for said in talk:
            text = said.text.replace(said.question, "", 1).strip() if said.question else said.text
            found = text_terms(f"{said.speaker or TALK}\n{text}")
            if text and not wanted.isdisjoint(found):
                self._lines.append((Passage(TALK, said.speaker or TALK, text, said), frozenset(found)))
                self._having.update(self._lines[-1][1])
                terms += len(found)
        self._passages = knowledge.rows + len(self._lines)
        self.usual_length = (knowledge.terms + terms) / (knowledge.size + len(self._lines) or 1)

    def weight(self, term: str) -> float | None:
        return weight(self._knowledge.passages_with(term) + self._having[term], self._passages)

    def search(self, terms: Iterable[str], limit: int) -> list[Passage]:
        """The best of the folder, and the best of the talk, the latest first among equals."""
        wanted = {term: self.weight(term) or 0 for term in terms}
        worth = [(sum(wanted[term] for term in found & wanted.keys()), at) for at, (_, found) in enumerate(self._lines)]
        best = sorted((each for each in worth if each[0]), reverse=True)[:limit]
        return [*self._knowledge.search(wanted, limit), *(self._lines[at][0] for _, at in best)]
