"""The embedded provider: answers with what is quoted from a folder of documents, without any model."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

from app.config import OWN_DOCS, Settings
from app.errors import RagUnavailable
from app.models.answers import SNIPPET_CHARS, AnswerEnd, AnswerEvent, Progress, Question, Source, TextDelta
from app.services.indexing import IndexState
from app.services.local.index_file import open_index
from app.services.local.indexer import Indexer
from app.services.local.knowledge import Knowledge, Passage
from app.services.local.quotes import Quote, Wanted, find_quotes
from app.services.local.terms import has_han
from app.services.local.vectors import Vectors
from app.services.rag import Offers
from app.services.sharing import Shared

Some = TypeVar("Some")

NOTHING_FITS = "Nothing in the knowledge base fits this question."
NOTHING_FITS_ZH = "知识库中没有与这个问题相符的内容。"
NOTHING_THERE = "The knowledge base is empty."
NOTHING_THERE_ZH = "知识库是空的。"
STILL_READING = "The knowledge base is still being read. Please ask again in a moment."
STILL_READING_ZH = "知识库仍在读取中，请稍后再问。"
# While the folder is read for the first time a question waits for the rest: in the first seconds, because one file
# may fit a little and a later one better; then if nothing fits.
SOON_SECONDS = 3.0
WAIT_SECONDS = 10.0
SHOWN = 2  # quotes; the others stand under the sources


class LocalRag:
    """Answers from an index. All sessions share its one thread: a question takes milliseconds."""

    def __init__(
        self, knowledge: Knowledge, index: Indexer, thread: ThreadPoolExecutor, *, is_said: bool = True
    ) -> None:
        self.index = index
        self.offers = Offers(is_stateless=True, index=index)
        self.is_complete = asyncio.Event()
        """The folder has been read for the first time."""
        self._soon = asyncio.get_running_loop().time() + SOON_SECONDS
        self._knowledge = knowledge
        self._is_said = is_said
        self._thread = thread

    async def passages(self, question: Question, wanted: Wanted = "passages") -> list[Quote]:
        """What may hold the answer, best first: more than what is quoted, for somebody who can tell."""
        return await self._find(question, wanted)

    async def texts(self) -> list[str]:
        """Everything that is answered from."""
        return await self.run(lambda: self._knowledge.texts)

    def vectors(self, model: str) -> Vectors:
        return self._knowledge.vectors(model)

    async def run(self, work: Callable[[], Some]) -> Some:
        """Do it in the thread of the index."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def query(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        state = self.index.state
        if state.is_indexing:
            yield Progress(f"reading the knowledge base, {state.share:.0%}")
        quotes = await self._find(question)
        state = self.index.state
        for text in _answer(quotes[:SHOWN]) if quotes else nothing_fits(question, self._is_said, state):
            yield TextDelta(text)
        yield AnswerEnd(sources=tuple(map(source_of, quotes, count(1))), found=bool(quotes))

    async def _find(self, question: Question, wanted: Wanted = "quotes") -> list[Quote]:
        find = partial(
            find_quotes,
            self._knowledge,
            question.itself,
            question.context,
            leans_on=question.leans_on,
            # What the question leans on would answer it; and a model gets all of the talk anyhow.
            talk=[said for said in question.talk if said.text not in question.text] if wanted == "quotes" else [],
            wanted=wanted,
        )
        try:
            is_complete = await self._is_read(self._soon)
            quotes = await self.run(find)
            if not quotes and not is_complete:  # what fits may be among what has not been read yet
                await self._is_read(asyncio.get_running_loop().time() + WAIT_SECONDS)
                quotes = await self.run(find)
            return quotes
        except (sqlite3.Error, RuntimeError) as error:  # RuntimeError: the thread has ended
            raise RagUnavailable(f"the index cannot be searched: {error}") from error

    async def _is_read(self, by: float) -> bool:
        """Whether the folder has been read, or is by then."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(by):
                await self.is_complete.wait()
        return self.is_complete.is_set()


@asynccontextmanager
async def open_local(settings: Settings, shared: Shared | None = None) -> AsyncIterator[LocalRag]:
    """Answer from `knowledge_dir`, else `docs`, which is read meanwhile. Raises `StartError` if that is no folder."""
    folder = settings.knowledge_dir or OWN_DOCS
    open_folder = partial(_open_folder, settings, folder)
    if shared is not None:
        yield await shared.once(folder, open_folder)
        return
    async with open_folder() as rag:
        yield rag


@asynccontextmanager
async def _open_folder(settings: Settings, folder: Path) -> AsyncIterator[LocalRag]:
    with (
        # Made here, used by two threads in turns, and closed when both have ended.
        closing(open_index(settings.knowledge_index, folder)) as knowledge,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-rag") as thread,
    ):
        index = Indexer(knowledge, folder, settings.knowledge_refresh_seconds)
        rag = LocalRag(knowledge, index, thread, is_said=settings.nothing_found == "say")
        loop = asyncio.get_running_loop()
        if not index.state.is_indexing:
            rag.is_complete.set()
        index.on_complete = lambda: loop.call_soon_threadsafe(rag.is_complete.set)
        index.start()
        try:
            yield rag
        finally:
            index.stop()


def _answer(quotes: Iterable[Quote]) -> Iterator[str]:
    """Block quotes in Markdown, each with its place below."""
    gap = ""
    for quote in quotes:
        lines = quote.marked.splitlines()
        yield gap + "\n".join(f"> {line}" if line.strip() else ">" for line in lines)
        yield f"\n\n— {_place(quote.passage)}"
        gap = "\n\n"


def _place(passage: Passage) -> str:
    if passage.said is not None:
        return passage.said.label
    return passage.source + (f" § {passage.heading}" if passage.heading else "")


def nothing_fits(question: Question, is_said: bool, state: IndexState | None = None) -> list[str]:
    """What is answered when nothing fits."""
    if not is_said:
        return []
    english, chinese = NOTHING_FITS, NOTHING_FITS_ZH
    if state is not None and state.is_indexing:
        english, chinese = STILL_READING, STILL_READING_ZH
    elif state is not None and not state.passages:
        english, chinese = NOTHING_THERE, NOTHING_THERE_ZH
    tag = question.answer_language.lower()
    is_chinese = tag.split("-")[0] == "zh" if tag else has_han(question.itself)
    return [chinese if is_chinese else english]


def source_of(quote: Quote, position: int) -> Source:
    if quote.passage.said is not None:
        return quote.passage.said.as_source(position, round(quote.score, 3))
    return Source(
        position=position,
        title=quote.passage.title,
        source=quote.passage.source,
        score=round(quote.score, 3),
        snippet=quote.text[:SNIPPET_CHARS],
    )
