"""Where the index lies: in memory, or in a file that outlives the process (`KNOWLEDGE_INDEX`)."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from pathlib import Path

from app.errors import StartError
from app.models import spelling
from app.services import cuts
from app.services.local import formats, knowledge, markup, pages, passages, reader, records, terms
from app.services.local.knowledge import Knowledge

logger = logging.getLogger(__name__)

APPLICATION_ID = 0x52524147
MAPPED_BYTES = 256 * 1024 * 1024
# What decides how a file is cut into passages: an index that was made by other code is made anew.
_MAKERS = (knowledge, reader, formats, markup, records, pages, passages, cuts, terms, spelling)


def open_index(path: Path | None, folder: Path) -> Knowledge:
    """The index of `folder`. Raises `StartError` for a file that is another thing, or cannot be written."""
    if path is None:
        return Knowledge(sqlite3.connect(":memory:", check_same_thread=False))
    maker = _made_by(folder)
    try:
        try:
            return _open(path, maker)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT or not _is_ours(path):
                raise
            logger.warning("KNOWLEDGE_INDEX: %s is damaged (%s): it is made anew", path, error)
            _remove(path)
            return _open(path, maker)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname != "SQLITE_BUSY":
            raise StartError("KNOWLEDGE_INDEX", f"{path} cannot be used: {error}") from error
        logger.warning("KNOWLEDGE_INDEX: %s is in use by another process: this one keeps its index in memory", path)
        return open_index(None, folder)
    except (sqlite3.DatabaseError, OSError) as error:
        raise StartError("KNOWLEDGE_INDEX", f"{path} cannot be used: {error}") from error


def _open(path: Path, maker: str) -> Knowledge:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # it holds the text of the documents
    connection = sqlite3.connect(path, timeout=0, check_same_thread=False)
    try:
        is_made = _is_made_by(maker, connection, path)
        if is_made is False:
            connection.close()
            _remove(path)
            return _open(path, maker)
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
        if is_made is None:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("CREATE TABLE about (maker TEXT)")
            connection.execute("INSERT INTO about VALUES (?)", (maker,))
            connection.commit()
        return Knowledge(connection)
    except BaseException:
        connection.close()
        raise


def _remove(path: Path) -> None:
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        each.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(72)  # the last four bytes are the application's
    return head.startswith(b"SQLite format 3\0") and head[68:] == APPLICATION_ID.to_bytes(4, "big")


def _is_made_by(maker: str, connection: sqlite3.Connection, path: Path) -> bool | None:
    """Whether it is an index that this code has made; None if there is nothing in it."""
    ((application,),) = connection.execute("PRAGMA application_id")
    ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master")
    if not tables:
        return None
    if application != APPLICATION_ID:
        raise StartError("KNOWLEDGE_INDEX", f"{path} is another program's")
    return bool(connection.execute("SELECT maker FROM about").fetchone() == (maker,))


def _made_by(folder: Path) -> str:
    digest = hashlib.sha256(os.fsencode(os.path.realpath(folder)))
    for module in _MAKERS:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()
