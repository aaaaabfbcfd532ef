"""Files of the usual kinds, read as Markdown; hostile ones are refused in time."""

from __future__ import annotations

import time
import zipfile
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.local import formats
from app.services.local.passages import split_markdown

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def docx(body: str, head: str = "") -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "word/document.xml", f'{head}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
        )
    return file.getvalue()


def sections(suffix: str, data: bytes) -> list[tuple[str, str]]:
    return [("/".join(headings), text) for headings, text in split_markdown(formats.read(suffix, data))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_chinese_is_read_in_the_encodings_that_it_comes_in(encoding: str) -> None:
    assert formats.read(".md", "密钥配置完成后需要重启服务。".encode(encoding)) == "密钥配置完成后需要重启服务。"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_western_text_is_read_in_the_encodings_that_it_comes_in(encoding: str) -> None:
    text = "Grün ist die Tür, blau die Brücke – sagt er."
    assert formats.read(".txt", text.encode(encoding)) == text


def test_restructured_text_becomes_headings_code_and_plain_words() -> None:
    text = b"""\
.. _top:

=====
Guide
=====

See :doc:`the manual <manual>` and ``run()`` at `the site <https://site.example>`_.

Setting the key
---------------

Do it like this::

    key = 1
      more

.. code-block:: python

    key = 2
    ====

Again
-----

.. note::
   Mind it.

.. py:data:: KEY

    What opens it.
"""
    assert sections(".rst", text) == [
        ("Guide", "See `the manual` and `run()` at the site."),
        ("Guide/Setting the key", "Do it like this:\n\n```\nkey = 1\n  more\n```\n\n```python\nkey = 2\n====\n```"),
        ("Guide/Again", "   Mind it."),
        ("Guide/Again/KEY", "    What opens it."),
    ]


def test_a_page_becomes_what_it_says() -> None:
    page = b"""<html><head><title>no</title><style>p {}</style></head><body><nav>Home</nav>
        <h1>Guide</h1><p>One &amp; two.</p><script>no()</script><ul><li>three<li>four</ul>
        <pre>a
  b</pre></body></html>"""
    ((heading, text),) = sections(".html", page)
    assert heading == "Guide"
    assert [line.strip() for line in text.splitlines() if line.strip()] == [
        "One & two.",
        "- three",
        "- four",
        "```",
        "a",
        "b",
        "```",
    ]


@pytest.mark.parametrize(
    "data",
    [b'place,opens\n"Oslo | West",9\n\nRome,"ten\nto six"\n', b"place\topens\nOslo | West\t9\nRome\tten to six\n"],
)
def test_a_table_keeps_the_names_of_its_columns(data: bytes) -> None:
    assert formats.read(".csv", data) == (
        "| place | opens |\n| ---|--- |\n| Oslo \\| West | 9 |\n| Rome | ten to six |"
    )


def test_a_word_document_becomes_headings_paragraphs_items_and_tables() -> None:
    body = """
        <w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Guide</w:t></w:r></w:p>
        <w:p><w:r><w:t>One </w:t></w:r><w:r><w:t>line</w:t><w:br/><w:t>more.</w:t></w:r></w:p><w:p/>
        <w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>an item</w:t></w:r></w:p>
        <w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr>
        <w:tr><w:tc><w:p><w:r><w:t>1</w:t></w:r></w:p></w:tc><w:tc><w:p/></w:tc></w:tr></w:tbl>"""
    assert formats.read(".docx", docx(body)) == (
        "# Guide\n\nOne line more.\n\n- an item\n\n| a | b |\n| ---|--- |\n| 1 |  |"
    )


def test_subtitles_are_what_was_said() -> None:
    first = "1\n00:00:01.000 --> 00:00:02.000 align:start\n<v Anna>We open at nine."
    text = f"WEBVTT\n\n{first}\n\n00:03.000 --> 00:04.000\nOn Monday.\n"
    assert " ".join(formats.read(".vtt", text.encode()).split()) == "We open at nine. On Monday."


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".md", b"a\0b"),
        (".docx", b"no archive"),
        (".docx", docx("<w:p>", "")),
        (".docx", docx("", BOMB)),
        (".docx", docx("<w:p><w:r><w:t>" + "a" * (formats.MAX_BYTES + 1) + "</w:t></w:r></w:p>")),
        (".csv", b"a" * 200_000 + b",b"),
    ],
    ids=["binary", "no archive", "no XML", "entities", "grows", "long cell"],
)
def test_what_is_none_of_its_kind_is_refused(suffix: str, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a|larger than"):
        formats.read(suffix, data)


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".html", b"<div>" * 150_000),
        (".html", b"<" * 150_000),
        (".html", b"<pre>" * 50_000),
        (".rst", b"`" * 150_000),
        (".rst", b":a:`" * 50_000),
        (".rst", b":" * 150_000),
        (".rst", b"`a" + b" " * 150_000),
        (".rst", b".. code::\n" * 50_000),
        (".rst", b"a::\n\n" * 50_000),
        (".rst", b"=" * 150_000),
        (".rst", b" " * 150_000),
        (".rst", b"\n" * 150_000),
        (".vtt", b"1:" * 200_000),
        (".vtt", b"<" * 200_000),
    ],
)
def test_a_hostile_file_takes_no_more_than_its_share_of_time(suffix: str, data: bytes) -> None:
    started = time.process_time()
    formats.read(suffix, data)
    assert time.process_time() - started < 60  # quadratic, it takes an hour


@given(st.sampled_from(sorted(formats.READERS)), st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused(suffix: str, data: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(formats.read(suffix, data), str)
