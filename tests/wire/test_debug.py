"""The page that shows what is made of a text, and that it lets in nobody whom the socket does not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema_rs import Draft202012Validator

from tests.client import PATIENCE
from tests.conftest import Serve
from tests.service import Service, browse
from tests.wire.test_identity import tenants_file

JUDGE = "/debug/judge"


def client(service: Service, **headers: str) -> httpx.AsyncClient:
    return browse(service.http_url, headers=headers)


async def look_at(http: httpx.AsyncClient, text: str, **fields: Any) -> dict[str, Any]:
    response = await http.post(JUDGE, json={"text": text, **fields})
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "default-src 'none'" in response.headers["content-security-policy"]
    verdict: dict[str, Any] = response.json()
    return verdict


async def test_it_tells_what_is_made_of_a_text(start: Serve) -> None:
    service = await start(debug_pages=True, wait_max_ms=900, names=("Dora",))
    async with client(service) as http:
        verdict = await look_at(http, "we sell pumps. how long is the warranty", language="en")
        assert verdict["is_question"]
        assert (verdict["reason"], verdict["language"], verdict["wait_ms"]) == ("wh_front", "en", 0)
        (asked,) = verdict["questions"]
        assert asked["rule"] == verdict["rule"]
        assert (asked["question"], asked["start"], asked["end"]) == ("how long is the warranty", 15, 39)
        text = "😀. How much is it? We sell pumps. How long is the warranty?"  # places count code points
        for each in (await look_at(http, text))["questions"]:
            assert text[each["start"] : each["end"]] == each["question"]
        assert (await look_at(http, "what is the"))["wait_ms"] == 900
        assert not (await look_at(http, "Dora turn on the lamp"))["is_question"]
        half = await http.post(
            JUDGE, content=b'{"text": "\\ud83d what is RAG?"}', headers={"Content-Type": "application/json"}
        )
        assert half.json()["questions"][0]["question"] == "\ufffd what is RAG?"  # as at the socket
        told = await look_at(http, "")
        assert (told["is_question"], told["reason"], told["wait_ms"], told["questions"]) == (False, "empty", None, [])


@pytest.fixture
async def guarded(start: Serve, tmp_path: Path) -> Service:
    file = tenants_file(tmp_path, {"name": "acme", "token": "token-a", "allowed_origins": ["https://shop.example"]})
    return await start(debug_pages=True, auth_tokens_file=file, max_message_bytes=256, messages_per_second=2)


async def test_it_keeps_to_the_rules_of_the_socket(guarded: Service) -> None:
    text = {"text": "What is RAG?"}
    async with client(guarded) as http:
        for headers in ({}, {"Authorization": "Bearer token-b"}):
            response = await http.post(JUDGE, json=text, headers=headers)
            assert (response.status_code, response.json()) == (401, {"reason": "unauthorized"})
    async with client(guarded, Authorization="Bearer token-a") as http:
        foreign = await http.post(JUDGE, json=text, headers={"Origin": "https://evil.example"})
        assert (foreign.status_code, foreign.json()) == (403, {"reason": "foreign_origin"})
        # Four at once, by `MESSAGES_PER_SECOND`; who is turned away before that takes nothing.
        form = await http.post(JUDGE, content='{"text": ""}', headers={"Content-Type": "text/plain"})
        assert (form.status_code, form.json()) == (415, {"reason": "not_json"})
        large = await http.post(JUDGE, json={"text": "x" * 256})
        assert (large.status_code, large.json()) == (413, {"reason": "too_large"})

        wrong = await http.post(JUDGE, json={"text": 7})
        assert (wrong.status_code, wrong.json()) == (400, {"reason": "invalid"})
        # However long the others took, so many at once are more than two a second.
        many = await asyncio.gather(*(http.post(JUDGE, json=text) for _ in range(40)))
        refused = [response for response in many if response.status_code == 429]
        assert refused[0].json() == {"reason": "rate_limited"}
        assert refused[0].headers["retry-after"] == "1"


async def test_the_openapi_document_says_what_it_takes_and_answers(start: Serve, tmp_path: Path) -> None:
    file = tenants_file(tmp_path, {"name": "acme", "token": "token-a", "allowed_origins": ["https://shop.example"]})
    service = await start(debug_pages=True, auth_tokens_file=file, max_message_bytes=256)
    async with client(service, Authorization="Bearer token-a") as http:
        document = (await http.get("/openapi.json")).json()
        described = document["paths"][JUDGE]["post"]

        def schema_of(body: dict[str, Any]) -> Draft202012Validator:
            schema = body["content"]["application/json"]["schema"]
            return Draft202012Validator({**schema, "components": document["components"]})

        takes = schema_of(described["requestBody"])
        seen = set()
        for headers, body in (
            ({}, {"text": "What is RAG?", "language": "en"}),
            ({}, {"text": "We sell pumps.", "language": None}),
            ({}, {"text": 7}),
            ({}, {}),
            ({"Authorization": "Bearer token-b"}, {"text": ""}),
            ({"Origin": "https://evil.example"}, {"text": ""}),
            ({"Content-Type": "text/plain"}, {"text": ""}),
            ({}, {"text": "x" * 256}),
        ):
            response = await http.post(JUDGE, json=body, headers=headers)
            answers = schema_of(described["responses"][str(response.status_code)])
            assert [error.message for error in answers.iter_errors(response.json())] == []
            assert takes.is_valid(body) == (response.status_code != 400)
            seen.add(str(response.status_code))
        assert seen == {"200", "400", "401", "403", "413", "415"}
        assert set(described["responses"]) == seen | {"408", "429"}
        page = (await http.get("/docs")).text
        assert "POST /debug/judge" in page
        assert "Which rules to use" in page


async def test_it_is_not_there_unless_it_is_wanted(start: Serve) -> None:
    async with client(await start()) as http:
        assert (await http.post(JUDGE, json={"text": "What is RAG?"})).status_code == 404
        assert JUDGE not in (await http.get("/openapi.json")).json()["paths"]
        assert 'data-debug-pages="no"' in (await http.get("/")).text


async def test_a_name_that_is_not_its_own_gets_nothing(start: Serve) -> None:
    async with client(await start(debug_pages=True)) as http:
        rebound = await http.post(JUDGE, json={"text": "What is RAG?"}, headers={"Host": "evil.example"})
        assert rebound.status_code == 421
        foreign = await http.post(JUDGE, json={"text": "What is RAG?"}, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403


async def test_a_body_that_does_not_come_is_not_waited_for(start: Serve) -> None:
    service = await start(debug_pages=True, handshake_seconds=0.1)
    host = service.http_url.removeprefix("http://")
    head = f"POST {JUDGE} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"
    reader, writer = await asyncio.open_connection(*host.split(":"))
    writer.write(head.encode())
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        await reader.read()  # and it hangs up
    writer.close()
