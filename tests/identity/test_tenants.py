"""The file of tenants: what it may say, and that a mistake in it is told without a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import StartError
from app.identity.tenants import load_tenants
from tests.identity.samples import SECRET, entry, hash_of, tenant


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tenants.toml"


def test_a_tenant_needs_a_name_and_a_hash_and_may_bring_everything_else(path: Path) -> None:
    full = entry(
        "shop.EU-1_x",
        "b-token",
        'dify_api_key = " app-shop "',
        'dify_base_url = "https://dify.example/v1"',
        'allowed_origins = ["HTTPS://Shop.example", "null"]',
        "max_sessions = 3",
        "queries_per_minute = 4",
        "max_running_queries = 5",
        "[tenants.inputs]",
        'shop = "eu"',
        "ids = [1, 2]",
    )
    path.write_text(entry().replace(hash_of("a-token"), hash_of("a-token").upper()) + full)
    acme, shop = load_tenants(path)
    assert acme == tenant()
    assert (acme.dify_api_key, acme.allowed_origins, acme.inputs, acme.max_sessions) == (None, (), {}, None)
    assert shop.dify_api_key is not None
    assert shop.dify_api_key.get_secret_value() == "app-shop"
    assert str(shop.dify_base_url) == "https://dify.example/v1"
    assert shop.allowed_origins == ("https://shop.example:443", "null")
    assert shop.inputs == {"shop": "eu", "ids": [1, 2]}
    assert (shop.max_sessions, shop.queries_per_minute, shop.max_running_queries) == (3, 4, 5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (entry("acme", SECRET, f'dify_key = "{SECRET}"'), "tenant acme: 'dify_key': is not known"),
        (entry("acme", SECRET) * 2, "tenant acme: 'name': an earlier tenant has the same"),
        (entry("acme", SECRET) + entry("shop", SECRET), "tenant shop: 'token_sha256': an earlier tenant has the same"),
        (
            entry("acme", SECRET) + entry("shop", SECRET).replace(hash_of(SECRET), hash_of(SECRET).upper()),
            "tenant shop: 'token_sha256'",
        ),
        (f'[[tenants]]\nname = "acme"\ntoken_sha256 = "{SECRET}"', "tenant acme: 'token_sha256': must be the 64"),
        (f'[[tenants]]\nname = "acme"\ntoken_sha256 = "{"0" * 64}\\n"', "tenant acme: 'token_sha256'"),
        ('[[tenants]]\nname = "acme"', "tenant acme: 'token_sha256': Field required"),
        ("[[tenants]]\ntoken_sha256 = 7", "tenant number 1: 'name': Field required"),
        (entry("acme") + entry(f"{SECRET} {SECRET}", "b"), "tenant number 2: 'name'"),
        (entry(""), "tenant number 1: 'name'"),
        (entry("a" * 65), "tenant number 1: 'name'"),
        (entry("läden"), "tenant number 1: 'name'"),
        (entry("acme\\n"), "tenant number 1: 'name'"),
        (entry("acme-ws-user"), "tenant number 1: 'name'"),
        (entry("ws-user-1"), "tenant number 1: 'name'"),
        (entry("acme", "t", f'dify_api_key = "{SECRET} {SECRET}"'), "tenant acme: 'dify_api_key'"),
        (entry("acme", "t", 'dify_api_key = ""'), "tenant acme: 'dify_api_key'"),
        (
            entry("acme", "t", f'dify_api_key = "{SECRET}"', 'dify_base_url = "dify.example"'),
            "tenant acme: 'dify_base_url'",
        ),
        (
            entry("acme", "t", 'dify_api_key = "k"', f'dify_base_url = "https://dify.internal/v1?key={SECRET}"'),
            "tenant acme: 'dify_base_url': must end where the API begins, as in https://rag.example/v1",
        ),
        (entry("acme", "t", 'dify_base_url = "https://dify.example"'), "dify_base_url: needs a dify_api_key"),
        (entry("acme", "t", f'openai_api_key = "{SECRET}"'), "openai_base_url: must say whose openai_api_key"),
        (entry("acme", "t", 'openai_model = "m"'), "openai_base_url: must say whose openai_api_key"),
        (entry("acme", "t", 'openai_base_url = "llm.example/v1"'), "tenant acme: 'openai_base_url'"),
        (
            entry("acme", "t", 'openai_base_url = "http://llm.example/v1/chat/completions"'),
            "tenant acme: 'openai_base_url': must end where the API begins",
        ),
        (
            entry("acme", "t", f'dify_api_key = "{SECRET}"', 'openai_base_url = "http://llm.example/v1"'),
            "openai_base_url: cannot stand beside dify_api_key",
        ),
        (entry("acme", "t", 'allowed_origins = ["https://shop.example/page"]'), "tenant acme: 'allowed_origins'"),
        (entry("acme", "t", "inputs = 5"), "tenant acme: 'inputs'"),
        (entry("acme", "t", "inputs = { since = 2024-01-01 }"), "tenant acme: 'inputs'"),
        (entry("acme", "t", "inputs = { share = nan }"), "tenant acme: 'inputs'"),
        (entry("acme", "t", f'inputs = {{ long = "{SECRET * 1000}" }}'), "tenant acme: 'inputs'"),
        (entry("acme", "t", "max_sessions = 0"), "tenant acme: 'max_sessions'"),
        (entry("acme", "t", "max_sessions = true"), "tenant acme: 'max_sessions'"),
        (entry("acme", "t", 'queries_per_minute = "4"'), "tenant acme: 'queries_per_minute'"),
        (entry("acme", "t", "max_running_queries = 1.5"), "tenant acme: 'max_running_queries'"),
        ("", "has no [[tenants]]"),
        ("tenants = []", "has no [[tenants]]"),
        (f'tenants = ["{SECRET}"]', "has no [[tenants]]"),
        (f'[tenants]\nname = "{SECRET}"', "has no [[tenants]]"),
        (f'token = "{SECRET}"\n{entry()}', "'token' is not known"),
        (f'[[tenants]]\nname = {SECRET}"', "is not TOML, at line 2, column"),
        ('[[tenants]]\nname = "acme', "is not TOML, at end of document"),
    ],
)
def test_a_wrong_file_is_refused_with_the_setting_and_the_tenant_and_no_value(path: Path, text: str, told: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StartError) as refusal:
        load_tenants(path)
    assert str(refusal.value).startswith("AUTH_TOKENS_FILE: ")
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert SECRET not in str(refusal.value)
    assert hash_of(SECRET) not in str(refusal.value).lower()


def test_a_file_that_is_not_there_or_not_text_is_refused(path: Path) -> None:
    with pytest.raises(StartError, match=r"AUTH_TOKENS_FILE: .* cannot be read: No such file"):
        load_tenants(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(StartError, match=r"AUTH_TOKENS_FILE: .* is not UTF-8"):
        load_tenants(path)


def test_a_tenant_shows_no_secret() -> None:
    shown = repr(tenant(token=SECRET, dify_api_key=SECRET))
    assert SECRET not in shown
    assert hash_of(SECRET) not in shown


def test_beside_signed_tokens_a_tenant_may_do_without_one_of_its_own(path: Path) -> None:
    path.write_text(entry() + '[[tenants]]\nname = "shop"\n[[tenants]]\nname = "third"\n')
    assert [each.token_sha256 for each in load_tenants(path, tokens_required=False)] == [hash_of("a-token"), None, None]
    with pytest.raises(StartError, match=r"tenant shop: 'token_sha256': Field required"):
        load_tenants(path)
