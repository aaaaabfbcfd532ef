"""Vectors of the passages in an index, kept beside them: what is near to a question in meaning."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from math import hypot
from operator import mul
from threading import RLock
from typing import NamedTuple

from app.services.local.reader import title_of


class Text(NamedTuple):
    """A passage by its number in the index."""

    id: int
    title: str
    text: str


class Vectors:
    """The vectors that one model has made, of length 1; empty for a passage that it does not take."""

    def __init__(self, connection: sqlite3.Connection, lock: RLock, model: str) -> None:
        self._connection = connection
        self._lock = lock
        with lock:
            connection.executescript(
                """
                CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, model TEXT, vector BLOB);
                CREATE TRIGGER IF NOT EXISTS forget AFTER DELETE ON passages BEGIN
                    DELETE FROM vectors WHERE id = OLD.id;
                END;
                """
            )
            connection.execute("DELETE FROM vectors WHERE model IS NOT ?", (model,))
            connection.commit()
        self._model = model

    def missing(self, after: int, limit: int) -> list[Text]:
        """The next passages without a vector, of those that are shown."""
        select = (
            "SELECT passages.id, files.source, heading, text FROM passages JOIN files ON files.id = file"
            " LEFT JOIN vectors ON vectors.id = passages.id"
            " WHERE passages.id > ? AND vectors.id IS NULL ORDER BY passages.id LIMIT ?"
        )
        with self._lock:
            rows = self._connection.execute(select, (after, limit)).fetchall()
        return [Text(id_, title_of(source, heading), text) for id_, source, heading, text in rows]

    def keep(self, vectors: Iterable[tuple[Text, Sequence[float]]]) -> None:
        # A number may have gone to another passage meanwhile.
        insert = "INSERT OR REPLACE INTO vectors SELECT id, ?, ? FROM passages WHERE id = ? AND text = ?"
        rows = [(self._model, _unit(vector).tobytes(), text.id, text.text) for text, vector in vectors]
        with self._lock:
            is_written_to = self._connection.in_transaction  # then whoever writes says when that is whole
            self._connection.executemany(insert, rows)
            if not is_written_to:
                self._connection.commit()

    def nearness(self, ids: Sequence[int], vector: Sequence[float]) -> dict[int, float]:
        """How near each of these passages is, 1 at most; without those whose vector is not known."""
        wanted = _unit(vector)
        select = f"SELECT id, vector FROM vectors WHERE id IN ({', '.join('?' * len(ids))})"
        with self._lock:
            rows = self._connection.execute(select, ids).fetchall()
        known = {id_: array("f", each) for id_, each in rows if len(each) == len(wanted) * wanted.itemsize}
        return {id_: sum(map(mul, each, wanted)) for id_, each in known.items()}

    def has_any(self, ids: Sequence[int]) -> bool:
        select = f"SELECT 1 FROM vectors WHERE id IN ({', '.join('?' * len(ids))}) AND length(vector) LIMIT 1"
        with self._lock:
            return self._connection.execute(select, ids).fetchone() is not None


def _unit(vector: Sequence[float]) -> array[float]:
    length = hypot(*vector) or 1.0
    return array("f", [each / length for each in vector])
