"""How each recogniser is reached: its address, what it wants first, the form of the sound, how it ends."""

from __future__ import annotations

import base64
import json
import struct
import uuid
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.tools.listen import mappers
from app.tools.listen.mappers import Mapper

Frame = str | bytes
Message = Any
KEY_VARIABLE = "RECOGNISER_KEY"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user says of a connection to a recogniser."""

    key: str = ""
    language: str | None = None
    hints: Sequence[str] = ()
    diarise: bool = False
    """Tell apart who speaks."""
    meeting: str = ""
    """Of a bot that is dialled: `platform/id`."""
    port: int = 0
    """Where a bot dials us."""


def _nothing(wishes: Wishes) -> list[Frame]:
    return []


def _never(message: Message) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Ear:
    """A recogniser behind a WebSocket, unless `kind` says otherwise.

    `ready` is the message to wait for before the first sound, `over` the last one; without it the recogniser closes.
    `closing` gets the number of pieces that were sent.
    """

    mapper: Callable[[], Mapper]
    url: str
    """Where it is when nothing is said; empty if it is nowhere in particular."""
    opening: Callable[[Wishes], list[Frame]] = _nothing
    ready: Callable[[Message], bool] | None = None
    wrap: Callable[[bytes], Frame] = bytes
    closing: Callable[[int], list[Frame]] = lambda pieces: []
    over: Callable[[Message], bool] = _never
    key: str | None = None
    """What stands before the key in its header; None if no key is sent so."""
    header: str = "Authorization"
    needs_key: bool = False
    ends: Callable[[Message], bool] = _never
    """Whether a message ends it all, although there may be more sound."""
    has_sound: bool = True
    """Bots have ears of their own."""
    query: Callable[[Wishes], list[tuple[str, str]]] = lambda wishes: []
    session: Callable[[Wishes], Any] | None = None
    """What is posted to the address first; the reply says which WebSocket to open."""
    subprotocols: tuple[str, ...] = ()
    rate: int = 16_000
    kind: str = "websocket"


def _json(**fields: Any) -> str:
    return json.dumps({name: value for name, value in fields.items() if value is not None}, ensure_ascii=False)


def _has(**fields: Any) -> Callable[[Message], bool]:
    """Whether a message is an object with these."""
    return lambda message: isinstance(message, dict) and fields.items() <= message.items()


def _floats(piece: bytes) -> bytes:
    samples = array("h", piece)
    return struct.pack(f"<{len(samples)}f", *(sample / 32768 for sample in samples))


def _always(*frames: Frame) -> Callable[[int], list[Frame]]:
    return lambda pieces: list(frames)


def _funasr(wishes: Wishes) -> list[Frame]:
    hints = json.dumps(dict.fromkeys(wishes.hints, 20), ensure_ascii=False) if wishes.hints else None
    # Without chunk_size all sound is dropped.
    return [
        _json(
            mode="2pass",
            chunk_size=[5, 10, 5],
            chunk_interval=10,
            wav_name="listen",
            audio_fs=16_000,
            itn=True,
            is_speaking=True,
            hotwords=hints,
        )
    ]


def _whisperlive(wishes: Wishes) -> list[Frame]:
    return [
        _json(
            uid=str(uuid.uuid4()),
            language=wishes.language,
            task="transcribe",
            model="small",
            use_vad=True,
            send_last_n_segments=10,
            hotwords=", ".join(wishes.hints) or None,
        )
    ]


def _speechmatics(wishes: Wishes) -> list[Frame]:
    return [
        _json(
            message="StartRecognition",
            audio_format={"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16_000},
            transcription_config={
                "language": wishes.language or "en",
                "enable_partials": True,
                "max_delay": 1,
                "diarization": "speaker" if wishes.diarise else "none",
                "conversation_config": {"end_of_utterance_silence_trigger": 0.6},
                "additional_vocab": [{"content": word} for word in wishes.hints],
            },
        )
    ]


def _soniox(wishes: Wishes) -> list[Frame]:
    return [
        _json(
            api_key=wishes.key,
            model="stt-rt-preview",
            audio_format="pcm_s16le",
            sample_rate=16_000,
            num_channels=1,
            enable_endpoint_detection=True,
            enable_speaker_diarization=wishes.diarise,
            language_hints=[wishes.language] if wishes.language else None,
            context={"terms": list(wishes.hints)} if wishes.hints else None,
        )
    ]


def _openai(wishes: Wishes) -> list[Frame]:
    transcription = {"model": "gpt-4o-transcribe", "language": wishes.language, "prompt": ", ".join(wishes.hints)}
    return [
        _json(
            type="session.update",
            session={
                "type": "transcription",
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcm", "rate": 24_000},
                        "transcription": {name: value for name, value in transcription.items() if value},
                        "turn_detection": {"type": "semantic_vad"},
                    }
                },
            },
        )
    ]


def _openai_piece(piece: bytes) -> str:
    return _json(type="input_audio_buffer.append", audio=base64.b64encode(piece).decode())


def _openai_over(message: Message) -> bool:
    kind = message.get("type") if isinstance(message, dict) else None
    return kind == "error" or (
        isinstance(kind, str) and kind.endswith(("transcription.completed", "transcription.failed"))
    )


def _deepgram_query(wishes: Wishes) -> list[tuple[str, str]]:
    language = [("language", wishes.language)] if wishes.language else []
    diarise = [("diarize", "true")] if wishes.diarise else []
    return [*language, *diarise, *(("keyterm", word) for word in wishes.hints)]


def _assemblyai_query(wishes: Wishes) -> list[tuple[str, str]]:
    return [("keyterms_prompt", json.dumps(list(wishes.hints), ensure_ascii=False))] if wishes.hints else []


def _base64_of(piece: bytes, **fields: Any) -> str:
    return _json(message_type="input_audio_chunk", audio_base_64=base64.b64encode(piece).decode(), **fields)


def _elevenlabs_query(wishes: Wishes) -> list[tuple[str, str]]:
    language = [("language_code", wishes.language)] if wishes.language else []
    return [*language, *(("keyterms", word) for word in wishes.hints)]


def _elevenlabs_over(message: Message) -> bool:
    kind = message.get("message_type") if isinstance(message, dict) else None
    # There was nothing left to commit.
    return kind in {"committed_transcript", "commit_throttled", "insufficient_audio_activity"}


def _gladia(wishes: Wishes) -> Any:
    vocabulary = {"custom_vocabulary": True, "custom_vocabulary_config": {"vocabulary": list(wishes.hints)}}
    return {
        "encoding": "wav/pcm",
        "sample_rate": 16_000,
        "bit_depth": 16,
        "channels": 1,
        "endpointing": 0.3,
        "messages_config": {"receive_partial_transcripts": True, "receive_final_transcripts": True},
        **({"language_config": {"languages": [wishes.language]}} if wishes.language else {}),
        **({"realtime_processing": vocabulary} if wishes.hints else {}),
    }


def _realtime_stt_piece(piece: bytes) -> bytes:
    about = b'{"sampleRate": 16000}'
    return struct.pack("<I", len(about)) + about + piece


def _vexa(wishes: Wishes) -> list[Frame]:
    platform, _, native_id = wishes.meeting.partition("/")
    return [_json(action="subscribe", meetings=[{"platform": platform, "native_id": native_id}])]


def _vexa_ends(message: Message) -> bool:
    if not _has(type="meeting.status")(message):
        return False
    status = (message.get("payload") or message).get("status")
    return status in {"completed", "failed"}


EARS: dict[str, Ear] = {
    "vosk": Ear(
        mappers.vosk,
        "ws://127.0.0.1:2700",
        opening=lambda wishes: [_json(config={"sample_rate": 16_000, "words": True})],
        closing=_always('{"eof" : 1}'),  # compared as a text, with these very blanks
    ),
    "funasr": Ear(
        mappers.fun_asr,
        "ws://127.0.0.1:10095",
        opening=_funasr,
        closing=_always(_json(is_speaking=False, is_end=True)),
        over=lambda message: _has(is_end=True)(message) or (_has(is_final=True)(message) and "mode" not in message),
        subprotocols=("binary",),
    ),
    "whisperlive": Ear(
        mappers.whisper_live,
        "ws://127.0.0.1:9090",
        opening=_whisperlive,
        ready=_has(message="SERVER_READY"),
        wrap=_floats,
        closing=_always(b"END_OF_AUDIO"),
        over=_has(message="DISCONNECT"),
    ),
    "whisperlivekit": Ear(
        mappers.whisper_live_kit,
        "",
        ready=_has(type="config", useAudioWorklet=True),
        closing=_always(b""),
        over=_has(type="ready_to_stop"),
    ),
    "sherpa-onnx": Ear(
        mappers.sherpa_onnx,
        "ws://127.0.0.1:6006",
        wrap=_floats,
        closing=_always("Done"),
        over=lambda message: message == mappers.DONE,
    ),
    "deepgram": Ear(
        mappers.deepgram,
        "wss://api.deepgram.com/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000"
        "&interim_results=true&endpointing=300&utterance_end_ms=1000&smart_format=true",
        closing=_always(_json(type="CloseStream")),
        key="Token ",
        needs_key=True,
        query=_deepgram_query,
    ),
    "flux": Ear(
        mappers.deepgram,
        "wss://api.deepgram.com/v2/listen?model=flux-general-en&encoding=linear16&sample_rate=16000",
        closing=_always(_json(type="CloseStream")),
        key="Token ",
        needs_key=True,
        query=lambda wishes: [("keyterm", word) for word in wishes.hints],
    ),
    "assemblyai": Ear(
        partial(mappers.assembly_ai, format_turns=True),
        "wss://streaming.assemblyai.com/v3/ws?sample_rate=16000&format_turns=true",
        closing=_always(_json(type="Terminate")),
        over=_has(type="Termination"),
        key="",
        needs_key=True,
        query=_assemblyai_query,
    ),
    "speechmatics": Ear(
        mappers.speechmatics,
        "wss://eu2.rt.speechmatics.com/v2",
        opening=_speechmatics,
        ready=_has(message="RecognitionStarted"),
        closing=lambda pieces: [_json(message="EndOfStream", last_seq_no=pieces)],
        over=_has(message="EndOfTranscript"),
        key="Bearer ",
        needs_key=True,
    ),
    "soniox": Ear(
        mappers.soniox,
        "wss://stt-rt.soniox.com/transcribe-websocket",
        opening=_soniox,
        closing=_always(""),
        over=_has(finished=True),
        needs_key=True,
    ),
    "openai": Ear(
        mappers.open_ai,
        "wss://api.openai.com/v1/realtime?intent=transcription",
        opening=_openai,
        wrap=_openai_piece,
        closing=_always(_json(type="input_audio_buffer.commit")),
        over=_openai_over,
        key="Bearer ",
        needs_key=True,
        rate=24_000,
    ),
    "elevenlabs": Ear(
        mappers.eleven_labs,
        "wss://api.elevenlabs.io/v1/speech-to-text/realtime?model_id=scribe_v2_realtime&audio_format=pcm_16000"
        "&commit_strategy=vad&vad_silence_threshold_secs=0.5",
        ready=_has(message_type="session_started"),
        wrap=partial(_base64_of, commit=False, sample_rate=16_000),
        closing=_always(_base64_of(b"", commit=True, sample_rate=16_000)),
        over=_elevenlabs_over,
        key="",
        header="xi-api-key",
        needs_key=True,
        query=_elevenlabs_query,
    ),
    "gladia": Ear(
        mappers.gladia,
        "https://api.gladia.io/v2/live",
        session=_gladia,
        closing=_always(_json(type="stop_recording")),
        over=_has(type="end_session"),
        key="",
        header="x-gladia-key",
        needs_key=True,
    ),
    "realtimestt": Ear(
        mappers.realtime_stt,
        "ws://127.0.0.1:8012",
        wrap=_realtime_stt_piece,
        # It knows no end: a silence makes it say the last sentence.
        closing=_always(*[_realtime_stt_piece(bytes(3_200))] * 20),
        over=_has(type="fullSentence"),
    ),
    "whisper-streaming": Ear(mappers.whisper_streaming, "tcp://127.0.0.1:43007", kind="lines"),
    "wyoming": Ear(mappers.wyoming, "tcp://127.0.0.1:10300", kind="wyoming"),
    "vexa": Ear(
        mappers.vexa,
        "wss://api.cloud.vexa.ai/ws",
        opening=_vexa,
        ends=_vexa_ends,
        over=_has(type="unsubscribed"),
        closing=_always(_json(action="unsubscribe", meetings=[])),
        key="",
        header="X-API-Key",
        needs_key=True,
        has_sound=False,
    ),
    "recall": Ear(mappers.recall, "", kind="recall", has_sound=False),
    "attendee": Ear(mappers.attendee, "", kind="attendee", needs_key=True, has_sound=False),
    "zoom": Ear(mappers.zoom, "", kind="zoom", needs_key=True, has_sound=False),
    "pocketsphinx": Ear(mappers.vosk, "", kind="pocketsphinx"),
}
"""By the name that `--from` takes."""
