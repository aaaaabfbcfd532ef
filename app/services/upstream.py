"""What asking any backend over HTTP has in common: one client, what may be asked again, how a stream is read."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, NamedTuple

import httpx

from app.errors import RagBrokenStream, RagError, RagTimeout, RagUnavailable
from app.models.answers import AnswerEvent, TextDelta
from app.observability.session_metrics import count_retry
from app.services.bodies import Body
from app.services.deadlines import Deadlines, Watch
from app.services.lines import message_with
from app.services.rag import Hear
from app.services.streams import PAUSE, Answer, SseParser, merge_texts
from app.services.text_utils import stream_answer
from app.services.transport import Exchange, StaleConnection, Transport

logger = logging.getLogger(__name__)

# The first pause before a retry, in seconds; it doubles each time and is spread by half of itself either way.
BACKOFF_SECONDS = 0.25
MAX_ERROR_BYTES = 64 * 1024
# What is read, and how many events are passed on, before others get their turn: tiny ones come by the thousand.
TURN_BYTES = 4 * 1024
TURN_EVENTS = 64

# What sending may end in; the last two come of an odd redirect.
BROKEN = (httpx.HTTPError, httpx.InvalidURL, ValueError)


def http_client(base_url: str, connections: int) -> httpx.AsyncClient:
    """The one client for a backend, with so many connections at once."""
    return _Client(transport=Transport(base_url, connections))


class _NoCookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        pass


class _Client(httpx.AsyncClient):
    """Keeps no cookies, and looks for none: to read those of a response alone takes a twelfth of a whole question."""

    cookies = _NoCookies()  # type: ignore[override]  # nobody sets others

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport=transport)
        self._own = transport

    def begin(self, message: bytes) -> Exchange | None:
        return None if self.is_closed else self._own.begin(message)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        if options != {"stream": True, "auth": None} or self.is_closed:
            return await super().send(request, **options)
        # A question: without hooks, redirects and passwords, which it never has.
        response = await self._own.handle_async_request(request)
        response.request = request
        return response


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Post(NamedTuple):
    """A question as `httpx.Request` would send it with `json=body`, made in a third of the time."""

    url: httpx.URL
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @classmethod
    def of(cls, url: httpx.URL, headers: Mapping[str, str], body: dict[str, Any]) -> Post:
        content = _ENCODER.encode(body).encode()
        given = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        length, kind = (b"Content-Length", b"%d" % len(content)), (b"Content-Type", b"application/json")
        return cls(url, [(b"Host", url.netloc), *given, length, kind], content)

    def request(self, extensions: dict[str, Any]) -> httpx.Request:
        stream = httpx.ByteStream(self.body)
        return httpx.Request("POST", self.url, headers=self.headers, stream=stream, extensions=extensions)

    def begin(self, http: httpx.AsyncClient) -> Exchange | None:
        """Send it at once, without a task; None where something would have to be waited for."""
        if not isinstance(http, _Client):
            return None
        return http.begin(message_with(b"POST", self.url.raw_path, self.headers, self.body))


class Retryable(Exception):
    """The question surely did not get through; `error` is what it comes to if it never does."""

    def __init__(self, error: RagError, retry_after: float = 0) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


class Retries:
    """How often one question may still be asked: `limit` times again, and once more when a connection was stale."""

    def __init__(self, limit: int, deadlines: Deadlines) -> None:
        self._limit = limit
        self._deadlines = deadlines
        self._may_reconnect = True
        self._attempt = 0

    async def next(self, failure: StaleConnection | Retryable) -> None:
        """Wait until it may be asked again; raise `RagError` when it may not."""
        if isinstance(failure, StaleConnection):
            if not self._may_reconnect:
                raise RagUnavailable("the connection broke before the response") from failure
            self._may_reconnect = False
            count_retry()
            return
        pause = max(BACKOFF_SECONDS * 2**self._attempt * random.uniform(0.5, 1.5), failure.retry_after)
        self._attempt += 1
        if self._attempt > self._limit or asyncio.get_running_loop().time() + pause >= self._deadlines.at():
            raise failure.error from failure.__cause__
        logger.info("asking again in %.2f s: %s", pause, failure.error)
        count_retry()
        await asyncio.sleep(pause)


@contextmanager
def sending(deadlines: Deadlines) -> Iterator[None]:
    """Raise what becomes of a question whose reply did not begin: `RagError`, `Retryable` or `StaleConnection`."""
    try:
        yield
    except TimeoutError as error:
        raise deadlines.error() from error
    except httpx.ConnectTimeout as error:
        raise Retryable(RagTimeout("no connection in time", "connect")) from error
    except (httpx.ConnectError, httpx.PoolTimeout) as error:
        raise Retryable(RagUnavailable(f"no connection: {error}")) from error
    except StaleConnection:
        raise
    except BROKEN as error:
        # It may have arrived: asking again could ask twice.
        raise RagUnavailable(f"the connection broke before the response: {error}") from error


async def status_of(http: httpx.AsyncClient, url: str, headers: dict[str, str], seconds: float) -> int:
    """What is answered to a request that asks nothing. Raises `RagError` if there is no answer."""
    try:
        async with asyncio.timeout(seconds), http.stream("GET", url, headers=headers) as response:
            return response.status_code
    except TimeoutError as error:
        raise RagTimeout("no answer in time", "connect") from error
    except httpx.HTTPError as error:
        raise RagUnavailable(f"no connection: {error}") from error


async def read_error(response: httpx.Response) -> bytes:
    """What stands in a reply that is no answer, as far as it can be read; closes it."""
    try:
        return await Body.of(response).read(MAX_ERROR_BYTES)
    except httpx.HTTPError:
        return b""
    finally:
        await response.aclose()


def is_page(response: httpx.Response, body: bytes) -> bool:
    """Whether somebody else answers in the backend's place, as a firewall or a proxy does: errors are JSON."""
    return "html" in response.headers.get("content-type", "").lower() or body.lstrip().startswith(b"<")


def retry_after(response: httpx.Response) -> float:
    """The `Retry-After` header in seconds: a number or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def hearing(parser: SseParser, answer: Answer, deadlines: Deadlines, hear: Hear) -> Callable[[bytes], bool]:
    """What takes bytes of a stream off its reader, if they are one more text and `hear` takes that.

    It equals what `Reading` makes of them, without waking a task and its generators up for each text.
    """

    def take(data: bytes) -> bool:
        event = parser.sole(data)
        text = None if event is None else answer.text_alone(event)
        if text is None or not hear(text):
            return False
        answer.texts += 1
        deadlines.text_came()
        return True

    return take


class Reading:
    """The events of a stream until the answer is over, under the deadlines; close it, whoever reads it to its end.

    `life_counts`: any byte is a sign that it goes on. What comes while this waits may be taken by `take` (`hearing`),
    and is not seen here then. No generator: to the event loop one is worth a twentieth of a whole question.
    """

    def __init__(
        self,
        answer: Answer,
        feed: Callable[[bytes, list[AnswerEvent]], Awaitable[None]],
        body: Body,
        deadlines: Deadlines,
        *,
        take: Callable[[bytes], bool] | None = None,
        life_counts: bool = False,
        watch: Watch | None = None,
    ) -> None:
        self._answer = answer
        self._feed = feed
        self._body = body
        self._next = partial(anext, body.chunks(), None)
        self._deadlines = deadlines
        self._life_counts = life_counts
        self._watch = watch or Watch(deadlines)
        self._now = asyncio.get_running_loop().time
        self._events: list[AnswerEvent] = []
        self._told: Iterator[AnswerEvent] = iter(())
        self._count = 0  # how many of them were told
        self._failure: RagError | None = None
        self._has_text = False
        body.listen(take)

    def __aiter__(self) -> Reading:
        return self

    async def __anext__(self) -> AnswerEvent:
        while True:
            if (event := next(self._told, None)) is not None:
                self._count += 1
                if self._count % TURN_EVENTS == 0:
                    await asyncio.sleep(0)
                return event
            self._leave()
            if self._answer.is_over:
                raise StopAsyncIteration
            await self._read()

    async def aclose(self) -> None:
        self._body.listen(None)
        self._watch.stop()

    async def _read(self) -> None:
        answer, texts = self._answer, self._answer.texts
        self._events = []
        try:
            chunk = await _read_chunk(self._next, answer, self._watch)
            if chunk is None:
                self._events.extend(answer.end_of_stream())
            else:
                for at in range(0, len(chunk), TURN_BYTES):
                    if at:
                        await asyncio.sleep(0)
                    await self._feed(chunk[at : at + TURN_BYTES], self._events)
                    if answer.is_over:
                        break
        except RagError as error:
            self._failure = error  # what came with it in the same read goes out first
        self._has_text = answer.texts > texts
        self._told, self._began, self._count = merge_texts(self._events), self._now(), 0

    def _leave(self) -> None:
        """All of the last read was taken."""
        if self._failure is not None:
            raise self._failure
        if self._has_text:
            self._deadlines.text_came()
        elif self._life_counts:
            self._deadlines.life_came()
        elif self._events:
            self._deadlines.client_took(self._now() - self._began)
        if self._answer.is_closing:
            self._deadlines.closing_came()


async def _read_chunk(read: Callable[[], Awaitable[bytes | None]], answer: Answer, watch: Watch) -> bytes | None:
    """Return the next bytes; None at the end, also when nothing follows what closes the answer."""
    try:
        return await watch.wait(read)
    except TimeoutError as error:
        if answer.is_closing:
            return None
        if not answer.is_readable:
            raise RagBrokenStream("not one event of the stream could be read") from error
        raise watch.deadlines.error(is_silent=not answer.has_read) from error
    except httpx.HTTPError as error:
        if answer.is_closing:
            return None
        raise RagBrokenStream(f"the stream broke: {error}") from error


async def read_whole(
    body: Body, feed: Callable[[bytes], Iterable[AnswerEvent]], deadlines: Deadlines, most_bytes: int, piece_chars: int
) -> AsyncGenerator[AnswerEvent, None]:
    """Read an answer that comes in one, and cut it."""
    try:
        async with asyncio.timeout_at(deadlines.at()):
            data = await body.read(most_bytes)
    except TimeoutError as error:
        raise deadlines.error() from error
    except httpx.HTTPError as error:
        raise RagBrokenStream(f"the answer broke off: {error}") from error
    for event in feed(data):
        if event is PAUSE:
            await asyncio.sleep(0)
        elif isinstance(event, TextDelta):
            async for piece in stream_answer(event.text, piece_chars):
                yield TextDelta(piece)
        else:
            yield event
