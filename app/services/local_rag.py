"""The embedded provider: answers with what is quoted from a folder of documents, without any model."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from functools import partial
from itertools import count

from app.config import OWN_DOCS, Settings
from app.errors import RagUnavailable
from app.models.answers import SNIPPET_CHARS, AnswerEnd, AnswerEvent, Question, Source, TextDelta
from app.services.local.knowledge import Knowledge, index_folder
from app.services.local.quotes import Quote, find_quotes
from app.services.local.terms import has_han
from app.services.rag import Offers

NOTHING_FITS = "Nothing in the knowledge base fits this question."
NOTHING_FITS_ZH = "知识库中没有与这个问题相符的内容。"
SHOWN = 2  # quotes; the others stand under the sources


class LocalRag:
    """Answers from an index. All sessions share its one thread: a question takes milliseconds."""

    def __init__(self, knowledge: Knowledge, thread: ThreadPoolExecutor, *, says_nothing_found: bool = True) -> None:
        self.offers = Offers(is_stateless=True, is_indexed=knowledge.size > 0)
        self._knowledge = knowledge
        self._says_nothing_found = says_nothing_found
        self._thread = thread

    async def passages(self, question: Question) -> list[Quote]:
        """What may hold the answer, best first: more than what is quoted, for somebody who can tell."""
        return await self._find(question, is_generous=True)

    async def query(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        quotes = await self._find(question)
        for text in _answer(quotes[:SHOWN]) if quotes else nothing_fits(question.text, self._says_nothing_found):
            yield TextDelta(text)
        yield AnswerEnd(sources=tuple(map(source_of, quotes, count(1))), found=bool(quotes))

    async def _find(self, question: Question, *, is_generous: bool = False) -> list[Quote]:
        find = partial(find_quotes, self._knowledge, question.text, question.context, is_generous=is_generous)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, find)
        except (sqlite3.Error, RuntimeError) as error:  # RuntimeError: the thread has ended
            raise RagUnavailable(f"the index cannot be searched: {error}") from error


@asynccontextmanager
async def open_local(settings: Settings) -> AsyncIterator[LocalRag]:
    """Index `knowledge_dir`, else `docs`, then answer from it. Raises `StartError` if that is no folder."""
    ended = threading.Event()
    with (
        # Made here, used by the one thread, and closed when that has ended: never used by two at once.
        closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-rag") as thread,
    ):
        knowledge = Knowledge(connection)
        index = partial(index_folder, knowledge, settings.knowledge_dir or OWN_DOCS, ended.is_set)
        try:
            await asyncio.get_running_loop().run_in_executor(thread, index)
            yield LocalRag(knowledge, thread, says_nothing_found=settings.nothing_found == "say")
        finally:
            ended.set()  # a start that is given up need not wait for the whole folder


def _answer(quotes: Iterable[Quote]) -> Iterator[str]:
    """Block quotes in Markdown, each with its place below."""
    gap = ""
    for quote in quotes:
        lines = quote.marked.splitlines()
        yield gap + "\n".join(f"> {line}" if line.strip() else ">" for line in lines)
        passage = quote.passage
        yield f"\n\n— {passage.source}" + (f" § {passage.heading}" if passage.heading else "")
        gap = "\n\n"


def nothing_fits(question: str, is_said: bool) -> list[str]:
    """What is answered when nothing fits."""
    return [NOTHING_FITS_ZH if has_han(question) else NOTHING_FITS] if is_said else []


def source_of(quote: Quote, position: int) -> Source:
    return Source(
        position=position,
        title=quote.passage.title,
        source=quote.passage.source,
        score=round(quote.score, 3),
        snippet=quote.text[:SNIPPET_CHARS],
    )
