"""One connection to a recogniser: sound in, its messages out."""

from __future__ import annotations

import asyncio
import importlib
import json
from array import array
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from app.tools.listen.bots import BOTS
from app.tools.listen.complaints import complaint
from app.tools.listen.connection import Lost, Recogniser, Refused
from app.tools.listen.ears import Ear, Message, Wishes
from app.tools.replay.player import proxy_of

OPEN_SECONDS = 10.0
READY_SECONDS = 60.0
"""A server may load its model first."""
LAST_SECONDS = 10.0
"""How long a recogniser may be silent after the last sound before it is thought to have said all."""
REFUSALS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "the key is missing or wrong",
    HTTPStatus.PAYMENT_REQUIRED: "there is no credit",
    HTTPStatus.FORBIDDEN: "the key is missing or wrong, or it has no such path",
    HTTPStatus.TOO_MANY_REQUESTS: "too much at once, or the quota is used up",
}


@asynccontextmanager
async def open_recogniser(ear: Ear, url: str, wishes: Wishes) -> AsyncIterator[Recogniser]:
    """Connect to a recogniser, ready for sound. Raises `Lost`."""
    if ear.kind == "pocketsphinx":
        yield await asyncio.to_thread(_Sphinx, ear.rate)
    elif ear.kind in BOTS:
        async with BOTS[ear.kind](wishes) as bot:
            yield bot
    elif ear.kind == "lines":
        lines = _Lines(*await _open_tcp(url, _Lines.PORT))
        try:
            yield lines
        finally:
            lines.close()
    elif ear.kind == "wyoming":
        wyoming = _Wyoming(url, ear.rate, wishes)
        try:
            await wyoming.knock()
            yield wyoming
        finally:
            await wyoming.close()
    else:
        socket = await _dial(ear, url, wishes)
        try:
            recogniser = _Socket(ear, socket)
            await recogniser.begin(wishes)
            yield recogniser
        finally:
            await socket.close()


async def _dial(ear: Ear, url: str, wishes: Wishes) -> ClientConnection:
    headers = {ear.header: f"{ear.key}{wishes.key}"} if ear.key is not None and wishes.key else {}
    if ear.session is not None and url.startswith("http"):
        url, headers = await _make_session(url, headers, ear.session(wishes)), {}
    if query := urlencode(ear.query(wishes)):
        url += ("&" if urlsplit(url).query else "?") + query
    where = _shown_address(url)
    try:
        return await connect(
            url,
            additional_headers=headers,
            subprotocols=[Subprotocol(each) for each in ear.subprotocols] or None,
            proxy=proxy_of(url),
            open_timeout=OPEN_SECONDS,
            max_size=None,
        )
    except InvalidStatus as error:
        raise _refusal(where, error.response.status_code, error.response.body) from error
    except InvalidURI as error:
        raise Lost(f"{where} is no address: {error.msg}", is_hopeless=True) from error
    except (InvalidHandshake, OSError, TimeoutError) as error:
        raise Lost(f"{where} cannot be reached: {str(error) or 'no answer in time'}") from error


async def _make_session(url: str, headers: dict[str, str], wanted: Any) -> str:
    """The address of the WebSocket that a recogniser opens for us."""
    where = _shown_address(url)
    try:
        async with httpx.AsyncClient(timeout=OPEN_SECONDS, trust_env=proxy_of(url) is not None) as client:
            response = await client.post(url, headers=headers, json=wanted)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Lost(f"{where} cannot be reached: {str(error) or 'no answer in time'}") from error
    if not response.is_success:
        raise _refusal(where, response.status_code, response.content)
    try:
        return str(response.json()["url"])
    except (ValueError, KeyError, TypeError) as error:
        raise Lost(f"{where} names no WebSocket", is_hopeless=True) from error


def _shown_address(url: str) -> str:
    """Without what stands in the query, and without a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _refusal(where: str, status: int, body: bytes | bytearray | None) -> Lost:
    """What an HTTP status says in words, with those of the body, if that is for programs."""
    try:
        message = json.loads(body or b"")
    except ValueError:
        message = None
    found = complaint({**message, "status": "error"}) if isinstance(message, dict) else None
    told = "" if found is None else f": {found.text}"
    if status in REFUSALS:
        return Refused(f"{where} refuses: {REFUSALS[status]} (HTTP {status}){told}")
    return Lost(f"{where} answers with HTTP {status}, not with a WebSocket{told}", is_hopeless=status < 500)


async def _open_tcp(url: str, usual_port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            return await asyncio.open_connection(parts.hostname, parts.port or usual_port)
    except (OSError, TimeoutError) as error:
        raise Lost(f"{parts.netloc} cannot be reached: {str(error) or 'no answer in time'}") from error


class _Lines:
    """Samples go out as they are, and lines come back."""

    PORT = 43_007
    SILENCE = bytes(2 * 2 * 16_000)
    """What is not followed by anything is not said, by servers that wait for a second opinion."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._patience: asyncio.Timeout | None = None
        """How long somebody waits for the next word, if somebody does."""
        self._is_finished = False

    async def send(self, piece: bytes) -> None:
        try:
            self._writer.write(piece)
            await self._writer.drain()
        except OSError as error:
            raise Lost(f"the connection to the recogniser is lost: {error}") from error

    async def finish(self) -> None:
        await self.send(self.SILENCE)
        self._is_finished = True
        with suppress(OSError):
            self._writer.write_eof()
        if self._patience is not None:
            self._patience.reschedule(_now() + LAST_SECONDS)

    async def hear(self) -> Message | None:
        try:
            async with asyncio.timeout(LAST_SECONDS if self._is_finished else None) as self._patience:
                line = await self._reader.readline()
        except TimeoutError:
            return None
        except (OSError, ValueError) as error:  # ValueError: a line without an end
            raise Lost(f"the connection to the recogniser is lost: {error}") from error
        finally:
            self._patience = None
        if not line and not self._is_finished:
            raise Lost("the recogniser closed the connection")
        return line.decode(errors="replace") or None

    def close(self) -> None:
        self._writer.close()


class _Socket:
    def __init__(self, ear: Ear, socket: ClientConnection) -> None:
        self._ear = ear
        self._socket = socket
        self._early: deque[Message] = deque()
        """What came before it was ready."""
        self._pieces = 0
        self._is_finished = False
        self._is_over = False
        self._patience: asyncio.Timeout | None = None
        """How long somebody waits for the next word, if somebody does."""

    async def begin(self, wishes: Wishes) -> None:
        for frame in self._ear.opening(wishes):
            await self._write(frame)
        if self._ear.ready is None:
            return
        early: list[Message] = []
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not early or not self._ear.ready(early[-1]):
                    early.append(await self.hear())
                    if (told := complaint(early[-1])) is not None and told.is_fatal:
                        raise Refused(f"the recogniser says: {told.text}")
        except Refused:
            raise
        except Lost as lost:
            raise Lost(f"{lost}: {_shown(early)}", is_hopeless=True) from lost
        except TimeoutError as error:
            raise Lost(f"the recogniser is not ready after {READY_SECONDS:g} s: {_shown(early)}") from error
        self._early.extend(early)

    async def send(self, piece: bytes) -> None:
        self._pieces += 1
        await self._write(self._ear.wrap(piece))

    async def finish(self) -> None:
        self._is_finished = True
        for frame in self._ear.closing(self._pieces):
            await self._write(frame)
        if self._patience is not None:
            self._patience.reschedule(_now() + LAST_SECONDS)

    async def _write(self, frame: str | bytes) -> None:
        try:
            await self._socket.send(frame)
        except ConnectionClosed as closed:
            raise _lost(closed) from closed

    async def hear(self) -> Message | None:
        if self._early:
            return self._early.popleft()
        if self._is_over:
            return None
        try:
            async with asyncio.timeout(LAST_SECONDS if self._is_finished else None) as self._patience:
                raw = await self._socket.recv()
        except TimeoutError:
            return None
        except ConnectionClosed as closed:
            if self._is_finished:
                return None
            raise _lost(closed) from closed
        finally:
            self._patience = None
        text = raw if isinstance(raw, str) else raw.decode(errors="replace")
        try:
            message = json.loads(text)
        except ValueError:
            message = text
        self._is_over = self._ear.ends(message) or (self._is_finished and self._ear.over(message))
        return message


def _lost(closed: ConnectionClosed) -> Lost:
    code, reason = (1006, "") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)
    problem = f"the recogniser closed the connection ({code}{f': {reason}' if reason else ''})"
    return Refused(problem) if code in {1002, 1003, 1007, 1008} or code >= 3000 else Lost(problem)


def _shown(messages: list[Message]) -> str:
    return json.dumps(messages[-1], ensure_ascii=False)[:200] if messages else "it says nothing"


class EndPointer:
    """Says where an utterance begins and ends by how loud it is, for recognisers that leave this to their client."""

    LOUD = 300.0
    """The least root mean square of speech, of 32,768."""
    OVER_NOISE = 3.0
    SILENCE = 6
    BEFORE = 3
    """Pieces of silence that end an utterance, and that are kept of the time before one."""

    def __init__(self) -> None:
        self._noise = self.LOUD / self.OVER_NOISE
        self._before: deque[bytes] = deque(maxlen=self.BEFORE)
        self._silent = 0
        self.is_speech = False

    def __call__(self, piece: bytes) -> list[bytes]:
        """The pieces that belong to an utterance now; `is_speech` is false again with its last one."""
        samples = array("h", piece)
        volume = (sum(sample * sample for sample in samples) / max(1, len(samples))) ** 0.5
        is_loud = volume > max(self.LOUD, self.OVER_NOISE * self._noise)
        if not is_loud:
            self._noise += (volume - self._noise) / 20
        if self.is_speech:
            self._silent = 0 if is_loud else self._silent + 1
            self.is_speech = self._silent < self.SILENCE
            return [piece]
        self._before.append(piece)
        if not is_loud:
            return []
        pieces, self._silent, self.is_speech = list(self._before), 0, True
        self._before.clear()
        return pieces


class _Wyoming:
    """A connection for each utterance, as its servers want it."""

    PORT = 10_300

    def __init__(self, url: str, rate: int, wishes: Wishes) -> None:
        self._url = url
        self._format = {"rate": rate, "width": 2, "channels": 1}
        self._transcribe = {"language": wishes.language} if wishes.language else {}
        self._end = EndPointer()
        self._messages: asyncio.Queue[Message | Lost | None] = asyncio.Queue()
        self._reading: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None

    async def knock(self) -> None:
        """Whether anybody is there is known before somebody speaks."""
        (await _open_tcp(self._url, self.PORT))[1].close()

    async def send(self, piece: bytes) -> None:
        pieces = self._end(piece)
        try:
            for each in pieces:
                if self._writer is None:
                    await self._begin()
                await self._write("audio-chunk", self._format, each)
            if pieces and not self._end.is_speech:
                await self._stop()
        except OSError as error:
            raise Lost(f"the connection to the recogniser is lost: {error}") from error

    async def _begin(self) -> None:
        reader, self._writer = await _open_tcp(self._url, self.PORT)
        task = asyncio.create_task(self._read(reader, self._writer))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)
        await self._write("transcribe", self._transcribe)
        await self._write("audio-start", self._format)

    async def _stop(self) -> None:
        await self._write("audio-stop", {})
        self._writer = None

    async def _write(self, kind: str, data: dict[str, Any], payload: bytes = b"") -> None:
        if self._writer is not None:
            event = {"type": kind, "data": data, "payload_length": len(payload)}
            self._writer.write(json.dumps(event).encode() + b"\n" + payload)
            await self._writer.drain()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand on the events of one utterance, up to what it was."""
        try:
            kind = ""
            while kind not in {"transcript", "error"}:
                event = json.loads(await reader.readline() or b"{}")
                if not event:
                    raise Lost("the recogniser closed the connection before it said what it heard")
                data = json.loads(await reader.readexactly(event.get("data_length") or 0) or b"{}")
                await reader.readexactly(event.get("payload_length") or 0)
                kind = event.get("type", "")
                self._messages.put_nowait({"type": kind, "data": {**(event.get("data") or {}), **data}})
        except Lost as lost:
            self._messages.put_nowait(lost)
        except (OSError, ValueError, EOFError) as error:
            self._messages.put_nowait(Lost(f"the recogniser said nothing that Wyoming knows: {error}"))
        finally:
            writer.close()

    async def finish(self) -> None:
        with suppress(OSError):
            await self._stop()
        if self._reading:
            await asyncio.wait(self._reading, timeout=LAST_SECONDS)
        self._messages.put_nowait(None)

    async def hear(self) -> Message | None:
        message = await self._messages.get()
        if isinstance(message, Lost):
            raise message
        return message

    async def close(self) -> None:
        for task in self._reading:
            task.cancel()


class _Sphinx:
    """pocketsphinx in this process, for trying: it says what Vosk would."""

    ENDPOINT_SECONDS = 0.3

    def __init__(self, rate: int) -> None:
        try:
            sphinx = importlib.import_module("pocketsphinx")
        except ImportError as error:
            raise Lost("pocketsphinx is not installed: it comes with the extra ears", is_hopeless=True) from error
        self._end = sphinx.Endpointer(window=self.ENDPOINT_SECONDS, sample_rate=rate)
        self._decoder = sphinx.Decoder(samprate=rate, loglevel="FATAL")
        self._rest, self._began = b"", 0.0
        self._is_open = False
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()

    async def send(self, piece: bytes) -> None:
        for message in await asyncio.to_thread(self._decode, piece):
            self._messages.put_nowait(message)

    def _decode(self, piece: bytes) -> list[Message]:
        self._rest += piece
        size, messages = self._end.frame_bytes, []
        while len(self._rest) >= size:
            frame, self._rest = self._rest[:size], self._rest[size:]
            messages += self._take(self._end.process(frame))
        if self._is_open and (hypothesis := self._decoder.hyp()) is not None:
            messages.append({"partial": hypothesis.hypstr})
        return messages

    def _take(self, speech: bytes | None) -> list[Message]:
        if speech is None:
            return []
        if not self._is_open:
            self._decoder.start_utt()
            self._is_open = True
            self._began = self._end.speech_start
        self._decoder.process_raw(speech)
        return [] if self._end.in_speech else [self._said()]

    def _said(self) -> Message:
        self._decoder.end_utt()
        self._is_open = False
        math = self._decoder.get_logmath()
        words = [
            {
                "word": segment.word.partition("(")[0],
                "conf": min(1.0, math.exp(segment.prob)),
                "start": self._began + segment.start_frame / 100,
                "end": self._began + (segment.end_frame + 1) / 100,
            }
            for segment in self._decoder.seg() or ()
            if segment.word[0] not in "<["
        ]
        return {"text": " ".join(word["word"] for word in words), "result": words}

    async def finish(self) -> None:
        for message in await asyncio.to_thread(self._last):
            self._messages.put_nowait(message)
        self._messages.put_nowait(None)

    def _last(self) -> list[Message]:
        messages = self._take(self._end.end_stream(self._rest)) if self._rest else []
        return [*messages, self._said()] if self._is_open else messages

    async def hear(self) -> Message | None:
        return await self._messages.get()


def _now() -> float:
    return asyncio.get_running_loop().time()
