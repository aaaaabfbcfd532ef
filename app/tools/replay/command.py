"""The command line of a replay: arguments in, exit status out."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from app.config import load_address
from app.tools.replay.player import Player, Trouble
from app.tools.replay.recording import BadFile, Step, read_recording
from app.tools.replay.score import score
from app.tools.replay.screen import Screen
from app.tools.replay.tracker import Tracker

TOKEN_VARIABLE = "REALTIME_RAG_TOKEN"

AS_EXPECTED, NOT_AS_EXPECTED, BAD_INPUT, TROUBLE = 0, 1, 2, 3
INTERRUPTED, NOBODY_READS = 130, 141  # 128 + SIGINT, 128 + SIGPIPE, as a shell expects it
STATUSES = """\
exit status:
  0  all labels hold, every answer came whole, no message was refused
  1  something of that is not so
  2  the arguments or the file cannot be used
  3  the service cannot be reached, refuses the client, falls silent or leaves
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay a file; the exit status is one of those that `--help` lists."""
    options = _parser().parse_args(arguments)
    token = options.token or os.environ.get(TOKEN_VARIABLE) or None
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        return _complain("the token: must be printable ASCII without spaces", BAD_INPUT)
    if options.url is None:
        address = load_address()
        if not address.port:
            return _complain("with PORT=0 the service takes any port: say with --url which", BAD_INPUT)
        options.url = address.ws_url
    try:
        steps = read_recording(options.file, options.gap)
    except OSError as error:
        return _complain(f"{options.file}: {error.strerror}", BAD_INPUT)
    except BadFile as error:
        return _complain(str(error), BAD_INPUT)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return asyncio.run(_replay(options, steps, token))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read has gone, as `head` does; what is still buffered must not fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


async def _replay(options: argparse.Namespace, steps: Sequence[Step], token: str | None) -> int:
    tracker = Tracker()
    screen = Screen(io.StringIO() if options.json else sys.stdout, tracker, len(steps))
    player = Player(tracker, speed=options.speed, patience=options.patience, on_sent=screen.sent, on_frame=screen.got)
    trouble: str | None = None
    try:
        await player.play(steps, options.url, token)
    except Trouble as error:
        trouble = str(error)
    finally:
        screen.close()
    result = score(tracker, steps)
    is_good = trouble is None and result.is_as_expected
    if options.json:
        about = {"file": str(options.file), "url": options.url, "session_id": tracker.session_id}
        document = {**about, "as_expected": is_good, "trouble": trouble, **result.to_dict()}
        print(json.dumps(document, ensure_ascii=False, indent=2))
    elif trouble is None:
        screen.table(result)
    if trouble is not None:
        return _complain(trouble, TROUBLE)
    return AS_EXPECTED if is_good else NOT_AS_EXPECTED


def _complain(problem: str, status: int) -> int:
    print(f"replay: {problem}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app replay",
        description="Send a recorded talk to a running service and show what becomes of it.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON lines with times, plain text, or recorded frames")
    parser.add_argument(
        "--url",
        type=_url,
        help="of the WebSocket (default: by HOST, PORT and WS_PATH of the environment or .env)",
    )
    parser.add_argument(
        "--speed",
        type=_number,
        default=1.0,
        metavar="N",
        help="times faster than recorded; 0: each line when its turn comes",
    )
    parser.add_argument(
        "--gap", type=_number, default=3.0, metavar="SECONDS", help="between two lines of plain text (default 3)"
    )
    parser.add_argument(
        "--patience",
        type=_number,
        default=60.0,
        metavar="SECONDS",
        help="for a service that owes an answer (default 60)",
    )
    parser.add_argument(
        "--token", help=f"sent as Authorization: Bearer; better kept in {TOKEN_VARIABLE}, which nobody sees"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    return parser


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"ws", "wss"} or not parts.hostname:
        raise argparse.ArgumentTypeError("begins with ws:// or wss:// and names a host")
    return text


def _number(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("is a number from 0 on")
    return value
