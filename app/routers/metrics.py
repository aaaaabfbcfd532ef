"""Shows the metrics to Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from app.dependencies import RuntimeDep
from app.observability.metrics import CONTENT_TYPE, MetricsUnreadable

router = APIRouter(tags=["metrics"])


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(runtime: RuntimeDep) -> Response:
    """Everything that is counted and measured, in Prometheus' text format."""
    runtime.gauges.show()
    try:
        return Response(runtime.metrics.page(), media_type=CONTENT_TYPE)
    except MetricsUnreadable as error:
        return PlainTextResponse(f"{error}\n", 503)
