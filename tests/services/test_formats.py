"""Files of the usual kinds, read as Markdown; hostile ones are refused in time."""

from __future__ import annotations

import json
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.local import formats
from app.services.local.passages import split_markdown
from app.services.local.unreadable import MAX_BYTES

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
    [
        b'place,opens\n"Oslo | West",9\n\nRome,"ten\nto six"\n',
        b"place\topens\nOslo | West\t9\nRome\tten to six\n",
        b'place;opens\nOslo | West;9\nRome;"ten to six"\n',
    ],
)
def test_a_table_keeps_the_names_of_its_columns(data: bytes) -> None:
    assert formats.read(".csv", data) == (
        "| place | opens |\n| ---|--- |\n| Oslo \\| West | 9 |\n| Rome | ten to six |"
    )


def test_a_comma_in_a_number_separates_nothing_where_semicolons_do() -> None:
    assert formats.read(".csv", "Preis;Größe\n1,50;2,5\n".encode()).endswith("| 1,50 | 2,5 |")
    assert formats.read(".csv", b"name\na,b\n").endswith("| a | b |")


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


def test_records_are_lines_with_the_names_of_their_fields() -> None:
    hours = {"question": "When?", "answer": "At nine,\nfrom Monday on.", "tags": ["hours", "days"], "n": None}
    at, near = {"street": "Elm Street", "number": 5}, [{"stop": "Pier"}, {"stop": "Mill"}]
    place = {"question": "Where?", "at": at, "near": near}
    text = json.dumps({"name": "Shop", "open": True, "faq": [hours, place], "empty": [], "no": {"text": None}})
    assert formats.read(".json", text.encode()) == (
        "- name: Shop\n\n# faq\n\n"
        "- question: When?\n- answer: At nine, from Monday on.\n- tags: hours, days\n\n"
        "- question: Where?\n- at street: Elm Street\n- at number: 5\n- near stop: Pier\n- near stop: Mill"
    )


@pytest.mark.parametrize(
    ("text", "read"),
    [('"one"', "- one"), ('["one", 2]', "- one, 2"), ('[["a", "b"], "c"]', "- a, b\n\n- c"), ("[]", "")],
)
def test_a_value_alone_is_a_line(text: str, read: str) -> None:
    assert formats.read(".json", text.encode()) == read


def test_records_of_a_line_each_are_read_but_for_broken_ones() -> None:
    text = b'{"q": "When?", "a": "At nine."}\n\n{"q": "Where?"}\n{"q": "Wh'
    assert formats.read(".jsonl", text) == "- q: When?\n- a: At nine.\n\n- q: Where?"


def test_a_notebook_is_its_text_and_its_code() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Guide\n", "Run it:"]},
        {"cell_type": "code", "source": "print(1)", "outputs": [{"text": "1"}]},
        {"cell_type": "code", "source": []},
        {"cell_type": "raw", "source": "no"},
        "no",
    ]
    text = json.dumps({"cells": cells, "nbformat": 4}).encode()
    assert formats.read(".ipynb", text) == "# Guide\nRun it:\n\n```\nprint(1)\n```"


def test_org_becomes_headings_code_tables_and_plain_words() -> None:
    text = b"""\
#+TITLE: Guide
#+OPTIONS: toc:nil
# a comment
* TODO [#A] Setting the key  :setup:key:
:PROPERTIES:
:ID: 1
:END:
See [[https://site.example][the site]], [[file.org]] and =run()= or ~go~.
#+BEGIN_SRC sh
  * key = 1
#+END_SRC
** Times
SCHEDULED: <2026-01-01>
| place | opens |
|-------+-------|
| Oslo  |     9 |
"""
    assert sections(".org", text) == [
        ("Guide/Setting the key", "See the site, file.org and `run()` or `go`.\n\n```sh\n* key = 1\n```"),
        ("Guide/Setting the key/Times", "| place | opens |\n|-------|-------|\n| Oslo  |     9 |"),
    ]


def test_asciidoc_becomes_headings_code_tables_and_plain_words() -> None:
    text = b"""\
= Guide
:toc:

// a comment
////
another
////
[[key]]
== Setting the key

See link:a.html[the manual], https://site.example[the site] and <<key,above>>, `+run()+`.

.Like this
[source,sh]
----
== key = 1
----

* one
** two
. first

NOTE: Mind it.

====
CPU:: What thinks.
image::a.png[]
====

[cols="1,1"]
|===
|place |opens

|Oslo
|9
to 5
|===
"""
    assert sections(".adoc", text) == [
        (
            "Guide/Setting the key",
            "See the manual, the site and above, `run()`.\n\nLike this\n\n```sh\n== key = 1\n```\n\n"
            "- one\n- two\n1. first\n\nNOTE: Mind it.\n\n- CPU: What thinks.\n\n"
            "| place | opens |\n|---|---|\n| Oslo | 9 to 5 |",
        )
    ]


def pdf(*texts: str) -> bytes:
    """A PDF of such pages, each with its lines."""
    objects = ["<</Type/Catalog/Pages 2 0 R>>", "", "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    kids = []
    for text in texts:
        shown = " ".join(f"({line}) Tj 0 -20 Td" for line in text.splitlines())
        stream = zlib.compress(f"BT /F1 12 Tf 50 700 Td {shown} ET".encode(), 9).decode("latin-1")
        objects.append(f"<</Filter/FlateDecode/Length {len(stream)}>>stream\n{stream}\nendstream")
        page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F1 3 0 R>>>>"
        objects.append(f"{page}/Contents {len(objects)} 0 R>>")
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<</Type/Pages/Kids[{' '.join(kids)}]/Count {len(kids)}>>"
    body = "%PDF-1.4\n"
    places = []
    for number, each in enumerate(objects, 1):
        places.append(f"{len(body):010} 00000 n \n")
        body += f"{number} 0 obj\n{each}\nendobj\n"
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{''.join(places)}"
    return f"{body}{table}trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(body)}\n%%EOF".encode(
        "latin-1"
    )


def test_a_pdf_is_read_page_by_page_without_what_stands_on_each() -> None:
    pytest.importorskip("pypdf")
    head, names = "The lanterns of the town", ("Ada", "Bo", "Cy")
    texts = [f"{head}\nLantern {name} is in the ware-\nhouse.\nPage {names.index(name)} of 4" for name in names]
    assert sections(".pdf", pdf(*texts, f"{head}\nPage 4 of 4")) == [
        (f"Page {number}", f"Lantern {name} is in the warehouse.") for number, name in enumerate(names, 1)
    ]


@pytest.mark.parametrize("data", [b"", b"no PDF", b"%PDF-1.4\n%%EOF"])
def test_what_is_no_pdf_is_refused(data: bytes) -> None:
    pytest.importorskip("pypdf")
    with pytest.raises(ValueError, match="not a PDF"):
        formats.read(".pdf", data)


def test_without_its_extra_no_pdf_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    assert formats.problem(".pdf") == "install the extra `pdf`"


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".md", b"a\0b"),
        (".docx", b"no archive"),
        (".docx", docx("<w:p>", "")),
        (".docx", docx("", BOMB)),
        (".docx", lambda: docx("<w:p><w:r><w:t>" + "a" * (MAX_BYTES + 1) + "</w:t></w:r></w:p>")),
        (".docx", docx("", f"<!--{'a' * 5_000}-->{BOMB}")),
        (".csv", b"a" * 200_000 + b",b"),
        (".json", b"{"),
        (".json", b"[" * 100_000),
        (".jsonl", b"one\ntwo"),
        (".ipynb", b"[]"),
        (".ipynb", b'{"cells": 1}'),
    ],
    ids=[
        *("binary", "no archive", "no XML", "entities", "grows", "entities below", "long cell"),
        *("no JSON", "deep JSON", "no records", "no notebook", "no cells"),
    ],
)
def test_what_is_none_of_its_kind_is_refused(suffix: str, data: bytes | Callable[[], bytes]) -> None:
    with pytest.raises(ValueError, match=r"not |larger than"):
        formats.read(suffix, data if isinstance(data, bytes) else data())


@pytest.mark.no_cover  # many times the same lines
@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".html", b"<div>" * 50_000),
        (".html", b"<" * 50_000),
        (".html", b"<pre>" * 15_000),
        (".rst", b"`" * 50_000),
        (".rst", b":a:`" * 15_000),
        (".rst", b":" * 50_000),
        (".rst", b"`a" + b" " * 50_000),
        (".rst", b".. code::\n" * 15_000),
        (".rst", b"a::\n\n" * 15_000),
        (".rst", b"=" * 50_000),
        (".rst", b" " * 50_000),
        (".rst", b"\n" * 50_000),
        (".vtt", b"1:" * 60_000),
        (".vtt", b"<" * 60_000),
        (".org", b"#+begin_src\n" * 15_000),
        (".org", b"[[" * 30_000),
        (".org", b"* " + b" :a" * 2_000),
        (".org", b"=a" * 30_000),
        (".adoc", b"----\n|===\n" * 15_000),
        (".adoc", b"|===\n" + b"|" * 50_000),
        (".adoc", b"https://" * 7_000),
        (".adoc", b"<<" * 30_000),
        (".adoc", b"a:" * 30_000),
        (".json", b'{"a":' * 500 + b"1" + b"}" * 500),
    ],
)
def test_a_hostile_file_takes_no_more_than_its_share_of_time(suffix: str, data: bytes) -> None:
    started = time.process_time()
    formats.read(suffix, data)
    assert time.process_time() - started < 7  # quadratic, it takes minutes


@given(st.sampled_from(sorted(formats.READERS.keys() - {".pdf"})), st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused(suffix: str, data: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(formats.read(suffix, data), str)
