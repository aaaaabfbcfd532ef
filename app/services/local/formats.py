"""Files of the usual kinds, as Markdown: bytes in, text out."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from io import BytesIO, StringIO
from textwrap import dedent
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser, fromstring

from app.services.local import markup, pages, records
from app.services.local.unreadable import MAX_BYTES, NEEDS_PDF, TOO_LARGE_UNPACKED, UNKNOWN, Unreadable

HAN_SHARE = 0.3  # of a text in GB 18030: nearly any bytes can be read as one
HAN_CHARS = 100_000  # that are looked at

_HAN = re.compile("[\u4e00-\u9fff]")
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


PLAIN = frozenset({".txt", ".srt", ".vtt"})
"""Where a line that looks like a heading heads nothing."""


def read(suffix: str, data: bytes) -> str:
    """The file as Markdown. Raises `Unreadable` for what is none of its kind, or too large once it is unpacked."""
    return READERS[suffix](data)


def problem(suffix: str) -> str | None:
    """Why no file of this kind can be read, if so."""
    if suffix == ".pdf" and not pages.is_installed():
        return NEEDS_PDF
    return None if suffix in READERS else UNKNOWN


def _text(data: bytes) -> str:
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"\0" in data:
        raise Unreadable("not a text")
    for encoding in ("utf-8", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        start = text[:HAN_CHARS]
        if encoding == "utf-8" or len(_HAN.findall(start)) >= HAN_SHARE * len(start):
            return text
    return data.decode("cp1252", "replace")


_RST_ANCHOR = re.compile(
    r"^\.\. (?:_[^:\n]*:|(?!code|sourcecode|note|warning|tip|versionadded|versionchanged)[a-z-]+::).*\n?", re.MULTILINE
)
_RST_CODE = re.compile(
    r"^([ \t]*)\.\. (?:code|code-block|sourcecode)::[ \t]*(\S*)[ \t]*\n((?:\1[ \t]+\S.*\n|[ \t]*\n)+)", re.MULTILINE
)
_RST_LITERAL = re.compile(r"^([ \t]*)(\S.*:):[ \t]*\n((?:[ \t]*\n)+(?:\1[ \t]+\S.*\n|[ \t]*\n)+)", re.MULTILINE)
_RST_NOTE = re.compile(r"^([ \t]*)\.\. (?:note|warning|tip)::[ \t]*|^[ \t]*:[a-z-]+:(?=[ \t]|$).*\n", re.MULTILINE)
_RST_OBJECT = re.compile(r"^[ \t]*\.\. [a-z]+:[a-z]+:: *(.*)", re.MULTILINE)
_RST_ROLE = re.compile(r":[a-z:]{1,40}:`([^`<\n]{1,200}?)(?:\s{0,9}<[^`\n]{0,400}>)?`")
_RST_LINK = re.compile(r"`([^`<\n]{1,200}?)\s{0,9}<[^`\n]{0,400}>`__?|``([^`\n]{1,200})``")
_RST_TITLE = re.compile(r"^(?:([^\w\s`])\1{2,}\n)?(\S.*)\n(?:([^\w\s`])\3{2,}|`{4,})[ \t]*$", re.MULTILINE)


def _rst(data: bytes) -> str:
    levels: dict[str, int] = {}

    def heading(found: re.Match[str]) -> str:
        level = levels.setdefault(f"{found[1]}{found[3]}", min(len(levels) + 1, 6))
        return f"{'#' * level} {found[2]}\n"

    text = _text(data).replace("\r\n", "\n") + "\n"
    text = _RST_TITLE.sub(heading, text)  # while code still has its indent
    text = _RST_CODE.sub(_fenced, text)
    text = _RST_LITERAL.sub(lambda found: f"{found[1]}{found[2]}\n\n```\n{_body(found[3])}\n```\n\n", text)
    text = _RST_NOTE.sub(r"\1", _RST_ANCHOR.sub("", text))
    text = _RST_OBJECT.sub(r"###### \1", text)
    text = _RST_ROLE.sub(r"`\1`", text)
    return _RST_LINK.sub(lambda found: found[1] or f"`{found[2]}`", text)


def _fenced(found: re.Match[str]) -> str:
    return f"\n```{found[2]}\n{_body(found[3])}\n```\n\n"


def _body(code: str) -> str:
    return dedent(code).strip("\n")


_SPACE = re.compile(r"\s+")
_BREAKS = ["p", "div", "br", "tr", "ul", "ol", "table", "section", "article", "blockquote", "dt", "dd"]
_BEFORE = {
    **dict.fromkeys(_BREAKS, "\n\n"),
    **{f"h{level}": f"\n\n{'#' * level} " for level in range(1, 7)},
    "li": "\n- ",
    "pre": "\n\n```\n",
    "td": " | ",
    "th": " | ",
}
_AFTER = {**dict.fromkeys([*_BREAKS, *(f"h{level}" for level in range(1, 7))], "\n\n"), "pre": "\n```\n\n"}
_SILENT = frozenset({"script", "style", "nav", "footer", "head", "template", "noscript"})


class _Page(HTMLParser):
    """Collects what a page says."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0
        self._is_code = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._silent += tag in _SILENT
        self._is_code = self._is_code or tag == "pre"
        self.parts.append(_BEFORE.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self._silent -= self._silent > 0 and tag in _SILENT
        self._is_code = self._is_code and tag != "pre"
        self.parts.append(_AFTER.get(tag, ""))

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data if self._is_code else _SPACE.sub(" ", data))


def _html(data: bytes) -> str:
    page = _Page()
    page.feed(_text(data))
    page.close()
    return "".join(page.parts)


def _table(rows: Iterable[list[str]]) -> str:
    lines = [" | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in row) for row in rows if any(row)]
    if lines:
        lines.insert(1, "|".join(["---"] * (lines[0].count(" | ") + 1)))
    return "\n".join(f"| {line} |" for line in lines)


def _csv(data: bytes) -> str:
    text = _text(data)
    head = text.partition("\n")[0]
    # Where the comma is in numbers, spreadsheets write semicolons.
    separator = max("\t;,", key=head.count)
    try:
        return _table(csv.reader(StringIO(text), delimiter=separator if separator in head else ","))
    except csv.Error as error:
        raise Unreadable("not a table") from error


NOT_WORD = "not a Word document"


class _Plain(TreeBuilder):
    def doctype(self, *_: str | None) -> None:
        raise Unreadable(NOT_WORD)  # its entities could grow without end


def _docx(data: bytes) -> str:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive, archive.open("word/document.xml") as document:
            xml = document.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError) as error:
        raise Unreadable(NOT_WORD) from error
    if len(xml) > MAX_BYTES:
        raise Unreadable(TOO_LARGE_UNPACKED)
    try:
        body = fromstring(xml, XMLParser(target=_Plain()))
    except ParseError as error:
        raise Unreadable(NOT_WORD) from error
    return "\n\n".join(filter(None, map(_block, body.iterfind(f"{_WORD}body/*"))))


def _block(block: Element) -> str:
    if block.tag == f"{_WORD}tbl":
        rows = block.iterfind(f"{_WORD}tr")
        return _table([[_said(cell) for cell in row.iterfind(f"{_WORD}tc")] for row in rows])
    style = block.find(f"{_WORD}pPr/{_WORD}pStyle")
    level = re.fullmatch(r"Heading([1-6])", "" if style is None else style.get(f"{_WORD}val", ""))
    is_item = block.find(f"{_WORD}pPr/{_WORD}numPr") is not None
    text = _said(block)
    return f"{'#' * int(level[1]) + ' ' if level else '- ' if is_item else ''}{text}" if text else ""


def _said(block: Element) -> str:
    breaks = {f"{_WORD}tab": " ", f"{_WORD}br": " "}
    return "".join(
        breaks.get(part.tag, part.text or "" if part.tag == f"{_WORD}t" else "") for part in block.iter()
    ).strip()


_CUE = re.compile(r"^(?:WEBVTT.*|(?:\d+:)?\d+:\d+[.,]\d+ --> .*|\d+$)\n?|<[^<>\n]{0,200}>", re.MULTILINE)


def _subtitles(data: bytes) -> str:
    return _CUE.sub("", _text(data).replace("\r\n", "\n"))


def _of_text(read_text: Callable[[str], str]) -> Callable[[bytes], str]:
    return lambda data: read_text(_text(data))


READERS: dict[str, Callable[[bytes], str]] = {
    ".md": _text,
    ".markdown": _text,
    ".mdx": _text,
    ".txt": _text,
    ".rst": _rst,
    ".html": _html,
    ".htm": _html,
    ".csv": _csv,
    ".tsv": _csv,
    ".docx": _docx,
    ".srt": _subtitles,
    ".vtt": _subtitles,
    ".json": _of_text(records.from_json),
    ".jsonl": _of_text(records.from_json_lines),
    ".ipynb": _of_text(records.from_notebook),
    ".org": _of_text(markup.from_org),
    ".adoc": _of_text(markup.from_asciidoc),
    ".asciidoc": _of_text(markup.from_asciidoc),
    ".pdf": pages.from_pdf,
}
