"""The text of a PDF, page by page, where the extra `pdf` is installed."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections import Counter
from io import BytesIO
from typing import Any

from app.services.local.unreadable import Unreadable

LEAST_PAGES = 4  # to tell what stands on each of them

_BROKEN_WORD = re.compile(r"(?<=[a-zà-ÿ])[-\u00ad]\n(?=[a-zà-ÿ])")
_DIGITS = re.compile(r"\d+")


def is_installed() -> bool:
    return importlib.util.find_spec("pypdf") is not None


def from_pdf(data: bytes) -> str:
    pypdf: Any = importlib.import_module("pypdf")
    try:
        reader = pypdf.PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("it needs a password")
        pages = [page.extract_text().splitlines() for page in reader.pages]
    except (Unreadable, MemoryError, RecursionError):
        raise
    except Exception as error:  # whatever a broken file makes of it
        raise Unreadable("not a PDF") from error
    running = _running(pages)
    texts = ["\n".join(line.strip() for line in page if _form(line) not in running) for page in pages]
    return "\n\n".join(
        f"# Page {number}\n\n{_BROKEN_WORD.sub('', text)}" for number, text in enumerate(texts, 1) if text.strip()
    )


def _running(pages: list[list[str]]) -> set[str]:
    """Heads and feet: what begins or ends most pages says nothing of any."""
    if len(pages) < LEAST_PAGES:
        return set()
    counts = Counter(form for page in pages for form in {_form(line) for line in [*page[:1], *page[-1:]]})
    return {form for form, number in counts.items() if number > len(pages) / 2}


def _form(line: str) -> str:
    return _DIGITS.sub("0", line.strip())
