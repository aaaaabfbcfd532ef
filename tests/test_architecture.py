"""The room plan: which module may import which, and that nobody imports in a circle."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.service import ROOT

# From the outside in: a module imports from its own row and from the rows below it.
ROWS = [
    ["app.__main__"],
    ["app.tools"],
    ["app.main"],
    ["app.routers"],
    ["app.dependencies", "app.contracts"],
    ["app.lifecycle"],
    ["app.sessions"],
    ["app.services", "app.identity"],
    ["app.observability"],
    ["app.models"],
    ["app.config"],
    ["app.codes", "app.errors", "app.values"],
    ["app"],
]


@cache
def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / "app").rglob("*.py")
    }


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            known = {f"{node.module}.{alias.name}" for alias in node.names} & modules().keys()
            names |= known or {node.module}
    return {name for name in names if name.split(".")[0] == "app"}


def row_of(module: str) -> int:
    fitting = [
        (len(prefix), row)
        for row, prefixes in enumerate(ROWS)
        for prefix in prefixes
        if module == prefix or module.startswith(prefix + ".")
    ]
    return max(fitting)[1]


def test_arrows_go_one_way() -> None:
    upward = [
        f"{module} imports {name}"
        for module, path in modules().items()
        for name in imports_of(path)
        if row_of(name) < row_of(module)
    ]
    assert upward == []


def test_there_is_no_circle() -> None:
    TopologicalSorter({module: imports_of(path) for module, path in modules().items()}).prepare()


def test_names_are_imported_from_their_home() -> None:
    face = {"Hear", "Offers", "RagProvider", "ask"}  # the others are there for providers of one's own
    for module, path in modules().items():
        for node in nodes_of(path):
            if isinstance(node, ast.ImportFrom) and node.module == "app.services.rag":
                assert {alias.name for alias in node.names} <= face, module


def test_the_session_and_its_vocabulary_know_no_network_and_no_clock() -> None:
    forbidden = {"asyncio", "time", "httpx", "fastapi", "starlette"}
    for module, path in modules().items():
        if module.startswith("app.models"):
            names = {alias.name for node in nodes_of(path) if isinstance(node, ast.Import) for alias in node.names}
            assert not names & forbidden, module


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_no_way_through_the_rooms_is_longer_than_ten() -> None:
    """From `main` on: `__main__` only names what is run."""
    below: dict[str, set[str]] = {}
    for module, path in modules().items():
        rooms = {room_of(name) for name in imports_of(path)} - {room_of(module)}
        below.setdefault(room_of(module), set()).update(rooms)

    @cache
    def depth(room: str) -> int:
        return 1 + max((depth(other) for other in below.get(room, ())), default=0)

    assert depth("app.main") <= 10, {room: depth(room) for room in below}


def test_no_class_is_larger_than_one_can_read() -> None:
    sizes = {
        f"{module}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module, path in modules().items()
        for node in nodes_of(path)
        if isinstance(node, ast.ClassDef)
    }
    assert {name: size for name, size in sizes.items() if size > 300} == {}


@pytest.mark.parametrize(("module", "most"), [("app.models.session", 420), ("app.routers.websocket", 110)])
def test_the_two_files_that_everything_passes_stay_short(module: str, most: int) -> None:
    """The table of decisions, and the router that hands each socket on."""
    assert len(modules()[module].read_text(encoding="utf-8").splitlines()) <= most
