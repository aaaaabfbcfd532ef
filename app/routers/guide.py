"""Serves the guide: the pages of `docs/`, as text, and in the console's look."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from app.dependencies import RuntimeDep
from app.routers.console import HEADERS, Page, pages, respond

router = APIRouter(include_in_schema=False)

APP = Path(__file__).parents[1]
# In the image it is beside the code: over `docs/` a folder of somebody's own may be mounted, which is nobody else's.
DOCS = next((folder for folder in (APP / "docs", APP.parent / "docs") if folder.is_dir()), APP)


@cache
def texts() -> dict[str, Page]:
    """Every page by its name: what is not in here cannot be asked for."""
    return {path.stem: Page.of(path.read_bytes(), path.suffix) for path in DOCS.glob("*.md")}


@router.api_route("/guide", methods=["GET", "HEAD"])
async def guide() -> Response:
    # Relative, for who is behind a proxy under a path of its own.
    return RedirectResponse("guide/", headers=HEADERS)


@router.api_route("/guide/{name:path}", methods=["GET", "HEAD"])
async def page(request: Request, runtime: RuntimeDep, name: str) -> Response:
    name = name or "index"
    text = texts().get(name.removesuffix(".md"))
    if text is None:
        return JSONResponse({"reason": "no_such_page"}, 404, HEADERS)
    if name.endswith(".md"):
        return respond(request, text)
    shell = pages()["guide.html"].content.decode()
    for key, value in (("app_title", runtime.settings.app_title), ("page", name)):
        shell = shell.replace(f"{{{{{key}}}}}", html.escape(value))
    return respond(request, Page.of(shell.encode(), ".html"))
