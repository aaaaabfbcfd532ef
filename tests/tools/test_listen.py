"""`python -m app listen` as its user runs it: sound in, a recogniser's protocol, the real service, and a status."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import math
import os
import re
import shlex
import signal
import struct
import sys
import wave
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from app.tools.listen import command
from app.tools.listen.audio import Resampler, mono
from app.tools.listen.ears import EARS
from app.tools.listen.recogniser import EndPointer
from app.tools.replay.recording import read_recording
from tests.client import PATIENCE
from tests.conftest import Serve
from tests.console.lossy import lossy_network
from tests.service import ROOT
from tests.standin.dify import StandInDify
from tests.standin.recognisers import Manners, lines, recogniser, session_maker, wyoming
from tests.standin.scripts import answer, status
from tests.test_docs import PAGES, read
from tests.voice import need_pocketsphinx

QUESTION = "How do I pause?"
SECONDS = 0.25


def tone(seconds: float, rate: int = 16_000, hertz: float = 440) -> bytes:
    samples = (int(8000 * math.sin(2 * math.pi * hertz * at / rate)) for at in range(int(seconds * rate)))
    return struct.pack(f"<{int(seconds * rate)}h", *samples)


def write_wave(path: Path, sound: bytes, rate: int = 16_000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(sound)
    return path


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return write_wave(tmp_path / "talk.wav", tone(SECONDS))


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    @property
    def shown(self) -> list[str]:
        return [line[10:] for line in self.out.splitlines()]

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Listen = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def listen(capsys: pytest.CaptureFixture[str]) -> Listen:
    async def listen(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            code = await asyncio.to_thread(command.main, [str(each) for each in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return Outcome(code, *capsys.readouterr())

    return listen


def closed_by(wanted: str | bytes) -> Callable[[str | bytes], bool]:
    return lambda frame: frame == wanted


def closed_with(**fields: Any) -> Callable[[str | bytes], bool]:
    return lambda frame: isinstance(frame, str) and fields.items() <= json.loads(frame).items()


VOSK = Manners(closed_by('{"eof" : 1}'), says=[{"partial": "how do"}, {"partial": "how do"}], last=[{"text": QUESTION}])
SEGMENT = {"start": "0.000", "end": "1.0", "text": f" {QUESTION}", "completed": False}
LINE = {"speaker": 1, "text": QUESTION, "start": "0:00:00", "end": "0:00:01"}
RESULTS = {"type": "Results", "start": 0, "duration": 1, "is_final": True, "speech_final": True}
TURN_INFO = {"type": "TurnInfo", "turn_index": 0, "transcript": QUESTION}
TURN = {"type": "Turn", "turn_order": 0, "transcript": QUESTION, "end_of_turn": True, "turn_is_formatted": True}
WORD = {"type": "word", "alternatives": [{"content": "How do I pause"}]}
MARK = {"type": "punctuation", "attaches_to": "previous", "is_eos": True, "alternatives": [{"content": "?"}]}
HEARD = "conversation.item.input_audio_transcription."

MANNERS: dict[str, Manners] = {
    "vosk": VOSK,
    "funasr": Manners(
        closed_with(is_speaking=False),
        says=[{"mode": "2pass-online", "text": "how do"}],
        last=[{"mode": "2pass-offline", "text": QUESTION, "is_final": True}, {"mode": "2pass", "is_end": True}],
        closes=False,
        subprotocol="binary",
    ),
    "whisperlive": Manners(  # the last segment is never completed
        closed_by(b"END_OF_AUDIO"), greets=[{"uid": "u", "message": "SERVER_READY"}], says=[{"segments": [SEGMENT]}]
    ),
    "whisperlivekit": Manners(
        closed_by(b""),
        greets=[{"type": "config", "useAudioWorklet": True}],
        says=[{"lines": [], "buffer_transcription": "how do"}],
        last=[{"lines": [LINE], "buffer_transcription": ""}, {"type": "ready_to_stop"}],
        is_opened=False,
        closes=False,
    ),
    "sherpa-onnx": Manners(
        closed_by("Done"),
        says=[{"text": "HOW DO I PAUSE?", "segment": 0}],
        last=["Done!"],
        is_opened=False,
        closes=False,
    ),
    "deepgram": Manners(
        closed_with(type="CloseStream"),
        last=[{**RESULTS, "channel": {"alternatives": [{"transcript": QUESTION, "confidence": 0.0}]}}],
        is_opened=False,
    ),
    "flux": Manners(
        closed_with(type="CloseStream"),
        says=[{**TURN_INFO, "event": "Update"}],
        last=[{**TURN_INFO, "event": "EndOfTurn"}],
        is_opened=False,
    ),
    "assemblyai": Manners(
        closed_with(type="Terminate"),
        greets=[{"type": "Begin"}],
        last=[TURN, {"type": "Termination"}],
        is_opened=False,
        closes=False,
    ),
    "speechmatics": Manners(
        closed_with(message="EndOfStream", last_seq_no=3),
        greets=[{"message": "RecognitionStarted"}],
        says=[{"message": "AudioAdded", "seq_no": 1}, {"message": "AddPartialTranscript", "results": [WORD]}],
        last=[{"message": "AddTranscript", "results": [WORD, MARK]}, {"message": "EndOfTranscript"}],
        closes=False,
    ),
    "soniox": Manners(
        closed_by(""),
        says=[{"tokens": [{"text": "How", "is_final": False}]}],
        last=[
            {"tokens": [{"text": QUESTION, "is_final": True}, {"text": "<end>", "is_final": True}]},
            {"finished": True},
        ],
        closes=False,
    ),
    "elevenlabs": Manners(
        lambda frame: isinstance(frame, str) and json.loads(frame)["commit"],
        greets=[{"message_type": "session_started", "session_id": "s"}],
        says=[{"message_type": "partial_transcript", "text": "How do"}],
        last=[{"message_type": "committed_transcript", "text": QUESTION}],
        is_opened=False,
        closes=False,
    ),
    "gladia": Manners(
        closed_with(type="stop_recording"),
        says=[{"type": "transcript", "data": {"is_final": False, "utterance": {"text": "How do", "channel": 0}}}],
        last=[
            {"type": "transcript", "data": {"is_final": True, "utterance": {"text": QUESTION, "channel": 0}}},
            {"type": "end_session"},
        ],
        is_opened=False,
        closes=False,
    ),
    "realtimestt": Manners(
        lambda frame: not any(frame[-3_200:]),
        says=[{"type": "recording_start"}, {"type": "realtime", "text": "how do"}],
        last=[{"type": "fullSentence", "text": QUESTION}],
        is_opened=False,
        closes=False,
    ),
    "openai": Manners(
        closed_with(type="input_audio_buffer.commit"),
        greets=[{"type": "session.created"}],
        says=[{"type": f"{HEARD}delta", "item_id": "a", "delta": "How"}],
        last=[{"type": f"{HEARD}completed", "item_id": "a", "transcript": QUESTION}],
        closes=False,
    ),
}


def test_every_ear_is_tried() -> None:
    others = {"wyoming", "whisper-streaming", "pocketsphinx", "vexa", "recall", "attendee", "zoom"}
    assert {*MANNERS, *others} == set(EARS)


@pytest.mark.parametrize("ear", MANNERS)
async def test_a_spoken_question_is_answered(
    ear: str, talk: Path, start: Serve, dify: StandInDify, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    dify.will(answer("Press it."))
    monkeypatch.setenv("RECOGNISER_KEY", "s3cret")
    async with recogniser(MANNERS[ear]) as server:
        outcome = await listen(talk, "--from", ear, "--recogniser", server.url, "--url", (await start()).ws_url)
    assert (outcome.status, outcome.err) == (0, "")
    asked = "how do i pause?" if ear == "sherpa-onnx" else QUESTION
    assert outcome.shown.count(f"? {asked}") == 1
    assert "< Press it." in outcome.shown
    assert "s3cret" not in outcome.out
    (call,) = server.calls
    begin, (headers,) = EARS[ear].key, server.headers
    assert headers.get(EARS[ear].header.lower()) == (None if begin is None else f"{begin}s3cret")
    # Each has heard all of it, in its own form.
    sizes = {"openai": 2 * 24_000 * SECONDS, "whisperlive": 4 * 16_000 * SECONDS, "sherpa-onnx": 4 * 16_000 * SECONDS}
    sound = b"".join(map(samples, call.sound))
    assert len(sound) == pytest.approx(sizes.get(ear, 2 * 16_000 * SECONDS), abs=8)
    assert len(call.closing) == 1 or ear == "realtimestt"


def samples(frame: str | bytes) -> bytes:
    if isinstance(frame, str):
        message = json.loads(frame)
        return base64.b64decode(message.get("audio") or message["audio_base_64"])
    about = b'{"sampleRate": 16000}'
    return frame.removeprefix(struct.pack("<I", len(about)) + about)


async def test_a_recogniser_that_makes_sessions_is_asked_for_one_first(
    talk: Path, start: Serve, dify: StandInDify, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    dify.will(answer("Press it."))
    monkeypatch.setenv("RECOGNISER_KEY", "s3cret")
    url = (await start()).ws_url
    async with (
        recogniser(MANNERS["gladia"]) as server,
        session_maker({"id": "i", "url": f"{server.url}/live?token=t0k3n"}) as (address, asked),
    ):
        wishes = ["--language", "en", "--hint", "Dify"]
        outcome = await listen(talk, "--from", "gladia", "--recogniser", address, "--url", url, *wishes)
    assert (outcome.status, outcome.err) == (0, "")
    assert "< Press it." in outcome.shown
    ((headers, wanted),) = asked
    assert {name.lower(): value for name, value in headers.items()}["x-gladia-key"] == "s3cret"
    assert wanted["language_config"] == {"languages": ["en"]}
    assert wanted["realtime_processing"]["custom_vocabulary_config"] == {"vocabulary": ["Dify"]}
    assert server.calls[0].path == "/live?token=t0k3n"
    assert "x-gladia-key" not in server.headers[0]
    assert "t0k3n" not in outcome.out


@pytest.mark.parametrize(
    ("reply", "http_status", "status", "told"),
    [
        (
            {"statusCode": 401, "message": "gladia key not found"},
            401,
            4,
            " refuses: the key is missing or wrong (HTTP 401): ",
        ),
        ({"message": "too many"}, 429, 4, "the quota is used up (HTTP 429): too many\n"),
        ({"id": "i"}, 200, 3, " names no WebSocket\n"),
        ({"id": "i", "url": "no address"}, 200, 3, " is no address: "),
    ],
)
async def test_a_session_that_is_not_made_is_told(
    talk: Path, start: Serve, listen: Listen, reply: Any, http_status: int, status: int, told: str
) -> None:
    url = (await start()).ws_url
    async with session_maker(reply, http_status) as (address, _):
        outcome = await listen(talk, "--from", "gladia", "--recogniser", address, "--url", url)
    assert outcome.status == status
    assert told in outcome.err
    if status == 3 and "url" not in reply:
        gone = await listen(talk, "--from", "gladia", "--recogniser", address, "--url", url)
        assert (gone.status, " cannot be reached" in gone.err) == (3, True)


async def test_a_recogniser_of_plain_lines_hears_all_and_a_silence(
    talk: Path, start: Serve, dify: StandInDify, listen: Listen
) -> None:
    dify.will(answer("Press it."))
    url = (await start()).ws_url
    async with lines(b"0 900 How do I\n\0\0900 1200  pause?\n") as (address, heard):
        outcome = await listen(talk, "--from", "whisper-streaming", "--recogniser", address, "--url", url)
    assert (outcome.status, outcome.err) == (0, "")
    assert f"? {QUESTION}" in outcome.shown
    (sound,) = heard
    assert sound.rstrip(b"\0") == tone(SECONDS).rstrip(b"\0")
    assert len(sound) == len(tone(SECONDS)) + 2 * 2 * 16_000


async def test_wyoming_is_told_where_an_utterance_ends(
    tmp_path: Path, start: Serve, dify: StandInDify, listen: Listen
) -> None:
    dify.will(answer("Press it."))
    silence = bytes(2 * 16_000)
    path = write_wave(tmp_path / "talk.wav", silence[:9600] + tone(0.3) + silence[:25600] + tone(0.2))
    async with wyoming(QUESTION) as server:
        outcome = await listen(path, "--from", "wyoming", "--recogniser", server.url, "--url", (await start()).ws_url)
    assert outcome.status == 0
    assert f"? {QUESTION}" in outcome.shown
    begin = ["transcribe", "audio-start", "audio-chunk"]
    assert [(kinds[:3], kinds[-1]) for kinds in server.utterances] == [(begin, "audio-stop")] * 2


async def test_a_meeting_bot_that_is_dialled_knows_its_speakers_and_when_it_is_over(
    start: Serve, dify: StandInDify, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    dify.will(answer("Press it."))
    monkeypatch.setenv("RECOGNISER_KEY", "s3cret")
    segment = {"text": QUESTION, "start": 1.5, "speaker": "Anna", "completed": True}
    told: list[Any] = [
        {"type": "subscribed"},
        {"type": "transcript.mutable", "payload": {"segments": [segment]}},
        {"type": "meeting.status", "payload": {"status": "completed"}},
    ]
    async with recogniser(Manners(closed_with(action="unsubscribe"), greets=told)) as server:
        bot = ["--from", "vexa", "--recogniser", server.url, "--meeting", "google_meet/abc"]
        outcome = await listen(*bot, "--url", (await start()).ws_url)
    assert outcome.status == 0
    assert f"> Anna: {QUESTION}" in outcome.shown
    assert "< Press it." in outcome.shown
    assert server.headers[0]["x-api-key"] == "s3cret"
    meeting = {"platform": "google_meet", "native_id": "abc"}
    assert server.calls[0].opening == [{"action": "subscribe", "meetings": [meeting]}]


async def test_two_inputs_are_two_speakers_in_one_session(
    talk: Path, start: Serve, dify: StandInDify, listen: Listen, tmp_path: Path
) -> None:
    dify.will(answer("Press it."), answer("Press it."))
    report = tmp_path / "report.json"
    async with recogniser(VOSK) as server:
        inputs = [talk, "--second", talk, "--speaker", "me", "--speaker", "others", "--report", report]
        outcome = await listen(*inputs, "--from", "vosk", "--recogniser", server.url, "--url", (await start()).ws_url)
    assert outcome.status == 0
    assert {f"> me: {QUESTION}", f"> others: {QUESTION}"} <= set(outcome.shown)
    # One voice on two channels asks once.
    (question,) = json.loads(report.read_text())["questions"]
    assert (question["text"], question["answer"], question["outcome"]) == (QUESTION, "Press it.", "answered")
    assert len(dify.requests) == 1


async def test_a_report_for_people_has_questions_answers_and_sources(
    talk: Path, start: Serve, dify: StandInDify, listen: Listen, tmp_path: Path
) -> None:
    dify.will(answer("Press\n", "it.", sources=[{"position": 1, "document_name": "manual.md"}]))
    report = tmp_path / "report.md"
    async with recogniser(VOSK) as server:
        url = (await start()).ws_url
        outcome = await listen(
            talk, "--from", "vosk", "--recogniser", server.url, "--url", url, "--report", report, "--json"
        )
    assert outcome.document["questions"][0]["sources"][0]["title"] == "manual.md"
    text = report.read_text()
    assert f"## {QUESTION}\n\nanswered; asked at 0:00:0" in text
    assert "> Press\n> it.\n\nSources:\n\n- manual.md" in text


async def test_what_was_heard_can_be_replayed(
    talk: Path, start: Serve, dify: StandInDify, listen: Listen, tmp_path: Path
) -> None:
    saved, url = tmp_path / "talk.jsonl", (await start()).ws_url
    async with recogniser(VOSK) as server:
        await listen(talk, "--from", "vosk", "--recogniser", server.url, "--url", url, "--save", saved)
        nowhere = tmp_path / "nowhere" / "talk.jsonl"
        outcome = await listen(talk, "--from", "vosk", "--recogniser", server.url, "--url", url, "--save", nowhere)
    assert (outcome.status, outcome.err) == (2, f"listen: {nowhere}: No such file or directory\n")
    steps = read_recording(saved, 0)
    assert [(step.text, step.is_final) for step in steps] == [("how do", False), (QUESTION, True)]
    assert 0 < steps[1].at < PATIENCE


async def test_a_recogniser_that_is_lost_hears_again_what_had_no_final(
    talk: Path, start: Serve, dify: StandInDify, listen: Listen
) -> None:
    dify.will(answer("Press it."))
    async with recogniser(VOSK) as server:
        server.drops = 1
        outcome = await listen(talk, "--from", "vosk", "--recogniser", server.url, "--url", (await start()).ws_url)
    assert outcome.status == 0
    assert "! the recogniser closed the connection (1006); connecting again" in outcome.shown
    assert outcome.shown.count(f"? {QUESTION}") == 1
    first, second = server.calls
    assert sum(map(len, second.sound)) == 2 * 16_000 * SECONDS
    assert second.sound[: len(first.sound)] == first.sound


@pytest.mark.slow
@pytest.mark.parametrize("resume_seconds", [30, 0], ids=["resumed", "in another session"])
async def test_a_service_that_is_lost_misses_no_word(
    tmp_path: Path, start: Serve, dify: StandInDify, listen: Listen, resume_seconds: int
) -> None:
    dify.will(answer("You."), answer("Press it."))
    manners = replace(VOSK, says=[{"text": "Who made it?"}])
    path = write_wave(tmp_path / "talk.wav", tone(0.5))
    service = await start(resume_seconds=resume_seconds)
    async with lossy_network(service) as network, recogniser(manners) as server:
        url = network.url.replace("http", "ws") + "/ws/realtime-asr"

        async def cut() -> None:
            await dify.asked()
            network.go_down()
            while not server.calls[0].closing:  # noqa: ASYNC110  # the server writes it down, no event
                await asyncio.sleep(0.01)
            network.come_back()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cut())
            outcome = await listen(path, "--from", "vosk", "--recogniser", server.url, "--url", url)
    assert outcome.status == 0
    assert "! the connection was lost (1006); connecting again" in outcome.shown
    assert ("! another session has begun" in outcome.out) == (resume_seconds == 0)
    assert outcome.shown.count(f"? {QUESTION}") == 1
    assert "< Press it." in outcome.shown


async def test_a_question_that_waits_at_the_end_is_asked_and_one_that_finds_nothing_is_told(
    talk: Path, start: Serve, listen: Listen, from_docs: dict[str, Any], tmp_path: Path
) -> None:
    report, url = tmp_path / "report.md", (await start(**from_docs, wait_min_ms=50, wait_max_ms=50)).ws_url
    async with recogniser(replace(VOSK, last=[{"text": "what about the zebra and"}])) as server:
        outcome = await listen(
            *(talk, "--from", "vosk", "--recogniser", server.url, "--url", url, "--report", report, "--json")
        )
    (question,) = outcome.document["questions"]
    assert (outcome.status, question["found"]) == (0, False)
    assert "answered, nothing was found" in report.read_text()


@pytest.mark.parametrize(
    ("ear", "told"),
    [
        ("funasr", {"hotwords": '{"Dify": 20, "Diffy": 20}', "chunk_size": [5, 10, 5]}),
        ("whisperlive", {"hotwords": "Dify, Diffy", "language": "de", "use_vad": True}),
        ("soniox", {"context": {"terms": ["Dify", "Diffy"]}, "language_hints": ["de"], "api_key": "s3cret"}),
        ("vosk", {"config": {"sample_rate": 16_000, "words": True}}),
    ],
)
async def test_a_recogniser_is_told_what_to_listen_for(
    ear: str,
    told: dict[str, Any],
    talk: Path,
    start: Serve,
    listen: Listen,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    hints = tmp_path / "hints.txt"
    hints.write_text("Diffy\n\n")
    monkeypatch.setenv("RECOGNISER_KEY", "s3cret")
    async with recogniser(MANNERS[ear]) as server:
        wishes = ["--language", "de", "--hint", "Dify", "--hints", hints]
        await listen(talk, "--from", ear, "--recogniser", server.url, "--url", (await start()).ws_url, *wishes)
    ((opening,),) = [call.opening for call in server.calls]
    assert opening.items() >= told.items()


@pytest.mark.parametrize(
    ("ear", "query"),
    [
        ("deepgram", "?x=1&language=de&diarize=true&keyterm=Dify&keyterm=Diffy"),
        ("flux", "?x=1&keyterm=Dify&keyterm=Diffy"),
        ("assemblyai", "?x=1&keyterms_prompt=%5B%22Dify%22%2C+%22Diffy%22%5D"),
        ("elevenlabs", "?x=1&language_code=de&keyterms=Dify&keyterms=Diffy"),
    ],
)
async def test_some_are_told_by_their_address(ear: str, query: str, talk: Path, start: Serve, listen: Listen) -> None:
    async with recogniser(MANNERS[ear]) as server:
        wishes = ["--language", "de", "--hint", "Dify", "--hint", "Diffy", "--diarise"]
        address = f"{server.url}/?x=1"
        await listen(talk, "--from", ear, "--recogniser", address, "--url", (await start()).ws_url, *wishes)
    assert [call.path for call in server.calls] == [f"/{query}"]


async def test_a_failed_answer_is_told_by_the_status(
    talk: Path, start: Serve, dify: StandInDify, listen: Listen
) -> None:
    dify.will(status(400))
    async with recogniser(VOSK) as server:
        outcome = await listen(talk, "--from", "vosk", "--recogniser", server.url, "--url", (await start()).ws_url)
    assert outcome.status == 1
    assert "errors              RAG_REJECTED 1" in outcome.out


# What goes wrong

NOBODY = "ws://127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-", "--from", "deepgram"], "listen: deepgram wants a key: put it into the variable RECOGNISER_KEY"),
        (["-", "--from", "whisperlivekit"], "say with --recogniser where whisperlivekit is"),
        (["-", "--second", "-", "--from", "vosk"], "there is only one standard input"),
        (["-", "--speaker", "me", "--speaker", "others", "--from", "vosk"], "more of them than inputs"),
        (["-", "--from", "nobody"], "invalid choice"),
        (["-", "--from", "recall", "--serve", "8090"], "recall hears by itself: name no input"),
        (["--from", "recall"], "--serve PORT is for bots that dial: recall"),
        (["-", "--from", "vosk", "--serve", "8090"], "--serve PORT is for bots that dial: recall, attendee, zoom"),
        (["--from", "zoom", "--serve", "8090"], "zoom wants a key: put it into the variable RECOGNISER_KEY"),
        (["--from", "vexa", "--recogniser", "ws://127.0.0.1:9"], "say with --meeting which"),
        (["-", "--from", "vosk", "--hints", "/nowhere"], "/nowhere: No such file or directory"),
        (["-", "--from", "vosk", "--recogniser", "http://127.0.0.1"], "begins with ws://"),
        (["-", "--from", "vosk", "--url", "http://127.0.0.1"], "begins with ws://"),
        (["-", "--from", "vosk", "--patience", "-1"], "is a number from 0 on"),
    ],
)
async def test_bad_arguments_are_refused(listen: Listen, arguments: list[str], complaint: str) -> None:
    outcome = await listen(*arguments)
    assert outcome.status == 2
    assert complaint in outcome.err


async def test_a_key_that_no_header_can_hold_is_refused(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOGNISER_KEY", "a b")
    assert (await listen("-", "--from", "vosk")).err.startswith("listen: RECOGNISER_KEY: must be printable")
    monkeypatch.setenv("RECOGNISER_KEY", "id:secret")
    told = "listen: RECOGNISER_KEY: for zoom it is client-id:client-secret:secret-token\n"
    assert (await listen("--from", "zoom", "--serve", "8090")).err == told


async def test_a_file_that_is_no_sound_is_one_clear_line(
    tmp_path: Path, start: Serve, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "talk").write_text("RIFF")
    url = (await start()).ws_url
    async with recogniser(VOSK) as server:
        for name, complaint in [("nowhere", "No such file or directory"), ("talk", "ffmpeg, which reads other forms")]:
            outcome = await listen(tmp_path / name, "--from", "vosk", "--recogniser", server.url, "--url", url)
            assert outcome.status == 2
            assert outcome.err.startswith(f"listen: {tmp_path / name}: ")
            assert complaint in outcome.err
            assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("works", [True, False])
async def test_ffmpeg_reads_what_is_no_wav(
    tmp_path: Path, start: Serve, listen: Listen, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    ffmpeg = tmp_path / "ffmpeg"
    (tmp_path / "sound").write_bytes(tone(SECONDS))
    does = f"exec /bin/cat {tmp_path}/sound" if works else "echo no sound >&2; exit 1"
    ffmpeg.write_text(f'#!/bin/sh\n[ "$4 $5" = "-i {tmp_path}/talk.ogg" ] || exit 9\n{does}\n')
    ffmpeg.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "talk.ogg").write_text("OggS")
    async with recogniser(VOSK) as server:
        path, url = tmp_path / "talk.ogg", (await start()).ws_url
        outcome = await listen(path, "--from", "vosk", "--recogniser", server.url, "--url", url)
    if works:
        assert outcome.status == 0
        assert b"".join(frame for frame in server.calls[0].sound if isinstance(frame, bytes)) == tone(SECONDS)
    else:
        assert (outcome.status, outcome.err) == (2, f"listen: {path}: no sound\n")


async def test_without_a_microphone_the_pipe_is_named(
    start: Serve, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # some machines have it
    async with recogniser(VOSK) as server:
        outcome = await listen("--from", "vosk", "--recogniser", server.url, "--url", (await start()).ws_url)
    assert outcome.status == 2
    assert "python -m app listen - --from vosk" in outcome.err


async def test_who_cannot_be_reached_is_named(talk: Path, start: Serve, listen: Listen) -> None:
    service = await start()
    no_service = await listen(talk, "--from", "vosk", "--url", NOBODY)
    assert (no_service.status, no_service.err.startswith(f"listen: {NOBODY} cannot be reached")) == (3, True)
    for address, problem, code in [
        (NOBODY, f"{NOBODY} cannot be reached", 3),
        (service.ws_url + "x", f"{service.ws_url}x refuses: the key is missing or wrong, or it has no such path", 4),
        ("tcp://127.0.0.1:9", "127.0.0.1:9 cannot be reached", 3),
        ("tcp://localhost:9", "localhost:9 cannot be reached", 3),
    ]:
        of_tcp = "wyoming" if "127" in address else "whisper-streaming"
        ear = of_tcp if address.startswith("tcp") else "vosk"
        outcome = await listen(talk, "--from", ear, "--recogniser", address, "--url", service.ws_url)
        assert outcome.status == code
        assert outcome.err.startswith(f"listen: {problem}")
        assert outcome.err.count("\n") == 1


async def test_what_a_recogniser_says_before_it_leaves_is_shown(talk: Path, start: Serve, listen: Listen) -> None:
    refusal = [{"uid": "u", "status": "ERROR", "message": "no such model"}]
    url = (await start()).ws_url
    for closes in (True, False):
        async with recogniser(replace(MANNERS["whisperlive"], greets=refusal, refuses=closes)) as server:
            outcome = await listen(talk, "--from", "whisperlive", "--recogniser", server.url, "--url", url)
        assert (outcome.status, outcome.err) == (4, "listen: the recogniser says: no such model\n")
    async with recogniser(replace(MANNERS["whisperlive"], greets=[{"x": 1}], refuses=True)) as server:
        outcome = await listen(talk, "--from", "whisperlive", "--recogniser", server.url, "--url", url)
    assert (outcome.status, outcome.err.startswith("listen: the recogniser closed the connection (1000): ")) == (
        3,
        True,
    )
    async with recogniser(replace(VOSK, greets=["{}"], says=[], closing_code=4001)) as server:
        outcome = await listen(talk, "--from", "vosk", "--recogniser", server.url, "--url", url)
    assert (outcome.status, outcome.err) == (4, "listen: the recogniser closed the connection (4001: no credits)\n")


INSIDE = {"type": "Error", "description": "no credits for s3cret", "code": "QUOTA"}


@pytest.mark.parametrize("closing_code", [0, 1000, 1008, 1011])
async def test_a_recogniser_that_complains_and_hears_nothing_refuses(
    talk: Path, start: Serve, listen: Listen, monkeypatch: pytest.MonkeyPatch, closing_code: int
) -> None:
    monkeypatch.setenv("RECOGNISER_KEY", "s3cret")
    manners = replace(MANNERS["flux"], says=[INSIDE], last=[], closing_code=closing_code, closes=True)
    async with recogniser(manners) as server:
        address = ["--from", "flux", "--recogniser", server.url, "--url", (await start()).ws_url]
        outcome = await listen(talk, *address)
    assert (outcome.status, outcome.err) == (4, "listen: the recogniser says: no credits for … (QUOTA)\n")
    assert "s3cret" not in outcome.out
    assert len(server.calls) == 1


async def test_a_complaint_beside_the_words_costs_nothing(
    talk: Path, start: Serve, dify: StandInDify, listen: Listen
) -> None:
    dify.will(answer("Press it."))
    async with recogniser(replace(VOSK, says=[{"type": "Error", "description": "too fast"}])) as server:
        outcome = await listen(talk, "--from", "vosk", "--recogniser", server.url, "--url", (await start()).ws_url)
    assert outcome.status == 0
    assert "! the recogniser says: too fast" in outcome.shown
    assert "< Press it." in outcome.shown


@pytest.mark.parametrize(
    ("http_status", "body", "code", "told"),
    [
        (
            401,
            '{"err_code": "INVALID_AUTH", "err_msg": "s3cret is no key"}',
            4,
            " refuses: the key is missing or wrong",
        ),
        (402, "", 4, " refuses: there is no credit (HTTP 402)\n"),
        (403, "<html>s3cret</html>", 4, " refuses: the key is missing or wrong, or it has no such path (HTTP 403)\n"),
        (429, '{"detail": {"message": "wait"}}', 4, "the quota is used up (HTTP 429): wait\n"),
        (404, "[]", 3, " answers with HTTP 404, not with a WebSocket\n"),
    ],
)
async def test_a_refusal_by_http_is_told_in_words(
    talk: Path,
    start: Serve,
    listen: Listen,
    monkeypatch: pytest.MonkeyPatch,
    http_status: int,
    body: str,
    code: int,
    told: str,
) -> None:
    monkeypatch.setenv("RECOGNISER_KEY", "s3cret")
    async with recogniser(replace(VOSK, http=(http_status, body))) as server:
        address = server.url.replace("://", "://me:pa55@") + "/?key=s3cret"
        outcome = await listen(talk, "--from", "deepgram", "--recogniser", address, "--url", (await start()).ws_url)
    assert outcome.status == code
    assert outcome.err.startswith(f"listen: {server.url}/ ")
    assert told in outcome.err
    assert "s3cret" not in outcome.out + outcome.err
    if "INVALID_AUTH" in body:
        assert outcome.err.endswith("(HTTP 401): … is no key (INVALID_AUTH)\n")


# Sound


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_sound_of_another_rate_keeps_its_pitch_and_its_length(rate: int) -> None:
    sound, resample = tone(1, rate), Resampler(rate, 16_000)
    made = array("h", b"".join(resample(sound[at : at + 2000]) for at in range(0, len(sound), 2000)))
    assert len(made) == pytest.approx(16_000, abs=4)
    crossings = sum(before < 0 <= after for before, after in itertools.pairwise(made))
    assert crossings == pytest.approx(440, abs=2)


def test_channels_become_one_and_samples_sixteen_bits() -> None:
    assert mono(bytes([128, 255, 0]), 1, 1) == struct.pack("<3h", 0, 127 << 8, -128 << 8)
    assert mono(struct.pack("<4h", 100, 300, -4, -8), 2, 2) == struct.pack("<2h", 200, -6)
    assert mono(b"\xff\x01\x02\xff\xfe\xff", 1, 3) == struct.pack("<2h", 0x0201, -2)


def test_noise_is_no_speech_and_a_pause_for_thought_no_end() -> None:
    end, piece = EndPointer(), tone(0.1)
    quiet = struct.pack("<1600h", *([90, -90] * 800))
    assert not any(end(quiet) for _ in range(20))
    assert len(end(piece)) == 3  # with what was before it
    for each in [quiet, quiet, piece, quiet]:
        assert end(each) == [each]
        assert end.is_speech
    assert [end(quiet) and end.is_speech for _ in range(5)] == [True] * 4 + [False]


async def test_the_recording_of_the_quickstart_gets_its_answer(
    start: Serve, listen: Listen, from_docs: dict[str, Any]
) -> None:
    need_pocketsphinx()
    path, url = ROOT / "app" / "tools" / "listen" / "question.wav", (await start(**from_docs)).ws_url
    outcome = await listen(path, "--from", "pocketsphinx", "--url", url)
    assert (outcome.status, outcome.err) == (0, "")
    assert "? how can i change the port" in outcome.shown
    assert "set `PORT` in `.env`" in outcome.out


def test_what_the_docs_say_to_type_is_understood() -> None:
    typed = [line for page in PAGES for line in re.findall(r"`[^`]*python -m app listen ([^`]+)`", read(page))]
    assert len(typed) > 12
    for line in typed:
        options = command._parser().parse_args(shlex.split(line))
        assert command._problem(options, EARS[options.ear], "a:b:c", None) is None, line


# As a process


@pytest.mark.slow
async def test_a_pipe_is_heard_until_it_is_interrupted(start: Serve, dify: StandInDify) -> None:
    dify.will(answer("Press it."))
    async with recogniser(VOSK) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "listen", "-", "--from", "vosk", "--recogniser", server.url),
            *("--url", (await start()).ws_url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            cwd=ROOT,
        )
        assert process.stdin is not None
        process.stdin.write(tone(SECONDS))
        async with asyncio.timeout(PATIENCE):
            while not server.calls or not server.calls[0].sound:  # noqa: ASYNC110  # the server counts, no event
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    assert f"? {QUESTION}" in out.decode()
    assert "< Press it." in out.decode()
