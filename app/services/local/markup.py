"""Org and AsciiDoc as Markdown, line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ORG_HEADING = re.compile(r"(\*+)\s+(?:(?:TODO|DONE)\s+)?(?:\[#\w\]\s+)?(\S.*)")
_ORG_TAGS = re.compile(r"\s:[\w@#%:]+:\s*$")
_ORG_CODE = re.compile(r"\s*#\+begin_(src|example)\b\s*(\S*)", re.IGNORECASE)
_ORG_TITLE = re.compile(r"#\+title:\s*(.*)", re.IGNORECASE)
_ORG_DRAWER = re.compile(r"\s*:(?!end:)[\w-]+:\s*$", re.IGNORECASE)
_ORG_DROPPED = re.compile(r"\s*#(?:\+|\s|$)|\s*(?:SCHEDULED|DEADLINE|CLOSED):")
_ORG_LINK = re.compile(r"\[\[([^\[\]]{1,400})\](?:\[([^\[\]]{1,400})\])?\]")
_ORG_WORD = re.compile(r"(?<![\w=~])([=~])(?=\S)([^\n=~]{1,200})(?<=\S)\1(?![\w=~])")
_ORG_RULE = re.compile(r"\s*\|[-+|]+\s*$")

_ADOC_HEADING = re.compile(r"(={1,6})\s+(\S.*)")
_ADOC_CODE = re.compile(r"(-{4,}|\.{4,}|`{3,})(\w*)\s*$")
_ADOC_COMMENT = re.compile(r"/{4,}\s*$")
_ADOC_SOURCE = re.compile(r"\[source\s*,\s*\"?(\w+)")
_ADOC_DROPPED = re.compile(
    r"//|:!?[\w-]+!?:(?:\s|$)|\[.*\]\s*$|(?:={4,}|\*{4,}|_{4,}|\+{4,}|--|\+|'''|<<<)\s*$|\w+::\S*\[.*\]\s*$"
)
_ADOC_ITEM = re.compile(r"\s*(\*+|-|\.+)\s+(\S.*)")
_ADOC_TERM = re.compile(r"(\S.{0,200}?)::(?:\s+(.*))?$")
_ADOC_LINK = re.compile(r"(?:\b(?:link|xref|mailto):|(?=\bhttps?://))[^\s\[\]]{1,400}\[([^\[\]]{1,400})\]")
_ADOC_REFERENCE = re.compile(r"<<[^<>,]{1,200}(?:,\s*([^<>]{1,200}))?>>")
_ADOC_WORD = re.compile(r"`\+([^`\n]{1,200})\+`")


def from_org(text: str) -> str:
    return "\n".join(_org(iter(text.splitlines())))


def _org(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if heading := _ORG_HEADING.match(line):
            # One below the title of the file.
            yield f"{'#' * min(len(heading[1]) + 1, 6)} {_org_words(_ORG_TAGS.sub('', heading[2]))}"
        elif title := _ORG_TITLE.match(line):
            yield f"# {title[1]}"
        elif code := _ORG_CODE.match(line):
            yield from _fenced(code[2], lines, f"#+end_{code[1].lower()}")
        elif _ORG_DRAWER.match(line):
            list(_until(lines, ":end:"))
        elif _ORG_RULE.match(line):
            yield line.replace("+", "|")
        elif not _ORG_DROPPED.match(line):
            yield _org_words(line)


def _org_words(line: str) -> str:
    return _ORG_WORD.sub(r"`\2`", _ORG_LINK.sub(lambda link: link[2] or link[1], line))


def from_asciidoc(text: str) -> str:
    return "\n".join(_asciidoc(iter(text.splitlines())))


def _asciidoc(lines: Iterator[str]) -> Iterator[str]:
    language = ""
    for line in lines:
        if code := _ADOC_CODE.match(line):
            yield from _fenced(code[2] or language, lines, code[1])
        elif _ADOC_COMMENT.match(line):
            list(_until(lines, line.strip()))
        elif line.startswith("|==="):
            yield from _adoc_table(_until(lines, "|==="))
        elif heading := _ADOC_HEADING.match(line):
            yield f"{'#' * len(heading[1])} {_adoc_words(heading[2])}"
        elif source := _ADOC_SOURCE.match(line):
            language = source[1]
            continue
        elif _ADOC_DROPPED.match(line):
            continue
        elif item := _ADOC_ITEM.match(line):
            yield f"{'1.' if item[1][0] == '.' else '-'} {_adoc_words(item[2])}"
        elif term := _ADOC_TERM.match(line):
            yield f"- {_adoc_words(term[1])}: {_adoc_words(term[2] or '')}".rstrip()
        else:
            yield _adoc_words(line.removeprefix(".") if line[1:2].isalpha() else line)
        language = ""


def _adoc_table(lines: Iterator[str]) -> Iterator[str]:
    """A row stands in one line, or, below a first one that shows how many there are, each cell in a line of its own."""
    columns, cells = 0, list[str]()
    for line in lines:
        here = [_adoc_words(cell.strip()) for cell in line.split("|")[1:]]
        columns = columns or len(here)
        if here:
            cells += here
        elif cells and line.strip():
            cells[-1] += f" {_adoc_words(line.strip())}"
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns or 1)]
    for number, row in enumerate(rows):
        yield f"| {' | '.join(row)} |"
        if number == 0:
            yield f"|{'---|' * columns}"


def _adoc_words(text: str) -> str:
    text = _ADOC_REFERENCE.sub(lambda found: found[1] or "", _ADOC_LINK.sub(r"\1", text))
    return _ADOC_WORD.sub(r"`\1`", text)


def _fenced(language: str, lines: Iterator[str], end: str) -> Iterator[str]:
    yield f"```{language}"
    yield from _until(lines, end)
    yield "```"


def _until(lines: Iterator[str], end: str) -> Iterator[str]:
    for line in lines:
        if line.strip().lower() == end:
            return
        yield line
