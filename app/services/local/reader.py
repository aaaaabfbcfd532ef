"""A process of its own that reads files: whatever one of them does to it, the service goes on.

A line of JSON on standard input names a file: its path and its suffix. The answer are lines of some of its passages,
each `[heading, text, terms]`, and one for its end: null, or why it cannot be read and whether that is lasting.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from app.services.local import formats
from app.services.local.passages import split_markdown, split_plain
from app.services.local.terms import spaced_terms
from app.services.local.unreadable import Unreadable

# What one file may cost.
SECONDS = 5.0
WAIT_SECONDS = 60  # with those in which it waits for its turn, or for a disk that does not answer
MEMORY_BYTES = 200_000_000
MAX_PASSAGES = 50_000
LINE = 50  # passages

TOO_MUCH = f"takes more than {MEMORY_BYTES // 1_000_000} MB"
TOO_DEEP = "too deeply nested"
SEPARATOR = " › "  # between the headings of a path


class Row(NamedTuple):
    """A passage as it goes into the index: the path of headings above it, its text, and its terms between spaces."""

    heading: str
    text: str
    terms: str


def rows(source: str, path: str, suffix: str) -> Iterator[Row]:
    """The passages of a file. Raises `OSError`, or `Unreadable` for what is none of its kind."""
    text = formats.read(suffix, Path(path).read_bytes())
    if not text.isascii():
        text = text.encode(errors="replace").decode()  # JSON can hold lone surrogates
    sections = split_plain(text) if suffix in formats.PLAIN else split_markdown(text)
    for number, (headings, section) in enumerate(sections):
        if number == MAX_PASSAGES:
            raise Unreadable(f"more than {MAX_PASSAGES} passages")
        heading = SEPARATOR.join(headings)
        yield Row(heading, section, terms_of(title_of(source, heading), section))


def title_of(source: str, heading: str) -> str:
    return heading or PurePosixPath(source).stem


def terms_of(title: str, text: str) -> str:
    plain = title.replace(SEPARATOR, " ")  # without it most texts are ASCII, which takes a third of the time
    return spaced_terms(f"{plain}\n{text}")


def main(requests: IO[bytes], replies: IO[bytes]) -> None:
    _take_little()
    for request in requests:
        end: list[object] | None = None
        try:
            _give_time(SECONDS, WAIT_SECONDS)
            found = rows(*json.loads(request))
            while line := list(islice(found, LINE)):
                replies.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            end = [error.strerror or type(error).__name__, False]
        except Unreadable as error:
            end = [str(error), True]
        except MemoryError:
            end = [TOO_MUCH, True]
        except RecursionError:
            end = [TOO_DEEP, True]
        except Exception as error:
            end = [type(error).__name__, True]
        _give_time(0, 0)
        replies.write(json.dumps({"end": end}).encode() + b"\n")
        replies.flush()


def _take_little() -> None:
    with suppress(OSError, AttributeError):
        os.nice(10)  # answering comes first
    with suppress(ImportError, OSError, ValueError):  # as far as the system has such limits
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))


def _give_time(seconds: float, wait_seconds: float) -> None:
    """From now on; who takes more is ended by the system, wherever it is."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, wait_seconds)


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
