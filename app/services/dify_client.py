"""Asks the Dify Chat API: a question in, answer events out, whatever the network or Dify does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

import httpx

from app.config import Settings
from app.errors import (
    RagError,
    RagFailed,
    RagNotConfigured,
    RagRateLimited,
    RagRejected,
    RagTimeout,
    RagUnavailable,
)
from app.models.answers import AnswerEvent, ConversationNamed, Feedback, QueryScope, Question
from app.observability.session_metrics import count_renewal
from app.observability.tracing import outgoing
from app.services.bodies import Body
from app.services.deadlines import Deadlines, Watch
from app.services.dify_events import DifyAnswer
from app.services.large_json import PIECE_BYTES, read_json
from app.services.rag import Hear, Offers
from app.services.streams import MAX_CODE_CHARS, MAX_TEXT_BYTES, SseParser, mend
from app.services.transport import Exchange, StaleConnection, is_sent
from app.services.upstream import (
    BROKEN,
    MAX_ERROR_BYTES,
    Post,
    Reading,
    Retries,
    Retryable,
    hearing,
    http_client,
    is_page,
    read_error,
    read_whole,
    retry_after,
    sending,
    status_of,
)

logger = logging.getLogger(__name__)

# How long a question that nobody waits for any more is seen off: stopped, read to its end, closed. Its conversation
# takes no other question meanwhile (langgenius/dify #16450). Dify reads the stop call's flag once a second.
LEAVE_SECONDS = 1.2
# How long a stop call, or a feedback, may take altogether, in seconds.
STOP_SECONDS = 2.0
# Feedbacks that may be on their way at the same time: they take connections that questions need.
MOST_RATINGS = 16
# Connections beyond one for each running query. One that is seen off holds two, for `LEAVE_SECONDS` at most: enough for
# fifty interrupts a second, and for five times as many of a Dify that stops at once.
SPARE_CONNECTIONS = 128
# The model or its provider fails, not the question.
OF_THE_MODEL = frozenset(
    {"completion_request_error", "provider_not_initialize", "provider_quota_exceeded", "model_currently_not_support"}
)
# A read with so much has more behind it, which takes no waiting.
FULL_BYTES = 16 * 1024


@asynccontextmanager
async def open_dify(settings: Settings) -> AsyncIterator[DifyClient]:
    """Open the client with its one HTTP client; closing it waits for what is being seen off."""
    async with (
        http_client(settings.dify_url, settings.max_running_queries + SPARE_CONNECTIONS) as http,
        asyncio.TaskGroup() as tasks,
    ):
        yield DifyClient(http, settings, tasks)


class DifyClient:
    """A `RagProvider` over Dify. `tasks` must outlive every query: it holds what is on its way to Dify."""

    def __init__(self, http: httpx.AsyncClient, settings: Settings, tasks: asyncio.TaskGroup) -> None:
        self.offers = Offers(probe=self.probe, stop=self.stop, feedback=self.rate)
        self._http = http
        self._settings = settings
        self._tasks = tasks
        self._rating: dict[asyncio.Task[None], str] = {}  # and of which message
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

    async def query(self, question: Question, hear: Hear | None = None) -> AsyncGenerator[AnswerEvent, None]:
        if self._settings.dify_api_key is None:
            raise RagNotConfigured("DIFY_API_KEY is not set")
        await self._wait_for_former(question.conversation_id)
        settings = self._settings  # the clock begins after the wait: that was not Dify's time
        deadlines = Deadlines(settings.dify_timeout, settings.dify_stall_timeout, settings.dify_total_timeout)
        watch = Watch(deadlines)
        run = _Run(question.user, DifyAnswer(strip_think=self._settings.dify_think == "strip"))
        try:
            await self._ask(run, question, watch)
            events: Reading | AsyncGenerator[AnswerEvent, None]
            if run.is_stream:
                take = None if hear is None else hearing(run.parser, run.answer, deadlines, hear)
                events = Reading(run.answer, run.feed, run.body, deadlines, take=take, watch=watch)
            elif run.content_type.startswith("application/json"):
                feed, chars = run.answer.feed_blocking, settings.answer_chunk_chars
                events = read_whole(run.body, feed, deadlines, MAX_TEXT_BYTES, chars)
            else:
                raise RagUnavailable(f"200 with content type {run.content_type or 'none'}: not Dify's answer")
            async with aclosing(events):
                async for event in events:
                    yield event
        except RagTimeout as failure:
            if failure.is_silent and run.conversation_id is not None:
                # So answers a chatflow of Dify 1.14 whose conversation is gone, for ever, where others say 404.
                logger.warning("only pings came: the conversation may be gone, the next question begins a new one")
                yield ConversationNamed(None)
            raise
        finally:
            watch.stop()
            if run.answer.is_over:
                await run.close()
            elif run.is_asked:
                self._leave(run)  # whatever ended the query here has not ended it there

    async def probe(self) -> None:
        """Ask for the app behind the key, the cheapest call that proves both. Raises `RagError`."""
        url = f"{self._settings.dify_url}/info"
        status = await status_of(self._http, url, self._headers, self._settings.dify_connect_timeout)
        if status != 200:
            raise RagUnavailable(f"Dify answers {status}")

    def stop(self, run: str, user: str) -> None:
        """Have Dify stop what a process that is gone has asked."""
        self._tasks.create_task(self._post_stop(run, user))

    def rate(self, feedback: Feedback) -> None:
        """Tell Dify what somebody thinks of an answer."""
        if len(self._rating) >= MOST_RATINGS:
            logger.warning("a feedback is lost: %s others are on their way to Dify", MOST_RATINGS)
            return
        # What is said last of an answer has to come last.
        former = [task for task, message_id in self._rating.items() if message_id == feedback.message_id]
        task = self._tasks.create_task(self._post_feedback(feedback, former[-1:]))
        self._rating[task] = feedback.message_id
        task.add_done_callback(self._rating.pop)

    # Asking

    async def _ask(self, run: _Run, question: Question, watch: Watch) -> None:
        """See to it that the run has a response with status 200, its body unread; raise when there is none in time."""
        conversation_id = question.conversation_id
        retries = Retries(self._settings.dify_max_retries, watch.deadlines)
        while True:
            try:
                return await self._post_question(run, question, conversation_id, watch)
            except _ConversationGone:
                # Expired or deleted: the talk goes on in a new conversation.
                logger.info("the conversation is gone upstream: a new one begins")
                conversation_id = None
                count_renewal()
            except (StaleConnection, Retryable) as failure:
                await retries.next(failure)

    async def _post_question(self, run: _Run, question: Question, conversation_id: str | None, watch: Watch) -> None:
        trace_headers, trace_id = outgoing()
        body = {
            "query": question.text if self._scope(question) == "question" else question.whole,
            "inputs": self._inputs(question),
            "user": question.user,
            "response_mode": self._settings.dify_response_mode,
            "conversation_id": conversation_id or "",
            "auto_generate_name": False,
        }
        if trace_id is not None:
            body["trace_id"] = trace_id  # Dify prefers it to the header
        headers = {**self._headers, **trace_headers}
        post = Post.of(self._questions_url, headers, body)
        with sending(watch.deadlines):
            if (exchange := post.begin(self._http)) is not None:
                run.begin(exchange, conversation_id)
            else:
                run.begin_in(self._tasks, self._send(post.request(self._extensions)), conversation_id)
            await watch.wait(run.reply)
            if run.status != 200:
                run.is_asked = False
                await watch.wait(partial(_refuse, run.response, had_conversation=conversation_id is not None))

    async def _send(self, request: httpx.Request) -> httpx.Response | Exception:
        # The failure as a value: one that a task of the group raises would end all the others.
        try:
            return await self._http.send(request, stream=True, auth=None)
        except Exception as error:
            return error

    def _scope(self, question: Question) -> QueryScope:
        return question.scope or self._settings.query_scope

    def _inputs(self, question: Question) -> dict[str, Any]:
        settings = self._settings
        told = [
            (settings.context_input, question.context if self._scope(question) == "question" else ""),
            (settings.talk_input, "\n".join(f"{said.label}: {said.text}" for said in question.talk)),
            (settings.answer_language_input, question.answer_language),
            (settings.answer_style_input, question.answer_style),
        ]
        return {**question.inputs, **{name: value for name, value in told if name and value}}

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
        await self._tell(f"chat-messages/{task_id}/stop", {"user": user}, "stop call")

    async def _post_feedback(self, told: Feedback, former: Sequence[asyncio.Task[None]]) -> None:
        if former:
            await asyncio.wait(former)
        body = {"rating": told.rating, "user": told.user, "content": told.text}
        status = await self._tell(f"messages/{told.message_id}/feedbacks", body, "feedback")
        if status not in {None, 200}:
            logger.warning("the feedback was not taken: Dify answers %s", status)

    async def _tell(self, path: str, body: dict[str, Any], what: str) -> int | None:
        """Post something that nobody waits for; return with which status it was answered, if it was."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                options: dict[str, Any] = {"headers": self._headers, "timeout": self._timeout}
                url = f"{self._settings.dify_url}/{path}"
                async with self._http.stream("POST", url, json=body, **options) as response:
                    await Body.of(response).read(MAX_ERROR_BYTES)  # then the connection serves again
                    return response.status_code
        except Exception as error:
            # Best effort: whatever comes of it must not end the tasks that serve everybody.
            logger.info("the %s failed: %s", what, error or type(error).__name__)
            return None


class _Run:
    """One question on its way through Dify: how it was asked, its reply, and what has been read of that."""

    def __init__(self, user: str, answer: DifyAnswer) -> None:
        self.user = user
        self.answer = answer
        self.conversation_id: str | None = None
        self.is_asked = False
        self.parser = SseParser()
        self._exchange: Exchange | None = None

    def begin(self, exchange: Exchange, conversation_id: str | None) -> None:
        """It is asked."""
        self._exchange = exchange
        self.conversation_id = conversation_id
        self.is_asked = True

    def begin_in(
        self,
        tasks: asyncio.TaskGroup,
        sending: Coroutine[Any, Any, httpx.Response | Exception],
        conversation_id: str | None,
    ) -> None:
        """It is being asked, by a task: who is cancelled before it has left does not take it back."""
        self._exchange = None
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
        return self._exchange is not None or self._sending.done() or self._context.get(is_sent, False)

    async def reply(self) -> None:
        """Wait for the head of the response; who is cancelled meanwhile does not cancel the question."""
        if self._exchange is None:
            reply = await asyncio.shield(self._sending)
            if isinstance(reply, Exception):
                self.is_asked = False
                raise reply
            self.status, self.body = reply.status_code, Body.of(reply)
            self.content_type = reply.headers.get("content-type", "").lower()
            return
        exchange = self._exchange
        try:
            body = await exchange.head()
        except Exception:
            self.is_asked = False
            raise
        self.status, self.body = exchange.status, Body(body, exchange.header(b"content-encoding"), body)
        self.content_type = exchange.header(b"content-type").lower()

    @property
    def response(self) -> httpx.Response:
        if self._exchange is not None:
            return self._exchange.response()
        reply = self._sending.result()
        assert isinstance(reply, httpx.Response)
        return reply

    @property
    def is_stream(self) -> bool:
        return self.status == 200 and self.content_type.startswith("text/event-stream")

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, from where the reader before has stopped."""
        return self.body.chunks()

    async def feed(self, chunk: bytes, events: list[AnswerEvent]) -> None:
        """Put into `events` what the next bytes bring; who reads a long text lets others have their turn."""
        if len(chunk) >= FULL_BYTES:
            await asyncio.sleep(0)
        for data, name in self.parser.feed(chunk):
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
        if self._exchange is not None:
            self._exchange.close()
            return
        if self._sending.cancel() or self._sending.cancelled():
            return
        reply = self._sending.result()
        if isinstance(reply, httpx.Response):
            await reply.aclose()


class _ConversationGone(Exception):
    """Dify does not know the conversation any more."""


async def _refuse(response: httpx.Response, *, had_conversation: bool) -> None:
    """Raise what a status other than 200 means."""
    body = await read_error(response)
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
        raise Retryable(limited, retry_after(response)) if is_crowded else limited
    if status in {408, 502, 503, 504}:
        raise Retryable(RagUnavailable(what), retry_after(response))
    # What a stream says with an event.
    if status == 400 and code == "invalid_param" and message.startswith("Run failed"):
        raise RagFailed("Dify reports that the run failed")
    if status == 400 and code in OF_THE_MODEL:
        raise RagFailed(what)
    if 400 <= status < 500 and not is_page(response, body):
        logger.warning("the question was refused: %s", what)
        raise RagRejected(what)
    raise RagUnavailable(what)


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
