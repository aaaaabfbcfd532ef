"""The seam between the service and an index that a provider answers from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Unread(NamedTuple):
    """So many files of this kind are not read, and why: empty for a kind that nobody reads."""

    kind: str
    reason: str
    files: int

    def __str__(self) -> str:
        return f"{self.files} {self.kind}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class IndexState:
    """What is indexed. `share` of the documents when they are read for the first time: 1 from then on."""

    share: float = 0
    files: int = 0
    passages: int = 0
    unread: tuple[Unread, ...] = ()

    @property
    def is_indexing(self) -> bool:
        return self.share < 1


class Index(Protocol):
    """What a provider may offer as its `index`. Implementations: the embedded one, `local/indexer.py`."""

    @property
    def state(self) -> IndexState: ...

    def look_again(self) -> None:
        """Somebody says that the documents are as they are meant to be: read what has changed."""
        ...
