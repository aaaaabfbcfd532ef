"""The folder of documents as a full-text index: read once, then searched."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from math import log
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from app.errors import StartError
from app.services.local.documents import Document, documents
from app.services.local.formats import PLAIN
from app.services.local.passages import split_markdown, split_plain
from app.services.local.terms import text_terms

logger = logging.getLogger(__name__)

PROGRESS_FILES = 500
UNREAD_KINDS = 10
LEAST_TERMS = 3
MOST_RANKED = 5_000
SEPARATOR = " › "  # between the headings of a path


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
        self._terms = 0
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
        terms = text_terms(f"{passage.title}\n{passage.text}")
        self._terms += len(terms)
        self._passages_with.update(set(terms))
        self._connection.execute("INSERT INTO passages VALUES (?, ?, ?, ?)", (self.size, *passage))
        self._connection.execute("INSERT INTO search (rowid, terms) VALUES (?, ?)", (self.size, " ".join(terms)))

    @property
    def usual_length(self) -> float:
        """Terms of a passage, on average."""
        return self._terms / (self.size or 1)

    def weight(self, term: str) -> float | None:
        """How much a term tells passages apart, as BM25 reckons; nothing for one that stands nowhere."""
        having = self._passages_with.get(term)
        return log(1 + (self.size - having + 0.5) / (having + 0.5)) if having else None

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
    files = 0
    unread: Counter[str] = Counter()
    for document in documents(folder):
        if document.text is None:
            unread[document.suffix or "without a suffix"] += 1
            continue
        for passage in _passages(document, document.text):
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
        "Indexed %s: %d files, %d passages, %.0f ms; not read: %s",
        folder,
        files,
        knowledge.size,
        milliseconds,
        ", ".join(f"{number} {kind}" for kind, number in unread.most_common(UNREAD_KINDS)) or "none",
    )


def _passages(document: Document, text: str) -> Iterator[Passage]:
    sections = split_plain(text) if document.suffix in PLAIN else split_markdown(text)
    for headings, section in sections:
        yield Passage(document.source, SEPARATOR.join(headings), section)
