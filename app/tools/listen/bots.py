"""Meeting bots that come to us: Recall.ai dials, Attendee posts, and Zoom posts where its streams are to be had.

All listen on this machine only, for a proxy with TLS, and take nothing that does not prove the key.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.http11 import Request, Response

from app.tools.listen.connection import Lost, Recogniser, Refused
from app.tools.listen.ears import KEY_VARIABLE, Message, Wishes
from app.tools.replay.player import proxy_of

HOST = "127.0.0.1"
OPEN_SECONDS = 10.0
POST_SECONDS = 10.0
LONGEST_POST = 1_000_000
TRIES = 5
PAUSE_SECONDS = 1.0

Reply = tuple[HTTPStatus, Any]
OK: Reply = (HTTPStatus.OK, {})
WRONG_KEY: Reply = (HTTPStatus.UNAUTHORIZED, {"error": "the signature is missing or wrong"})


class Bot:
    """What all of a bot's connections say, one after the other."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message | Lost | None] = asyncio.Queue()

    async def send(self, piece: bytes) -> None:
        """It hears by itself."""

    async def finish(self) -> None:
        self._messages.put_nowait(None)

    async def hear(self) -> Message | None:
        message = await self._messages.get()
        if isinstance(message, Lost):
            raise message
        return message


class _Recall(Bot):
    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def let_in(self, connection: ServerConnection, request: Request) -> Response | None:
        given = dict(parse_qsl(urlsplit(request.path).query)).get("key", "")
        is_known = hmac.compare_digest(given.encode(), self._key.encode())
        return None if is_known else connection.respond(HTTPStatus.FORBIDDEN, "the key is missing or wrong\n")

    async def serve(self, connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                with suppress(ValueError):
                    self._messages.put_nowait(json.loads(await connection.recv()))


@asynccontextmanager
async def _recall(wishes: Wishes) -> AsyncIterator[Recogniser]:
    bot = _Recall(wishes.key)
    with _taken(wishes.port):
        server = await serve(bot.serve, HOST, wishes.port, process_request=bot.let_in)
    async with server:
        yield bot


class _taken:
    """Say that a port cannot be had."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise Lost(f"cannot listen on port {self._port}: {error.strerror}", is_hopeless=True) from error


@asynccontextmanager
async def _post_box(port: int, take: Callable[[Mapping[str, str], bytes], Reply]) -> AsyncIterator[None]:
    """A server of HTTP that takes what is posted to it, to whichever path."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status, reply = HTTPStatus.BAD_REQUEST, None
        try:
            async with asyncio.timeout(POST_SECONDS):
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                pairs = (line.partition(":") for line in lines if line)
                headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
                if not first.startswith("POST "):
                    status = HTTPStatus.METHOD_NOT_ALLOWED
                elif 0 <= (size := int(headers["content-length"])) <= LONGEST_POST:
                    status, reply = take(headers, await reader.readexactly(size))
        except (OSError, EOFError, ValueError, LookupError, TypeError, asyncio.LimitOverrunError):
            pass  # a bad request, whatever its JSON is, or one that does not come in time
        body = json.dumps(reply).encode()
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\nConnection: close"
        with suppress(OSError):
            async with asyncio.timeout(POST_SECONDS):
                writer.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                writer.write_eof()
                while await reader.read(LONGEST_POST):
                    pass  # closed with something unread, the reply might not arrive
        writer.close()

    with _taken(port):
        server = await asyncio.start_server(serve_one, HOST, port)
    async with server:
        yield


@asynccontextmanager
async def _attendee(wishes: Wishes) -> AsyncIterator[Recogniser]:
    bot = _Attendee(wishes.key)
    async with _post_box(wishes.port, bot.take):
        yield bot


class _Attendee(Bot):
    """Its webhooks, signed with the secret of the project: `transcript.update`, and `bot.state_change` at the end."""

    def __init__(self, key: str) -> None:
        super().__init__()
        try:
            self._secret = base64.b64decode(key, validate=True)
        except binascii.Error as error:
            raise Lost(f"{KEY_VARIABLE} is no webhook secret of Attendee: it is base64", is_hopeless=True) from error

    def take(self, headers: Mapping[str, str], body: bytes) -> Reply:
        message = json.loads(body)
        # What is signed is not the body, but what it says, written so.
        canonical = json.dumps(message, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        signature = base64.b64encode(hmac.digest(self._secret, canonical, "sha256"))
        if not hmac.compare_digest(signature, headers.get("x-webhook-signature", "").encode()):
            return WRONG_KEY
        self._messages.put_nowait(message)
        data = message.get("data") if isinstance(message, dict) else None
        if isinstance(data, dict) and message.get("trigger") == "bot.state_change" and data.get("new_state") == "ended":
            self._messages.put_nowait(None)
        return OK


@asynccontextmanager
async def _zoom(wishes: Wishes) -> AsyncIterator[Recogniser]:
    bot = _Zoom(wishes.key)
    try:
        async with _post_box(wishes.port, bot.take):
            yield bot
    finally:
        await bot.close()


class _Zoom(Bot):
    """Real-time media streams: a webhook names a meeting, whose transcript two WebSockets then give.

    `key` is the client's id, its secret and the secret token of its webhooks, with colons between them.
    """

    TRANSCRIPT = 8
    STALE_SECONDS = 300

    def __init__(self, key: str) -> None:
        super().__init__()
        self._client, self._secret, self._token = (part.encode() for part in key.split(":"))
        self._meetings: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        for task in self._meetings.values():
            task.cancel()
        await asyncio.gather(*self._meetings.values(), return_exceptions=True)

    def take(self, headers: Mapping[str, str], body: bytes) -> Reply:
        message = json.loads(body)
        event, payload = message["event"], message["payload"]
        if event == "endpoint.url_validation":
            plain = str(payload["plainToken"])
            # Anybody may ask for this: it must not sign what a webhook could be.
            if not re.fullmatch(r"[\w-]{1,100}", plain):
                return HTTPStatus.BAD_REQUEST, {}
            return HTTPStatus.OK, {"plainToken": plain, "encryptedToken": _hex(self._token, plain.encode())}
        when = headers.get("x-zm-request-timestamp", "")
        signature = f"v0={_hex(self._token, b'v0:' + when.encode() + b':' + body)}"
        if not hmac.compare_digest(signature.encode(), headers.get("x-zm-signature", "").encode()):
            return WRONG_KEY
        if abs(time.time() - int(when)) > self.STALE_SECONDS:
            return WRONG_KEY
        meeting = str(payload["meeting_uuid"])
        if event == "meeting.rtms_started" and meeting not in self._meetings:
            follow = self._follow(meeting, str(payload["rtms_stream_id"]), str(payload["server_urls"]))
            self._meetings[meeting] = asyncio.create_task(follow)
        elif event == "meeting.rtms_stopped" and (task := self._meetings.pop(meeting, None)) is not None:
            task.cancel()
            if not self._meetings:
                self._messages.put_nowait(None)
        return OK

    async def _follow(self, meeting: str, stream: str, url: str) -> None:
        tries = 0
        while True:
            try:
                await self._hear_stream(meeting, stream, url)
                tries = 0
            except Refused as refused:
                return self._messages.put_nowait(refused)
            except (OSError, InvalidHandshake, InvalidURI, ConnectionClosed, ValueError) as error:
                tries += 1
                if tries >= TRIES:
                    problem = f"the stream of the meeting cannot be had: {str(error) or 'no answer in time'}"
                    return self._messages.put_nowait(Lost(problem, is_hopeless=True))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _hear_stream(self, meeting: str, stream: str, url: str) -> None:
        """Hear a meeting until it, or a connection, is over."""
        signed = _hex(self._secret, b",".join([self._client, meeting.encode(), stream.encode()]))
        about = {"protocol_version": 1, "meeting_uuid": meeting, "rtms_stream_id": stream, "signature": signed}
        async with _dialled(url) as signals:
            await _say(signals, msg_type=1, sequence=0, **about)
            urls = (await self._agreed(signals, 2)).get("media_server", {}).get("server_urls", "")
            media_url = urls if isinstance(urls, str) else urls.get("transcript") or urls.get("all", "")
            async with _dialled(media_url) as media:
                params = {"transcript": {"content_type": 5}}
                wanted = {"media_type": self.TRANSCRIPT, "payload_encryption": False, "media_params": params}
                await _say(media, msg_type=3, **about, **wanted)
                await self._agreed(media, 4)
                await _say(signals, msg_type=7, rtms_stream_id=stream)
                listening = [asyncio.create_task(self._listen(socket)) for socket in (signals, media)]
                try:
                    await asyncio.wait(listening, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in listening:
                        task.cancel()
                    await asyncio.gather(*listening, return_exceptions=True)

    async def _agreed(self, socket: ClientConnection, kind: int) -> dict[str, Any]:
        """The reply to a handshake. Raises `Refused`."""
        async with asyncio.timeout(OPEN_SECONDS):
            while (message := await self._next(socket)).get("msg_type") != kind:
                pass
        status = message.get("status_code", message.get("status"))
        if status != 0:
            raise Refused(f"Zoom refuses: {message.get('reason') or 'it does not say why'} ({status})")
        return message

    async def _listen(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                self._messages.put_nowait(await self._next(socket))

    async def _next(self, socket: ClientConnection) -> dict[str, Any]:
        """The next message that is not about the connection."""
        while True:
            message = json.loads(await socket.recv())
            if not isinstance(message, dict):
                continue
            if message.get("msg_type") != 12:
                return message
            await _say(socket, msg_type=13, timestamp=message.get("timestamp"))


def _dialled(url: str) -> connect:
    return connect(url, proxy=proxy_of(url), open_timeout=OPEN_SECONDS, max_size=None)


async def _say(socket: ClientConnection, **fields: Any) -> None:
    await socket.send(json.dumps(fields))


def _hex(key: bytes, message: bytes) -> str:
    return hmac.new(key, message, hashlib.sha256).hexdigest()


BOTS: dict[str, Callable[[Wishes], AbstractAsyncContextManager[Recogniser]]] = {
    "recall": _recall,
    "attendee": _attendee,
    "zoom": _zoom,
}
"""By the kind of their ear."""
