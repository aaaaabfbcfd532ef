"""The passages of a folder as a full-text index."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import accumulate, islice
from math import log
from typing import NamedTuple

from app.models.answers import Said
from app.services.local.documents import Sign
from app.services.local.reader import SEPARATOR, Row, terms_of, title_of
from app.services.local.unreadable import Unreadable
from app.services.local.vectors import Vectors

__all__ = ["SEPARATOR", "File", "Knowledge", "Passage"]

LEAST_TERMS = 3
MOST_RANKED = 2_500
MOST_TERMS = 8
MOST_TOGETHER = 5_000
MOST_PASSED = 30_000
MOST_KEPT = 50_000  # frequencies of terms
SLICE = 50  # passages that are written at a time, while questions wait
PAUSE = 0.001  # seconds; a lock that is taken again at once would leave nothing to others


def weight(having: int, passages: int) -> float | None:
    """How much a term tells passages apart that so many of them have, as BM25 reckons; nothing for none."""
    return log(1 + (passages - having + 0.5) / (having + 0.5)) if having else None


class _Query(NamedTuple):
    """`share` of the passages to look at, the latest, where all would be too many."""

    match: str
    share: float = 1


def _queries(known: Sequence[tuple[int, str]], passages: int) -> Iterator[_Query]:
    """What to look for, until something is found. `known` are terms and how many passages have each, the rarest first.

    It takes SQLite a microsecond to rank a passage that matches, and a tenth to pass one by. So those with one of the
    rarest terms are ranked, and, where these are few, those with all of some commoner ones.
    """
    numbers = [having for having, _ in known]
    # Terms hold letters and digits only; the quotes keep words like NEAR from being operators.
    quoted = [f'"{term}"' for _, term in known]
    rare = sum(ranked <= MOST_RANKED for ranked in accumulate(numbers))
    end, expected = rare, float(passages)
    while rare < LEAST_TERMS and end < len(known) and expected > MOST_RANKED:
        expected *= numbers[end] / passages
        end += 1
    together = " AND ".join(quoted[rare:end])
    # However often they stand together after all, no more are ranked than the rarest of them has.
    share = min(1.0, MOST_TOGETHER / numbers[rare]) if together else 1.0
    if rare:
        passed = sum(having <= MOST_PASSED for having in accumulate(numbers))
        wanted = quoted[:rare]
        if together and expected <= MOST_RANKED and end <= passed and share == 1:
            wanted.append(f"({together})")
        # The other terms that a passage has count, too, as long as they are few.
        counted = quoted[: passed if rare < MOST_TERMS else 0]
        yield _Query(f"({' OR '.join(wanted)})" + (f" AND ({' OR '.join(counted)})" if counted else ""))
    elif together:
        yield _Query(together, share)
    if together:
        yield _Query(quoted[rare], share)


class Passage(NamedTuple):
    """`source` is the file's path in the folder, `heading` the path of headings in the file, or empty.

    What stands in no file was `said` in the talk; then the heading is the speaker.
    """

    source: str
    heading: str
    text: str
    said: Said | None = None
    id: int = 0

    @property
    def title(self) -> str:
        return title_of(self.source, self.heading)


class File(NamedTuple):
    """One version of a file in the index."""

    id: int
    source: str
    sign: Sign
    passages: int
    terms: int


class Knowledge:
    """The indexed passages: one thread writes, others search.

    What is written is found by nobody before `show`, which changes all at once. The writer takes the lock for a few
    milliseconds at a time; whoever holds `lock` finds the same all the while.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.lock = threading.RLock()
        self.size = 0
        self._terms = 0
        self._shown: dict[int, File] = {}
        self._files = 0
        # Those that are not shown are among them.
        self._rows = 0
        self._having: dict[str, int] = {}  # passages with a term, as far as that was asked
        # The terms are made elsewhere, because the tokenizers of SQLite cannot find a Chinese word of two characters.
        # `ascii` splits at spaces and leaves everything beyond ASCII alone. The index does not store them, nor the
        # length of each passage: looking it up was three quarters of a search, and passages are about equally long.
        connection.executescript(
            """
            CREATE TABLE IF NOT EXISTS files (
                id INTEGER PRIMARY KEY, source TEXT, changed INTEGER, size INTEGER, inode INTEGER,
                passages INTEGER, terms INTEGER
            );
            CREATE TABLE IF NOT EXISTS passages (id INTEGER PRIMARY KEY, file INTEGER, heading TEXT, text TEXT);
            CREATE INDEX IF NOT EXISTS by_file ON passages (file);
            CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5 (
                terms, content = '', tokenize = 'ascii', columnsize = 0
            );
            CREATE VIRTUAL TABLE IF NOT EXISTS terms USING fts5vocab (search, row);
            """
        )
        self._load()

    def close(self) -> None:
        self._connection.close()

    def vectors(self, model: str) -> Vectors:
        return Vectors(self._connection, self.lock, model)

    # Writing

    @property
    def files(self) -> Mapping[str, File]:
        """What is shown, by its source."""
        return {file.source: file for file in self._shown.values()}

    def add(self, source: str, sign: Sign, rows: Iterable[Row]) -> File:
        """Write a version of a file. It is not shown yet, and nothing is left of it if `rows` raises `Unreadable`."""
        self._files += 1
        file = File(self._files, source, sign, 0, 0)
        each = iter(rows)
        try:
            while slice_ := list(islice(each, SLICE)):
                self._write(file.id, slice_)
                terms = sum(row.terms.count(" ") + 1 for row in slice_)
                file = file._replace(passages=file.passages + len(slice_), terms=file.terms + terms)
        except Unreadable:
            self._remove(file)
            raise
        return file

    def show(self, added: Collection[File], removed: Collection[File] = ()) -> None:
        """Show what was added, and no more what is removed."""
        with self.lock:
            for file in removed:
                del self._shown[file.id]
                self.size -= file.passages
                self._terms -= file.terms
            for file in added:
                self._take(file)
        for file in removed:
            self._remove(file)
        rows = [(file.id, file.source, *file.sign, file.passages, file.terms) for file in added]
        with self.lock:
            self._connection.executemany("DELETE FROM files WHERE id = ?", [(file.id,) for file in removed])
            self._connection.executemany("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._connection.commit()

    def _take(self, file: File) -> None:
        self._shown[file.id] = file
        self.size += file.passages
        self._terms += file.terms

    def undo(self) -> None:
        """Go back to how it was when something was shown last."""
        with self.lock:
            self._connection.rollback()
            self._load()

    def _load(self) -> None:
        self._shown.clear()
        self._having.clear()
        self.size = self._terms = 0
        for id_, source, changed, size, inode, passages, terms in self._connection.execute("SELECT * FROM files"):
            self._take(File(id_, source, (changed, size, inode), passages, terms))
        self._rows = self.size
        self._files = max(self._shown, default=0)

    def _write(self, file: int, rows: Sequence[Row]) -> None:
        with self.lock:
            ((first,),) = self._connection.execute("SELECT ifnull(max(id), 0) + 1 FROM passages")
            passages = [(id_, file, row.heading, row.text) for id_, row in enumerate(rows, first)]
            terms = [(id_, row.terms) for id_, row in enumerate(rows, first)]
            self._connection.executemany("INSERT INTO passages VALUES (?, ?, ?, ?)", passages)
            self._connection.executemany("INSERT INTO search (rowid, terms) VALUES (?, ?)", terms)
            self._rows += len(rows)
            self._having.clear()

    def _remove(self, file: File) -> None:
        find = "SELECT id, heading, text FROM passages WHERE file = ? LIMIT ?"
        forget = "INSERT INTO search (search, rowid, terms) VALUES ('delete', ?, ?)"
        while True:
            with self.lock:
                rows = self._connection.execute(find, (file.id, SLICE)).fetchall()
                if not rows:
                    return
                for id_, heading, text in rows:
                    terms = terms_of(title_of(file.source, heading), text)
                    self._connection.execute(forget, (id_, terms))
                    self._connection.execute("DELETE FROM passages WHERE id = ?", (id_,))
                self._rows -= len(rows)
                self._having.clear()
            time.sleep(PAUSE)

    # Searching

    @property
    def rows(self) -> int:
        return self._rows

    @property
    def terms(self) -> int:
        return self._terms

    @property
    def usual_length(self) -> float:
        """Terms of a passage, on average."""
        return self._terms / (self.size or 1)

    @property
    def texts(self) -> list[str]:
        """All passages, as they stand in the files."""
        with self.lock:
            rows = self._connection.execute("SELECT file, text FROM passages ORDER BY id").fetchall()
            return [text for file, text in rows if file in self._shown]

    def weight(self, term: str) -> float | None:
        return weight(self.passages_with(term), self._rows)

    def search(self, terms: Iterable[str], limit: int) -> list[Passage]:
        """The passages with any of the terms, best first."""
        with self.lock:
            known = sorted((having, term) for term in set(terms) if (having := self.passages_with(term)))
            queries = _queries(known, self._rows)
            return next(filter(None, (self._matching(query, limit) for query in queries)), [])

    def _matching(self, query: _Query, limit: int) -> list[Passage]:
        select = (
            "SELECT file, heading, text, passages.id FROM search JOIN passages ON passages.id = search.rowid"
            " WHERE search MATCH ? AND search.rowid > ? ORDER BY rank"
        )
        ((last, first),) = self._connection.execute(
            "SELECT (SELECT max(id) FROM passages), (SELECT min(id) FROM passages) - 1"
        )
        with closing(self._connection.execute(select, (query.match, last - int((last - first) * query.share)))) as rows:
            found = (
                Passage(self._shown[file].source, heading, text, id=id_)
                for file, heading, text, id_ in rows
                if file in self._shown
            )
            return list(islice(found, limit))

    def passages_with(self, term: str) -> int:
        with self.lock:
            if len(self._having) > MOST_KEPT:
                self._having.clear()
            if term not in self._having:
                found = self._connection.execute("SELECT doc FROM terms WHERE term = ?", (term,)).fetchone()
                self._having[term] = found[0] if found else 0
            return self._having[term]
