"""The settings of one process: read once, checked before anything listens, never changed."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BeforeValidator,
    Field,
    JsonValue,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.values import allowed_origin_of, host_name, proxy_of

OWN_DOCS = Path("docs")
READING = frozenset({"local", "openai"})  # providers that answer from a folder

Some = TypeVar("Some", bound=BaseSettings)
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _check_key(key: SecretStr) -> SecretStr:
    value = key.get_secret_value().strip()
    # A stray line break or a pasted non-ASCII character would only fail later, inside an HTTP header.
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be printable ASCII without spaces")
    return SecretStr(value)


# What is copied from a page of an API, of Dify's or an OpenAI-compatible one.
_ENDPOINTS = (
    "/chat-messages",
    "/completion-messages",
    "/workflows/run",
    "/completions",
    "/responses",
    "/embeddings",
)


def check_url(url: AnyHttpUrl) -> AnyHttpUrl:
    # The header that would carry them carries the key.
    if url.username or url.password:
        raise ValueError("must not hold a user name or password")
    # Paths are appended to it.
    text = str(url)
    if "?" in text or "#" in text or text.rstrip("/").lower().endswith(_ENDPOINTS):
        raise ValueError("must end where the API begins, as in https://rag.example/v1")
    return url


ApiKey = Annotated[SecretStr, AfterValidator(_check_key)]


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


# NoDecode: a list in a setting is comma-separated, not JSON.
Origins = Annotated[tuple[Annotated[str, AfterValidator(allowed_origin_of)], ...], NoDecode, BeforeValidator(_split)]
Names = Annotated[tuple[Annotated[str, Field(max_length=64)], ...], NoDecode, BeforeValidator(_split)]
Proxies = Annotated[tuple[Annotated[str, AfterValidator(proxy_of)], ...], NoDecode, BeforeValidator(_split)]
Hosts = Annotated[tuple[Annotated[str, AfterValidator(host_name)], ...], NoDecode, BeforeValidator(_split)]


def _check_jwt_secret(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if value != value.strip():
        raise ValueError("must not begin or end with white space")
    # RFC 7518, 3.2: a key as long as the hash.
    if len(value.encode()) < 32:
        raise ValueError("must have at least 32 bytes")
    return secret


def _check_ws_path(path: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", path):
        raise ValueError("has to begin with / and to hold nothing but letters, digits and . _ ~ - /")
    pages = {"/health", "/health/ready", "/metrics", "/debug/judge", "/docs", "/docs/protocol"}
    if path in {*pages, "/openapi.json", "/asyncapi.json"} or f"{path}/".startswith("/guide/"):
        raise ValueError("is taken by an HTTP page of the service")
    return path


def _check_ears_url(url: str) -> str:
    # It becomes a word of a Content-Security-Policy, which has no form for an address of IPv6.
    parts = re.fullmatch(r"wss?://[a-z0-9.-]+(:[0-9]{1,5})?([/?][^\s#]*)?", url, re.ASCII | re.IGNORECASE)
    if parts is None or int((parts[1] or ":1")[1:]) not in range(1, 65_536):
        raise ValueError("must be like ws://host:2700 or wss://host/path, with a name or an address of IPv4")
    return url


def _read_object(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('must be a JSON object, as in {"max_tokens": 500}') from None


def _check_redis_url(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        path = parts.path.strip("/")
        match parts.scheme:
            case "unix":
                is_whole = path != ""
            case "redis" | "rediss":
                is_whole = bool(parts.hostname) and parts.port != 0
            case "redis+cluster" | "rediss+cluster" | "redis+sentinel" | "rediss+sentinel":
                hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
                is_whole = (path == "") == ("cluster" in parts.scheme) and all(
                    host.hostname and host.port != 0 for host in hosts
                )
            case _:
                is_whole = False
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError(
            "must be like redis://host:6379/0, rediss://user:password@host:6379, unix:///path, "
            "redis+sentinel://host:26379,host:26379/service/0 or redis+cluster://host:6379,host:6379"
        )
    return url


class Address(BaseSettings):
    """Where the service is: what a tool has to know of its settings."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ws_path: Annotated[str, AfterValidator(_check_ws_path)] = Field(
        "/ws/realtime-asr", description="Path of the WebSocket."
    )

    @model_validator(mode="before")
    @classmethod
    def _check_texts(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            if isinstance(value, str) and re.search("[\0\ud800-\udfff]", value):
                raise ValueError(f"{name.upper()}: holds what is not text in UTF-8")
        return values

    @property
    def ws_url(self) -> str:
        """The WebSocket, as clients on this machine reach it."""
        return f"ws://{reachable(self.host)}:{self.port}{self.ws_path}"


class Settings(Address):
    """Every setting, as an environment variable or a line of `.env` (the environment wins)."""

    workers: int = Field(1, ge=1, le=64, description="Processes that serve at the port, with python -m app.")

    app_title: str = Field("Realtime RAG", description="Title of the console and the API pages.")
    ears_url: Annotated[str, AfterValidator(_check_ears_url)] | None = Field(
        None, description="Recogniser that the console may take the microphone to, as in ws://127.0.0.1:2700."
    )
    ears_kind: Literal["vosk", "funasr", "whisperlive", "whisperlivekit", "sherpa-onnx"] = Field(
        "vosk", description="Which one it is: vosk, funasr, whisperlive, whisperlivekit or sherpa-onnx."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level that is logged. DEBUG shows spoken text."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="One JSON object a line, or plain text; auto: text on a terminal, else JSON."
    )

    ready_probe_seconds: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds between two looks at the provider for the ready page; 0 for none.",
    )
    metrics_tenants: bool = Field(False, description="Show the names of tenants on the page of metrics.")

    tracing: bool = Field(
        False, description="Send a trace of every question, as the OTEL_ variables of the environment say."
    )
    debug_pages: bool = Field(
        False, description="Show at /debug/judge, and in the console, what the service makes of any sentence."
    )

    auth_tokens_file: Path | None = Field(
        None,
        description="TOML file of tenants and the SHA-256 of their tokens; without it and without JWT: open to all.",
    )
    allowed_origins: Origins = Field(
        (),
        description="Origins of the web pages that may connect beside the service's own, comma-separated; *: any. "
        "Empty: with tokens any, without only pages of this machine and the service's own.",
    )
    allowed_hosts: Hosts = Field((), description="Names by which the service is asked for, comma-separated.")
    forwarded_allow_ips: Proxies = Field(
        ("127.0.0.1",),
        description="Proxies that are believed when they say who has asked, for which host and how: addresses and "
        "networks, comma-separated; *: any.",
    )
    jwt_secret: Annotated[SecretStr, AfterValidator(_check_jwt_secret)] | None = Field(
        None, description="Secret of signed tokens (JWT, HS256), at least 32 bytes."
    )
    jwt_public_key_file: Path | None = Field(
        None, description="PEM file with the public key of signed tokens (JWT, RS256)."
    )
    jwt_audience: str | None = Field(
        None, description="What aud of a signed token must name; without it aud must be absent."
    )
    jwt_issuer: str | None = Field(
        None, description="What iss of a signed token must be; without it iss is not looked at."
    )

    rag_provider: str = Field("dify", description="Who answers: dify, local, openai, or package.module:factory.")
    knowledge_dir: Path | None = Field(
        None, description="Folder of documents to answer from: by default docs for local, and none for openai."
    )
    knowledge_index: Path | None = Field(
        None, description="File that keeps the index of it over restarts; without one it is in memory."
    )
    knowledge_refresh_seconds: float = Field(
        10, ge=0, allow_inf_nan=False, description="Seconds between two looks at what has changed in it; 0 for never."
    )
    nothing_found: Literal["say", "silent"] = Field(
        "say", description="What is answered when nothing in the folder fits: say so, or nothing at all (silent)."
    )
    fallback_provider: str | None = Field(
        None,
        description="Who answers when RAG_PROVIDER fails before its first text, named like it; empty for nobody.",
    )
    breaker_failures: int = Field(
        5, ge=0, description="Failures in a row after which RAG_PROVIDER is left alone; 0 for never."
    )
    breaker_seconds: Seconds = Field(30, description="Seconds it is left alone before one question finds out.")

    dify_api_key: ApiKey | None = Field(
        None,
        description="Key of the Dify app; without one the fallback answers, if there is one, else RAG_NOT_CONFIGURED.",
    )
    dify_base_url: Annotated[AnyHttpUrl, AfterValidator(check_url)] = Field(
        AnyHttpUrl("https://api.dify.ai/v1"), description="Base URL of the Dify API."
    )
    dify_response_mode: Literal["streaming", "blocking"] = Field(
        "streaming", description="How Dify is asked: streaming, or blocking for proxies that cannot stream."
    )
    dify_think: Literal["strip", "keep"] = Field(
        "strip", description="What happens to <think> blocks of reasoning models: strip or keep."
    )
    dify_connect_timeout: Seconds = Field(5, description="Seconds for one connection attempt.")
    dify_timeout: Seconds = Field(30, description="Seconds from the question to the first text, retries included.")
    dify_stall_timeout: Seconds = Field(30, description="Seconds between two texts of an answer.")
    dify_total_timeout: Seconds = Field(300, description="Seconds from the question to the end of the answer.")
    dify_max_retries: int = Field(2, ge=0, le=10, description="Retries before the first text; 0 for none.")

    openai_base_url: Annotated[AnyHttpUrl, AfterValidator(check_url)] | None = Field(
        None, description="Base URL of an OpenAI-compatible server, as far as /chat/completions follows; often …/v1."
    )
    openai_api_key: ApiKey | None = Field(None, description="Its key, if it wants one.")
    openai_model: str = Field("", description="Name of the model, as the server calls it; empty to send none.")
    openai_extra_body: Annotated[dict[str, JsonValue], NoDecode, BeforeValidator(_read_object)] = Field(
        {}, description="A JSON object of what the server takes besides, such as max_tokens."
    )
    embeddings_model: str = Field(
        "", description="Name of the model there that ranks passages of the folder by meaning, too; empty for none."
    )
    openai_history_chars: int = Field(
        4_000, ge=0, description="Most characters of earlier questions and answers that go along; 0 for none."
    )
    openai_connect_timeout: Seconds = Field(5, description="Seconds for one connection attempt.")
    openai_timeout: Seconds = Field(60, description="Seconds from the question to the first text, retries included.")
    openai_stall_timeout: Seconds = Field(30, description="Seconds between two signs of life of an answer.")
    openai_total_timeout: Seconds = Field(300, description="Seconds from the question to the end of the answer.")

    on_new_question: Literal["queue", "interrupt", "ignore"] = Field(
        "queue", description="What a question does while an answer runs: queue, interrupt or ignore."
    )
    merge_seconds: Seconds = Field(2, description="Two finals at most this many seconds apart may be one utterance.")
    wait_min_ms: int = Field(250, ge=0, description="Shortest wait for more of a question that may go on, in ms.")
    wait_max_ms: int = Field(1200, ge=0, description="Longest wait for more of a question that may go on, in ms.")
    stale_partial_seconds: Seconds = Field(
        4, description="Seconds after which a partial that no final follows is taken as final."
    )
    min_confidence: float = Field(
        0.4, ge=0, le=1, description="Finals of a lower recogniser confidence do not ask by themselves."
    )
    ask_above: float = Field(0, ge=0, le=1, description="Confidence of a verdict below which nothing asks by itself.")
    names: Names = Field((), description="What the assistant is called, comma-separated.")
    follow_up_seconds: float = Field(
        15,
        ge=0,
        allow_inf_nan=False,
        description="Seconds after an answer in which its asker need not call the assistant again (address: named).",
    )
    queued_questions: int = Field(
        5, ge=1, description="Questions that may wait for the running answer; one more takes the newest one's place."
    )
    query_scope: Literal["question", "aggregated"] = Field(
        "question", description="What is asked: the question alone, or with the talk before it (aggregated)."
    )
    context_input: str = Field(
        "", description="With QUERY_SCOPE=question, the Dify input variable that gets the talk before the question."
    )
    talk_chars: int = Field(
        0, ge=0, le=32_000, description="Characters of what was said that are kept to answer from; 0 for none."
    )
    talk_input: str = Field("", description="The Dify input variable that gets them.")
    answer_language_input: str = Field(
        "", description="The Dify input variable that gets the answer_language of the client."
    )
    answer_style_input: str = Field("", description="The Dify input variable that gets the answer_style of the client.")
    speculate: bool = Field(
        False, description="Ask on a partial that looks like the whole question; shown once a final confirms it."
    )
    context_max_chars: int = Field(600, ge=1, description="Most characters of talk that go with one question.")
    answer_chunk_chars: int = Field(400, ge=1, le=32_000, description="Most code points in one answer frame.")
    max_message_bytes: int = Field(65_536, ge=256, description="Largest client message in bytes.")
    segment_max_chars: int = Field(
        4_000, ge=600, description="Most code points that are kept of one chunk: its last ones."
    )
    messages_per_second: float = Field(
        100,
        gt=0,
        allow_inf_nan=False,
        description="Partials of one client per second, on average, and as many other messages; twice as many at once.",
    )
    queries_per_minute: int = Field(30, ge=1, description="Questions one session may ask per minute.")
    max_sessions: int = Field(5_000, ge=1, description="Sessions of this process, parked ones included.")
    max_running_queries: int = Field(
        200, ge=1, description="Questions that are asked at the same time; others wait in order."
    )
    idle_seconds: Seconds = Field(600, description="Seconds without a message after which a session ends.")
    max_session_seconds: float = Field(
        0, ge=0, allow_inf_nan=False, description="Longest life of a session in seconds; 0 for no end."
    )
    unread_frames: int = Field(
        1_000,
        ge=10,
        description="Frames that may wait for a client that does not read; then it is closed.",
    )
    unread_bytes: int = Field(
        1_000_000,
        ge=100_000,
        description="Bytes of frames that may wait for a client that does not read; then it is closed.",
    )
    send_seconds: Seconds = Field(20, description="Longest time for a client to take one frame.")
    connections_per_address: int = Field(
        0, ge=0, description="Connections of one address at the same time; 0 for any number."
    )
    handshake_seconds: Seconds = Field(10, description="Longest time for a client to send the head of a request.")

    resume_seconds: float = Field(
        30, ge=0, allow_inf_nan=False, description="Seconds a session outlives its lost connection; 0 for not at all."
    )
    resume_frames: int = Field(2_000, ge=1, description="Latest frames of a session that can be given back.")
    resume_bytes: int = Field(1_000_000, ge=1, description="Most memory for them, in bytes.")
    drain_seconds: float = Field(
        20, ge=0, allow_inf_nan=False, description="Longest time for running answers to finish before the process ends."
    )

    redis_url: Annotated[SecretStr, AfterValidator(_check_redis_url)] | None = Field(
        None, description="Redis that keeps the sessions for other processes, as in redis://127.0.0.1:6379/0."
    )
    redis_prefix: str = Field("rr", pattern=r"^[A-Za-z0-9._-]{1,64}\z", description="With what its keys begin.")
    redis_patience_seconds: Seconds = Field(
        0.5, description="Longest time for a reply of it; then sessions go on without."
    )
    replica_dead_seconds: float = Field(
        2, ge=0.5, allow_inf_nan=False, description="Seconds without a sign of life after which a process is dead."
    )

    @model_validator(mode="after")
    def _check_providers(self) -> Self:
        providers = [self.rag_provider, self.fallback_provider]
        folder = self.knowledge_dir or (OWN_DOCS if "local" in providers else None)
        if folder is not None and READING & {*providers} and not os.path.isdir(folder):
            raise ValueError(f"KNOWLEDGE_DIR: {folder} is not a folder")
        if "openai" in providers and self.openai_base_url is None:
            raise ValueError("OPENAI_BASE_URL: openai needs it")
        if self.talk_input and not self.talk_chars:
            raise ValueError("TALK_INPUT: needs TALK_CHARS, or there is nothing to send")
        if self.embeddings_model and ("openai" not in providers or self.knowledge_dir is None):
            raise ValueError("EMBEDDINGS_MODEL: needs the provider openai and KNOWLEDGE_DIR")
        if self.rag_provider == self.fallback_provider:
            raise ValueError("FALLBACK_PROVIDER: must be another one than RAG_PROVIDER")
        # The first provider may wait for its key; a fallback that cannot answer helps nobody.
        if self.fallback_provider == "dify" and self.dify_api_key is None:
            raise ValueError("FALLBACK_PROVIDER: dify needs DIFY_API_KEY")
        return self

    @model_validator(mode="after")
    def _check_waits(self) -> Self:
        if self.wait_max_ms < self.wait_min_ms:
            raise ValueError("WAIT_MAX_MS: is less than WAIT_MIN_MS")
        return self

    @model_validator(mode="after")
    def _check_jwt(self) -> Self:
        keys = [key for key in (self.jwt_secret, self.jwt_public_key_file) if key is not None]
        if len(keys) > 1:
            raise ValueError("JWT_PUBLIC_KEY_FILE: cannot stand beside JWT_SECRET")
        for name in ("jwt_audience", "jwt_issuer"):
            if getattr(self, name) is not None and not keys:
                raise ValueError(f"{name.upper()}: needs JWT_SECRET or JWT_PUBLIC_KEY_FILE")
        return self

    @model_validator(mode="after")
    def _check_redis(self) -> Self:
        if self.redis_url is not None and not self.resume_seconds:
            raise ValueError("REDIS_URL: needs RESUME_SECONDS, or there is nothing to keep")
        return self

    @property
    def is_provider_configured(self) -> bool:
        return self.rag_provider != "dify" or self.dify_api_key is not None

    @property
    def openai_url(self) -> str:
        """The base URL without its trailing slash."""
        return str(self.openai_base_url).rstrip("/")

    @property
    def dify_url(self) -> str:
        """The base URL without its trailing slash."""
        return str(self.dify_base_url).rstrip("/")


def reachable(host: str) -> str:
    """How a URL on this machine names an address that the service listens on."""
    return "localhost" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host


def load_settings() -> Settings:
    """Read the settings; a wrong one ends the process."""
    return _load(Settings)


def load_address() -> Address:
    """Read the settings that say where the service is; a wrong one ends the process."""
    return _load(Address)


def _load(kind: type[Some]) -> Some:
    # Docker makes a folder in the place of a file that it is to mount and that is not there.
    if os.path.exists(".env") and not os.path.isfile(".env"):
        refuse_to_start(".env: is not a file")
    try:
        return kind()
    except UnicodeDecodeError:
        refuse_to_start(".env: is not UTF-8")
    except OSError as error:
        refuse_to_start(f".env: cannot be read: {error.strerror}")
    except ValidationError as error:
        # Not str(error): that one quotes the value, which may be a secret.
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        refuse_to_start("; ".join(map(_describe, problems)))


def _describe(problem: ErrorDetails) -> str:
    name = str(problem["loc"][0]).upper() if problem["loc"] else ""
    return f"{name}: {problem['msg']}".removeprefix(": ").replace("Value error, ", "")


def refuse_to_start(problem: str) -> NoReturn:
    """End the process with exit status 2 and one line on standard error that says why."""
    sys.stderr.write(f"realtime-rag: {' '.join(problem.splitlines())}\n")  # at once: workers fail side by side
    if multiprocessing.parent_process() is not None:
        raise SystemExit(3)  # after any other status uvicorn starts its worker again, and again
    raise SystemExit(2)


def give_up_the_start(problem: str) -> NoReturn:
    """`refuse_to_start` within a server that runs already: it would show an exception as a bug of the application."""
    try:
        refuse_to_start(problem)
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(int(end.code or 0))
