"""What the console is made of: how it is served, and that its words are there in both languages."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from app.codes import CloseCode, ErrorCode
from app.config import Settings
from app.errors import RagError
from app.models.messages import Action, Stage
from app.models.verdicts import REASONS
from tests.conftest import Serve
from tests.service import ROOT, browse
from tests.wire.test_identity import tenants_file

STATIC = ROOT / "app" / "static"
OURS = sorted(path for path in STATIC.rglob("*") if path.is_file() and path.parent.name != "vendor")


@pytest.fixture
async def http(start: Serve) -> AsyncIterator[httpx.AsyncClient]:
    service = await start()
    async with browse(service.http_url) as http:
        yield http


async def test_every_file_is_served_with_its_type_and_a_strict_policy(http: httpx.AsyncClient) -> None:
    types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "jsonl": "application/x-ndjson"}
    types["json"] = "application/json"
    files = [path for path in STATIC.rglob("*") if path.is_file() and path.suffix != ".html"]
    for path in files:
        response = await http.get(f"/static/{path.relative_to(STATIC).as_posix()}")
        assert response.content == path.read_bytes()
        assert response.headers["content-type"].partition(";")[0] == types.get(path.suffix[1:], "text/plain")
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"


async def test_the_policy_lets_nothing_in_from_elsewhere(http: httpx.AsyncClient) -> None:
    policy = (await http.get("/")).headers["content-security-policy"]
    assert "unsafe" not in policy
    sources = {word for part in policy.split("; ") for word in part.split()[1:]}
    (known,) = (source for source in sources if source.startswith("'sha256-"))
    assert sources == {"'none'", "'self'", "'script'", "dompurify", known}


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("ws://127.0.0.1:2700", "ws://127.0.0.1:2700"),
        ("wss://ears.example/asr?mode=full&a='", "wss://ears.example"),
        ("WS://Ears.example:80/", "ws://Ears.example:80"),
    ],
)
async def test_the_page_may_connect_to_one_recogniser(start: Serve, url: str, source: str) -> None:
    service = await start(ears_url=url, ears_kind="funasr")
    async with browse(service.http_url) as http:
        page = await http.get("/")
        (words,) = re.findall(r"connect-src ([^;]*);", page.headers["content-security-policy"])
        assert words == f"'self' {source}"
        assert f'data-ears-url="{html.escape(url)}" data-ears-kind="funasr"' in page.text
        assert source not in (await http.get("/static/client.js")).headers["content-security-policy"]


async def test_what_a_browser_has_is_not_sent_again(http: httpx.AsyncClient) -> None:
    for path in ("/", "/static/client.js"):
        first = await http.get(path)
        assert first.headers["cache-control"] == "no-cache"
        tag = first.headers["etag"]
        for known in (tag, f'"x", W/{tag}'):
            again = await http.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert (await http.get(path, headers={"If-None-Match": '"x"'})).status_code == 200


async def test_pages_that_may_connect_may_import_the_modules(start: Serve) -> None:
    service = await start(allowed_origins=("https://shop.example:443",))
    async with browse(service.http_url) as http:
        for path, origin, shared in (
            ("/static/client.js", "https://shop.example", "https://shop.example"),
            ("/static/recognisers.js", "https://shop.example", "https://shop.example"),
            ("/static/client.js", "https://evil.example", None),
            ("/static/client.js", "https://shop.example/", None),
            ("/static/client.js", "null", None),
            ("/static/console.css", "https://shop.example", None),
            ("/", "https://shop.example", None),
        ):
            response = await http.get(path, headers={"Origin": origin})
            assert response.headers.get("access-control-allow-origin") == shared
            assert (response.headers.get("vary") == "Origin") == path.endswith(".js")
            again = await http.get(path, headers={"Origin": origin, "If-None-Match": response.headers["etag"]})
            assert (again.status_code, again.headers.get("access-control-allow-origin")) == (304, shared)
        assert "access-control-allow-origin" not in (await http.get("/static/client.js")).headers


async def test_any_page_may_import_them_where_any_may_connect(start: Serve) -> None:
    service = await start(allowed_origins=("*",))
    async with browse(service.http_url) as http:
        response = await http.get("/static/client.js", headers={"Origin": "https://other.example"})
    assert response.headers["access-control-allow-origin"] == "*"


async def test_pages_of_tenants_may_import_them_too(start: Serve, tmp_path: Path) -> None:
    tenants: list[dict[str, Any]] = [
        {"name": "acme", "token": "a", "allowed_origins": ["https://acme.example"]},
        {"name": "bell", "token": "b"},
    ]
    service = await start(
        auth_tokens_file=tenants_file(tmp_path, *tenants), allowed_origins=("https://shop.example:443",)
    )
    async with httpx.AsyncClient(base_url=service.http_url, trust_env=False, verify=False) as http:
        for origin in ("https://acme.example", "https://shop.example"):
            response = await http.get("/static/client.js", headers={"Origin": origin})
            assert response.headers["access-control-allow-origin"] == origin
        response = await http.get("/static/client.js", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in response.headers


async def test_a_head_request_tells_the_same(http: httpx.AsyncClient) -> None:
    for path in ("/", "/static/client.js"):
        head, get = await http.head(path), await http.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["etag"] == get.headers["etag"]


async def test_the_guide_is_the_pages_of_the_docs(http: httpx.AsyncClient) -> None:
    policy = (await http.get("/")).headers["content-security-policy"]
    for path in (ROOT / "docs").glob("*.md"):
        text = await http.get(f"/guide/{path.name}")
        assert (text.content, text.headers["content-type"]) == (path.read_bytes(), "text/markdown; charset=utf-8")
        page = await http.get(f"/guide/{path.stem}")
        assert (page.status_code, page.headers["content-security-policy"]) == (200, policy)
        assert f'data-page="{path.stem}"' in page.text
        head = await http.head(f"/guide/{path.stem}")
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", page.headers["etag"])
    assert 'data-page="index"' in (await http.get("/guide", follow_redirects=True)).text
    assert (await http.get("/guide")).headers["location"] == "guide/"
    assert "/guide" not in (await http.get("/openapi.json")).text


@pytest.mark.parametrize(
    "path", ["nothing", "index.html", "console.png", "..%2fREADME", "%2e%2e/README.md", "<b>", "index.md.md", ".md"]
)
async def test_the_guide_has_no_other_pages(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(f"/guide/{path}")
    assert (response.status_code, response.json()) == (404, {"reason": "no_such_page"})
    page = await http.get(f"/guide/{path}", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.headers["vary"]) == (404, "Accept")
    assert "The guide has no such page" in page.text
    assert "{{" not in page.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["nothing.js", "index.html", "guide.html", "..%2fmain.py", "../main.py", "%2e%2e/main.py", "vendor", ""]
)
async def test_nothing_else_is_served(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(f"/static/{path}")).status_code == 404


async def test_the_console_is_no_part_of_the_api(http: httpx.AsyncClient) -> None:
    assert "/" not in (await http.get("/openapi.json")).json()["paths"]


def test_no_file_names_an_address_elsewhere() -> None:
    for path in OURS:
        addresses = set(re.findall(r"\w+://[^\s\"'`)]+", path.read_text(encoding="utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name


def words(name: str) -> set[str]:
    text = (STATIC / "i18n.js").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^const {name} = \{{\n(.*?)^\}};$", text, re.MULTILINE | re.DOTALL)
    return set(re.findall(r'^  "?([\w.-]+)"?: "', block, re.MULTILINE))


def test_every_word_is_there_in_both_languages() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    in_page = set(re.findall(r'data-t(?:-label|-placeholder)?="(\w+)"', page))
    assert words("en") <= words("zh")
    assert words("zh") == words("en") | in_page
    code = "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js"))
    assert set(re.findall(r'\bt\("([\w.]+)"', code)) <= words("en")


def test_every_code_is_said_in_words() -> None:
    answers = {error.code for error in RagError.__subclasses__()}
    known = words("en")
    assert {f"code.{code}" for code in {*ErrorCode, *answers} - {RagError.code}} <= known
    assert {f"verdict.{reason}" for reason in REASONS} <= known
    assert {f"action.{action}" for action in get_args(Action)} <= known
    assert {f"stage.{stage}" for stage in get_args(Stage)} <= known


def test_the_console_offers_the_recognisers_that_it_can_reach_and_that_a_setting_can_name() -> None:
    (menu,) = re.findall(
        r'id="ears-kind">(.*?)</select>', (STATIC / "index.html").read_text(encoding="utf-8"), re.DOTALL
    )
    (table,) = re.findall(
        r"EARS = \{(.*?)^\};", (STATIC / "ears.js").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    known = get_args(Settings.model_fields["ears_kind"].annotation)
    assert re.findall(r'value="([\w-]+)"', menu) == list(known)
    assert re.findall(r'^  "?([\w-]+)"?: \{', table, re.MULTILINE) == list(known)


def test_the_vendored_files_are_of_the_versions_that_are_named() -> None:
    vendor = STATIC / "vendor"
    told = re.findall(r"^(\S+) +\S+ (\d\S+),", (vendor / "README.txt").read_text(), re.MULTILINE)
    files = {path: version for pattern, version in told for path in vendor.glob(pattern)}
    assert set(files) == set(vendor.glob("*.js"))
    for path, version in files.items():
        text = path.read_text(encoding="utf-8")
        assert version in text[:300] + text[-50:]
        assert (vendor / f"{path.name.partition('.')[0]}.LICENSE.txt").is_file()


def test_the_client_stays_away_after_the_codes_that_are_final() -> None:
    code = (STATIC / "client.js").read_text(encoding="utf-8")
    (final,) = re.findall(r"FINAL_CODES = new Set\(\[(.*?)\]\)", code)
    # Of its own side come 1002, 1003 and 1010 as well: what it sent, or asked for, is no WebSocket of this protocol.
    assert set(map(int, final.split(", "))) == {code for code in CloseCode if code.is_final} | {1002, 1003, 1010}
    words = (STATIC / "i18n.js").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r'"closed\.(\d+)"', words)} <= set(CloseCode)


def test_the_pages_say_after_which_codes_the_client_stays_away() -> None:
    code = (STATIC / "client.js").read_text(encoding="utf-8")
    (final,) = re.findall(r"FINAL_CODES = new Set\(\[(.*?)\]\)", code)
    told = final.replace("4408, 4409", "4408 and 4409")
    assert f"would not change ({final})" in (ROOT / "docs" / "frontend.md").read_text(encoding="utf-8")
    assert f"after** {told}:" in (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
