"""Shows what the service makes of a text, where `DEBUG_PAGES` is set: under the rules of the socket."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any, Literal, get_args

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from app.config import Settings
from app.dependencies import Runtime, RuntimeDep
from app.identity import Refusal
from app.models.addressing import call_of
from app.models.listening import seconds_to_wait
from app.models.messages import Text128, mend
from app.models.verdicts import Verdict
from app.routers.console import HEADERS
from app.services import question_detector
from app.sessions.limits import TokenBucket

NOT_KEPT = {**HEADERS, "Cache-Control": "no-store"}


Why = Literal["invalid", "unauthorized", "foreign_origin", "too_slow", "too_large", "not_json", "rate_limited"]
STATUS: dict[Why, int] = dict(zip(get_args(Why), (400, 401, 403, 408, 413, 415, 429), strict=True))


class Refused(Exception):
    """A request that is not answered, with why."""

    def __init__(self, reason: Why, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.response = JSONResponse({"reason": reason}, STATUS[reason], {**NOT_KEPT, **(headers or {})})


class Sentence(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    text: str
    language: Text128 | None = Field(None, description="Which rules to use; without it the text tells.")


class Asked(BaseModel):
    """One question of the text; `start` and `end` count code points."""

    question: str
    start: int
    end: int
    reason: str
    rule: str
    confidence: float


class Judged(BaseModel):
    """What is made of the text."""

    is_question: bool
    is_complete: bool
    is_follow_up: bool
    confidence: float
    reason: str
    rule: str
    language: str
    wait_ms: int | None = Field(description="How long the service would wait for more; null where nothing is asked.")
    questions: list[Asked]


class NotJudged(BaseModel):
    reason: Why


# FastAPI does not read the body: who may not be here, or sends too much, is turned away before.
BODY: dict[str, Any] = {
    "required": True,
    "content": {"application/json": {"schema": Sentence.model_json_schema()}},
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": NotJudged, "description": f"`{reason}`"} for reason, status in STATUS.items()
}


def make_router(settings: Settings) -> APIRouter:
    """One bucket serves the process: whoever fills it costs nobody else more than this page."""
    router = APIRouter(prefix="/debug", tags=["debug"])
    rate = settings.messages_per_second
    bucket = TokenBucket(rate, burst=2 * rate)

    @router.post("/judge", response_model=Judged, responses=REFUSALS, openapi_extra={"requestBody": BODY})
    async def judge(request: Request, runtime: RuntimeDep) -> JSONResponse:
        """What the service makes of a text; nothing is asked or kept. With tokens: `Authorization: Bearer TOKEN`."""
        try:
            _let_in(request, runtime)
            if wait := bucket.take(time.monotonic()):
                raise Refused("rate_limited", {"Retry-After": str(math.ceil(wait))})
            # What a page may send elsewhere without being asked is of other types.
            if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
                raise Refused("not_json")
            sentence = Sentence.model_validate_json(mend((await _read(request, settings)).decode()))
        except Refused as refused:
            return refused.response
        except ValueError:
            return Refused("invalid").response
        return JSONResponse(_look_at(sentence, settings).model_dump(), headers=NOT_KEPT)

    return router


def _let_in(request: Request, runtime: Runtime) -> None:
    who = runtime.gate.admit(request.scope["headers"], (), request.scope["query_string"])
    if who is Refusal.FOREIGN_ORIGIN:
        runtime.metrics.refused.labels("foreign_origin").inc()
        raise Refused("foreign_origin")
    if who is Refusal.UNAUTHORIZED:
        runtime.metrics.refused.labels("unauthorized").inc()
        raise Refused("unauthorized", {"WWW-Authenticate": "Bearer"})


async def _read(request: Request, settings: Settings) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(settings.handshake_seconds):
            async for part in request.stream():
                body += part
                if len(body) > settings.max_message_bytes:
                    raise Refused("too_large")
    except TimeoutError:
        raise Refused("too_slow") from None
    return bytes(body)


def _look_at(sentence: Sentence, settings: Settings) -> Judged:
    text = sentence.text
    verdict = question_detector.judge(text[call_of(text, settings.names) :], sentence.language)
    return Judged(
        is_question=verdict.is_question,
        is_complete=verdict.is_complete,
        is_follow_up=verdict.is_follow_up,
        confidence=round(verdict.confidence, 2),
        reason=verdict.reason,
        rule=verdict.rule,
        language=verdict.language,
        wait_ms=round(seconds_to_wait(verdict, settings) * 1000) if verdict.is_question else None,
        questions=_questions(text, verdict) if verdict.is_question else [],
    )


def _questions(text: str, verdict: Verdict) -> list[Asked]:
    # From the end, for the newest words are judged: what is asked twice was found where it stands last.
    found: list[Asked] = []
    end = len(text)
    for each in reversed(verdict.each):
        start = max(0, text.rfind(each.question, 0, end))
        end = start
        found.append(
            Asked(
                question=each.question,
                start=start,
                end=start + len(each.question),
                reason=each.reason,
                rule=each.rule,
                confidence=round(each.confidence, 2),
            )
        )
    return found[::-1]
