"""`python -m app keyterms`: the names in a folder, for recognisers that would not know them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.tools import keyterms


def test_names_are_told_from_words_and_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manual.md").write_text(
        "# The Pump\n\nThe HydroMax is made by Kessler, as FTS5 and reStructuredText are not. Ask Kessler for it.\n\n"
        "Press the Pump button of a pump, then another pump: see `Handler`, and set PUMP_Name or foo.Bar.\n"
    )
    assert keyterms.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == ["Kessler", "HydroMax", "reStructuredText"]
    assert keyterms.main([str(tmp_path), "--most", "1"]) == 0
    assert capsys.readouterr().out == "Kessler\n"


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keyterms.main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("keyterms: ")
