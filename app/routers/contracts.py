"""The contracts: AsyncAPI for the WebSocket, and both contracts as pages; OpenAPI comes from FastAPI itself."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from app.config import Settings
from app.contracts.asyncapi import make_document
from app.contracts.page import HEADERS, http_page, protocol_page
from app.dependencies import RuntimeDep

router = APIRouter(tags=["contracts"])
JSON_OBJECT = {"application/json": {"schema": {"type": "object"}}}


class DocumentResponse(Response):
    media_type = "application/json"


@router.head("/asyncapi.json", include_in_schema=False)
@router.get("/asyncapi.json", response_class=DocumentResponse, responses={200: {"content": JSON_OBJECT}})
async def asyncapi(runtime: RuntimeDep) -> DocumentResponse:
    """The WebSocket for programs: AsyncAPI 3.0."""
    return DocumentResponse(_asyncapi_json(*_facts(runtime.settings)))


@router.head("/docs", include_in_schema=False)
@router.get("/docs", response_class=HTMLResponse)
async def docs(request: Request) -> HTMLResponse:
    """These HTTP pages, for people."""
    return HTMLResponse(http_page(request.app.openapi()), headers=HEADERS)


@router.head("/docs/protocol", include_in_schema=False)
@router.get("/docs/protocol", response_class=HTMLResponse)
async def protocol(runtime: RuntimeDep) -> HTMLResponse:
    """The WebSocket, for people."""
    return HTMLResponse(_protocol_html(*_facts(runtime.settings)), headers=HEADERS)


def _facts(settings: Settings) -> tuple[str, str, int]:
    return settings.app_title, settings.ws_path, settings.port


# One process has one set of facts.
@cache
def _asyncapi_json(*facts: Any) -> str:
    return json.dumps(make_document(*facts), ensure_ascii=False, indent=1)


@cache
def _protocol_html(*facts: Any) -> str:
    return protocol_page(make_document(*facts))
