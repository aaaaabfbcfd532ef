"""The index in a file: there again after a restart, made anew when it no longer fits, never another program's."""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.config import Settings
from app.errors import StartError
from app.services.local.index_file import open_index
from app.services.local.reader import Row
from app.services.local_rag import open_local
from tests.service import indexed, make_settings
from tests.services.test_indexer import found, until
from tests.services.test_local_rag import ask, messages, write

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "docs/lantern.md", "The lantern hangs in the attic.")
    write(tmp_path, "docs/boat.md", "The boat lies at the pier.")
    return tmp_path / "docs"


@pytest.fixture
def settings(folder: Path) -> Settings:
    return make_settings(knowledge_dir=folder, knowledge_index=folder.parent / "index", knowledge_refresh_seconds=0)


async def test_it_is_there_again_at_once_and_nothing_is_read_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with indexed(settings) as rag:
        first = await ask(rag, "where is the lantern")
    assert settings.knowledge_index is not None
    assert settings.knowledge_index.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(sys, "executable", "nothing that could read a file")
    async with open_local(settings) as rag:
        assert rag.is_complete.is_set()
        assert (rag.index.state.share, rag.index.state.files, rag.index.state.passages) == (1, 2, 2)
        assert await ask(rag, "where is the lantern") == first
        rag.index.stop()  # it has looked by then
    assert messages(caplog, logging.ERROR) == []


async def test_what_changed_meanwhile_is_noticed(settings: Settings, folder: Path) -> None:
    async with indexed(settings):
        pass
    write(folder, "lantern.md", "The lantern hangs in the kitchen now.")
    (folder / "boat.md").unlink()
    async with open_local(settings) as rag:
        await until(rag, "where is the lantern", "kitchen")
        assert not (await ask(rag, "where is the boat"))[1]


async def test_an_index_that_other_code_made_or_of_another_folder_is_made_anew(
    settings: Settings, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with indexed(settings):
        pass
    assert settings.knowledge_index is not None
    with closing(sqlite3.connect(settings.knowledge_index)) as connection, connection:
        connection.execute("UPDATE about SET maker = 'another'")
    caplog.set_level(logging.INFO)
    async with indexed(settings) as rag:
        assert "attic" in (await ask(rag, "where is the lantern"))[0]
    assert messages(caplog, logging.INFO)[-1].startswith(f"Indexed {folder}: 2 files, 2 passages")
    write(folder.parent, "other/cat.md", "The cat sleeps.")
    other = settings.model_copy(update={"knowledge_dir": folder.parent / "other"})
    async with indexed(other) as rag:
        assert rag.index.state.files == 1


def test_what_was_not_finished_is_not_there_afterwards(folder: Path, tmp_path: Path) -> None:
    with closing(open_index(tmp_path / "index", folder)) as knowledge:
        whole = knowledge.add("a.md", (1, 1, 1), [Row("", "A lantern.", "a lante")])
        knowledge.show([whole])
        knowledge.add("b.md", (1, 1, 1), [Row("", "A boat.", "a boat")])
    with closing(open_index(tmp_path / "index", folder)) as again:
        assert (again.size, again.files) == (1, {"a.md": whole})
        assert (found(again, "lante"), again.weight("boat")) == (["A lantern."], None)
        another = again.add("b.md", (1, 1, 1), [Row("", "A boat.", "a boat")])
        assert another.id != whole.id


def cut(index: bytes) -> bytes:
    return index[: len(index) // 2]


def without_its_middle(index: bytes) -> bytes:
    return index[:8192] + bytes(len(index) - 8192)


def with_noise(index: bytes) -> bytes:
    return index[:100] + bytes(range(256)) * 16 + index[4196:]


@pytest.mark.parametrize("damage", [cut, without_its_middle, with_noise])
async def test_an_index_that_is_damaged_is_made_anew(
    settings: Settings, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    async with indexed(settings) as rag:
        first = await ask(rag, "where is the lantern")
    assert settings.knowledge_index is not None
    settings.knowledge_index.write_bytes(damage(settings.knowledge_index.read_bytes()))
    async with indexed(settings) as rag:
        assert await ask(rag, "where is the lantern") == first
    (line,) = messages(caplog, logging.WARNING)
    assert line.startswith(f"KNOWLEDGE_INDEX: {settings.knowledge_index} is damaged (")
    async with indexed(settings) as rag:
        assert await ask(rag, "where is the lantern") == first
    assert len(messages(caplog, logging.WARNING)) == 1


async def test_a_file_that_is_in_use_is_left_alone(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async with indexed(settings), indexed(settings) as second:
        assert (await ask(second, "where is the lantern"))[1]
    (line,) = messages(caplog, logging.WARNING)
    assert line.startswith(f"KNOWLEDGE_INDEX: {settings.knowledge_index} is in use by another process")


def text(path: Path) -> None:
    path.write_text("A diary of many pages. " * 100, encoding="utf-8")


def table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE diary (page TEXT)")


@pytest.mark.parametrize(
    ("make", "problem"),
    [(text, "cannot be used: "), (table, "is another program's"), (Path.mkdir, "cannot be used: ")],
    ids=["text", "table", "folder"],
)
async def test_a_file_that_is_something_else_stops_the_start_and_stays_as_it_is(
    settings: Settings, make: object, problem: str
) -> None:
    assert settings.knowledge_index is not None
    assert callable(make)
    make(settings.knowledge_index)
    with pytest.raises(StartError, match=problem) as refused:
        async with open_local(settings):
            pytest.fail("it was opened")
    assert str(refused.value).startswith(f"KNOWLEDGE_INDEX: {settings.knowledge_index} ")
    assert settings.knowledge_index.exists()


async def test_a_place_that_is_not_there_stops_the_start(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"knowledge_index": Path("/nowhere/index")})
    with pytest.raises(StartError, match="cannot be used"):
        async with open_local(nowhere):
            pytest.fail("it was opened")
