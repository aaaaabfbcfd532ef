"""What the console is made of: how it is served, and that its words are there in both languages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from app.codes import CloseCode
from tests.conftest import Serve
from tests.service import ROOT

STATIC = ROOT / "app" / "static"
OURS = sorted(path for path in STATIC.rglob("*") if path.is_file() and path.parent.name != "vendor")


@pytest.fixture
async def http(start: Serve) -> AsyncIterator[httpx.AsyncClient]:
    service = await start()
    async with httpx.AsyncClient(base_url=service.http_url, trust_env=False) as http:
        yield http


async def test_every_file_is_served_with_its_type_and_a_strict_policy(http: httpx.AsyncClient) -> None:
    types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "jsonl": "application/x-ndjson"}
    files = [path for path in STATIC.rglob("*") if path.is_file() and path.name != "index.html"]
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


async def test_what_a_browser_has_is_not_sent_again(http: httpx.AsyncClient) -> None:
    for path in ("/", "/static/client.js"):
        first = await http.get(path)
        assert first.headers["cache-control"] == "no-cache"
        tag = first.headers["etag"]
        for known in (tag, f'"x", W/{tag}'):
            again = await http.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert (await http.get(path, headers={"If-None-Match": '"x"'})).status_code == 200


async def test_a_head_request_tells_the_same(http: httpx.AsyncClient) -> None:
    for path in ("/", "/static/client.js"):
        head, get = await http.head(path), await http.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["etag"] == get.headers["etag"]


@pytest.mark.parametrize(
    "path", ["nothing.js", "index.html", "..%2fmain.py", "../main.py", "%2e%2e/main.py", "vendor", ""]
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


def test_the_vendored_files_are_of_the_versions_that_are_named() -> None:
    for name, version in re.findall(
        r"^(\S+) +\S+ (\d\S+),", (STATIC / "vendor" / "README.txt").read_text(), re.MULTILINE
    ):
        assert version in (STATIC / "vendor" / name).read_text(encoding="utf-8")[:300]
        assert (STATIC / "vendor" / f"{name.partition('.')[0]}.LICENSE.txt").is_file()


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
