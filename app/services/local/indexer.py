"""Keeps the index like the folder: reads it in the background, then looks again and again what has changed."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

from app.errors import StartError
from app.services.indexing import IndexState, Unread
from app.services.local.documents import Document, Sign, documents
from app.services.local.knowledge import File, Knowledge
from app.services.local.reading import Reader
from app.services.local.unreadable import EXPECTED, NO_TEXT, Unreadable

logger = logging.getLogger(__name__)

PROGRESS_FILES = 500
SHOW_SECONDS = 1  # while the folder is read for the first time: to show each file by itself takes longer
UNREAD_KINDS = 10
END_SECONDS = 5


class Indexer:
    """The index of one folder. `run` is a thread's; the rest may be called by others."""

    def __init__(self, knowledge: Knowledge, folder: Path, seconds: float = 0) -> None:
        """`seconds` between two looks, 0 for never again. Raises `StartError` if there is no such folder."""
        if not os.path.isdir(folder):
            problem = "is not a folder" if os.path.exists(folder) else "does not exist"
            raise StartError("KNOWLEDGE_DIR", f"{folder} {problem}")
        self._knowledge = knowledge
        self._folder = folder
        self._seconds = seconds
        self._reader = Reader()
        self._thread = threading.Thread(target=self._run, name="local-index", daemon=True)
        self._is_ended = threading.Event()
        self._is_woken = threading.Event()
        self._is_told = False
        self._is_gone = False
        self._refused: dict[str, tuple[Sign | None, str]] = {}
        """Files that could not be read, with why; one whose sign is the same need not be tried again."""
        self._known_problems: set[tuple[str, str]] = set()
        self.state = self._state() if knowledge.files else IndexState()
        self.on_complete: Callable[[], object] = lambda: None
        """Called in the thread when the folder has been read for the first time."""

        self.on_change: Callable[[], object] = lambda: None
        """The same whenever something has changed."""

    def start(self) -> None:
        self._thread.start()

    def look_again(self) -> None:
        """Look now, and believe that a folder is empty."""
        self._is_told = True
        self._is_woken.set()

    def stop(self) -> None:
        self._is_ended.set()
        self._is_woken.set()
        self._reader.kill()
        if self._thread.ident is not None:
            self._thread.join(END_SECONDS)

    def _run(self) -> None:
        while not self._is_ended.is_set():
            try:
                self.look()
            except Exception:
                logger.exception("Indexing %s failed", self._folder)
            self._is_woken.wait(self._seconds or None)
            self._is_woken.clear()

    def look(self) -> None:
        """Make the index like the folder is now."""
        is_told, self._is_told = self._is_told, False
        if is_told:
            self._refused.clear()
        started = time.monotonic()
        found = list(documents(self._folder))
        known = dict(self._knowledge.files)
        there = {document.source: document for document in found if document.problem is None}
        if known and not there and not is_told:
            self._keep(len(known))
            return
        if self._is_gone:
            logger.info("KNOWLEDGE_DIR: %s has files again", self._folder)
            self._is_gone = False
        changed = [document for document in there.values() if self._is_new(document, known)]
        unknown = [document.source for document in found if document.may_return]
        gone = [file for file in known.values() if file.source not in there and not _is_below(file.source, unknown)]
        self._refused = {source: refused for source, refused in self._refused.items() if source in there}
        is_first = self.state.is_indexing
        try:
            added, shown = self._read_all(changed, is_first)
            if self._is_ended.is_set():
                return
            replaced = [known[file.source] for file in added if file.source in known]
            if added or gone:
                self._knowledge.show(added[shown:], [*replaced, *gone])
        except Exception:
            self._knowledge.undo()
            raise
        finally:
            self._reader.close()
        self._tell(found)
        if is_first:
            self._tell_first(started)
            self.on_complete()
        elif added or gone:
            counts = len(added) - len(replaced), len(replaced), len(gone)
            new = f"{counts[0]} files new, {counts[1]} changed, {counts[2]} deleted"
            logger.info("Indexed %s again: %s; %s", self._folder, new, self._sum())
        if is_first or added or gone:
            self.on_change()

    def _is_new(self, document: Document, known: dict[str, File]) -> bool:
        tried, _ = self._refused.get(document.source, (None, ""))
        file = known.get(document.source)
        return document.sign not in {tried, file.sign if file else None}

    def _read_all(self, changed: list[Document], is_first: bool) -> tuple[list[File], int]:
        """Write what can be read of them; the first time show them meanwhile. How many are shown?"""
        added: list[File] = []
        shown, next_show = 0, 0.0
        whole, read = sum(document.sign[1] for document in changed), 0
        for number, (document, after) in enumerate(zip_longest(changed, changed[1:]), 1):
            try:
                if self._is_ended.is_set():
                    break
                file = self._knowledge.add(document.source, document.sign, self._reader.read(document, after))
            except Unreadable as error:
                self._refused[document.source] = (document.sign if error.is_lasting else None, str(error))
            else:
                self._refused.pop(document.source, None)
                added.append(file)
                if is_first and time.monotonic() > next_show:
                    self._knowledge.show(added[shown:])
                    shown, next_show = len(added), time.monotonic() + SHOW_SECONDS
            read += document.sign[1]
            if is_first and number < len(changed):
                self.state = IndexState(min(read / (whole or 1), 0.99), shown, self._knowledge.size)
                if number % PROGRESS_FILES == 0:
                    progress = (self._folder, len(added), sum(file.passages for file in added))
                    logger.info("Indexing %s: %d files, %d passages so far", *progress)
        return added, shown

    def _keep(self, files: int) -> None:
        if not self._is_gone:
            logger.warning(
                "KNOWLEDGE_DIR: %s is gone or empty: what was read of %d files is kept until there are files again, "
                "or SIGHUP says that it is meant",
                self._folder,
                files,
            )
        self._is_gone = True

    def _tell(self, found: list[Document]) -> None:
        """Count what is not read; name, once, what could have been."""
        files = self._knowledge.files
        problems = [(each.source, each.suffix, each.problem) for each in found if each.problem is not None]
        for source, (_, reason) in self._refused.items():
            problems.append((source, os.path.splitext(source)[1].lower(), reason))
        for source, file in files.items():
            if not file.passages:
                problems.append((source, os.path.splitext(source)[1].lower(), NO_TEXT))
        counts = Counter((suffix or "without a suffix", reason) for _, suffix, reason in problems)
        unread = tuple(
            sorted((Unread(*kind, files) for kind, files in counts.items()), key=lambda each: (-each.files, each))
        )
        self.state = self._state(unread)
        named = {(source, reason) for source, _, reason in problems if reason not in EXPECTED}
        for source, reason in sorted(named - self._known_problems):
            logger.warning("Skipped %s: %s", source, reason)
        self._known_problems = named

    def _state(self, unread: tuple[Unread, ...] = ()) -> IndexState:
        files = sum(file.passages > 0 for file in self._knowledge.files.values())
        return IndexState(1, files, self._knowledge.size, unread)

    def _tell_first(self, started: float) -> None:
        if not self.state.passages:
            logger.warning("KNOWLEDGE_DIR: %s holds no text, so every question goes unanswered", self._folder)
        logger.info("Indexed %s: %s", self._folder, self._sum(f", {(time.monotonic() - started) * 1000:.0f} ms"))

    def _sum(self, time_: str = "") -> str:
        state = self.state
        unread = [*map(str, state.unread[:UNREAD_KINDS])]
        if more := sum(each.files for each in state.unread[UNREAD_KINDS:]):
            unread.append(f"{more} others")
        return f"{state.files} files, {state.passages} passages{time_}; not read: {', '.join(unread) or 'none'}"


def _is_below(source: str, others: list[str]) -> bool:
    return any(other in {source, "."} or source.startswith(f"{other}/") for other in others)
