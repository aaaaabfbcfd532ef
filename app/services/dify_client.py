"""Asks the Dify Chat API: a question in, answer events out, whatever the network or Dify does."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx

from app.config import Settings
from app.errors import (
    RagBrokenStream,
    RagError,
    RagFailed,
    RagNotConfigured,
    RagRateLimited,
    RagRejected,
    RagTimeout,
    RagUnavailable,
)
from app.services.deadlines import Deadlines, Watch
from app.services.dify_events import DifyAnswer, SseParser, mend, merge_texts, read_json
from app.services.rag import AnswerEvent, Question, TextDelta
from app.services.text_utils import stream_answer
from app.services.transport import StaleConnection, Transport
from app.session_metrics import count_renewal, count_retry
from app.tracing import outgoing

logger = logging.getLogger(__name__)

# How long the next question of a conversation waits for the reply to a stop call, and how long that
# call may take altogether, in seconds.
STOP_WAIT_SECONDS = 0.3
STOP_SECONDS = 2.0
# The first pause before a retry, in seconds; it doubles each time and is spread by half of itself either way.
BACKOFF_SECONDS = 0.25
# Connections beyond one for each running query. A stop call holds one for some 50 ms: enough for a thousand
# interrupts a second.
SPARE_CONNECTIONS = 64
MAX_ERROR_BYTES = 64 * 1024
MAX_BLOCKING_BYTES = 32 * 1024 * 1024


@asynccontextmanager
async def open_dify(settings: Settings) -> AsyncIterator[DifyClient]:
    """Open the client with its one HTTP client; closing it lets the last stop calls leave."""
    transport = Transport(settings.dify_url, settings.max_running_queries + SPARE_CONNECTIONS)
    async with (
        httpx.AsyncClient(transport=transport) as http,
        asyncio.TaskGroup() as tasks,
    ):
        yield DifyClient(http, settings, tasks)


class DifyClient:
    """A `RagProvider` over Dify. `tasks` must outlive every query: it holds the stop calls under way."""

    def __init__(self, http: httpx.AsyncClient, settings: Settings, tasks: asyncio.TaskGroup) -> None:
        self._http = http
        self._settings = settings
        self._tasks = tasks
        self._stops: dict[str | None, asyncio.Task[None]] = {}
        key = settings.dify_api_key
        self._headers = {
            "Authorization": f"Bearer {key.get_secret_value()}" if key else "",
            "Accept-Encoding": "identity",  # a compressing proxy would collect the stream first
        }
        # A connection, new or out of the pool, has its own time; all the rest is under the deadlines.
        connect = settings.dify_connect_timeout
        self._timeout = httpx.Timeout(None, connect=connect, pool=connect)
        # Parsed once: the same for every question.
        self._questions_url = httpx.URL(f"{settings.dify_url}/chat-messages")
        self._extensions = {"timeout": self._timeout.as_dict()}

    async def query(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        if self._settings.dify_api_key is None:
            raise RagNotConfigured("DIFY_API_KEY is not set")
        deadlines = Deadlines(self._settings)
        await self._wait_for_stop(question.conversation_id)
        response = await self._ask(question, deadlines)
        answer = DifyAnswer(strip_think=self._settings.dify_think == "strip")
        try:
            content_type = response.headers.get("content-type", "").lower()
            if content_type.startswith("text/event-stream"):
                events = self._read_stream(response, answer, deadlines)
            elif content_type.startswith("application/json"):
                events = self._read_blocking(response, answer, deadlines)
            else:
                raise RagUnavailable(f"200 with content type {content_type or 'none'}: not Dify's answer")
            async with aclosing(events):
                async for event in events:
                    yield event
        finally:
            try:
                await response.aclose()
            finally:
                # Whatever ended the query here has not ended it there.
                if answer.task_id is not None and not answer.is_over:
                    self._stop(answer.task_id, answer.conversation_id, question.user)

    async def probe(self) -> None:
        """Ask for the app behind the key, the cheapest call that proves both. Raises `RagError`."""
        try:
            async with (
                asyncio.timeout(self._settings.dify_connect_timeout),
                self._http.stream("GET", f"{self._settings.dify_url}/info", headers=self._headers) as response,
            ):
                if response.status_code != 200:
                    raise RagUnavailable(f"Dify answers {response.status_code}")
        except TimeoutError as error:
            raise RagTimeout("no answer in time", "connect") from error
        except httpx.HTTPError as error:
            raise RagUnavailable(f"no connection: {error}") from error

    # Asking

    async def _ask(self, question: Question, deadlines: Deadlines) -> httpx.Response:
        """Return a response with status 200, its body unread; raise when there is none in time."""
        conversation_id = question.conversation_id
        retries = self._settings.dify_max_retries
        may_reconnect = True
        attempt = 0
        while True:
            try:
                return await self._post_question(question, conversation_id, deadlines)
            except _ConversationGone:
                # Expired or deleted: the talk goes on in a new conversation.
                logger.info("the conversation is gone upstream: a new one begins")
                conversation_id = None
                count_renewal()
            except StaleConnection as error:
                if not may_reconnect:
                    raise RagUnavailable("the connection broke before the response") from error
                may_reconnect = False
                count_retry()
            except _Retryable as refusal:
                pause = max(BACKOFF_SECONDS * 2**attempt * random.uniform(0.5, 1.5), refusal.retry_after)
                attempt += 1
                if attempt > retries or asyncio.get_running_loop().time() + pause >= deadlines.at():
                    raise refusal.error from refusal.__cause__
                logger.info("asking again in %.2f s: %s", pause, refusal.error)
                count_retry()
                await asyncio.sleep(pause)

    async def _post_question(
        self, question: Question, conversation_id: str | None, deadlines: Deadlines
    ) -> httpx.Response:
        trace_headers, trace_id = outgoing()
        body = {
            "query": question.text,
            "inputs": self._inputs(question),
            "user": question.user,
            "response_mode": self._settings.dify_response_mode,
            "conversation_id": conversation_id or "",
            "auto_generate_name": False,
        }
        if trace_id is not None:
            body["trace_id"] = trace_id  # Dify prefers it to the header
        headers = {**self._headers, **trace_headers}
        request = httpx.Request("POST", self._questions_url, json=body, headers=headers, extensions=self._extensions)
        try:
            async with asyncio.timeout_at(deadlines.at()):
                response = await self._http.send(request, stream=True, auth=None)
                if response.status_code != 200:
                    await _refuse(response, had_conversation=conversation_id is not None)
                return response
        except TimeoutError as error:
            raise deadlines.error() from error
        except httpx.ConnectTimeout as error:
            raise _Retryable(RagTimeout("no connection in time", "connect")) from error
        except (httpx.ConnectError, httpx.PoolTimeout) as error:
            raise _Retryable(RagUnavailable(f"no connection: {error}")) from error
        except StaleConnection:
            raise
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # the last two: an odd redirect
            # It may have arrived: asking again could ask twice.
            raise RagUnavailable(f"the connection broke before the response: {error}") from error

    def _inputs(self, question: Question) -> dict[str, Any]:
        name = self._settings.context_input
        return {**question.inputs, **({name: question.context} if name and question.context else {})}

    # Reading

    async def _read_stream(
        self, response: httpx.Response, answer: DifyAnswer, deadlines: Deadlines
    ) -> AsyncGenerator[AnswerEvent, None]:
        parser = SseParser()
        # As it comes; a proxy that compresses though it was not asked to is the exception.
        assert isinstance(response.stream, httpx.AsyncByteStream)
        chunks = response.aiter_bytes() if "content-encoding" in response.headers else aiter(response.stream)
        now = asyncio.get_running_loop().time
        with Watch(deadlines) as watch:
            while not answer.is_over:
                failure: RagError | None = None
                events: list[AnswerEvent] = []
                texts = answer.texts
                try:
                    chunk = await self._read_chunk(chunks, answer, watch)
                    if chunk is None:
                        events.extend(answer.end_of_stream())
                    else:
                        for event in parser.feed(chunk):
                            events.extend(answer.feed(*event))
                            if answer.is_over:
                                break
                except RagError as error:
                    failure = error  # what came with it in the same read goes out first
                began = now()
                for told in merge_texts(events):
                    yield told
                if failure is not None:
                    raise failure
                if answer.texts > texts:
                    deadlines.text_came()
                elif events:
                    deadlines.client_took(now() - began)
                if answer.is_closing:
                    deadlines.closing_came()

    async def _read_chunk(self, chunks: AsyncIterator[bytes], answer: DifyAnswer, watch: Watch) -> bytes | None:
        """Return the next bytes; None at the end, also when nothing follows a closing event."""
        try:
            return await watch.next(chunks)
        except TimeoutError as error:
            if answer.is_closing:
                return None
            if not answer.is_readable:
                raise RagBrokenStream("not one event of the stream could be read") from error
            raise watch.deadlines.error() from error
        except httpx.HTTPError as error:
            if answer.is_closing:
                return None
            raise RagBrokenStream(f"the stream broke: {error}") from error

    async def _read_blocking(
        self, response: httpx.Response, answer: DifyAnswer, deadlines: Deadlines
    ) -> AsyncGenerator[AnswerEvent, None]:
        try:
            async with asyncio.timeout_at(deadlines.at()):
                body = read_json(await _read_body(response, MAX_BLOCKING_BYTES))
        except TimeoutError as error:
            raise deadlines.error() from error
        except httpx.HTTPError as error:
            raise RagBrokenStream(f"the answer broke off: {error}") from error
        except ValueError as error:
            raise RagBrokenStream("the answer is not JSON") from error
        if not isinstance(body, dict):
            raise RagBrokenStream("the answer is not a JSON object")
        for event in answer.feed_blocking(body):
            if isinstance(event, TextDelta):
                async for piece in stream_answer(event.text, self._settings.answer_chunk_chars):
                    yield TextDelta(piece)
            else:
                yield event

    # Stopping

    async def _wait_for_stop(self, conversation_id: str | None) -> None:
        # Two requests at once in one conversation poison it (langgenius/dify #16450).
        if conversation_id is not None and (stop := self._stops.get(conversation_id)) is not None:
            await asyncio.wait([stop], timeout=STOP_WAIT_SECONDS)

    def _stop(self, task_id: str, conversation_id: str | None, user: str) -> None:
        # A task of its own: the query that is being cancelled cannot wait for the reply.
        task = self._tasks.create_task(self._post_stop(task_id, user))
        self._stops[conversation_id] = task
        task.add_done_callback(lambda done: self._forget_stop(conversation_id, done))

    def _forget_stop(self, conversation_id: str | None, task: asyncio.Task[None]) -> None:
        if self._stops.get(conversation_id) is task:
            del self._stops[conversation_id]

    async def _post_stop(self, task_id: str, user: str) -> None:
        url = f"{self._settings.dify_url}/chat-messages/{quote(task_id, safe='')}/stop"
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._http.post(url, json={"user": user}, headers=self._headers, timeout=self._timeout)
        except Exception as error:
            # Best effort: whatever comes of it must not end the tasks that serve everybody.
            logger.info("the stop call failed: %s", error or type(error).__name__)


class _ConversationGone(Exception):
    """Dify does not know the conversation any more."""


class _Retryable(Exception):
    """The question surely did not get through; `error` is what it comes to if it never does."""

    def __init__(self, error: RagError, retry_after: float = 0) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


async def _refuse(response: httpx.Response, *, had_conversation: bool) -> None:
    """Raise what a status other than 200 means."""
    try:
        body = await _read_body(response, MAX_ERROR_BYTES)
    except httpx.HTTPError:
        body = b""
    finally:
        await response.aclose()
    status, (code, message) = response.status_code, _error_of(body)
    what = f"Dify answers {status} {code or 'without a code'}"
    if status == 404 and code == "not_found" and had_conversation:
        raise _ConversationGone
    is_crowded = code == "too_many_requests"
    # So say 0.15 and 1.14 what others say with 429: more questions at once than the app may have.
    if status == 400 and code == "invalid_param" and message.startswith("Too many requests"):
        status, is_crowded = 429, True
    if status == 429:
        limited = RagRateLimited(what)
        # rate_limit_error is a quota and a page is the edge's own limit: neither goes away in seconds.
        raise _Retryable(limited, _retry_after(response)) if is_crowded else limited
    if status in {408, 502, 503, 504}:
        raise _Retryable(RagUnavailable(what), _retry_after(response))
    if status == 400 and code == "invalid_param" and message.startswith("Run failed"):
        raise RagFailed("Dify reports that the run failed")  # what a stream says with an event
    if 400 <= status < 500 and not _is_page(response, body):
        logger.warning("the question was refused: %s", what)
        raise RagRejected(what)
    raise RagUnavailable(what)


async def _read_body(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            raise httpx.DecodingError(f"the body has more than {limit} bytes")
    return bytes(body)


def _is_page(response: httpx.Response, body: bytes) -> bool:
    """Whether somebody else answers in Dify's place, as a firewall or a proxy does: Dify's errors are JSON."""
    return "html" in response.headers.get("content-type", "").lower() or body.lstrip().startswith(b"<")


def _error_of(body: bytes) -> tuple[str, str]:
    """The code and the message of Dify's error, empty where there is none."""
    try:
        error: Any = read_json(body)
    except ValueError:
        return "", ""
    if not isinstance(error, dict):
        return "", ""
    code, message = error.get("code"), error.get("message")
    return mend(code) if isinstance(code, str) else "", message if isinstance(message, str) else ""


def _retry_after(response: httpx.Response) -> float:
    """The `Retry-After` header in seconds: a number or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
