"""Markdown and plain text into passages, and a passage into the sentences that can be quoted from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import takewhile, zip_longest
from textwrap import dedent
from typing import NamedTuple

from app.services.cuts import split_text

PASSAGE_CHARS = 800
_HEADING_CHARS = 120
_INFO_CHARS = 40  # of the language named at a fence
_ABOUT_CHARS = 300
_ANNOUNCED_CHARS = 600  # of "Run this:" together with the list or code it announces

_FRONT_MATTER = re.compile(r"---[ \t]*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_CLOSING_HASHES = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})([^`]*)$")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
_ROW = re.compile(r"\s*\|")
_CELL_END = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[\s|:*_-]+$")
_NOT_TEXT = re.compile(r"^(?:[ ]{0,3}>)+ ?|<!--.*?-->|\[!\w+\]", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()\s]*(?:\s[^()]*)?\)|\[[^\[\]]*\])")
_STRONG = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")
_CJK_LINE_BREAK = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])")
_CJK_END = re.compile(r"[\u3000-\u9fff\uff00-\uffef]$")
# A full stop only counts before white space and what may begin a sentence: not in "3.14" or "e.g. this". The first
# look-behind keeps a long row of dots from being tried at every dot.
_SENTENCE_END = re.compile(
    r"""(?<![.!?])(?<!\be\.g)(?<!\bi\.e)[.!?]++["'”’)\]*]*(?=\s+[^\sa-z])|[。！？；]+[”’」』）]*"""
)


class Section(NamedTuple):
    """Text of a bounded size under one heading path."""

    headings: tuple[str, ...]
    text: str


class Unit(NamedTuple):
    """A part of a passage that can be quoted by itself; `before` is what joins it to the part before it."""

    before: str
    text: str

    @property
    def is_code(self) -> bool:
        return _is_code(self.text)


class _Block(NamedTuple):
    level: int  # 1 to 6 for a heading, 0 for everything else
    text: str


def split_markdown(text: str) -> Iterator[Section]:
    """Cut at headings, then between paragraphs; code stays in its fence, front matter is left out."""
    path: list[_Block] = []
    body: list[str] = []
    text = text.replace("\r\n", "\n")
    front_matter = _FRONT_MATTER.match(text)
    for block in _blocks(text[front_matter.end() if front_matter else 0 :].splitlines()):
        if block.level:
            yield from _sections(path, body)
            path = [*(above for above in path if above.level < block.level), block]
            body = []
        else:
            body.append(block.text)
    yield from _sections(path, body)


def split_plain(text: str) -> Iterator[Section]:
    """Cut between paragraphs only: a line that looks like a heading heads nothing."""
    yield from _sections([], (block.text for block in _blocks(text.splitlines())))


def units(text: str) -> list[Unit]:
    """What can be quoted from a passage: sentences, list items, table rows, pieces of code.

    A sentence that ends in a colon comes with the short list or code it announces.
    """
    found: list[Unit] = []
    for block in _blocks(text.splitlines()):
        for part in _parts(block.text):
            announced = found and found[-1].text.endswith((":", "：")) and (_is_code(part) or _ITEM.match(part))
            if announced and len(found[-1].text) + len(part) < _ANNOUNCED_CHARS:
                found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{part}")
            else:
                found.extend(_quotes(part))
    return found


def _blocks(lines: Iterable[str]) -> Iterator[_Block]:
    """Headings, fenced code and whatever else stands between blank lines."""
    paragraph: list[str] = []
    rest = iter(lines)
    for line in rest:
        special = _heading(line, paragraph) or _code(line, rest)
        if special is None and line.strip():
            paragraph.append(line)
            continue
        if paragraph:
            yield _Block(0, "\n".join(paragraph))
            paragraph = []
        if special:
            yield special
    if paragraph:
        yield _Block(0, "\n".join(paragraph))


def _heading(line: str, paragraph: list[str]) -> _Block | None:
    """The heading in `line`, or in the one line above that `line` underlines."""
    if atx := _ATX.match(line):
        title = (atx[2] or "")[:_HEADING_CHARS]
        return _Block(len(atx[1]), _inline(_CLOSING_HASHES.sub("", title)))
    underline = _SETEXT.match(line)
    if underline and len(paragraph) == 1 and not _ITEM.match(paragraph[0]):
        return _Block(1 if "=" in line else 2, _inline(paragraph.pop()[:_HEADING_CHARS]))
    return None


def _code(line: str, rest: Iterator[str]) -> _Block | None:
    """The fenced code that `line` opens, taken from `rest`. A missing end is put in place."""
    fence = _FENCE.match(line)
    if fence is None:
        return None
    closing = re.compile(rf"\s*{fence[1]}{fence[1][0]}*\s*$")
    code = "\n".join(takewhile(lambda inner: not closing.match(inner), rest))
    return _Block(0, f"{fence[1]}{fence[2].strip()[:_INFO_CHARS]}\n{dedent(code)}\n{fence[1]}")


def _is_code(text: str) -> bool:
    return _FENCE.match(text.partition("\n")[0]) is not None


def _sections(path: Iterable[_Block], blocks: Iterable[str]) -> Iterator[Section]:
    headings = tuple(heading.text for heading in path if heading.text)
    text, before = "", ""
    for piece in (piece for block in blocks for piece in _pieces(block)):
        longer = f"{text}{piece.before}{piece.text}" if text else piece.text
        if text and len(longer) > PASSAGE_CHARS:
            yield Section(headings, text)
            # Code says little without what it is about: short, that stands in both passages.
            is_alone = _is_code(piece.text) and not _is_code(before) and len(before) < _ABOUT_CHARS
            longer = f"{before}\n\n{piece.text}" if is_alone else piece.head + piece.text
        text, before = longer, piece.text
    if text:
        yield Section(headings, text)


class _Piece(NamedTuple):
    """What fits a passage; `before` joins it to the piece before, `head` goes in front of it in another passage."""

    before: str
    text: str
    head: str = ""


def _pieces(block: str) -> Iterator[_Piece]:
    """The block, or parts of it that fit a passage; each part of a long code has its own fence."""
    if len(block) <= PASSAGE_CHARS:
        yield _Piece("\n\n", block)
    elif _is_code(block):
        opening, _, rest = block.partition("\n")
        code, _, closing = rest.rpartition("\n")
        for part in split_text(code, PASSAGE_CHARS):
            yield _Piece("\n\n", f"{opening}\n{part.rstrip()}\n{closing}")
    else:
        before, head = "\n\n", ""
        lines = _lines(block)
        for line, after in zip_longest(lines, lines[1:], fillvalue=""):
            if not _ROW.match(line):
                head = ""
            for sentence in [line] if _ROW.match(line) else _sentences(line):
                for part in split_text(sentence, PASSAGE_CHARS):
                    yield _Piece(before, part, head)
                    before = ""
                before = "" if _CJK_END.search(sentence) else " "
            if _ROW.match(line) and _RULE.match(after):
                head = f"{line}\n{after}\n" if len(line) + len(after) < _ABOUT_CHARS else ""
            before = "\n"


def _parts(block: str) -> list[str]:
    """A block without blank lines may still be a sentence, a list and a table, one after the other."""
    if _is_code(block):
        return [block]
    parts: list[list[str]] = []
    kind = ""
    for line in _inline(_NOT_TEXT.sub("", block)).splitlines():
        before = kind
        if _ROW.match(line) or _ITEM.match(line):
            kind = "table" if _ROW.match(line) else "list"
        elif kind != "list":  # an item may go on in the next line
            kind = "paragraph"
        if kind != before:
            parts.append([])
        parts[-1].append(line)
    return ["\n".join(lines) for lines in parts]


def _quotes(part: str) -> Iterator[Unit]:
    if _is_code(part):
        yield Unit("\n\n", part)
    elif _ROW.match(part):
        yield from (Unit("\n- ", row) for row in _rows(part))
    else:
        for line in _lines(part):
            before = "\n- " if _ITEM.match(line) else "\n\n"
            for sentence in () if _RULE.match(line) else _sentences(_ITEM.sub("", line)):
                yield Unit(before, sentence)
                before = "" if _CJK_END.search(sentence) else " "


def _rows(table: str) -> Iterator[str]:
    """The rows of a table, each cell with the name of its column: a quoted row has no head above it."""
    lines = table.splitlines()
    rows = [
        [cell.strip() for cell in _CELL_END.split(line.strip().strip("|"))] for line in lines if not _RULE.match(line)
    ]
    has_head = len(lines) > len(rows) and not _RULE.match(lines[0])
    head = rows.pop(0) if has_head else []
    for row in rows:
        named = zip_longest(head, row, fillvalue="")
        yield " | ".join(f"{name}: {cell}" if name else cell for name, cell in named if cell)


def _lines(text: str) -> list[str]:
    """List items, table rows and the rest, one line each."""
    lines: list[list[str]] = []
    for line in text.splitlines():
        if not lines or _ROW.match(line) or _ITEM.match(line):
            lines.append([])
        lines[-1].append(line.strip())
    return [_CJK_LINE_BREAK.sub("", "\n".join(each)).replace("\n", " ") for each in lines]


def _sentences(text: str) -> Iterator[str]:
    number = _ITEM.match(text)  # "1." ends no sentence
    ends = [match.end() for match in _SENTENCE_END.finditer(text, number.end() if number else 0)]
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        if sentence := text[start:end].strip():
            yield sentence


def _inline(text: str) -> str:
    """Without what only makes sense on the page: link targets (twice, for an image in a link), strong marks."""
    return _STRONG.sub(r"\1", _LINK.sub(r"\1", _LINK.sub(r"\1", text))).strip()
