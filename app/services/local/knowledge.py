"""The folder of documents as a full-text index: read once, then searched."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from math import log, sqrt
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from app.errors import StartError
from app.services.local.documents import documents
from app.services.local.passages import split_markdown, split_plain
from app.services.local.terms import text_terms

logger = logging.getLogger(__name__)

PROGRESS_FILES = 500
LEAST_TERMS = 3
MOST_RANKED = 5_000


class Passage(NamedTuple):
    """`source` is the file's path in the folder, `heading` the path of headings in the file, or empty."""

    source: str
    heading: str
    text: str

    @property
    def title(self) -> str:
        return self.heading or PurePosixPath(self.source).stem


class Knowledge:
    """The indexed passages. One thread at a time: the connection is shared, not locked."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._passages_with: Counter[str] = Counter()
        self.size = 0
        # Contentless: the terms are made here, because the tokenizers of SQLite cannot find a Chinese word of
        # two characters. `ascii` splits at spaces and leaves everything beyond ASCII alone.
        connection.executescript(
            """
            CREATE TABLE passages (id INTEGER PRIMARY KEY, source TEXT, heading TEXT, text TEXT);
            CREATE VIRTUAL TABLE search USING fts5 (terms, content = '', tokenize = 'ascii');
            """
        )

    def add(self, passage: Passage) -> None:
        self.size += 1
        # Each once: in a text of this size it says nothing how often a word comes up.
        terms = set(text_terms(f"{passage.title}\n{passage.text}"))
        self._passages_with.update(terms)
        self._connection.execute("INSERT INTO passages VALUES (?, ?, ?, ?)", (self.size, *passage))
        self._connection.execute("INSERT INTO search (rowid, terms) VALUES (?, ?)", (self.size, " ".join(terms)))

    def weight(self, term: str) -> float | None:
        """How much a term tells passages apart, as BM25 reckons; nothing for one that stands nowhere.

        The square root keeps one rare word from outweighing all the others of a question.
        """
        having = self._passages_with.get(term)
        return sqrt(log(1 + (self.size - having + 0.5) / (having + 0.5))) if having else None

    def search(self, terms: Iterable[str], limit: int) -> list[Passage]:
        """The passages with any of the terms, best first."""
        # Terms hold letters and digits only; the quotes keep words like NEAR from being operators.
        query = " OR ".join(f'"{term}"' for term in self._telling(terms))
        if not query:
            return []
        rows = self._connection.execute(
            "SELECT source, heading, text FROM passages JOIN ("
            " SELECT rowid AS id, rank AS score FROM search WHERE search MATCH ? ORDER BY rank LIMIT ?"
            ") USING (id) ORDER BY score",
            (query, limit),
        )
        return [Passage(*row) for row in rows]

    def _telling(self, terms: Iterable[str]) -> list[str]:
        """The rarest of the terms. SQLite ranks every passage that has one: their number is the time it takes."""
        known = sorted((self._passages_with[term], term) for term in terms if term in self._passages_with)
        ranked = accumulate(having for having, _ in known)
        return [
            term
            for number, ((_, term), passages) in enumerate(zip(known, ranked, strict=True))
            if number < LEAST_TERMS or passages <= MOST_RANKED
        ]


def index_folder(knowledge: Knowledge, folder: Path, is_cancelled: Callable[[], bool]) -> None:
    """Add every document below `folder`. Raises `StartError` if that is no folder."""
    if not os.path.isdir(folder):
        problem = "is not a folder" if os.path.exists(folder) else "does not exist"
        raise StartError("KNOWLEDGE_DIR", f"{folder} {problem}")
    started = time.monotonic()
    files = skipped = 0
    for document in documents(folder):
        if document.text is None:
            skipped += 1
            continue
        for passage in _passages(document.source, document.text):
            if is_cancelled():
                return
            knowledge.add(passage)
        files += 1
        if files % PROGRESS_FILES == 0:
            logger.info("Indexing %s: %d files, %d passages so far", folder, files, knowledge.size)
    if not knowledge.size:
        logger.warning("KNOWLEDGE_DIR: %s holds no text, so every question goes unanswered", folder)
    milliseconds = (time.monotonic() - started) * 1000
    logger.info(
        "Indexed %s: %d files, %d passages, %d skipped, %.0f ms",
        folder,
        files,
        knowledge.size,
        skipped,
        milliseconds,
    )


def _passages(source: str, text: str) -> Iterator[Passage]:
    sections = split_plain(text) if source.lower().endswith(".txt") else split_markdown(text)
    for headings, section in sections:
        yield Passage(source, " › ".join(headings), section)
