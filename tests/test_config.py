"""Settings: read once, refused in one line, and never shown when they are secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings, load_settings
from app.main import build_app
from tests.service import ROOT, make_settings


def refusal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """The one line with which these settings are refused."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        build_app(load_settings())
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("DIFY_TIMEOUT", "0"),
        ("DIFY_TIMEOUT", "nan"),
        ("DIFY_TOTAL_TIMEOUT", "inf"),
        ("DIFY_BASE_URL", "dify.example/v1"),
        ("DIFY_BASE_URL", "ftp://dify.example"),
        ("DIFY_MAX_RETRIES", "-1"),
        ("DIFY_RESPONSE_MODE", "sometimes"),
        ("DIFY_THINK", "maybe"),
        ("WS_PATH", "ws"),
        ("WS_PATH", "/a b"),
        ("WS_PATH", "/health"),
        ("WS_PATH", "/asyncapi.json"),
        ("WS_PATH", "/guide"),
        ("WS_PATH", "/guide/protocol"),
        ("EARS_URL", "127.0.0.1:2700"),
        ("EARS_URL", "https://ears.example"),
        ("EARS_URL", "ws://ears.example:0"),
        ("EARS_URL", "ws://[::1]:2700"),  # for which a Content-Security-Policy has no form
        ("EARS_URL", "ws://ears.example; script-src *"),
        ("EARS_URL", "ws://me:secret@ears.example"),
        ("EARS_URL", "ws://ears.example/#here"),
        ("EARS_KIND", "deepgram"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("ALLOWED_ORIGINS", "shop.example"),
        ("ALLOWED_ORIGINS", "https://shop.example,**"),
        ("ALLOWED_ORIGINS", "https://shop.example/page"),
        ("JWT_SECRET", "short"),
        ("JWT_SECRET", " " + "k" * 32),
        ("JWT_AUDIENCE", "rag"),
        ("JWT_ISSUER", "https://login.example"),
        ("ON_NEW_QUESTION", "panic"),
        ("WAIT_MIN_MS", "-1"),
        ("WAIT_MAX_MS", "soon"),
        ("STALE_PARTIAL_SECONDS", "0"),
        ("MIN_CONFIDENCE", "1.5"),
        ("QUERY_SCOPE", "everything"),
        ("QUEUED_QUESTIONS", "0"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1/chat/completions"),
        ("OPENAI_EXTRA_BODY", "max_tokens=5"),
        ("OPENAI_EXTRA_BODY", "[]"),
        ("SPECULATE", "perhaps"),
        ("RAG_PROVIDER", "somewhere"),
        ("RAG_PROVIDER", "no.such.module:factory"),
        ("RAG_PROVIDER", "app.main:no_such_name"),
        ("FALLBACK_PROVIDER", "somewhere"),
        ("FALLBACK_PROVIDER", "no.such.module:factory"),
        ("FALLBACK_PROVIDER", "app.main:no_such_name"),
        ("FALLBACK_PROVIDER", "dify"),  # RAG_PROVIDER is that already
        ("BREAKER_FAILURES", "-1"),
        ("BREAKER_SECONDS", "0"),
        ("ANSWER_CHUNK_CHARS", "0"),
        ("MAX_MESSAGE_BYTES", "many"),
        ("MAX_RUNNING_QUERIES", "0"),
    ],
)
def test_a_malformed_setting_is_refused_with_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert name in refusal(capsys, monkeypatch, **{name: value})


@pytest.mark.parametrize("key", ["sécret", "app-one app-two", "app-\x07"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refusal(capsys, monkeypatch, DIFY_API_KEY=key)
    assert "DIFY_API_KEY" in line
    assert key not in line


def test_a_file_of_settings_that_is_not_utf8_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes("PORT=8123\n".encode("utf-16"))
    assert refusal(capsys, monkeypatch) == "realtime-rag: .env: is not UTF-8\n"


@pytest.mark.parametrize("credentials", ["someone:open-sesame", "open-sesame"])
def test_a_base_url_with_credentials_is_refused_and_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, credentials: str
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refusal(capsys, monkeypatch, DIFY_BASE_URL=f"https://{credentials}@dify.example/v1")
    assert "DIFY_BASE_URL" in line
    assert "open-sesame" not in line


@pytest.mark.parametrize(
    "rest",
    [
        "?key=open-sesame",
        "?",
        "#open-sesame",
        "#",
        "/chat-messages",
        "/chat-messages/",
        "/chat-messages?key=open-sesame",
        "/Chat-Messages",
        "/completion-messages",
        "/workflows/run",
        "/chat/completions",
        "/completions",
        "/responses/",
        "/embeddings",
    ],
)
def test_a_base_url_that_no_path_can_follow_is_refused_with_the_right_form(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rest: str
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refusal(capsys, monkeypatch, DIFY_BASE_URL=f"https://dify.internal/v1{rest}")
    assert "DIFY_BASE_URL: must end where the API begins, as in https://rag.example/v1" in line
    assert "open-sesame" not in line


def test_a_base_url_may_end_in_models() -> None:
    assert make_settings(openai_base_url="https://house.services.ai.example/models").openai_base_url is not None


def test_a_secret_of_signed_tokens_is_hidden_and_refused_unseen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = "planted-0f3c-planted-0f3c-planted"
    assert secret not in repr(make_settings(jwt_secret=secret))
    monkeypatch.chdir(tmp_path)
    line = refusal(capsys, monkeypatch, JWT_SECRET=secret[:31])
    assert "JWT_SECRET: must have at least 32 bytes" in line
    assert "planted" not in line


@pytest.mark.parametrize("proxies", ["nonsense", "10.0.0.0/99", "10.0.0.1/24", "127.0.0.1, proxy.internal"])
def test_a_proxy_is_an_address_or_a_network(
    proxies: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refusal(capsys, monkeypatch, FORWARDED_ALLOW_IPS=proxies)
    assert "FORWARDED_ALLOW_IPS: a proxy is an address, a network or *: " in line


def test_signed_tokens_have_one_kind_of_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refusal(capsys, monkeypatch, JWT_SECRET="k" * 32, JWT_PUBLIC_KEY_FILE="public.pem")
    assert line == "realtime-rag: JWT_PUBLIC_KEY_FILE: cannot stand beside JWT_SECRET\n"


def test_a_list_is_separated_by_commas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("ALLOWED_ORIGINS=https://shop.example, http://localhost:3000,\n")
    assert load_settings().allowed_origins == ("https://shop.example:443", "http://localhost:3000")
    monkeypatch.setenv("ALLOWED_ORIGINS", "null")
    assert load_settings().allowed_origins == ("null",)
    assert make_settings(allowed_origins=["https://shop.example"]).allowed_origins == ("https://shop.example:443",)


@pytest.mark.parametrize("setting", ["RAG_PROVIDER", "FALLBACK_PROVIDER"])
@pytest.mark.parametrize("folder", ["missing", "file.md"])
def test_the_local_provider_needs_a_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str, setting: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.md").write_text("# A file")
    line = refusal(capsys, monkeypatch, **{setting: "local"}, KNOWLEDGE_DIR=folder)
    assert "KNOWLEDGE_DIR" in line
    assert folder in line


def test_a_fallback_that_could_never_answer_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    line = refusal(capsys, monkeypatch, RAG_PROVIDER="local", FALLBACK_PROVIDER="dify")
    assert "FALLBACK_PROVIDER" in line
    assert "DIFY_API_KEY" in line


def test_the_environment_wins_over_the_file_and_an_empty_value_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("DIFY_TIMEOUT=7\nDIFY_API_KEY=\nPORT=9000\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("PORT", "9001")
    settings = load_settings()
    assert (settings.dify_timeout, settings.dify_api_key, settings.port) == (7, None, 9001)


def test_a_key_is_trimmed_and_hidden() -> None:
    settings = make_settings(dify_api_key=" app-secret\n")
    assert settings.dify_api_key is not None
    assert settings.dify_api_key.get_secret_value() == "app-secret"
    assert "app-secret" not in repr(settings)


def test_the_base_url_loses_its_trailing_slash() -> None:
    assert make_settings(dify_base_url="https://dify.example/v1/").dify_url == "https://dify.example/v1"


def test_the_example_lists_every_setting_with_its_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a copied `.env.example` sets is what holds without it."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    names = [line.split("=", 1)[0].removeprefix("# ").lower() for line in lines if "=" in line.split(" ", 2)[0] + line]
    assert [name for name in names if name in Settings.model_fields] == list(Settings.model_fields)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    (tmp_path / "docs").mkdir()
    assert load_settings() == Settings(_env_file=None)


@pytest.mark.slow
def test_importing_the_service_needs_no_environment() -> None:
    code = "import app.main, app.__main__; print('imported')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PORT": "eighty"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "imported\n"


def test_an_openai_compatible_server_has_an_address_and_what_else_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_PROVIDER", "openai")
    with pytest.raises(ValueError, match="OPENAI_BASE_URL: openai needs it"):
        Settings(_env_file=None)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1/")
    monkeypatch.setenv("OPENAI_EXTRA_BODY", '{"max_tokens": 5}')
    settings = Settings(_env_file=None)
    assert (settings.openai_url, settings.openai_extra_body) == ("http://127.0.0.1:8080/v1", {"max_tokens": 5})
    assert settings.knowledge_dir is None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"embeddings_model": "small"}, "EMBEDDINGS_MODEL: needs the provider openai and KNOWLEDGE_DIR"),
        (
            {"embeddings_model": "small", "rag_provider": "openai", "openai_base_url": "http://127.0.0.1:8080/v1"},
            "EMBEDDINGS_MODEL: needs the provider openai and KNOWLEDGE_DIR",
        ),
        ({"talk_input": "meeting"}, "TALK_INPUT: needs TALK_CHARS"),
        ({"talk_chars": 32_001}, "less than or equal to 32000"),
        ({"talk_chars": -1}, "greater than or equal to 0"),
    ],
)
def test_what_would_have_no_effect_or_no_bound_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Settings(_env_file=None, **values)
