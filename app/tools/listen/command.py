"""The command line of listening: arguments in, exit status out."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.config import load_address
from app.tools.listen.audio import PIPE, SILENCE, BadAudio, Source
from app.tools.listen.bots import BOTS
from app.tools.listen.connection import Lost, Refused
from app.tools.listen.ears import EARS, KEY_VARIABLE, Ear, Wishes
from app.tools.listen.hearing import Hearing
from app.tools.listen.mappers import Chunk
from app.tools.listen.report import Report
from app.tools.listen.talk import Talk
from app.tools.replay.command import BAD_INPUT, INTERRUPTED, NOBODY_READS, TOKEN_VARIABLE, TROUBLE
from app.tools.replay.player import Trouble
from app.tools.replay.score import score
from app.tools.replay.screen import Screen
from app.tools.replay.tracker import Frame, Tracker

WHOLE, NOT_WHOLE, REFUSED = 0, 1, 4
STATUSES = """\
exit status:
  0  every answer came whole, no message was refused
  1  something of that is not so
  2  the arguments or the sound cannot be used
  3  the service or the recogniser cannot be reached, falls silent or leaves, or the service refuses the client
  4  the recogniser refuses: the key, the quota, or what it was told; the line has its words
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Listen to the end; the exit status is one of those that `--help` lists."""
    options = _parser().parse_args(arguments)
    ear = EARS[options.ear]
    token = os.environ.get(TOKEN_VARIABLE) or None
    key = os.environ.get(KEY_VARIABLE, "")
    if (problem := _problem(options, ear, key, token)) is not None:
        return _complain(problem, BAD_INPUT)
    try:
        options.hint += _read_hints(options.hints)
    except (OSError, ValueError) as error:
        return _complain(f"{options.hints}: {getattr(error, 'strerror', None) or 'not UTF-8'}", BAD_INPUT)
    if options.url is None:
        address = load_address()
        if not address.port:
            return _complain("with PORT=0 the service takes any port: say with --url which", BAD_INPUT)
        options.url = address.ws_url
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return asyncio.run(_listen(options, ear, key, token))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


def _problem(options: argparse.Namespace, ear: Ear, key: str, token: str | None) -> str | None:
    for name, value in ((TOKEN_VARIABLE, token or ""), (KEY_VARIABLE, key)):
        if not (value.isascii() and (value.isprintable() or not value) and " " not in value):
            return f"{name}: must be printable ASCII without spaces"
    if ear.needs_key and not key and options.recogniser is None:
        return f"{options.ear} wants a key: put it into the variable {KEY_VARIABLE}"
    if not ear.url and ear.kind == "websocket" and options.recogniser is None:
        return f"say with --recogniser where {options.ear} is, as in ws://127.0.0.1:8001/asr?mode=full"
    if ear.session is None and (options.recogniser or "").startswith("http"):
        return f"--recogniser: for {options.ear} it begins with ws://, wss:// or tcp://"
    if not ear.has_sound and options.file is not None:
        return f"{options.ear} hears by itself: name no input"
    if options.ear == "vexa" and "/" not in options.meeting:
        return "say with --meeting which, as in google_meet/abc-defg-hij"
    if (ear.kind in BOTS) != bool(options.serve):
        return f"--serve PORT is for bots that dial: {', '.join(name for name, e in EARS.items() if e.kind in BOTS)}"
    if ear.kind == "zoom" and key.count(":") != 2:
        return f"{KEY_VARIABLE}: for zoom it is client-id:client-secret:secret-token"
    if options.file == PIPE and options.second == PIPE:
        return "there is only one standard input"
    if len(options.speaker) > 1 + (options.second is not None):
        return "--speaker: more of them than inputs"
    return None


async def _listen(options: argparse.Namespace, ear: Ear, key: str, token: str | None) -> int:
    tracker = Tracker()
    screen = Screen(io.StringIO() if options.json else sys.stdout, tracker)
    report = Report(tracker)
    start = time.monotonic()

    def on_frame(frame: Frame) -> None:
        report.take(frame, time.monotonic() - start)
        screen.got(frame)

    places = [options.file if ear.has_sound else SILENCE, *([] if options.second is None else [options.second])]
    sources = [Source(place, ear.rate) for place in places]
    wishes = Wishes(key, options.language, options.hint, options.diarise, options.meeting, options.serve)
    said: list[dict[str, Any]] = []
    speakers: list[str | None] = [*options.speaker, None, None]

    async def hear(talk: Talk) -> None:
        async def hand_on(chunk: Chunk) -> None:
            if options.save is not None:
                said.append({"at_ms": round(1000 * (time.monotonic() - start)), **chunk})
            await talk.say({"type": "asr_chunk", **chunk})

        url = options.recogniser or ear.url
        hearings = [
            Hearing(ear, url, wishes, source, hand_on, screen.tell, speaker)
            for source, speaker in zip(sources, speakers, strict=False)
        ]
        await _all(*(each.run() for each in hearings), *(source.read() for source in sources))

    talk = Talk(
        options.url,
        token,
        tracker,
        patience=options.patience,
        on_sent=screen.sent,
        on_frame=on_frame,
        note=screen.tell,
    )
    trouble, status = None, WHOLE
    # Where signals are not handed to a loop, the first one ends it at once.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, partial(_stop, sources))
    try:
        await talk.run(hear)
    except BadAudio as error:
        trouble, status = str(error), BAD_INPUT
    except (Trouble, Lost) as error:
        trouble, status = str(error), REFUSED if isinstance(error, Refused) else TROUBLE
    finally:
        screen.close()
    result = score(tracker, [])
    if trouble is None and not result.is_as_expected:
        status = NOT_WHOLE
    about = {"from": options.ear, "url": options.url, "session_id": tracker.session_id, "trouble": trouble}
    if options.json:
        document = {**about, **result.to_dict(), "questions": report.questions, "dropped": report.dropped}
        print(json.dumps(document, ensure_ascii=False, indent=2))
    elif trouble is None:
        screen.figures(result)
    try:
        if options.report is not None:
            report.write(options.report, about)
        if options.save is not None:
            rows = (json.dumps(row, ensure_ascii=False) + "\n" for row in said)
            options.save.write_text("".join(rows), encoding="utf-8")
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}", BAD_INPUT)
    return status if trouble is None else _complain(trouble, status)


def _read_hints(path: Path | None) -> list[str]:
    lines = [] if path is None else path.read_text(encoding="utf-8-sig").splitlines()
    return [*filter(None, map(str.strip, lines))]


async def _all(*works: Any) -> None:
    """Wait for all; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _stop(sources: Sequence[Source]) -> None:
    """Hear what was said up to now, and no more; who interrupts once more does not want that either."""
    for source in sources:
        source.stop()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)


def _complain(problem: str, status: int) -> int:
    print(f"listen: {problem}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app listen",
        description="Take a voice to a recogniser, and what that hears to a service; show what is asked and answered.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="a recording; - for a pipe (WAV, or 16-bit samples at 16 kHz); none: the microphone",
    )
    parser.add_argument("--from", dest="ear", required=True, choices=EARS, metavar="NAME", help=", ".join(EARS))
    parser.add_argument("--recogniser", type=_address, metavar="URL", help="where it is, if not where such servers are")
    parser.add_argument(
        "--url",
        type=_url,
        help="of the service's WebSocket (default: by HOST, PORT and WS_PATH of the environment or .env)",
    )
    parser.add_argument("--second", metavar="FILE", help="one more input, in the same session")
    parser.add_argument(
        "--speaker", action="append", default=[], metavar="NAME", help="who is heard; once more for the second input"
    )
    parser.add_argument(
        "--diarise", action="store_true", help="tell speakers apart, where the recogniser can be asked to"
    )
    parser.add_argument("--meeting", default="", metavar="PLATFORM/ID", help="which one a bot sits in (vexa)")
    parser.add_argument(
        "--serve",
        type=int,
        default=0,
        metavar="PORT",
        help="of this machine, for a bot that dials or posts: recall, attendee, zoom",
    )
    parser.add_argument("--language", metavar="TAG", help="what is spoken, for recognisers that want to know")
    parser.add_argument(
        "--hint",
        action="append",
        default=[],
        metavar="WORD",
        help="a name to listen for, where the recogniser takes hints",
    )
    parser.add_argument("--hints", type=Path, metavar="FILE", help="such names, one a line")
    parser.add_argument(
        "--patience",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="for a service that is away or owes an answer (default 60)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write the questions and answers there: .md or .json"
    )
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="write what is heard there, for replay and the console"
    )
    return parser


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"ws", "wss"} or not parts.hostname:
        raise argparse.ArgumentTypeError("begins with ws:// or wss:// and names a host")
    return text


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"ws", "wss", "tcp", "http", "https"} or not parts.hostname:
        raise argparse.ArgumentTypeError("begins with ws://, wss://, tcp:// or https:// and names a host")
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("is a number from 0 on")
    return value
