"""What recognisers say, as chunks of transcript: the functions of `static/recognisers.js`, in Python.

Each makes a mapper for one connection to its recogniser; make a new one when the recogniser starts anew, since segment
ids begin with a prefix of its own. What is odd about a message never costs its words.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Chunk = dict[str, Any]
Mapper = Callable[[Any], list[Chunk]]

PAUSE_MS = 250
"""A pause within a final that parts what was said before it from what was said after."""
DONE = "Done!"
"""What sherpa-onnx sends at the end of the audio; its server in Python only closes."""

_MARKED = re.compile(r"[.?!…](\s|$)|[。？！]")
_TAGS = re.compile(r"<\|[^|]*\|>")  # of Whisper and SenseVoice
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_NOBODY = {"", "unknown", "uu", "-1"}
_OPEN_PARTIALS = 64
_made = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Word:
    """Times are in seconds."""

    text: str | None
    start: float | None
    end: float | None
    sureness: float | None = None
    speaker: str | None = None
    language: Any = None


@dataclass(slots=True)
class Heard:
    """What a message says of one utterance: `id` is the recogniser's name for it, `lane` the channel."""

    text: Any = None
    is_final: bool = False
    end_of_turn: bool = False
    id: Any = None
    lane: str | None = None
    speaker: Any = None
    language: Any = None
    confidence: float | None = None
    end_ms: float | None = None
    words: Sequence[Word] = field(default_factory=list)
    is_flush: bool = False


def _at(value: Any, *path: str | int) -> Any:
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def _list(value: Any) -> list[Any]:
    return [each for each in value if each] if isinstance(value, list) else []


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _number(value: Any) -> float | None:
    if isinstance(value, str) and (found := _NUMBER.match(value)):
        value = float(found[0])
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def _ms(seconds: Any, unit: float = 1000) -> float | None:
    found = _number(seconds)
    return None if found is None else found * unit


def _name(value: Any) -> str | None:
    """A name as text, if it tells one from another."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        value = str(int(value)) if float(value).is_integer() else repr(value)
    return value if isinstance(value, str) and value.lower() not in _NOBODY else None


def _id(value: Any) -> str | None:
    found = _name(_number(value)) if not isinstance(value, str) else value
    return found or None


def _mean(values: Iterable[Any]) -> float | None:
    known = [number for number in map(_number, values) if number is not None]
    return sum(known) / len(known) if known else None


def _most(values: Iterable[Any]) -> Any:
    named = [name for name in map(_name, values) if name is not None]
    return Counter(named).most_common(1)[0][0] if named else None


def _joined(texts: Iterable[Any], between: str = "") -> str:
    return between.join(text for text in texts if isinstance(text, str))


def _lowered(text: Any) -> Any:
    return text.lower() if isinstance(text, str) and text == text.upper() else text


def _timed(words: Any, text: str, unit: float = 1, sureness: str = "confidence") -> list[Word]:
    return [
        Word(
            _at(word, text) if isinstance(_at(word, text), str) else None,
            _ms(_at(word, "start"), 1 / unit),
            _ms(_at(word, "end"), 1 / unit),
            _number(_at(word, sureness)),
        )
        for word in _list(words)
    ]


def _cut(heard: Heard) -> list[Heard]:
    """A final without marks, cut at the pauses in it: a question may stand behind a statement."""
    tokens, words = heard.text.split(), heard.words
    if not heard.is_final or len(tokens) != len(words) or _MARKED.search(heard.text):
        return [heard]
    begins = [0]
    for i, (before, word) in enumerate(itertools.pairwise(words), 1):
        if word.start is not None and before.end is not None and round((word.start - before.end) * 1000) >= PAUSE_MS:
            begins.append(i)
    parts = [slice(begin, end) for begin, end in itertools.zip_longest(begins, begins[1:])]
    return [
        replace(
            heard,
            text=" ".join(tokens[part]),
            end_of_turn=heard.end_of_turn and part is parts[-1],
            confidence=_first(_mean(word.sureness for word in words[part]), heard.confidence),
            end_ms=_ms(words[part][-1].end),
        )
        for part in parts
    ]


def _chunk(heard: Heard, segment_id: str, speaker: str | None) -> Chunk:
    sureness, end_ms = heard.confidence, heard.end_ms
    fields = {
        "text": heard.text,
        "is_final": heard.is_final,
        "end_of_turn": heard.end_of_turn or None,
        "segment_id": segment_id,
        "speaker": speaker,
        "language": _name(heard.language),
        # 0 says that it is not known.
        "confidence": sureness if sureness is not None and 0 < sureness <= 1 else None,
        "end_ms": None if end_ms is None else math.floor(end_ms + 0.5),
    }
    return {name: value for name, value in fields.items() if value is not None}


class _Utterances:
    """Ids where there are none, partials that are news, or taken back."""

    def __init__(self, read: Callable[[Any], list[Heard]]) -> None:
        self._read = read
        self._prefix = f"r{next(_made)}"
        self._count = itertools.count()
        self._open: dict[str | None, str] = {}
        """The id of what is being said, by channel."""
        self._partials: dict[str, Chunk] = {}
        """Those that no final has followed."""

    def __call__(self, message: Any) -> list[Chunk]:
        return [chunk for heard in self._read(message) for chunk in self._chunks(heard)]

    def _chunks(self, heard: Heard) -> list[Chunk]:
        heard.text = _TAGS.sub("", heard.text).strip() if isinstance(heard.text, str) else ""
        who, lane = _name(heard.speaker), heard.lane
        named = {} if who is None else {"speaker": who}
        if heard.is_flush:
            self._partials.pop(self._open.pop(lane, ""), None)
            return [{"text": "", "is_final": True, "end_of_turn": True, **named}]
        own = self._id_of(heard)
        before = self._partials.get(own)
        if not heard.text or heard.is_final:
            self._partials.pop(own, None)
            if self._open.get(lane) == own:
                del self._open[lane]
        taken_back = [] if before is None else [_taken_back(before)]
        if not heard.text:
            return taken_back
        chunks = [_chunk(part, f"{own}-{i}" if i else own, who) for i, part in enumerate(_cut(heard))]
        if not heard.is_final:
            same = ("text", "speaker", "end_of_turn")
            if before is not None and all(before.get(name) == chunks[0].get(name) for name in same):
                return []
            self._open[lane] = own
            self._partials[own] = chunks[0]
            if len(self._partials) > _OPEN_PARTIALS:
                del self._partials[next(iter(self._partials))]
        # The partial was somebody else's, as far as the service knows.
        return [*taken_back, *chunks] if before is not None and before.get("speaker") != who else chunks

    def _id_of(self, heard: Heard) -> str:
        if (known := _id(heard.id)) is not None:
            return f"{self._prefix}-{known}"
        if heard.lane in self._open or not heard.text:
            return self._open.get(heard.lane, "")
        return f"{self._prefix}-u{next(self._count)}"


def _taken_back(partial: Chunk) -> Chunk:
    return {
        "text": "",
        "is_final": False,
        **{name: partial[name] for name in ("segment_id", "speaker") if name in partial},
    }


def deepgram() -> Mapper:
    """Deepgram, live: `Results` and `UtteranceEnd` of Nova, `TurnInfo` of Flux."""
    speaker_now: Any = None

    def read(message: Any) -> list[Heard]:
        nonlocal speaker_now
        kind = _at(message, "type")
        if kind == "TurnInfo":
            return [_of_flux(message)]
        lane = _channel(_first(_at(message, "channel_index"), _at(message, "channel")))
        flush = Heard(is_flush=True, lane=lane, speaker=_first(lane, speaker_now))
        if kind == "UtteranceEnd":
            return [flush]
        if kind != "Results":
            return []
        best = _at(_list(_at(message, "channel", "alternatives")), 0)
        start, ends = _number(_at(message, "start")), _at(message, "speech_final") is True
        place = None if start is None else _joined([lane, _name(start)], "-")
        text, is_final = _at(best, "transcript"), _at(message, "is_final") is True
        if not isinstance(text, str) or not text.strip():
            return [Heard("", id=place, lane=lane), *([flush] if ends else [])]
        words = _list(_at(best, "words"))
        parts = _by_speaker(words) if lane is None and is_final else []
        if len(parts) < 2:  # of one speaker all of it is taken as it is written
            parts = [(text, words)]
        heard = []
        duration = _number(_at(message, "duration"))
        end = None if start is None or duration is None else start + duration
        for i, (said, of_it) in enumerate(parts):
            heard.append(
                Heard(
                    said,
                    is_final,
                    # Whom somebody else follows is done, too.
                    ends or (is_final and i < len(parts) - 1),
                    f"{place}-s{i}" if i and place is not None else place,
                    lane,
                    _first(lane, _most(_at(word, "speaker") for word in of_it)),
                    _at(_list(_at(best, "languages")), 0),
                    _number(_at(best, "confidence")),
                    _ms(_at(of_it[-1], "end") if len(parts) > 1 else end),
                    _timed(of_it, "word"),
                )
            )
        speaker_now = heard[-1].speaker
        return heard

    return _Utterances(read)


def _of_flux(message: Any) -> Heard:
    turn, event = _name(_number(_at(message, "turn_index"))), _at(message, "event")
    return Heard(
        _at(message, "transcript"),
        is_final=event == "EndOfTurn",
        end_of_turn=event in ("EndOfTurn", "EagerEndOfTurn"),
        id=None if turn is None else f"t{turn}",
        language=_at(_list(_at(message, "languages")), 0),
        confidence=_mean(_at(word, "confidence") for word in _list(_at(message, "words"))),
        end_ms=_ms(_at(message, "audio_window_end")),
    )


def _channel(channel: Any) -> str | None:
    """The channel, where there are several."""
    return _name(_at(channel, 0)) if (_number(_at(channel, 1)) or 0) > 1 else None


def _by_speaker(words: list[Any]) -> list[tuple[str, list[Any]]]:
    named = [word for word in words if isinstance(_text_of(word), str)]
    groups = [list(group) for _, group in itertools.groupby(named, lambda word: _at(word, "speaker"))]
    return [(_joined(map(_text_of, group), " "), group) for group in groups]


def _text_of(word: Any) -> Any:
    return _first(_at(word, "punctuated_word"), _at(word, "word"))


def assembly_ai(*, format_turns: bool = False) -> Mapper:
    """AssemblyAI, streaming v3: `Turn`; `format_turns` as the connection to it was opened."""

    def read(message: Any) -> list[Heard]:
        if _at(message, "type") != "Turn":
            return []
        is_over = bool(_at(message, "end_of_turn") and (_at(message, "turn_is_formatted") or not format_turns))
        words = _timed(_at(message, "words"), "text", 1000)
        # What is not sure yet stands among the words only.
        growing = _joined((word.text for word in words), " ")
        return [
            Heard(
                (not is_over and growing) or _at(message, "transcript"),
                is_over,
                is_over,
                _number(_at(message, "turn_order")),
                speaker=_at(message, "speaker_label"),
                language=_at(message, "language_code"),
                end_ms=_ms(words[-1].end) if words else None,
                words=words,
            )
        ]

    return _Utterances(read)


def google() -> Mapper:
    """Google Cloud Speech-to-Text v1 and v2: streaming responses, as JSON or as its libraries name the fields."""

    def read(response: Any) -> list[Heard]:
        heard: list[Heard] = []
        for result in map(_of_google, _list(_at(response, "results"))):
            last = heard[-1] if heard else None
            # Of what is not final yet the sure part comes first, then, as a result of its own, the rest.
            if last is not None and not last.is_final and not result.is_final and last.lane == result.lane:
                heard[-1] = replace(result, text=_joined([last.text, result.text]))
            else:
                heard.append(result)
        return heard

    return _Utterances(read)


def _of_google(result: Any) -> Heard:
    is_final = _first(_at(result, "is_final"), _at(result, "isFinal")) is True
    best = _at(_list(_at(result, "alternatives")), 0)
    ends = ("result_end_time", "resultEndTime", "result_end_offset", "resultEndOffset")
    # Channels count from 1.
    lane = _name(_first(_at(result, "channel_tag"), _at(result, "channelTag")) or None)
    return Heard(
        _at(best, "transcript"),
        is_final,
        lane=lane,
        speaker=lane,
        language=_first(_at(result, "language_code"), _at(result, "languageCode")),
        confidence=_number(_at(best, "confidence")) if is_final else None,
        end_ms=_seconds(_first(*(_at(result, name) for name in ends)), 1000),
        words=[
            Word(
                _at(word, "word"),
                _seconds(_first(*(_at(word, f"start{name}") for name in ("_time", "Time", "_offset", "Offset")))),
                _seconds(_first(*(_at(word, f"end{name}") for name in ("_time", "Time", "_offset", "Offset")))),
                _number(_at(word, "confidence")) or None,
            )
            for word in _list(_at(best, "words"))
        ],
    )


def _seconds(duration: Any, unit: float = 1) -> float | None:
    """Of "1.5s", or of `{seconds, nanos}`, of which `seconds` may be a text."""
    if not isinstance(duration, dict):
        return _ms(duration, unit)
    whole, nanos = _number(duration.get("seconds", 0)), _number(duration.get("nanos", 0))
    return None if whole is None or nanos is None else (whole + nanos / 1e9) * unit


def azure() -> Mapper:
    """Azure Speech SDK: the events of `recognizing`, `recognized`, `transcribing` and `transcribed`, as JSON."""
    no_match, recognized_speech = 0, 3  # ResultReason of the SDK

    def read(event: Any) -> list[Heard]:
        result = _at(event, "result")
        reason = _number(_at(result, "reason"))
        if reason == no_match:
            return [Heard("")]
        offset, duration = _number(_at(result, "offset")), _number(_at(result, "duration"))
        return [
            Heard(
                _at(result, "text"),
                is_final=reason == recognized_speech,
                # Not resultId: all that is said until the service's next turn shares one.
                id=offset,
                speaker=_at(result, "speakerId"),
                language=_at(result, "language"),
                end_ms=None if offset is None or duration is None else (offset + duration) / 10_000,
            )
        ]

    return _Utterances(read)


def fun_asr() -> Mapper:
    """FunASR: an online message is only what came new, an offline one all of it, corrected."""
    heard, sentence = "", None

    def read(message: Any) -> list[Heard]:
        nonlocal heard, sentence
        text, mode = _at(message, "text"), _at(message, "mode")
        of = Heard(
            id=_number(_at(message, "index")),
            speaker=_at(message, "spk_name"),
            end_ms=_number(_at(message, "end_time")),
        )
        if mode in ("2pass-offline", "offline"):
            if of.id is None or of.id == sentence:
                heard = ""
            return [replace(of, text=text, is_final=True)]
        if mode not in ("2pass-online", "online"):
            return []
        if of.id != sentence:
            heard = ""
        sentence, heard = of.id, heard + (text if isinstance(text, str) else "")
        whole = heard
        # Without a second pass, the end of the audio is the end of what was said.
        is_over = mode == "online" and _at(message, "is_final") is True
        if is_over:
            heard = ""
        return [replace(of, text=whole, is_final=is_over)]

    return _Utterances(read)


def vosk() -> Mapper:
    """Vosk server."""

    def read(message: Any) -> list[Heard]:
        said = _first(_at(_list(_at(message, "alternatives")), 0), message)
        if _at(said, "text") is None:
            return [Heard(_lowered(_at(said, "partial")))]
        words = _timed(_at(said, "result"), "word", 1, "conf")
        return [
            Heard(
                _lowered(_at(said, "text")),
                is_final=True,
                confidence=_mean(word.sureness for word in words),
                end_ms=_ms(words[-1].end) if words else None,
                words=words,
            )
        ]

    return _Utterances(read)


def whisper_live() -> Mapper:
    """WhisperLive: its last ten segments, again and again."""
    language: Any = None
    done: set[Any] = set()

    def read(message: Any) -> list[Heard]:
        nonlocal language, done
        if isinstance(_at(message, "language"), str):
            language = message["language"]
        heard = []
        for segment in _list(_at(message, "segments")):
            words = _timed(_at(segment, "words"), "word", 1, "probability")
            heard.append(
                Heard(
                    _at(segment, "text"),
                    is_final=_at(segment, "completed") is True,
                    id=_number(_at(segment, "start")),
                    speaker=_at(segment, "speaker"),
                    language=language,
                    confidence=_mean(word.sureness for word in words),
                    end_ms=_ms(_at(segment, "end")),
                    words=words,
                )
            )
        before = done
        if heard:
            done = {_first(each.id, str(each.text)) for each in heard if each.is_final}
        return [each for each in heard if _first(each.id, str(each.text)) not in before]

    return _Utterances(read)


def whisper_live_kit() -> Mapper:
    """WhisperLiveKit, `/asr?mode=full`: all lines each time, of which old ones change and disappear."""
    silence = -2
    lines_known = 0
    ids: dict[str, int] = {}
    sent: dict[str, str] = {}
    last: Heard | None = None

    def read(message: Any) -> list[Heard]:
        nonlocal lines_known, ids, sent, last
        if _at(message, "type") == "ready_to_stop":
            return [] if last is None else [replace(last, is_final=True)]
        lines = _at(message, "lines")
        if not isinstance(lines, list):
            return []
        known, said, ids, sent = ids, sent, {}, {}
        buffer = _joined([_at(message, "buffer_diarization"), _at(message, "buffer_transcription")])
        heard = []
        lines = _list(lines)
        for i, line in enumerate(lines):
            text = _at(line, "text")
            if _at(line, "speaker") == silence or not isinstance(text, str) or not text.strip():
                continue
            # Starts are whole seconds: several lines may have the same one.
            place = str(_at(line, "start"))
            while place in ids:
                place += "+"
            if place not in known:
                lines_known += 1
            ids[place] = known.get(place, lines_known - 1)
            is_final = i < len(lines) - 1
            if is_final:
                sent[place] = text
                if said.get(place) == text:
                    continue
            speaker, language = _at(line, "speaker"), _at(line, "detected_language")
            end_ms = _clock(_at(line, "end"))
            heard.append(Heard(text, is_final, False, ids[place], None, speaker, language, end_ms=end_ms))
        if heard and not heard[-1].is_final:
            heard[-1].text += buffer
        elif buffer.strip():
            heard.append(Heard(buffer, id=lines_known))
        last = replace(heard[-1]) if heard and not heard[-1].is_final else None
        return heard

    return _Utterances(read)


def _clock(time: Any) -> float | None:
    """Milliseconds of "0:01:02"."""
    total = 0.0
    for part in time.split(":") if isinstance(time, str) else [None]:
        if (found := _number(part)) is None:
            return None
        total = total * 60 + found
    return total * 1000


def whisper_streaming() -> Mapper:
    """whisper_streaming: lines, `1720 2500 the warranty?`."""
    line = re.compile(r"\0*\s*([\d.]+)\s+([\d.]+)\s+(.*)", re.DOTALL)

    def read(message: Any) -> list[Heard]:
        found = line.match(message) if isinstance(message, str) else None
        if found is None:
            return []
        return [Heard(found[3].replace("\0", ""), is_final=True, end_ms=_number(found[2]))]

    return _Utterances(read)


def realtime_stt() -> Mapper:
    """RealtimeSTT: of its server `realtime` and `fullSentence`, of its page `realtime` and `final`."""

    def read(message: Any) -> list[Heard]:
        kind = _at(message, "type")
        is_over = kind in ("fullSentence", "final")
        if not is_over and kind != "realtime":
            return []
        return [Heard(_at(message, "text"), is_over, is_over, _at(message, "segmentId"))]

    return _Utterances(read)


def sherpa_onnx() -> Mapper:
    """sherpa-onnx, the servers in C++ and Python; the text `Done!` is the end of the audio."""
    last: Heard | None = None

    def read(message: Any) -> list[Heard]:
        nonlocal last
        if message == DONE:
            ended, last = [] if last is None else [replace(last, is_final=True)], None
            return ended
        text = _lowered(_at(message, "text"))
        if not isinstance(text, str):
            return []
        heard = Heard(text, _at(message, "is_final") is True, id=_number(_at(message, "segment")))
        # The server in Python does not say which text of a segment is the final one: the last.
        is_next = last is not None and heard.id is not None and last.id != heard.id
        before = [replace(last, is_final=True)] if is_next and last is not None else []
        last = None if heard.is_final or not text.strip() else replace(heard)
        return [*before, heard]

    return _Utterances(read)


def wyoming() -> Mapper:
    """Wyoming: events, with their data in `data` or beside the type."""
    heard = ""

    def read(event: Any) -> list[Heard]:
        nonlocal heard
        kind, data = _at(event, "type"), _first(_at(event, "data"), event)
        text, is_over = _at(data, "text"), kind in ("transcript", "transcript-stop")
        if kind == "transcript-start":
            heard = ""
        if kind == "transcript-chunk":
            heard += text if isinstance(text, str) else ""
        elif not is_over:
            return []
        whole = text if kind == "transcript" else heard
        if is_over:
            heard = ""
        return [Heard(whole, is_over, is_over, language=_at(data, "language"))]

    return _Utterances(read)


def speechmatics() -> Mapper:
    """Speechmatics: finals of a few words each, which end with a sentence, an utterance or another speaker."""
    blank, shown = " ", ""
    speaker_now: Any = None
    said: dict[str | None, list[Word]] = {}
    """Words that are final, in a sentence that is not, by channel."""

    def heard(words: list[Word], lane: str | None, is_final: bool = False, end_of_turn: bool = False) -> Heard:
        last = words[-1] if words else Word(None, None, None)
        speaker = _first(lane, *(word.speaker for word in words))
        sureness = _mean(word.sureness for word in words) if is_final else None
        text, end_ms = _joined((word.text for word in words), blank), _ms(last.end)
        return Heard(text, is_final, end_of_turn, None, lane, speaker, last.language, sureness, end_ms, words)

    def close(words: list[Word], lane: str | None, end_of_turn: bool) -> list[Heard]:
        nonlocal speaker_now
        if not words:
            return [Heard(is_flush=True, lane=lane, speaker=_first(lane, speaker_now))] if end_of_turn else []
        closed = heard(words[:], lane, True, end_of_turn)
        words.clear()
        speaker_now = _first(closed.speaker, speaker_now)
        return [closed]

    def read(message: Any) -> list[Heard]:
        nonlocal blank, shown
        kind, results = _at(message, "message"), _list(_at(message, "results"))
        if isinstance(found := _at(message, "language_pack_info", "word_delimiter"), str):
            blank = found
        lane = _name(_first(_at(message, "channel"), _at(results, 0, "channel")))
        if kind == "EndOfTranscript":
            return [each for place, words in said.items() for each in close(words, place, True)]
        if kind == "EndOfUtterance":
            return close(said.get(lane, []), lane, True)
        if kind not in ("AddTranscript", "AddPartialTranscript"):
            return []
        is_sure = kind == "AddTranscript"
        words, everything = said.get(lane, [])[:], []
        for result in results:
            best = _at(_list(_at(result, "alternatives")), 0)
            content, who = _at(best, "content"), _name(_at(best, "speaker"))
            if not isinstance(content, str):
                continue
            is_mark = _at(result, "type") == "punctuation" and _at(result, "attaches_to") == "previous"
            if is_mark and words:
                words[-1] = replace(words[-1], text=f"{words[-1].text}{content}")
            else:
                if is_sure and words and who and words[-1].speaker and who != words[-1].speaker:
                    everything += close(words, lane, True)
                start, end = _number(_at(result, "start_time")), _number(_at(result, "end_time"))
                sureness = _number(_at(best, "confidence"))
                words.append(Word(content, start, end, sureness, who, _at(best, "language")))
            if is_sure and _at(result, "is_eos"):
                everything += close(words, lane, False)
        if is_sure:
            said[lane] = words
        growing = heard(words[:], lane)
        # What is sure now was guessed with more behind it.
        if is_sure and words and shown.startswith(growing.text):
            return everything
        shown = growing.text
        return [*everything, growing]

    return _Utterances(read)


def gladia(*, channels: int = 1) -> Mapper:
    """Gladia v2; `channels` as the session was made."""

    def read(message: Any) -> list[Heard]:
        if _at(message, "type") != "transcript":
            return []
        utterance = _at(message, "data", "utterance")
        lane = _name(_at(utterance, "channel")) if channels > 1 else None
        # Whether a final keeps the id of its partials is not promised: ids are ours.
        return [
            Heard(
                _at(utterance, "text"),
                _at(message, "data", "is_final") is True,
                lane=lane,
                speaker=_first(lane, _at(utterance, "speaker")),
                language=_at(utterance, "language"),
                confidence=_number(_at(utterance, "confidence")),
                end_ms=_ms(_at(utterance, "end")),
                words=_timed(_at(utterance, "words"), "word"),
            )
        ]

    return _Utterances(read)


def soniox() -> Mapper:
    """Soniox: tokens, which are final once and until then come again and again."""
    said: list[Any] = []
    speaker_now: Any = None

    def heard(tokens: list[Any], is_final: bool = False, end_of_turn: bool = False) -> Heard:
        return Heard(
            _joined(_at(token, "text") for token in tokens),
            is_final,
            end_of_turn,
            speaker=_at(tokens, 0, "speaker"),
            language=_at(tokens, -1, "language"),
            confidence=_mean(_at(token, "confidence") for token in tokens) if is_final else None,
            end_ms=_number(_at(tokens, -1, "end_ms")),
        )

    def close(end_of_turn: bool) -> list[Heard]:
        nonlocal speaker_now
        if not said:
            return [Heard(is_flush=True, speaker=speaker_now)] if end_of_turn else []
        closed = heard(said[:], True, end_of_turn)
        said.clear()
        speaker_now = _first(closed.speaker, speaker_now)
        return [closed]

    def read(message: Any) -> list[Heard]:
        if not isinstance(_at(message, "tokens"), list):
            return []
        everything: list[Heard] = []
        growing = []
        for token in _list(message["tokens"]):
            text = _at(token, "text")
            if not isinstance(text, str) or _at(token, "translation_status") == "translation":
                continue
            if text in ("<end>", "<fin>"):
                everything += close(text == "<end>")
            elif not _at(token, "is_final"):
                growing.append(token)
            else:
                if said and _name(_at(token, "speaker")) != _name(_at(said, 0, "speaker")):
                    everything += close(True)
                said.append(token)
        if _at(message, "finished"):
            return [*everything, *close(True)]
        return [*everything, heard([*said, *growing])]

    return _Utterances(read)


def eleven_labs() -> Mapper:
    """ElevenLabs Scribe, realtime. A commit may come twice, once more with times: the first one counts."""

    def read(message: Any) -> list[Heard]:
        kind = _at(message, "message_type")
        is_final = kind == "committed_transcript"
        if not is_final and kind != "partial_transcript":
            return []
        return [Heard(_at(message, "text"), is_final, language=_at(message, "language_code"))]

    return _Utterances(read)


def open_ai() -> Mapper:
    """OpenAI, realtime transcription."""
    family = "conversation.item.input_audio_transcription."
    said: dict[str, str] = {}

    def read(event: Any) -> list[Heard]:
        kind, item = _at(event, "type"), _at(event, "item_id")
        if not isinstance(kind, str) or not kind.startswith(family):
            return []
        before = said.pop(str(item), "")
        match kind.removeprefix(family):
            case "completed":
                return [Heard(_at(event, "transcript"), True, True, item)]
            case "failed":
                return [Heard("", id=item)]
            case kind:
                delta = _at(event, "delta")
                said[str(item)] = before + (delta if isinstance(delta, str) else "")
                return [Heard(said[str(item)], id=item)] if kind == "delta" else []

    return _Utterances(read)


def amazon() -> Mapper:
    """Amazon Transcribe: the JSON of its `TranscriptEvent`."""

    def read(event: Any) -> list[Heard]:
        heard = []
        for result in _list(_at(_first(_at(event, "Transcript"), event), "Results")):
            best = _at(_list(_at(result, "Alternatives")), 0)
            items = [item for item in _list(_at(best, "Items")) if _at(item, "Type") != "punctuation"]
            lane = _name(_at(result, "ChannelId"))
            words = [
                Word(
                    _at(item, "Content"),
                    _number(_at(item, "StartTime")),
                    _number(_at(item, "EndTime")),
                    _number(_at(item, "Confidence")),
                )
                for item in items
            ]
            heard.append(
                Heard(
                    _at(best, "Transcript"),
                    is_final=_at(result, "IsPartial") is False,
                    id=_at(result, "ResultId"),
                    lane=lane,
                    speaker=_first(lane, _most(_at(item, "Speaker") for item in items)),
                    language=_at(result, "LanguageCode"),
                    confidence=_mean(word.sureness for word in words),
                    end_ms=_ms(_at(result, "EndTime")),
                    words=words,
                )
            )
        return heard

    return _Utterances(read)


def vexa() -> Mapper:
    """Vexa, a meeting bot: segments that are mutable until they are `completed`."""

    def read(message: Any) -> list[Heard]:
        kind = _at(message, "type")
        if kind not in ("transcript.mutable", "transcript.finalized"):
            return []
        heard = []
        for segment in _list(_first(_at(message, "payload", "segments"), _at(message, "segments"))):
            lane, own = _name(_at(segment, "speaker")), _at(segment, "segment_id")
            place = _joined([lane, _name(_number(_at(segment, "start")))], "-")
            heard.append(
                Heard(
                    _at(segment, "text"),
                    is_final=kind == "transcript.finalized" or _at(segment, "completed") is True,
                    id=own if isinstance(own, str) else place,
                    lane=lane,
                    speaker=lane,
                    language=_at(segment, "language"),
                    end_ms=_ms(_first(_at(segment, "end_time"), _at(segment, "end"))),
                )
            )
        return heard

    return _Utterances(read)


def recall() -> Mapper:
    """Recall.ai, a meeting bot: its real-time events `transcript.partial_data` and `transcript.data`."""

    def read(message: Any) -> list[Heard]:
        event, data = _at(message, "event"), _at(message, "data", "data")
        if event not in ("transcript.data", "transcript.partial_data"):
            return []
        words = [
            Word(
                text if isinstance(text := _at(word, "text"), str) else None,
                _number(_at(word, "start_timestamp", "relative")),
                _number(_at(word, "end_timestamp", "relative")),
            )
            for word in _list(_at(data, "words"))
        ]
        return [
            Heard(
                _joined((word.text for word in words), " "),
                event == "transcript.data",
                lane=_name(_at(data, "participant", "id")),
                speaker=_first(_at(data, "participant", "name"), _at(data, "participant", "id")),
                language=_at(data, "language_code"),
                end_ms=_ms(words[-1].end) if words else None,
                words=words,
            )
        ]

    return _Utterances(read)


def attendee() -> Mapper:
    """Attendee, a meeting bot: its webhook `transcript.update`, an utterance each."""

    def read(message: Any) -> list[Heard]:
        data = _at(message, "data")
        if _at(message, "trigger") != "transcript.update":
            return []
        who = _first(_name(_at(data, "speaker_uuid")), _name(_at(data, "speaker_name")))
        start, duration = _number(_at(data, "timestamp_ms")), _number(_at(data, "duration_ms"))
        return [
            Heard(
                _at(data, "transcription", "transcript"),
                is_final=True,
                # A webhook that had no reply comes again.
                id=None if start is None else _joined([who, _name(start)], "-"),
                lane=who,
                speaker=_first(_name(_at(data, "speaker_name")), who),
                end_ms=None if start is None or duration is None else start + duration,
            )
        ]

    return _Utterances(read)


def zoom() -> Mapper:
    """Zoom's real-time media streams: the transcript, an utterance of a participant each."""
    transcript = 17

    def read(message: Any) -> list[Heard]:
        content = _at(message, "content")
        if _number(_at(message, "msg_type")) != transcript:
            return []
        who = _name(_at(content, "user_id"))
        start = _number(_first(_at(content, "start_time"), _at(content, "timestamp")))
        return [
            Heard(
                _at(content, "data"),
                is_final=True,
                id=None if start is None else _joined([who, _name(start)], "-"),
                lane=who,
                speaker=_first(_name(_at(content, "user_name")), who),
            )
        ]

    return _Utterances(read)


MAPPERS: dict[str, Callable[..., Mapper]] = {
    "deepgram": deepgram,
    "assemblyAi": assembly_ai,
    "google": google,
    "azure": azure,
    "funAsr": fun_asr,
    "vosk": vosk,
    "whisperLive": whisper_live,
    "whisperLiveKit": whisper_live_kit,
    "whisperStreaming": whisper_streaming,
    "realtimeStt": realtime_stt,
    "sherpaOnnx": sherpa_onnx,
    "wyoming": wyoming,
    "speechmatics": speechmatics,
    "gladia": gladia,
    "soniox": soniox,
    "elevenLabs": eleven_labs,
    "openAi": open_ai,
    "amazon": amazon,
    "vexa": vexa,
    "recall": recall,
    "attendee": attendee,
    "zoom": zoom,
}
"""By their names in JavaScript; a browser's own recogniser is heard there only."""
