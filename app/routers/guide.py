"""Serves the guide: the pages of `docs/`, as text, and in the console's look."""

from __future__ import annotations

import html
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from app.dependencies import RuntimeDep
from app.routers.console import HEADERS, MEDIA_TYPES, Page, pages, respond

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
        return _missing(request, runtime.settings.app_title)
    if name.endswith(".md"):
        return respond(request, text)
    return respond(request, Page.of(_filled("guide.html", app_title=runtime.settings.app_title, page=name), ".html"))


def _missing(request: Request, app_title: str) -> Response:
    """For people a page with a way back; programs, and this guide itself, get a reason."""
    headers = {**HEADERS, "Vary": "Accept"}
    if "text/html" not in request.headers.get("Accept", ""):
        return JSONResponse({"reason": "no_such_page"}, 404, headers)
    # As the browser counts, to which an escaped slash is none.
    depth = request.scope["raw_path"].partition(b"/guide/")[2].count(b"/") + 1
    page = _filled("guide-missing.html", app_title=app_title, up="../" * depth)
    return Response(page, 404, headers, MEDIA_TYPES[".html"])


def _filled(name: str, **values: str) -> bytes:
    shell = pages()[name].content.decode()
    for key, value in values.items():
        shell = shell.replace(f"{{{{{key}}}}}", html.escape(value))
    return shell.encode()
