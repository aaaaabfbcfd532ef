"""`python -m app keyterms`: the names in the folder that is answered from, which a recogniser would not know."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import regex

from app.config import load_settings
from app.errors import StartError
from app.services.local_rag import open_local

MOST = 100
"""What most recognisers take."""
# A word within a sentence: what begins one has a capital anyway. No part of a path, an address, code or a setting.
_WORD = regex.compile(r"(?<=[\p{L}\p{N},;)\"'] [\"'(]?)(?<![/_.`=@-])\p{L}[\p{L}\p{N}]{2,30}+(?![/_`=@(:]|\.\p{L})")
_NAMELIKE = regex.compile(r"\p{Lu}\p{Ll}|\p{Ll}.*\p{Lu}|\p{Lu}{2,}.*\p{Ll}")


def keyterms(texts: Iterable[str], most: int = MOST) -> list[str]:
    """The words that are written as names are, most often and hardly ever otherwise; the commonest come first."""
    written = Counter(word for text in texts for word in _WORD.findall(text))
    plain = Counter[str]()
    for word, count in written.items():
        if word.islower():
            plain[word] += count
    names = [word for word in written if _NAMELIKE.match(word) and written[word] > 2 * plain[word.lower()]]
    return sorted(names, key=lambda word: (-written[word], word))[:most]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the names of the folder, one a line; the exit status is 2 when it cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m app keyterms",
        description="Print the names in the folder that is answered from, for recognisers that take hints.",
    )
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="another one than KNOWLEDGE_DIR")
    parser.add_argument("--most", type=int, default=MOST, metavar="N", help=f"of them (default {MOST})")
    options = parser.parse_args(arguments)
    logging.getLogger("app").addHandler(logging.NullHandler())
    try:
        texts = asyncio.run(_texts(options.folder))
    except StartError as error:
        print(f"keyterms: {error}", file=sys.stderr)
        return 2
    print("".join(f"{name}\n" for name in keyterms(texts, options.most)), end="")
    return 0


async def _texts(folder: Path | None) -> list[str]:
    settings = load_settings()
    if folder is not None:
        settings = settings.model_copy(update={"knowledge_dir": folder, "knowledge_index": None})
    async with open_local(settings) as rag:
        await rag.is_complete.wait()
        return await rag.texts()
