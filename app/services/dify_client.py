"""Asks the Dify Chat API: a question in, answer events out, whatever the network or Dify does."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from contextvars import copy_context
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

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
from app.observability.session_metrics import count_renewal, count_retry
from app.observability.tracing import outgoing
from app.services.bodies import Body
from app.services.dify_deadlines import Deadlines, Watch
from app.services.dify_events import (
    MAX_CODE_CHARS,
    MAX_TEXT_BYTES,
    PAUSE,
    DifyAnswer,
    SseParser,
    mend,
    merge_texts,
)
from app.services.large_json import PIECE_BYTES, read_json
from app.services.rag import AnswerEvent, ConversationNamed, Question, TextDelta
from app.services.text_utils import stream_answer
from app.services.transport import StaleConnection, Transport, is_sent

logger = logging.getLogger(__name__)

# How long a question that nobody waits for any more is seen off: stopped, read to its end, closed. Its conversation
# takes no other question meanwhile (langgenius/dify #16450). Dify reads the stop call's flag once a second.
LEAVE_SECONDS = 1.2
# How long a stop call may take altogether, in seconds.
STOP_SECONDS = 2.0
# The first pause before a retry, in seconds; it doubles each time and is spread by half of itself either way.
BACKOFF_SECONDS = 0.25
# Connections beyond one for each running query. One that is seen off holds two, for `LEAVE_SECONDS` at most: enough for
# fifty interrupts a second, and for five times as many of a Dify that stops at once.
SPARE_CONNECTIONS = 128
MAX_ERROR_BYTES = 64 * 1024

# A read with so much has more behind it, which takes no waiting.
FULL_BYTES = 16 * 1024
NO_COOKIES = DefaultCookiePolicy(allowed_domains=())

# What sending may end in; the last two come of an odd redirect.
BROKEN = (httpx.HTTPError, httpx.InvalidURL, ValueError)


@asynccontextmanager
async def open_dify(settings: Settings) -> AsyncIterator[DifyClient]:
    """Open the client with its one HTTP client; closing it waits for what is being seen off."""
    transport = Transport(settings.dify_url, settings.max_running_queries + SPARE_CONNECTIONS)
    async with (
        httpx.AsyncClient(transport=transport, cookies=CookieJar(NO_COOKIES)) as http,
        asyncio.TaskGroup() as tasks,
    ):
        yield DifyClient(http, settings, tasks)


class DifyClient:
    """A `RagProvider` over Dify. `tasks` must outlive every query: it holds what is on its way to Dify."""

    def __init__(self, http: httpx.AsyncClient, settings: Settings, tasks: asyncio.TaskGroup) -> None:
        self._http = http
        self._settings = settings
        self._tasks = tasks
        self._leaving: dict[str, asyncio.Task[None]] = {}
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
        await self._wait_for_former(question.conversation_id)
        deadlines = Deadlines(self._settings)  # after the wait: that was not Dify's time
        run = _Run(question.user, DifyAnswer(strip_think=self._settings.dify_think == "strip"))
        try:
            await self._ask(run, question, deadlines)
            content_type = run.response.headers.get("content-type", "").lower()
            if run.is_stream:
                events = self._read_stream(run, deadlines)
            elif content_type.startswith("application/json"):
                events = self._read_blocking(run, deadlines)
            else:
                raise RagUnavailable(f"200 with content type {content_type or 'none'}: not Dify's answer")
            async with aclosing(events):
                async for event in events:
                    yield event
        finally:
            if run.answer.is_over:
                await run.close()
            elif run.is_asked:
                self._leave(run)  # whatever ended the query here has not ended it there

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

    async def _ask(self, run: _Run, question: Question, deadlines: Deadlines) -> None:
        """See to it that the run has a response with status 200, its body unread; raise when there is none in time."""
        conversation_id = question.conversation_id
        retries = self._settings.dify_max_retries
        may_reconnect = True
        attempt = 0
        while True:
            try:
                return await self._post_question(run, question, conversation_id, deadlines)
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
        self, run: _Run, question: Question, conversation_id: str | None, deadlines: Deadlines
    ) -> None:
        trace_headers, trace_id = outgoing()
        body = {
            "query": question.text if self._settings.query_scope == "question" else question.whole,
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
        run.begin(self._tasks, self._send(request), conversation_id)
        try:
            async with asyncio.timeout_at(deadlines.at()):
                response = await run.reply()
                if response.status_code != 200:
                    run.is_asked = False
                    await _refuse(response, had_conversation=conversation_id is not None)
        except TimeoutError as error:
            raise deadlines.error() from error
        except httpx.ConnectTimeout as error:
            raise _Retryable(RagTimeout("no connection in time", "connect")) from error
        except (httpx.ConnectError, httpx.PoolTimeout) as error:
            raise _Retryable(RagUnavailable(f"no connection: {error}")) from error
        except StaleConnection:
            raise
        except BROKEN as error:
            # It may have arrived: asking again could ask twice.
            raise RagUnavailable(f"the connection broke before the response: {error}") from error

    async def _send(self, request: httpx.Request) -> httpx.Response | Exception:
        # The failure as a value: one that a task of the group raises would end all the others.
        try:
            return await self._http.send(request, stream=True, auth=None)
        except Exception as error:
            return error

    def _inputs(self, question: Question) -> dict[str, Any]:
        name = self._settings.context_input if self._settings.query_scope == "question" else ""
        return {**question.inputs, **({name: question.context} if name and question.context else {})}

    # Reading

    async def _read_stream(self, run: _Run, deadlines: Deadlines) -> AsyncGenerator[AnswerEvent, None]:
        answer, chunks = run.answer, run.chunks()
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
                        await run.feed(chunk, events)
                except RagError as error:
                    failure = error  # what came with it in the same read goes out first
                began = now()
                for told in merge_texts(events):
                    yield told
                if isinstance(failure, RagTimeout) and failure.is_silent and run.conversation_id is not None:
                    # So answers a chatflow of Dify 1.14 whose conversation is gone, for ever, where others say 404.
                    logger.warning("only pings came: the conversation may be gone, the next question begins a new one")
                    yield ConversationNamed(None)
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
            raise watch.deadlines.error(is_silent=not answer.has_read) from error
        except httpx.HTTPError as error:
            if answer.is_closing:
                return None
            raise RagBrokenStream(f"the stream broke: {error}") from error

    async def _read_blocking(self, run: _Run, deadlines: Deadlines) -> AsyncGenerator[AnswerEvent, None]:
        try:
            async with asyncio.timeout_at(deadlines.at()):
                body = await Body(run.response).read(MAX_TEXT_BYTES)
        except TimeoutError as error:
            raise deadlines.error() from error
        except httpx.HTTPError as error:
            raise RagBrokenStream(f"the answer broke off: {error}") from error
        for event in run.answer.feed_blocking(body):
            if event is PAUSE:
                await asyncio.sleep(0)
            elif isinstance(event, TextDelta):
                async for piece in stream_answer(event.text, self._settings.answer_chunk_chars):
                    yield TextDelta(piece)
            else:
                yield event

    # Leaving

    async def _wait_for_former(self, conversation_id: str | None) -> None:
        # Two requests at once in one conversation poison it (langgenius/dify #16450).
        if conversation_id is not None and (leaving := self._leaving.get(conversation_id)) is not None:
            await asyncio.wait([leaving], timeout=LEAVE_SECONDS)

    def _leave(self, run: _Run) -> None:
        # A task of its own: the query that is being cancelled cannot wait.
        seeing_off = self._see_off(run)
        try:
            task = self._tasks.create_task(seeing_off)
        except RuntimeError:  # the process ends, and has no time left for this
            seeing_off.close()
            return
        if (conversation_id := run.answer.conversation_id or run.conversation_id) is not None:
            self._leaving[conversation_id] = task
            task.add_done_callback(lambda done: self._forget(conversation_id, done))

    def _forget(self, conversation_id: str, task: asyncio.Task[None]) -> None:
        if self._leaving.get(conversation_id) is task:
            del self._leaving[conversation_id]

    async def _see_off(self, run: _Run) -> None:
        """Stop the run, read its stream to the end and close it, whatever comes of that.

        A stream that is closed before the stop call takes effect costs the conversation what was said (Dify 1.14); one
        without a task id yet cannot be stopped, and would put an answer that nobody saw into the conversation.
        """
        try:
            try:
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._stop_and_read_on(run)
            finally:
                await run.close()
        except (TimeoutError, RagError, *BROKEN) as error:
            logger.debug("a question was left before its end: %s", error or type(error).__name__)
        except Exception:
            logger.exception("a question could not be seen off")  # not raised: that would end what serves everybody

    async def _stop_and_read_on(self, run: _Run) -> None:
        if not run.may_run:
            return
        await run.reply()
        if not run.is_stream:
            return
        chunks = run.chunks()
        await run.read_on(chunks, lambda: run.answer.task_id is not None)
        if run.answer.task_id is not None and not run.answer.is_over:
            # A task of its own again: a reply that is late may still come when there is no more time here.
            await asyncio.wait([self._tasks.create_task(self._post_stop(run.answer.task_id, run.user))])
            await run.read_on(chunks, lambda: run.answer.is_closing)

    async def _post_stop(self, task_id: str, user: str) -> None:
        url = f"{self._settings.dify_url}/chat-messages/{task_id}/stop"
        try:
            async with asyncio.timeout(STOP_SECONDS):
                options: dict[str, Any] = {"headers": self._headers, "timeout": self._timeout}
                async with self._http.stream("POST", url, json={"user": user}, **options) as response:
                    await Body(response).read(MAX_ERROR_BYTES)  # then the connection serves again
        except Exception as error:
            # Best effort: whatever comes of it must not end the tasks that serve everybody.
            logger.info("the stop call failed: %s", error or type(error).__name__)


class _Run:
    """One question on its way through Dify: how it was asked, its reply, and what has been read of that."""

    def __init__(self, user: str, answer: DifyAnswer) -> None:
        self.user = user
        self.answer = answer
        self.conversation_id: str | None = None
        self.is_asked = False
        self._parser = SseParser()

    def begin(
        self,
        tasks: asyncio.TaskGroup,
        sending: Coroutine[Any, Any, httpx.Response | Exception],
        conversation_id: str | None,
    ) -> None:
        self.conversation_id = conversation_id
        self.is_asked = True
        self._context = copy_context()
        try:
            self._sending = tasks.create_task(sending, context=self._context)
        except RuntimeError as error:
            sending.close()
            self.is_asked = False
            raise RagUnavailable("the process ends") from error

    @property
    def may_run(self) -> bool:
        """Whether Dify may have begun: not while there is no connection yet."""
        return self._sending.done() or self._context.get(is_sent, False)

    async def reply(self) -> httpx.Response:
        """Wait for the head of the response; who is cancelled meanwhile does not cancel the question."""
        reply = await asyncio.shield(self._sending)
        if isinstance(reply, Exception):
            self.is_asked = False
            raise reply
        self.response, self._body = reply, Body(reply)
        return reply

    @property
    def is_stream(self) -> bool:
        content_type: str = self.response.headers.get("content-type", "")
        return self.response.status_code == 200 and content_type.lower().startswith("text/event-stream")

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, from where the reader before has stopped."""
        return self._body.chunks()

    async def feed(self, chunk: bytes, events: list[AnswerEvent]) -> None:
        """Put into `events` what the next bytes bring; who reads a long text lets others have their turn."""
        if len(chunk) >= FULL_BYTES:
            await asyncio.sleep(0)
        for data, name in self._parser.feed(chunk):
            heard = self.answer.feed(data, name)
            if len(data) <= PIECE_BYTES:
                events.extend(heard)  # as nearly always
            else:
                for event in heard:
                    events.append(event)
                    await asyncio.sleep(0)
            if self.answer.is_over:
                return

    async def read_on(self, chunks: AsyncIterator[bytes], is_enough: Callable[[], bool]) -> None:
        """Read until that is so, or to the end; what is said has nobody to hear it."""
        while not self.answer.is_over and not is_enough() and (chunk := await anext(chunks, None)) is not None:
            await self.feed(chunk, [])

    async def close(self) -> None:
        """Close the response, or give up waiting for one."""
        if self._sending.cancel() or self._sending.cancelled():
            return
        reply = self._sending.result()
        if isinstance(reply, httpx.Response):
            await reply.aclose()


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
        body = await Body(response).read(MAX_ERROR_BYTES)
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
    return mend(code[:MAX_CODE_CHARS]) if isinstance(code, str) else "", message if isinstance(message, str) else ""


def _retry_after(response: httpx.Response) -> float:
    """The `Retry-After` header in seconds: a number or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
