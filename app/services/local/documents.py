"""The files of a folder, read as far as they can be."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from app.services.local import formats

logger = logging.getLogger(__name__)


class Document(NamedTuple):
    """`source` is the path below the folder, with slashes; without a text it was skipped, or is of an unknown kind."""

    source: str
    suffix: str
    text: str | None


def documents(folder: Path) -> Iterator[Document]:
    """Every document below `folder`, by name; one that cannot be read is logged and has no text."""
    root = os.path.realpath(folder)
    seen: set[str] = set()
    waiting = [root]
    while waiting:
        path = waiting.pop()
        # Everything is known by where it really is, so that a link can neither loop nor repeat a file.
        real = os.path.realpath(path)
        is_folder = os.path.isdir(real)
        if real in seen:
            continue
        seen.add(real)
        suffix, text = os.path.splitext(path)[1].lower(), None
        try:
            if not Path(real).is_relative_to(root):
                raise ValueError("it leads out of the folder")
            if is_folder:
                waiting.extend(_entries(path))
                continue
            if suffix in formats.READERS:
                text = formats.read(suffix, _read(real))
        except (OSError, ValueError) as error:
            logger.warning("Skipped %s: %s", _name(path, root), error)
        yield Document(_name(path, root), suffix, text)


def _entries(folder: str) -> list[str]:
    names = sorted(os.listdir(folder), reverse=True)  # the last one is taken first
    return [os.path.join(folder, name) for name in names if not name.startswith(".")]


def _read(path: str) -> bytes:
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("not a regular file")  # reading a pipe would wait forever
    if about.st_size > formats.MAX_BYTES:
        raise ValueError(f"larger than {formats.MAX_BYTES} bytes")
    return Path(path).read_bytes()


def _name(path: str, root: str) -> str:
    """The path below the root, fit for a frame and a log line: file names may hold any byte."""
    below = os.fsencode(Path(path).relative_to(root).as_posix()).decode(errors="replace")
    return " ".join(below.split())
