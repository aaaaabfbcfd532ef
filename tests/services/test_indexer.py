"""The index follows the folder: what is new, changed or deleted is noticed, and nobody sees half of it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from app.models.answers import Progress, TextDelta
from app.services.indexing import Unread
from app.services.local.indexer import Indexer
from app.services.local.knowledge import Knowledge
from app.services.local_rag import LocalRag, open_local
from tests.client import PATIENCE
from tests.conftest import Gate
from tests.service import indexed, make_settings
from tests.services.test_local_rag import ask, messages, question, write

pytestmark = pytest.mark.slow


@pytest.fixture
def knowledge() -> Iterator[Knowledge]:
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        yield Knowledge(connection)


@pytest.fixture
def index(knowledge: Knowledge, tmp_path: Path) -> Indexer:
    write(tmp_path, "lantern.md", "The lantern hangs in the attic.")
    write(tmp_path, "more/boat.md", "The boat lies at the pier.")
    index = Indexer(knowledge, tmp_path)
    index.look()
    return index


def found(knowledge: Knowledge, word: str) -> list[str]:
    return [passage.text for passage in knowledge.search([word], 10)]


def test_what_is_new_changed_or_deleted_is_noticed(
    index: Indexer, knowledge: Knowledge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    index.look()
    assert messages(caplog, logging.INFO) == []
    write(tmp_path, "lantern.md", "The lantern hangs in the kitchen now.")
    write(tmp_path, "new/cat.md", "The cat sleeps.")
    shutil.rmtree(tmp_path / "more")
    index.look()
    assert found(knowledge, "lante") == ["The lantern hangs in the kitchen now."]
    assert found(knowledge, "cat") == ["The cat sleeps."]
    assert found(knowledge, "boat") == []
    assert knowledge.weight("pier") is None  # nothing is left of it
    assert (knowledge.size, index.state.files) == (2, 2)
    (line,) = messages(caplog, logging.INFO)
    assert "1 files new, 1 changed, 1 deleted; 2 files, 2 passages" in line


def test_a_file_that_is_moved_is_found_where_it_is(index: Indexer, knowledge: Knowledge, tmp_path: Path) -> None:
    (tmp_path / "lantern.md").rename(tmp_path / "lamp.md")
    index.look()
    assert [passage.source for passage in knowledge.search(["lante"], 10)] == ["lamp.md"]


async def test_a_round_of_changes_is_seen_as_a_whole(tmp_path: Path, gate: Gate) -> None:
    write(tmp_path, "a.md", "The lantern hangs in the attic.")
    write(tmp_path, "z.md", "The boat lies at the pier.")
    async with indexed(make_settings(knowledge_dir=tmp_path, knowledge_refresh_seconds=0)) as rag:
        write(tmp_path, "a.md", "The lantern hangs in the kitchen.")
        write(tmp_path, "m.docx", "no Word")
        write(tmp_path, "z.md", "The boat lies at the bridge.")
        rag.index.look_again()
        await gate.reached()
        gate.open()  # a.md is read, and m.docx; z.md waits for another process
        await gate.reached()
        assert "attic" in (await ask(rag, "where is the lantern"))[0]
        assert "pier" in (await ask(rag, "where is the boat"))[0]
        gate.open()
        assert "kitchen" in await until(rag, "where is the lantern", "kitchen")
        assert "bridge" in (await ask(rag, "where is the boat"))[0]


async def test_while_the_folder_is_first_read_what_fits_waits_for_what_fits_better(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.local_rag.SOON_SECONDS", PATIENCE)
    write(tmp_path, "a.md", "The lantern hangs in the attic, where nobody goes. The boat at the pier is slow.")
    write(tmp_path, "b.docx", "no Word")  # the next file is read by another process, which waits
    write(tmp_path, "c.md", "# When the lantern is slow\n\nTurn the screw.")
    async with (
        open_local(make_settings(knowledge_dir=tmp_path, knowledge_refresh_seconds=0)) as rag,
        aclosing(rag.query(question("what happens when the lantern is slow"))) as events,
    ):
        await gate.reached()  # a.md is shown
        assert isinstance(await anext(events), Progress)
        gate.open()
        assert await anext(events) == TextDelta("> Turn the screw.")


async def until(rag: LocalRag, asked: str, wanted: str) -> str:
    async with asyncio.timeout(PATIENCE):
        while wanted not in (text := (await ask(rag, asked))[0]):
            pass
    return text


async def test_the_folder_is_looked_at_again_by_itself(tmp_path: Path) -> None:
    async with indexed(make_settings(knowledge_dir=tmp_path, knowledge_refresh_seconds=0.05)) as rag:
        write(tmp_path, "a.md", "The lantern hangs in the attic.")
        await until(rag, "where is the lantern", "attic")


@pytest.mark.parametrize("loss", [shutil.rmtree, lambda folder: (folder / "lantern.md").unlink()])
def test_a_folder_that_is_lost_keeps_its_index_until_there_are_files_or_somebody_says_so(
    loss: object, knowledge: Knowledge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / "mounted"
    write(folder, "lantern.md", "The lantern hangs in the attic.")
    index = Indexer(knowledge, folder)
    index.look()
    assert callable(loss)
    loss(folder)
    index.look()
    index.look()
    assert found(knowledge, "lante")
    (line,) = messages(caplog, logging.WARNING)
    assert line.startswith(f"KNOWLEDGE_DIR: {folder} is gone or empty")
    write(folder, "boat.md", "The boat lies at the pier.")
    index.look()
    assert found(knowledge, "boat")
    assert not found(knowledge, "lante")
    (folder / "boat.md").unlink()
    index.look_again()
    index.look()
    assert knowledge.size == index.state.passages == 0
    assert len(messages(caplog, logging.WARNING)) == 1


def test_a_file_that_cannot_be_read_keeps_what_was_read_of_it_and_is_tried_when_it_changes(
    index: Indexer, knowledge: Knowledge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "lantern.md").write_bytes(b"The lantern\0")
    for _ in range(3):
        index.look()
    assert found(knowledge, "lante") == ["The lantern hangs in the attic."]
    assert [*index.state.unread] == [Unread(".md", "not a text", 1)]
    write(tmp_path, "lantern.md", "The lantern is back.")
    index.look()
    assert found(knowledge, "lante") == ["The lantern is back."]
    assert not index.state.unread
    assert messages(caplog, logging.WARNING) == ["Skipped lantern.md: not a text"]


def test_a_folder_that_cannot_be_looked_into_keeps_what_was_read_of_it(
    index: Indexer, knowledge: Knowledge, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "more")
    (tmp_path / "more").symlink_to(tmp_path / "more")
    index.look()
    assert found(knowledge, "boat")
    (tmp_path / "more").unlink()
    index.look()
    assert not found(knowledge, "boat")


def test_files_without_text_and_of_unknown_kinds_are_counted_and_not_named(
    index: Indexer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.png", "b.png", "c.txt"):
        (tmp_path / name).touch()
    index.look()
    assert index.state.unread == (Unread(".png", "", 2), Unread(".txt", "no text in it", 1))
    assert (index.state.files, messages(caplog, logging.WARNING)) == (2, [])


def test_an_index_that_cannot_grow_stays_as_it_was_and_is_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    write(folder, "lantern.md", "The lantern hangs in the attic.")
    with closing(sqlite3.connect(tmp_path / "index")) as connection:
        knowledge = Knowledge(connection)
        index = Indexer(knowledge, folder)
        index.look()
        ((pages,),) = connection.execute("PRAGMA page_count")
        connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        write(folder, "boat.md", "The boat lies at the pier.")
        write(folder, "many.md", "\n\n".join(f"# Cat {number}\n\nIt sleeps." for number in range(1_000)))
        (folder / "lantern.md").unlink()
        with pytest.raises(sqlite3.OperationalError, match="full"):
            index.look()
        assert found(knowledge, "lante")
        assert (knowledge.size, knowledge.weight("boat"), knowledge.weight("sleep")) == (1, None, None)
        connection.execute("PRAGMA max_page_count = 100000")
        index.look()
        assert (knowledge.size, found(knowledge, "boat")) == (1_001, ["The boat lies at the pier."])


async def test_what_fails_in_the_background_is_logged_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a.md", "The lantern hangs in the attic.")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere")
        async with open_local(make_settings(knowledge_dir=tmp_path, knowledge_refresh_seconds=0)) as rag:
            async with asyncio.timeout(PATIENCE):
                while not messages(caplog, logging.ERROR):  # noqa: ASYNC110  # the log has no event
                    await asyncio.sleep(0.01)
            patch.undo()
            rag.index.look_again()
            await asyncio.wait_for(rag.is_complete.wait(), PATIENCE)
            assert "attic" in (await ask(rag, "where is the lantern"))[0]
    assert messages(caplog, logging.ERROR) == [f"Indexing {tmp_path} failed"]


def test_a_file_of_many_passages_goes_in_and_out_whole(index: Indexer, knowledge: Knowledge, tmp_path: Path) -> None:
    write(tmp_path, "many.md", "\n\n".join(f"# Lantern {number}\n\nIt shines." for number in range(1_000)))
    index.look()
    assert knowledge.size == 1_002
    (tmp_path / "many.md").unlink()
    index.look()
    assert (knowledge.size, found(knowledge, "lante")) == (2, ["The lantern hangs in the attic."])
    assert knowledge.weight("shine") is None


def test_what_an_extra_would_read_is_counted_with_what_to_do(
    knowledge: Knowledge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    for name in ("a.pdf", "b.PDF"):
        (tmp_path / name).touch()
    index = Indexer(knowledge, tmp_path)
    caplog.set_level(logging.INFO)
    index.look()
    assert "; not read: 2 .pdf: install the extra `pdf`" in messages(caplog, logging.INFO)[-1]
    assert not [line for line in messages(caplog, logging.WARNING) if "Skipped" in line]


async def test_the_end_does_not_wait_for_a_file(tmp_path: Path, gate: Gate) -> None:
    write(tmp_path, "a.md", "A lantern.")
    async with indexed(make_settings(knowledge_dir=tmp_path, knowledge_refresh_seconds=0)) as rag:
        write(tmp_path, "b.md", "A boat.")
        rag.index.look_again()
        await gate.reached()
