"""The proxies of the environment: what httpx would take, and in one line what cannot be used."""

from __future__ import annotations

import httpx
import pytest

from app.errors import StartError
from app.main import create_app
from app.services.proxies import proxy_for
from tests.service import make_settings

PROXY = "http://proxy.example:3128"


def taken(monkeypatch: pytest.MonkeyPatch, url: str, **environment: str) -> str | None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(url)
    return None if proxy is None else str(proxy.url)


@pytest.mark.parametrize(
    ("no_proxy", "url", "goes_round"),
    [
        ("dify.internal", "http://dify.internal/v1", True),
        ("dify.internal", "http://api.dify.internal/v1", True),
        ("dify.internal", "http://notdify.internal/v1", False),
        (".dify.internal", "http://api.dify.internal/v1", True),
        ("dify.internal:8080", "http://dify.internal:8080/v1", True),
        ("dify.internal:8080", "http://dify.internal/v1", False),
        ("http://dify.internal", "http://dify.internal/v1", True),
        ("http://dify.internal", "https://dify.internal/v1", False),
        ("https://dify.internal:8443", "https://dify.internal:8443/v1", True),
        ("https://dify.internal:8443", "https://dify.internal/v1", False),
        ("all://dify.internal", "https://dify.internal/v1", True),
        ("localhost, 127.0.0.1", "http://127.0.0.1:5001/v1", True),
        ("127.0.0.1:5001", "http://127.0.0.1:5001/v1", True),
        ("127.0.0.1:5001", "http://127.0.0.1:5002/v1", False),
        ("::1", "http://[::1]:5001/v1", True),
        ("other.example,*", "http://dify.internal/v1", True),
        ("", "http://dify.internal/v1", False),
    ],
)
def test_no_proxy_means_what_httpx_takes_it_to_mean(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, goes_round: bool
) -> None:
    expected = None if goes_round else PROXY
    assert taken(monkeypatch, url, HTTP_PROXY=PROXY, HTTPS_PROXY=PROXY, NO_PROXY=no_proxy) == expected
    with httpx.Client(verify=False) as client:  # certificates, which nothing needs here, take long to read
        assert (client._transport_for_url(httpx.URL(url)) is client._transport) == goes_round


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"all_proxy": PROXY}, PROXY),
        ({"ALL_PROXY": "http://other:1", "HTTPS_PROXY": PROXY}, PROXY),
        ({"HTTP_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ({"HTTPS_PROXY": "HTTPS://proxy.example"}, "https://proxy.example"),
        ({}, None),
    ],
)
def test_the_proxy_of_the_scheme_comes_before_that_of_all(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], proxy: str | None
) -> None:
    assert taken(monkeypatch, "https://dify.example/v1", **environment) == proxy


UNUSABLE = [
    ("ALL_PROXY", "socks5://someone:open-sesame@proxy.example:1080", "'socks5'"),
    ("HTTPS_PROXY", "socks5h://proxy.example:1080", "'socks5h'"),
    ("all_proxy", "SOCKS://proxy.example:1080", "'socks'"),
    ("ALL_PROXY", "socks4a://proxy.example:1080", "'socks4a'"),
    ("ALL_PROXY", "ftp://proxy.example", "'ftp'"),
    ("ALL_PROXY", "://open-sesame", "such a proxy"),
    ("ALL_PROXY", "http://", "is no address"),
    ("ALL_PROXY", "http://:open-sesame@", "is no address"),
    ("ALL_PROXY", "http://proxy.example:open-sesame", "is no address"),
    ("ALL_PROXY", "http://proxy.example:99999", "is no address"),
    ("ALL_PROXY", "http://[::1", "is no address"),
    ("ALL_PROXY", "http://proxy\texample", "is no address"),
]


@pytest.mark.parametrize(("variable", "address", "problem"), UNUSABLE)
@pytest.mark.parametrize("provider", ["rag_provider", "fallback_provider"])
def test_a_proxy_that_cannot_be_used_stops_the_start_without_its_password(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str, problem: str, provider: str
) -> None:
    monkeypatch.setenv(variable, address)
    other = {"rag_provider": "fallback_provider", "fallback_provider": "rag_provider"}[provider]
    settings = make_settings(**{provider: "dify", other: "local"}, dify_api_key="k", knowledge_dir="docs")
    with pytest.raises(StartError, match=f"^{variable.upper()}: ") as refusal:
        create_app(settings)
    line = str(refusal.value)
    assert problem in line
    assert "\n" not in line
    assert "sesame" not in line


@pytest.mark.parametrize("entry", ["dify.internal:port", "http://[::1", "dify internal:x"])
def test_an_exception_that_cannot_be_read_stops_the_start(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", f"localhost,{entry}")
    with pytest.raises(StartError, match=r"^NO_PROXY: "):
        create_app(make_settings())


def test_a_proxy_on_no_way_of_ours_is_no_reason_to_stay_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "dify.internal:port")
    create_app(make_settings())
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    create_app(make_settings(rag_provider="local", knowledge_dir="docs"))
    monkeypatch.setenv("NO_PROXY", "localhost")
    create_app(make_settings(dify_base_url="http://localhost:5001/v1"))
