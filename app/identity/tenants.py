"""The tenants of `AUTH_TOKENS_FILE`: whom the service works for, and what is different for each."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from app.config import ApiKey, check_url
from app.errors import StartError
from app.models.messages import check_inputs
from app.values import origin_of

FILE_SETTING = "AUTH_TOKENS_FILE"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_name(text: object) -> bool:
    """Whether a tenant may be called so."""
    # "<tenant>-ws-user-<session>" must not be readable in two ways: sessions are named by clients.
    return isinstance(text, str) and bool(_NAME.fullmatch(text)) and "ws-user" not in text


def _check_name(name: str) -> str:
    if not is_name(name):
        raise ValueError("must be 1 to 64 of A-Z a-z 0-9 . _ - without 'ws-user'")
    return name


def _check_hash(digest: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise ValueError("must be the 64 hexadecimal digits of the token's SHA-256")
    return digest.lower()


Limit = Annotated[int, Field(ge=1, strict=True)]


class Tenant(BaseModel):
    """Whom the service works for. What a tenant does not bring is the service's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, AfterValidator(_check_name)]
    token_sha256: Annotated[str, AfterValidator(_check_hash)] | None = Field(None, repr=False)
    dify_api_key: ApiKey | None = None
    dify_base_url: Annotated[AnyHttpUrl, AfterValidator(check_url)] | None = None
    openai_base_url: Annotated[AnyHttpUrl, AfterValidator(check_url)] | None = None
    openai_api_key: ApiKey | None = None
    openai_model: str | None = None
    allowed_origins: tuple[Annotated[str, AfterValidator(origin_of)], ...] = ()
    inputs: Annotated[dict[str, JsonValue], AfterValidator(check_inputs)] = {}
    max_sessions: Limit | None = None
    queries_per_minute: Limit | None = None
    max_running_queries: Limit | None = None

    @model_validator(mode="after")
    def _check_account(self) -> Self:
        if self.dify_base_url is not None and self.dify_api_key is None:
            # The service's own key would go to somebody else's server.
            raise ValueError("dify_base_url: needs a dify_api_key beside it")
        if self.openai_base_url is None and (self.openai_api_key or self.openai_model):
            raise ValueError("openai_base_url: must say whose openai_api_key and openai_model these are")
        if self.openai_base_url is not None and self.dify_api_key is not None:
            raise ValueError("openai_base_url: cannot stand beside dify_api_key")
        return self

    @property
    def own_provider(self) -> dict[str, Any]:
        """The settings that differ for this tenant's own provider; empty if it has none."""
        if self.dify_api_key is not None:
            url = {} if self.dify_base_url is None else {"dify_base_url": self.dify_base_url}
            return {"rag_provider": "dify", "dify_api_key": self.dify_api_key, **url}
        if self.openai_base_url is not None:
            return {
                "rag_provider": "openai",
                "openai_base_url": self.openai_base_url,
                # Nothing that was meant for the service's own server goes to another one.
                "openai_api_key": self.openai_api_key,
                "openai_model": self.openai_model or "",
                "openai_extra_body": {},
                "embeddings_model": "",
            }
        return {}


def load_tenants(path: Path, *, tokens_required: bool = True) -> tuple[Tenant, ...]:
    """Read the tenants; `StartError` says what is wrong, without quoting a value.

    A token is not required of tenants who may come with a signed one.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise StartError(FILE_SETTING, f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise StartError(FILE_SETTING, f"{path} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        place = str(error).rpartition(" (")[2].rstrip(")")  # the rest of the text may quote the file
        raise StartError(FILE_SETTING, f"{path} is not TOML, {place}") from None
    if unknown := sorted(document.keys() - {"tenants"}):
        raise StartError(FILE_SETTING, f"{unknown[0]!r} is not known; tenants stand under [[tenants]]")
    entries = document.get("tenants")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise StartError(FILE_SETTING, f"{path} has no [[tenants]]")
    tenants = tuple(_tenant(number, entry) for number, entry in enumerate(entries, start=1))
    for field in ("name", "token_sha256"):
        seen: set[str | None] = set()
        for tenant in tenants:
            value = getattr(tenant, field)
            if value is None and tokens_required:
                raise StartError(FILE_SETTING, f"tenant {tenant.name}: {field!r}: Field required")
            if value is not None and value in seen:
                raise StartError(FILE_SETTING, f"tenant {tenant.name}: {field!r}: an earlier tenant has the same")
            seen.add(value)
    return tenants


def _tenant(number: int, entry: dict[str, Any]) -> Tenant:
    try:
        return Tenant.model_validate(entry)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
    # A malformed name is not shown: it may be a token in the wrong line.
    who = f"tenant {entry['name']}" if is_name(entry.get("name")) else f"tenant number {number}"
    field = f"{str(problem['loc'][0])[:40]!r}: " if problem["loc"] else ""
    text = "is not known" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
    raise StartError(FILE_SETTING, f"{who}: {field}{text}")
