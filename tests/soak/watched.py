"""`python -m tests.soak.watched`: the service as it is started always, which also counts what it holds at SIGUSR1."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import signal
import sys

from app.__main__ import main

MALLINFO2 = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class MallInfo(ctypes.Structure):
    """What `mallinfo2(3)` of glibc (2.33 and newer) returns."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in MALLINFO2.split())


def _allocated() -> int:
    """Bytes that `malloc` has given out and not got back, 0 where it does not tell; without Python's small objects."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        return 0
    mallinfo2.restype = MallInfo
    info = mallinfo2()
    return int(info.uordblks + info.hblkhd)


def _count(*_: object) -> None:
    gc.collect()
    # The handler runs between two steps of the event loop's thread, so it sees that loop.
    counts = {
        "tasks": len(asyncio.all_tasks()),
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "malloc_bytes": _allocated(),
    }
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _count)
    main()
