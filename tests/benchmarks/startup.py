"""How long a start takes until `GET /health` is answered: `python -m tests.benchmarks.startup [--times 9]`."""

from __future__ import annotations

import argparse
import http.client
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.processes import running, service
from tests.benchmarks.report import figures, heading

PASSAGES = 100


def seconds_to_health(arguments: tuple[str, ...], env: Mapping[str, str]) -> float:
    began = time.monotonic()
    with running(*arguments, env=env) as process:
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)
        connection.request("GET", "/health")
        status = connection.getresponse().status
        took = time.monotonic() - began
        connection.close()
    if status != 200:
        raise RuntimeError(f"GET /health: {status}")
    return took


def write_knowledge(folder: Path) -> None:
    sections = (f"## Lamp {number}\n\nLamp {number} is lit at dusk.\n\n" for number in range(PASSAGES))
    (folder / "lamps.md").write_text("# Lamps\n\n" + "".join(sections), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.startup", description=__doc__)
    parser.add_argument("--times", type=int, default=9, help="repetitions (default: 9)")
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        write_knowledge(Path(folder))
        local = service(RAG_PROVIDER="local", KNOWLEDGE_DIR=folder)
        starts: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
            "service, dify (wanted: 0.60)": (("app",), service(DIFY_API_KEY="app-benchmark")),
            f"service, local with {PASSAGES} passages (wanted: 0.60)": (("app",), local),
            "bare FastAPI": (("tests.benchmarks.peers", "fastapi"), {}),
        }
        took: dict[str, list[float]] = {name: [] for name in starts}
        heading("from exec to the first 200 of GET /health")
        for number in range(times + 1):
            for name, (arguments, env) in starts.items():
                seconds = seconds_to_health(arguments, env)
                if number:  # the first start compiles
                    took[name].append(seconds)
    for name, values in took.items():
        figures(name, values, "s")


if __name__ == "__main__":
    main()
