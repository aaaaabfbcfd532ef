"""The wire contract: every frame a client may send, every frame it may get, and the one way in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from json.encoder import encode_basestring as quoted
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SkipValidation,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticSerializationError, from_json, to_json

from app.errors import ClientError, InvalidJson, InvalidMessage, Phase, RagError, UnknownAction, UnsupportedType
from app.models.answers import AnswerStyle, QueryScope, Rating, Source
from app.models.spelling import name_form

MAX_INPUTS_BYTES = 8192

Stage = Literal[
    "listening",
    "paused",
    "waiting_for_question",
    "analyzing",
    "instant_query",
    "querying_rag",
    "interrupting",
    "idle",
    "closed",
]
NotResumed = Literal["resume_off", "unknown_token", "frames_lost", "unknown_frame"]
Action = Literal["pause", "resume", "stop", "instant_query", "cancel", "reset", "feedback"]
OnNewQuestion = Literal["queue", "interrupt", "ignore"]
# What became of a field that could not be taken as it came.
Details = dict[str, Literal["cut", "ignored", "rounded"]]


def _as_name(value: object) -> object:
    # Recognisers number segments and speakers, or name them by a time: 7 is the same one as "7".
    is_number = type(value) is int or (type(value) is float and math.isfinite(value) and not value.is_integer())
    return str(value) if is_number else name_form(value) if isinstance(value, str) else value


Text128 = Annotated[str, Field(max_length=128)]
Name = Annotated[Text128, BeforeValidator(_as_name, json_schema_input_type=Text128 | float)]
SessionId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}\z")]
# A tag of BCP 47 by its form, and no words: it becomes part of what a model is told.
LanguageTag = Annotated[str, Field(pattern=r"^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,7})?\z")]


class Frame(BaseModel):
    """One JSON object on the wire. Unknown fields are ignored, `null` is the same as absent."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class ClientFrame(Frame):
    session_id: SessionId | None = None
    id: Text128 | None = Field(None, description="Echoed in the ack or error of this message.")


class AsrChunk(ClientFrame):
    """A piece of transcript. Only final text is kept."""

    type: Literal["asr_chunk"] = "asr_chunk"
    text: str
    is_final: bool | None = None
    segment_id: Name | None = None
    end_of_turn: bool | None = None
    speaker: Name | None = None
    language: Text128 | None = None
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    end_ms: int | None = None


class Control(ClientFrame):
    type: Literal["control"] = "control"
    action: Action
    text: str | None = Field(None, description="With instant_query: ask exactly this.")
    query_id: Annotated[str, Field(max_length=128)] | None = Field(
        None, description="With instant_query: ask what was suggested under this id; with feedback: whose answer."
    )
    rating: Rating | None = Field(None, description="With feedback: how the answer was; absent: what was said is void.")


def check_inputs(inputs: dict[str, Any]) -> dict[str, Any]:
    # allow_nan=False: the parser lets NaN through, no JSON API takes it.
    size = len(json.dumps(inputs, ensure_ascii=False, allow_nan=False).encode())
    if size > MAX_INPUTS_BYTES:
        raise ValueError(f"may have {MAX_INPUTS_BYTES} bytes of JSON at most, has {size}")
    return inputs


class Tuning(Frame):
    """How this session hears questions. What is absent is as the service is set."""

    wait_min_ms: Annotated[int, Field(ge=0, le=60_000)] | None = None
    wait_max_ms: Annotated[int, Field(ge=0, le=60_000)] | None = None
    merge_seconds: Annotated[float, Field(gt=0, le=60)] | None = None
    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    query_scope: QueryScope | None = None


class Configure(ClientFrame):
    """Settings of this session. What is absent stays as it is."""

    type: Literal["configure"] = "configure"
    on_new_question: OnNewQuestion | None = None
    auto_detect: bool | Literal["suggest"] | None = None
    ask_above: Annotated[float, Field(ge=0, le=1)] | None = None
    names: Annotated[list[Annotated[Name, Field(min_length=1)]], Field(max_length=16)] | None = None
    address: Literal["anyone", "named"] | None = None
    speakers: Annotated[list[Name], Field(max_length=64)] | None = Field(
        None, description="Whose questions count; an empty list: everybody's."
    )
    inputs: Annotated[dict[str, Any], AfterValidator(check_inputs)] | None = None
    answer_language: LanguageTag | None = None
    answer_style: AnswerStyle | None = None
    tuning: Tuning | None = None

    def counts(self, speaker: str | None) -> bool:
        """Whether this speaker's questions count."""
        return not self.speakers or speaker in self.speakers


class Keepalive(ClientFrame):
    type: Literal["keepalive"] = "keepalive"


ClientMessage = AsrChunk | Control | Configure | Keepalive
CLIENT_TYPES: tuple[str, ...] = tuple(frame.model_fields["type"].default for frame in get_args(ClientMessage))

_CLIENT_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])

valid: Callable[[str], ClientMessage] = _CLIENT_MESSAGE.validator.validate_json
"""The message of a text frame that needs no mending. Raises `ValidationError`: `read` says more."""

_NOT_JSON = frozenset({"json_invalid", "string_unicode"})

# A pair of surrogates, half of one, or any other escape: in this order, an escaped backslash begins nothing.
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)

# Without these a message means something else, or nothing. All other fields only say more about it.
_NEEDED = frozenset({"type", "text", "is_final", "action", "session_id", "rating"})
_NUMBERED = frozenset({"segment_id", "speaker"})


def parse(raw: str) -> ClientMessage:
    """Turn one text frame into a message, or raise the `ClientError` that says what is wrong with it."""
    return read(raw)[0]


def read(raw: str) -> tuple[ClientMessage, Details | None]:
    """`parse`, and what became of fields that cannot be used: they never cost the rest of the message.

    Half a surrogate pair, as of an emoji that was cut, counts as U+FFFD.
    """
    try:
        return valid(raw), None
    except ValidationError as error:
        problems = error.errors(include_url=False)
    kind, problem = problems[0]["type"], problems[0]["msg"]
    if kind not in _NOT_JSON:
        return _make_do(from_json(raw), problems)
    if (mended := mend(raw)) != raw:
        return read(mended)  # it has no halves any more
    raise InvalidJson(f"The frame is not valid JSON: {problem.removeprefix('Invalid JSON: ')}.")


def mend(raw: str) -> str:
    """JSON without half surrogate pairs."""
    return _ESCAPE.sub(lambda escape: r"\ufffd" if escape[1] else escape[0], raw)


def id_of(raw: str | bytes) -> str | None:
    """The `id` of a message that is refused unread, if it has one."""
    try:
        return _id_in(from_json(mend(raw) if isinstance(raw, str) else raw))
    except ValueError:
        return None


def _id_in(message: Any) -> str | None:
    message_id = message.get("id") if isinstance(message, dict) else None
    return message_id if isinstance(message_id, str) and len(message_id) <= 128 else None


def _make_do(message: Any, problems: list[ErrorDetails]) -> tuple[ClientMessage, Details]:
    """Round what is nearly right, leave out what is not, and take the rest."""
    details: Details = {}
    while True:
        # The place is (type, field, ...), and shorter where the message as a whole does not fit.
        fields = [str(problem["loc"][1]) if len(problem["loc"]) > 1 else "type" for problem in problems]
        for field, problem in zip(fields, problems, strict=True):
            if field in _NEEDED and not (field == "text" and _means_nothing_by_text(message)):
                raise _refusal(message, field, problem)
            if field not in message or details.get(field) == "ignored":  # the message cannot do without it
                raise _refusal(message, field, problem)
        for field in dict.fromkeys(fields):
            nearest = None if field in details else _nearest(field, message[field])
            details[field] = "ignored" if nearest is None else "rounded"
            message[field] = nearest
        try:
            return _CLIENT_MESSAGE.validator.validate_python(message), details
        except ValidationError as error:
            problems = error.errors(include_url=False)


def _means_nothing_by_text(message: dict[str, Any]) -> bool:
    return message["type"] == "control" and message.get("action") not in {"instant_query", "feedback"}


def _nearest(field: str, value: Any) -> Any:
    """What a number with a fraction may stand for in this field; None if it helps nothing."""
    if field == "speakers" and isinstance(value, list):
        return [_nearest("speaker", each) or each for each in value]
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    if field == "end_ms":
        return round(value)
    return str(int(value)) if field in _NUMBERED and value.is_integer() else None


def _refusal(message: Any, field: str, problem: ErrorDetails) -> ClientError:
    if not isinstance(message, dict):
        return InvalidJson("The frame is not a JSON object.")
    message_id = _id_in(message)
    details = {"field": field}
    value = message.get(field)
    if field == "type" and isinstance(value, str):
        return UnsupportedType(f"There is no message type {_quote(value)}.", details=details, message_id=message_id)
    if field == "action" and isinstance(value, str):
        return UnknownAction(f"There is no action {_quote(value)}.", details=details, message_id=message_id)
    text = problem["msg"]
    if field == "type":
        text = "Field required" if value is None else "Input should be a valid string"
    return InvalidMessage(f"{field}: {text}.", details=details, message_id=message_id)


def _quote(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


class ServerFrame(Frame):
    type: str
    session_id: str
    seq: int

    def to_json(self) -> str:
        """The frame as it goes on the wire: a field without a value is absent."""
        return self._dump(exclude_none=True)

    def _dump(self, **options: Any) -> str:
        try:
            return self.__pydantic_serializer__.to_json(self, **options).decode()
        except PydanticSerializationError:
            # Half of a surrogate pair has no UTF-8, but JSON can escape it: not a character is lost.
            return json.dumps(self.model_dump(**options))


class Ack(ServerFrame):
    """`message` and `protocol` on connect, else `received_type` and what was received.

    `resume_token` gives the session back after a lost connection. `resumed` answers who brought one: if it is false,
    `reason` says why this is a new session; if it is true, `newest_seq` says up to where frames were missed.
    """

    type: Literal["ack"] = "ack"
    message: Literal["connected"] | None = None
    protocol: Literal["1"] | None = None
    resumed: bool | None = None
    resume_token: str | None = None
    newest_seq: int | None = None
    reason: NotResumed | None = None
    received_type: str | None = None
    is_final: bool | None = None
    id: str | None = None
    details: Details | None = None


class VerdictNote(Frame):
    """Why a text was or was not taken for a question; `wait_ms` is how long more of it is waited for."""

    is_question: bool
    confidence: float
    reason: str
    wait_ms: int
    language: str


class Status(ServerFrame):
    """Where the session stands: `note` is for people, `reason` for programs."""

    type: Literal["status"] = "status"
    stage: Stage
    note: str | None = None
    reason: str | None = None
    question: str | None = None
    mode: Literal["instant"] | None = None
    query_id: str | None = None
    verdict: VerdictNote | None = None
    dropped: tuple[str, ...] | None = None
    repeats: str | None = None


class Answer(ServerFrame):
    """A piece of the answer. With `replace`, its content stands for everything before it."""

    type: Literal["answer"] = "answer"
    query_id: str
    stream_index: int
    content: str
    final: bool = False
    replace: bool | None = None


class Timing(Frame):
    """Milliseconds: `wait_ms` from the last word to the asking, for what might have come; the others from then on.

    `first_text_ms` is null when there was no text.
    """

    wait_ms: int
    first_text_ms: int | None
    total_ms: int


class AnswerFailure(Frame):
    code: str
    retryable: bool
    phase: Phase | None = None
    retry_after_ms: int | None = None

    @classmethod
    def of(cls, error: RagError) -> AnswerFailure:
        return cls(code=error.code, retryable=error.retryable, phase=error.phase, retry_after_ms=error.retry_after_ms)


def _without_value(frame: BaseModel, *names: str) -> set[str]:
    return {name for name in names if getattr(frame, name) is None}


class FinalAnswer(Answer):
    """The last frame of an answer: where it comes from, what it cost, and what went wrong."""

    final: Literal[True] = True
    sources: tuple[Source, ...] = ()
    # It comes out of `bounded_usage`: to look at each of its values again takes longer than all the rest.
    usage: SkipValidation[dict[str, JsonValue] | None] = None
    timing: Timing
    conversation_id: str | None = None
    error: AnswerFailure | None = None
    incomplete: bool | None = None
    found: Literal[False] | None = None
    provider: str | None = None

    def to_json(self) -> str:
        return self._by_template() or self._by_model()

    def _by_model(self) -> str:
        # Here null has a meaning ("no usage is known"): only what is about trouble is left out.
        optional = ("replace", "error", "incomplete", "found", "provider")
        absent: dict[str, Any] = dict.fromkeys(_without_value(self, *optional), True)
        absent["sources"] = {at: _without_value(each, "speaker", "time_ms") for at, each in enumerate(self.sources)}
        if self.error is not None:
            absent["error"] = _without_value(self.error, "phase", "retry_after_ms")
        return self._dump(exclude=absent)

    def _by_template(self) -> str | None:
        """The same for an answer without trouble and sources, at less than half the cost; None for any other."""
        is_more = self.sources or self.error or self.incomplete or self.found is False or self.provider is not None
        if is_more or self.replace is not None or not (self.content + (self.conversation_id or "")).isascii():
            return None
        try:
            usage = "null" if self.usage is None else to_json(self.usage).decode()
        except PydanticSerializationError:
            return None
        first_text = "null" if self.timing.first_text_ms is None else self.timing.first_text_ms
        conversation = "null" if self.conversation_id is None else quoted(self.conversation_id)
        return (
            f'{{"type":"answer","session_id":"{self.session_id}","seq":{self.seq},"query_id":"{self.query_id}",'
            f'"stream_index":{self.stream_index},"content":{quoted(self.content)},"final":true,"sources":[],'
            f'"usage":{usage},"timing":{{"wait_ms":{self.timing.wait_ms},"first_text_ms":{first_text},'
            f'"total_ms":{self.timing.total_ms}}},"conversation_id":{conversation}}}'
        )


class Error(ServerFrame):
    """A refused message or a fault of the service; the session goes on."""

    type: Literal["error"] = "error"
    code: str
    message: str
    retryable: bool = False
    retry_after_ms: int | None = None
    details: dict[str, Any] | None = None
    id: str | None = None


class Unauthorized(Frame):
    """The only frame for a client without a valid token, before close code 4401: there is no session to name."""

    type: Literal["error"] = "error"
    code: Literal["UNAUTHORIZED"] = "UNAUTHORIZED"
    message: str = "Connect with a valid token."
    retryable: Literal[False] = False

    def to_json(self) -> str:
        return self.model_dump_json()


class SessionLimit(Frame):
    """The only frame for a client whose tenant has all its sessions, before close code 4429."""

    type: Literal["error"] = "error"
    code: Literal["SESSION_LIMIT"] = "SESSION_LIMIT"
    message: str = "All sessions of this tenant are in use."
    retryable: Literal[True] = True

    def to_json(self) -> str:
        return self.model_dump_json()


ServerMessage = Ack | Status | Answer | FinalAnswer | Error
