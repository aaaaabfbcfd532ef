"""What several providers of one service use, and is opened once: an index, for one."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

Some = TypeVar("Some")


class Shared(AsyncExitStack):
    """Holds open until its end what somebody has opened."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: dict[Hashable, Any] = {}

    async def once(self, key: Hashable, manager: Callable[[], AbstractAsyncContextManager[Some]]) -> Some:
        """What was opened under this key before, else now."""
        if key not in self._opened:
            self._opened[key] = await self.enter_async_context(manager())
        opened: Some = self._opened[key]
        return opened
