"""Serves the console, a page to talk to the service, and the modules it is made of, for others to use as they are."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import HTTPException

from app.config import OWN_DOCS, Settings
from app.dependencies import RuntimeDep
from app.models.messages import Tuning
from app.values import ANY, origin_of

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parents[1] / "static"
# Not the mimetypes of the machine: without the right one a browser runs no module.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
# The only script in the page itself runs because the policy names its hash.
_INLINE = re.findall(r"<script>(.*?)</script>", (STATIC / "index.html").read_text(encoding="utf-8"), re.DOTALL)
_HASHES = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in _INLINE]
POLICY = "; ".join(
    [
        "default-src 'none'",
        " ".join(["script-src 'self'", *(f"'sha256-{known}'" for known in _HASHES)]),
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No text becomes HTML or script but what has passed the sanitizer.
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    # A browser may keep everything, but asks each time: a page never runs with modules of another version.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Page:
    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, suffix: str) -> Page:
        return cls(content, MEDIA_TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


@cache
def pages() -> dict[str, Page]:
    """Every file by its path below `/static/`: what is not in here cannot be asked for."""
    files = (path for path in STATIC.rglob("*") if path.is_file())
    return {path.relative_to(STATIC).as_posix(): Page.of(path.read_bytes(), path.suffix) for path in files}


@router.api_route("/", methods=["GET", "HEAD"])
async def console(request: Request, runtime: RuntimeDep) -> Response:
    """The page itself, with what it has to know of the settings in it."""
    text = pages()["index.html"].content.decode()
    for name, value in _facts(runtime.settings).items():
        text = text.replace(f"{{{{{name}}}}}", html.escape(str(value)))
    return respond(request, Page.of(text.encode(), ".html"), _policy(runtime.settings))


@router.api_route("/static/{path:path}", methods=["GET", "HEAD"])
async def static(request: Request, runtime: RuntimeDep, path: str) -> Response:
    page = pages().get(path)
    if page is None or path.endswith(".html"):
        raise HTTPException(404)
    response = respond(request, page)
    if path.endswith(".js"):
        _share(request, response, runtime.gate.directory.known_origins)
    return response


def _share(request: Request, response: Response, allowed: Collection[str]) -> None:
    """Let pages that may connect import a module. It holds no secret, and is the same for everybody."""
    response.headers["Vary"] = "Origin"
    origin = request.headers.get("Origin", "")
    try:
        is_known = ANY in allowed or origin_of(origin) in allowed
    except ValueError:
        return
    if is_known:
        response.headers["Access-Control-Allow-Origin"] = ANY if ANY in allowed else origin


def _policy(settings: Settings) -> str:
    """The page may connect to the recogniser, too."""
    if settings.ears_url is None:
        return POLICY
    ears = urlsplit(settings.ears_url)
    return POLICY.replace("connect-src 'self'", f"connect-src 'self' {ears.scheme}://{ears.netloc}")


def _facts(settings: Settings) -> dict[str, str | int]:
    folder = settings.knowledge_dir or OWN_DOCS
    return {
        "app_title": settings.app_title,
        "ws_path": settings.ws_path,
        "debug_pages": "yes" if settings.debug_pages else "no",
        "tuning": json.dumps({name: getattr(settings, name) for name in Tuning.model_fields}),
        "max_message_bytes": settings.max_message_bytes,
        # Questions about this service are good examples where its own pages are what is answered from.
        "folder": "own-docs" if folder.resolve() == OWN_DOCS.resolve() else "other",
        "ears_url": settings.ears_url or "",
        "ears_kind": settings.ears_kind,
    }


def respond(request: Request, page: Page, policy: str = POLICY) -> Response:
    headers = {**HEADERS, "Content-Security-Policy": policy, "ETag": page.etag}
    # A proxy that compresses makes the tag a weak one.
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    if page.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(page.content, media_type=page.media_type, headers=headers)
