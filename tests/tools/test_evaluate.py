"""`python -m app evaluate` measures a folder of labelled rows and refuses what it cannot read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.tools.evaluate import is_aside, main, mean, measure, read_folder

ROWS = "1\twhat is a vector\n1\tyou came alone\n0\ti like it\n0\tis it far\n\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dev-en-made.asr.tsv").write_text(ROWS, "utf-8")
    (tmp_path / "dev-zh-made.clean.tsv").write_text("1\t你是谁\r\n0\t我走了\r\n1\t走了\n", "utf-8")
    return tmp_path


def test_the_table_names_every_file_and_every_mean(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "en-made.asr" in out
    assert "zh clean" in out
    assert "en: 2 errors" in out
    assert "false alarm inversion                is it" in out
    assert "missed      statement                走了" in out
    assert "you came alone" not in out


def test_examples_are_printed_on_request(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), "--errors", "1", "--guess"]) == 0
    assert "you came alone" in capsys.readouterr().out


def test_figures_are_what_they_say(folder: Path) -> None:
    source = read_folder(folder)[0]
    figures, misses = measure(source, "en")
    assert (figures.rows, figures.precision, figures.recall, figures.f1) == (4, 0.5, 0.5, 0.5)
    assert figures.false_alarms == 50
    assert [miss.row.text for miss in misses] == ["you came alone", "is it far"]
    assert mean([figures, figures]).rows == 8


def test_the_thirds_are_apart_and_together_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aside = [row.text for source in read_folder(folder, "aside") for row in source.rows]
    tune = [row.text for source in read_folder(folder, "tune") for row in source.rows]
    assert all(map(is_aside, aside))
    assert not any(map(is_aside, tune))
    assert len(aside) + len(tune) == 7
    assert main([str(folder), "--aside"]) == 0
    assert main([str(folder), "--tune"]) == 0


def test_an_empty_file_has_no_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dev-en-none.asr.tsv").write_text("", "utf-8")
    assert main([str(tmp_path)]) == 0
    assert "0.000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("dev-en-made.asr.tsv", b"what is this\n", "line 1"),
        ("dev-en-made.asr.tsv", b"1\tok\n2\tno\n", "line 2"),
        ("dev-en-made.asr.tsv", b"1\t\n", "line 1"),
        ("dev-en-made.asr.tsv", b"1\t\xff\n", "not UTF-8"),
        ("rows.tsv", b"1\tok\n", "the name is not"),
        ("notes.txt", b"", "no .tsv file"),
    ],
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_it_runs_as_a_module(folder: Path) -> None:
    command = [sys.executable, "-m", "app", "evaluate", str(folder)]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert "mean over sources" in run.stdout


def test_a_missing_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
