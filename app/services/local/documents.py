"""The files of a folder: what is there, and what cannot be read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from app.services.local import formats
from app.services.local.unreadable import MAX_BYTES, TOO_LARGE, Unreadable

Sign = tuple[int, int, int]
"""When a file was changed, its size and its inode: who has the same has not been changed."""


class Document(NamedTuple):
    """`source` is the path below the folder, with slashes; `path` where the file really is.

    With a `problem` it cannot be read; where `may_return`, that may be otherwise the next time.
    """

    source: str
    suffix: str
    path: str
    sign: Sign = (0, 0, 0)
    problem: str | None = None
    may_return: bool = False


def documents(folder: Path) -> Iterator[Document]:
    """Every file below `folder`, by name, and every folder that cannot be looked into."""
    root = os.path.realpath(folder)
    seen: set[str] = set()
    waiting: list[_Place] = [(root, root)]
    while waiting:
        path, known = waiting.pop()
        # Everything is known by where it really is, so that a link can neither loop nor repeat a file.
        real = known or os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        document = Document(_name(path, root), os.path.splitext(path)[1].lower(), real)
        try:
            if not known and not Path(real).is_relative_to(root):
                raise Unreadable("it leads out of the folder")
            about = os.stat(real)
            if stat.S_ISDIR(about.st_mode):
                waiting.extend(_entries(path, real))
                continue
            document = document._replace(sign=(about.st_mtime_ns, about.st_size, about.st_ino))
            _check(document.suffix, about)
        except OSError as error:
            may_return = not isinstance(error, FileNotFoundError)
            document = document._replace(problem=error.strerror or type(error).__name__, may_return=may_return)
        except Unreadable as error:
            document = document._replace(problem=str(error))
        yield document


_Place = tuple[str, str | None]
"""A path, and where it really is unless that is to be found out, which takes longer than all the rest."""


def _entries(folder: str, real: str) -> list[_Place]:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name, reverse=True)  # the last one is taken first
    return [
        (entry.path, None if entry.is_symlink() else os.path.join(real, entry.name))
        for entry in entries
        if not entry.name.startswith(".")
    ]


def _check(suffix: str, about: os.stat_result) -> None:
    if (problem := formats.problem(suffix)) is not None:
        raise Unreadable(problem)
    if not stat.S_ISREG(about.st_mode):
        raise Unreadable("not a regular file")  # reading a pipe would wait forever
    if about.st_size > MAX_BYTES:
        raise Unreadable(TOO_LARGE)


def _name(path: str, root: str) -> str:
    """The path below the root, fit for a frame and a log line: file names may hold any byte."""
    below = os.fsencode(path[len(root) :].lstrip(os.sep) or ".").decode(errors="replace").replace(os.sep, "/")
    return " ".join(below.split())
