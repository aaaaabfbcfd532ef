"""What counting costs: `python -m tests.benchmarks.metrics [--seconds 6] [--times 4]`.

Taken in turn, in one run on one CPU: the time of the observer for one token's frame, and the CPU time of all that the
service, which counts too, does for one token. The first is a loop with warm caches: in the service it may cost more.
"""

from __future__ import annotations

import argparse
import os
import time

from app.config import Settings
from app.models.pieces import AnswerPiece
from app.observability.metrics import Metrics
from app.observability.session_metrics import AccountMetrics, SessionMetrics
from tests.benchmarks.processes import running, service_over, share_one_cpu
from tests.benchmarks.relay import run, stand_in
from tests.benchmarks.report import figures, heading, median

FRAMES = 200_000
TOKENS = 250
SESSIONS = 50


def observer_seconds() -> float:
    """CPU time for one token's frame, of sessions that speak in turn."""
    account = AccountMetrics(Metrics(Settings(_env_file=None)), "dify", None)
    observers = [SessionMetrics(account) for _ in range(SESSIONS)]
    frames = [
        AnswerPiece(session_id="s", seq=seq, query_id="q-1", stream_index=seq % TOKENS, content="kettle ")
        for seq in range(FRAMES)
    ]
    began = time.process_time()
    for seq, frame in enumerate(frames):
        observers[seq % SESSIONS].sent(frame)
    return (time.process_time() - began) / FRAMES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.metrics", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6, help="of load in each repetition (default: 6)")
    parser.add_argument("--times", type=int, default=4, help="repetitions (default: 4)")
    chosen = parser.parse_args()
    heading(f"{SESSIONS} sessions, one token each 20 ms, one frame a token")
    observer: list[float] = []
    token: list[float] = []
    with running(*stand_in(100, 20, TOKENS)) as dify, running("app", env=service_over(dify)) as service:
        share_one_cpu(service)
        allowed = os.sched_getaffinity(0)
        for _ in range(chosen.times):
            token.append(run(service, SESSIONS, 1, chosen.seconds).cpu_ms_per_thousand_tokens)
            os.sched_setaffinity(0, {min(allowed)})
            observer.append(observer_seconds() * 1e6)
            os.sched_setaffinity(0, allowed)
    figures("CPU per token, service", token, "µs")  # a thousandth of ms per thousand
    figures("CPU per token, counting", observer, "µs")
    shares = [100 * each / whole for each, whole in zip(observer, token, strict=True)]
    print(f"  {'share (wanted: 3)':<44} {median(shares):>9.2f} %      ({min(shares):.2f} to {max(shares):.2f})")


if __name__ == "__main__":
    main()
