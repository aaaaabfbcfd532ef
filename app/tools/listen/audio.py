"""Sound from a file, a pipe or the microphone: pieces of 16-bit samples, of one channel, at the rate that is wanted."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import subprocess
import sys
import threading
import time
import wave
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

RATE = 16_000
"""Of a pipe without a header."""
PIECE_SECONDS = 0.1
PIPE = "-"
SILENCE = ""
"""The place of who hears by themselves: nothing is read, until it is stopped."""
NO_MICROPHONE = (
    "the microphone cannot be opened ({}): install the extra ears, or pipe the sound in, as in "
    "`arecord -q -f S16_LE -r 16000 -c 1 -t raw | python -m app listen - --from vosk`"
)


class BadAudio(Exception):
    """What cannot be listened to; the text is for the person who gave it."""


class Resampler:
    """Makes pieces of another rate out of pieces, by drawing straight lines between samples."""

    def __init__(self, rate: int, wanted: int) -> None:
        self._step = rate / wanted
        self._samples = array("h")
        self._at = 0.0

    def __call__(self, piece: bytes) -> bytes:
        if self._step == 1:
            return piece
        samples, step = self._samples, self._step
        samples.frombytes(piece)
        made, at, last = array("h"), self._at, len(samples) - 1
        while at < last:
            whole = int(at)
            made.append(int(samples[whole] + (samples[whole + 1] - samples[whole]) * (at - whole)))
            at += step
        used = min(int(at), last) if last >= 0 else 0
        del samples[:used]
        self._at = at - used
        return made.tobytes()


def mono(piece: bytes, channels: int, width: int) -> bytes:
    """One channel of 16 bits, the mean of all; `width` is the bytes of a sample."""
    if width == 1:  # the only one without a sign
        samples = array("h", ((byte - 128) << 8 for byte in piece))
    elif width == 2:
        samples = array("h", piece)
    else:  # the two highest bytes
        samples = array("h", b"".join(piece[at + width - 2 : at + width] for at in range(0, len(piece), width)))
    if sys.byteorder == "big" and width > 1:
        samples.byteswap()
    if channels > 1:
        samples = array("h", (sum(samples[at : at + channels]) // channels for at in range(0, len(samples), channels)))
    return samples.tobytes()


class Source:
    """One input: a file, `-` for a pipe, None for the microphone, `SILENCE`. `stop` ends it as if it were over."""

    def __init__(self, place: str | None, rate: int) -> None:
        self._place, self._rate = place, rate
        # A pipe waits for whom it is too fast; nobody can hold back a microphone.
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue(0 if place is None else 20)
        self._stopped = asyncio.Event()
        self.ready = asyncio.Event()
        """Somebody hears it: until then nothing is read."""

    def stop(self) -> None:
        self._stopped.set()

    async def read(self) -> None:
        """Put pieces into the queue, then None. Raises `BadAudio`."""
        try:
            await self._unless_stopped(asyncio.ensure_future(self.ready.wait()))
            if self._place == SILENCE:
                await self._stopped.wait()
            elif not self._stopped.is_set():
                await self._read()
        finally:
            await self.pieces.put(None)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        def end(error: Exception | None) -> None:
            if not over.done():
                over.set_result(None) if error is None else over.set_exception(error)

        def run() -> None:
            problem: Exception | None = None
            try:
                for piece in self._open():
                    if self._stopped.is_set():
                        break
                    self._put(piece, loop)
            except Exception as error:
                problem = error
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(end, problem)

        # Not to_thread(): who is interrupted need not wait until a pipe says something.
        threading.Thread(target=run, daemon=True).start()
        await self._unless_stopped(over)
        if not over.cancelled():
            over.result()

    async def _unless_stopped(self, wanted: asyncio.Future[Any]) -> None:
        """Wait for that, or until it is stopped."""
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait([wanted, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            wanted.cancel()

    def _put(self, piece: bytes, loop: asyncio.AbstractEventLoop) -> None:
        """From the thread that reads: wait until there is room."""
        putting = self.pieces.put(piece)
        try:
            asyncio.run_coroutine_threadsafe(putting, loop).result()
        finally:
            putting.close()  # nobody listens any more, and the loop is closed

    def _open(self) -> Iterator[bytes]:
        if self._place is None:
            return self._microphone()
        if self._place == PIPE:
            # Not sys.stdin: nobody may be in the middle of reading that when the process ends.
            pipe = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
            return self._wave(pipe) if pipe.peek(4)[:4] == b"RIFF" else self._raw(pipe)
        return _at_the_pace_of_people(self._file(Path(self._place)))

    def _file(self, path: Path) -> Iterator[bytes]:
        try:
            yield from self._wave(str(path))
        except OSError as error:
            raise BadAudio(f"{path}: {error.strerror or error}") from error
        except (wave.Error, EOFError) as error:
            if (ffmpeg := shutil.which("ffmpeg")) is None:
                problem = str(error) or "it ends too early"
                raise BadAudio(
                    f"{path}: no WAV ({problem}), and ffmpeg, which reads other forms, is not installed"
                ) from error
            yield from self._converted(ffmpeg, path)

    def _wave(self, place: str | IO[bytes]) -> Iterator[bytes]:
        with wave.open(place) as sound:
            resample = Resampler(sound.getframerate(), self._rate)
            frames = int(sound.getframerate() * PIECE_SECONDS)
            while piece := sound.readframes(frames):
                yield resample(mono(piece, sound.getnchannels(), sound.getsampwidth()))

    def _raw(self, pipe: IO[bytes], rate: int = RATE) -> Iterator[bytes]:
        resample = Resampler(rate, self._rate)
        while piece := pipe.read(int(rate * PIECE_SECONDS) * 2):
            yield resample(piece[: len(piece) // 2 * 2])

    def _converted(self, ffmpeg: str, path: Path) -> Iterator[bytes]:
        command = [
            ffmpeg,
            "-v",
            "error",
            "-nostdin",
            "-i",
            str(path),
            "-f",
            "s16le",
            "-ac",
            "1",
            "-ar",
            str(self._rate),
            "-",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                yield from self._raw(process.stdout, self._rate)
                if process.wait():
                    said = process.stderr.read().decode(errors="replace").strip().splitlines()
                    raise BadAudio(f"{path}: {said[-1] if said else 'ffmpeg cannot read it'}")
            finally:
                process.kill()

    def _microphone(self) -> Iterator[bytes]:
        try:
            sounddevice = importlib.import_module("sounddevice")
        except (ImportError, OSError) as error:  # OSError: it is there, the library of sound is not
            raise BadAudio(NO_MICROPHONE.format(error)) from error
        try:
            with sounddevice.RawInputStream(samplerate=self._rate, channels=1, dtype="int16") as stream:
                while True:
                    yield bytes(stream.read(int(self._rate * PIECE_SECONDS))[0])
        except sounddevice.PortAudioError as error:
            raise BadAudio(NO_MICROPHONE.format(error)) from error


def _at_the_pace_of_people(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Recognisers cut by silences, and some drop what comes too fast."""
    due = time.monotonic()
    for piece in pieces:
        yield piece
        # Who had to wait for a recogniser does not hurry after it.
        due = max(due + PIECE_SECONDS, time.monotonic() - PIECE_SECONDS)
        time.sleep(max(0.0, due - time.monotonic()))
