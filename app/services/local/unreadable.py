"""Why files are not read."""

from __future__ import annotations

MAX_BYTES = 16 * 1024 * 1024

# They are counted, so none of them names anything of the file.
UNKNOWN = ""  # of a kind that nobody reads
NO_TEXT = "no text in it"
NEEDS_PDF = "install the extra `pdf`"
TOO_LARGE = f"larger than {MAX_BYTES // 1024**2} MiB"
TOO_LARGE_UNPACKED = f"{TOO_LARGE} once it is unpacked"

EXPECTED = frozenset({UNKNOWN, NO_TEXT, NEEDS_PDF})
"""Nobody need look at each of these files."""


class Unreadable(ValueError):
    """Why a file cannot be read; `is_lasting` unless it may be otherwise the next time, though nobody changes it."""

    def __init__(self, reason: str, *, is_lasting: bool = True) -> None:
        super().__init__(reason)
        self.is_lasting = is_lasting
