"""Files are read in another process, and none of them costs more than its share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.services.local.documents import documents
from app.services.local.reader import MAX_PASSAGES, Row
from app.services.local.reading import Reader
from app.services.local.unreadable import MAX_BYTES, Unreadable
from tests.services.test_formats import docx, pdf

pytestmark = pytest.mark.slow


@pytest.fixture
def reader() -> Iterator[Reader]:
    with closing(Reader()) as reader:
        yield reader


def read(reader: Reader, path: Path) -> list[Row]:
    (document,) = [each for each in documents(path.parent) if each.source == path.name]
    return list(reader.read(document))


def test_one_process_reads_file_after_file(reader: Reader, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.md").write_text(f"# Über\n\nNumber {number}.", encoding="utf-8")
        assert read(reader, tmp_path / f"{number}.md") == [Row("Über", f"Number {number}.", f"über numbe {number}")]


def test_a_file_that_takes_too_long_is_given_up_and_the_next_one_is_read(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = tmp_path / "python"
    main = "reader.SECONDS = 0.5; reader.main(sys.stdin.buffer, sys.stdout.buffer)"
    code = f"import sys; from app.services.local import reader; {main}"
    hasty.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{code}'\n", encoding="utf-8")
    hasty.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(hasty))
    (tmp_path / "slow.html").write_bytes(b"<div>" * (MAX_BYTES // 5))
    with pytest.raises(Unreadable, match="takes longer than 5 seconds") as refused:
        read(reader, tmp_path / "slow.html")
    assert refused.value.is_lasting
    (tmp_path / "good.md").write_text("A lantern.", encoding="utf-8")
    assert [row.text for row in read(reader, tmp_path / "good.md")] == ["A lantern."]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("large.docx", lambda: docx("<w:p/>" * (MAX_BYTES // 7)), "takes more than 200 MB"),
        ("bomb.docx", lambda: docx("a" * 50_000_000), "larger than 16 MiB once it is unpacked"),
        ("many.md", lambda: b"# a\n\nb\n\n" * (MAX_PASSAGES + 1), "more than 50000 passages"),
    ],
    ids=["memory", "size", "number"],
)
def test_a_file_that_takes_more_than_its_share_is_given_up_and_the_next_one_is_read(
    reader: Reader, tmp_path: Path, name: str, data: Callable[[], bytes], reason: str
) -> None:
    (tmp_path / name).write_bytes(data())
    # On a slow machine the time may be over first.
    with pytest.raises(Unreadable, match=rf"{reason}|takes longer than 5 seconds") as refused:
        read(reader, tmp_path / name)
    assert refused.value.is_lasting
    (tmp_path / "good.md").write_text("A lantern.", encoding="utf-8")
    assert [row.text for row in read(reader, tmp_path / "good.md")] == ["A lantern."]


def test_a_pdf_is_read_and_one_that_grows_is_given_up(reader: Reader, tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    (tmp_path / "good.pdf").write_bytes(pdf("A lantern."))
    assert read(reader, tmp_path / "good.pdf") == [Row("Page 1", "A lantern.", "pag 1 a lante")]
    (tmp_path / "bomb.pdf").write_bytes(pdf("a" * 100_000_000))
    with pytest.raises(Unreadable, match=r"not a PDF|takes more than|takes longer than"):
        read(reader, tmp_path / "bomb.pdf")


def test_a_file_that_is_gone_by_then_may_come_back(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "a.md").touch()
    (document,) = documents(tmp_path)
    (tmp_path / "a.md").unlink()
    with pytest.raises(Unreadable, match=os.strerror(2)) as refused:
        list(reader.read(document))
    assert not refused.value.is_lasting


def test_a_reader_that_was_ended_reads_no_more(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("A lantern.", encoding="utf-8")
    reader.kill()
    with pytest.raises(Unreadable, match="its reader ended"):
        read(reader, tmp_path / "a.md")
