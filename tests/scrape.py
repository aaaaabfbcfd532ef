"""The page of metrics, read as Prometheus reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.client import PATIENCE
from tests.service import Service, browse

Labels = tuple[tuple[str, str], ...]


class Page:
    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def get(self, name: str, **labels: str) -> float:
        """The sum of all samples of `realtime_rag_<name>` that have these labels."""
        return sum(
            value
            for (sample, its_labels), value in self.samples.items()
            if sample == f"realtime_rag_{name}" and labels.items() <= dict(its_labels).items()
        )


async def scrape(service: Service) -> Page:
    async with browse() as http:
        response = await http.get(f"{service.http_url}/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return Page(response.text)


async def scrape_until(service: Service, reached: Callable[[Page], bool]) -> Page:
    """Scrape until it shows what another process, or the other end of a socket, has brought about."""
    async with asyncio.timeout(PATIENCE):
        while True:
            # Of several processes the one that was asked may just have been killed.
            with suppress(httpx.TransportError):
                if reached(page := await scrape(service)):
                    return page
