"""Ranks passages by meaning beside words: asks an OpenAI-compatible server for vectors, most of them beforehand."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import httpx

from app.services.bodies import Body
from app.services.large_json import read_json
from app.services.local.quotes import Quote
from app.services.local.vectors import Text
from app.services.local_rag import LocalRag
from app.services.upstream import BROKEN, read_error
from app.services.waiting import beside

logger = logging.getLogger(__name__)

# A question waits so long for its vector, in seconds; then the words decide alone.
QUESTION_SECONDS = 0.3
PASSAGES = 8  # in one request, so that a question does not wait behind many
PASSAGES_SECONDS = 60
PAUSE_SECONDS = 30  # after a server has failed
MOST_BYTES = 4 * 1024 * 1024
# How much the place in a ranking counts: the first is not worth much more than the second.
PLACE = 60
# The server is not there, or takes nothing now; any other refusal is about the text.
NOT_NOW = frozenset({401, 403, 404, 408, 429, 502, 503, 504, 529})


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"the server answers {status}")
        self.status = status


FAILURES = (*BROKEN, TimeoutError, sqlite3.Error, _Refused)


class Embeddings:
    """The vectors of a folder's passages, by one model of one server."""

    def __init__(
        self, http: httpx.AsyncClient, base_url: str, headers: dict[str, str], model: str, folder: LocalRag
    ) -> None:
        self._http = http
        self._url = f"{base_url}/embeddings"
        self._headers = headers
        self._model = model
        self._folder = folder
        self._vectors = folder.vectors(model)
        self.is_complete = asyncio.Event()
        """What is in the index has its vectors."""
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        folder.index.on_change = lambda: loop.call_soon_threadsafe(self._changed.set)

    async def ranked(self, question: str, quotes: list[Quote]) -> list[Quote]:
        """The same, those first that are near to the question by words or by meaning, or by both."""
        ids = [quote.passage.id for quote in quotes]
        try:
            if not await self._folder.run(partial(self._vectors.has_any, ids)):
                return quotes
            async with asyncio.timeout(QUESTION_SECONDS):
                (vector,) = await self._ask([question])
            near = await self._folder.run(partial(self._vectors.nearness, ids, vector))
        except FAILURES as error:
            logger.info("ranked by words alone: %s", str(error) or "no vector in time")
            return quotes
        by_meaning = sorted(near, key=lambda id_: -near[id_])
        places = {id_: place for place, id_ in enumerate(by_meaning)}
        worth = {id_: 1 / (PLACE + place) + 1 / (PLACE + places.get(id_, len(ids))) for place, id_ in enumerate(ids)}
        return sorted(quotes, key=lambda quote: -worth[quote.passage.id])

    async def keep_up(self) -> None:
        """Make what is missing once the folder has been read, and whenever it has changed."""
        await self._folder.is_complete.wait()
        is_told = False
        while True:
            self._changed.clear()
            self.is_complete.clear()
            after = 0
            try:
                while texts := await self._folder.run(partial(self._vectors.missing, after, PASSAGES)):
                    vectors = await self._made(texts)
                    await self._folder.run(partial(self._vectors.keep, zip(texts, vectors, strict=True)))
                    after, is_told = texts[-1].id, False
            except FAILURES as error:
                level = logging.DEBUG if is_told else logging.WARNING
                logger.log(level, "EMBEDDINGS_MODEL: no vectors for now: %s", str(error) or "no answer in time")
                is_told = True
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self.is_complete.set()
                await self._changed.wait()

    async def _made(self, texts: Sequence[Text]) -> list[Sequence[float]]:
        told = [f"{text.title}\n{text.text}" for text in texts]
        try:
            async with asyncio.timeout(PASSAGES_SECONDS):
                return await self._ask(told)
        except _Refused as refusal:
            if refusal.status in NOT_NOW:
                raise
            if len(texts) == 1:
                return [()]  # too long for the model, perhaps: it is not asked again
        return [vector for text in texts for vector in await self._made([text])]

    async def _ask(self, texts: Sequence[str]) -> list[Sequence[float]]:
        body = {"model": self._model, "input": list(texts)}
        # Whoever asks bounds the time.
        request = self._http.build_request("POST", self._url, json=body, headers=self._headers, timeout=None)
        response = await self._http.send(request, stream=True, auth=None)
        if response.status_code != 200:
            await read_error(response)
            raise _Refused(response.status_code)
        try:
            return _vectors_in(read_json(await Body.of(response).read(MOST_BYTES)), len(texts))
        finally:
            await response.aclose()


@asynccontextmanager
async def open_embeddings(
    http: httpx.AsyncClient, base_url: str, headers: dict[str, str], model: str, folder: LocalRag
) -> AsyncIterator[Embeddings]:
    """Make vectors of what is in the folder as long as this is open."""
    embeddings = Embeddings(http, base_url, headers, model, folder)
    async with beside(embeddings.keep_up()):
        yield embeddings


def _vectors_in(reply: object, number: int) -> list[Sequence[float]]:
    """The vectors of a reply in the order of what was asked. Raises `ValueError` for anything else."""
    data = reply.get("data") if isinstance(reply, dict) else None
    found = {
        item.get("index"): item["embedding"]
        for item in (data if isinstance(data, list) else [])
        if isinstance(item, dict) and isinstance(item.get("embedding"), list)
    }
    vectors = [found.get(at, ()) for at in range(number)]
    numbers = (each for vector in vectors for each in vector)
    if not all(vectors) or not all(isinstance(each, int | float) and math.isfinite(each) for each in numbers):
        raise ValueError("the reply holds no vector for each text")
    return vectors
