"""`python -m tests.soak.watched`: the service as it is started always, which also counts what it holds at SIGUSR1."""

from __future__ import annotations

import asyncio
import gc
import json
import signal

from app.__main__ import main


def _count(*_: object) -> None:
    gc.collect()
    # The handler runs between two steps of the event loop's thread, so it sees that loop.
    print(json.dumps({"tasks": len(asyncio.all_tasks()), "objects": len(gc.get_objects())}), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _count)
    main()
