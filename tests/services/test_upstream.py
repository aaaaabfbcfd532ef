"""What asking a backend costs less than httpx would take for it, and says the same."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.lines import message_of
from app.services.upstream import http_client, post

HEADERS = {"Authorization": "Bearer app-x", "Accept-Encoding": "identity"}
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
BODIES = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | FLOATS | st.text())


@given(
    body=BODIES,
    url=st.sampled_from(["http://dify:8080/v1/chat", "https://dify/v1?a=b", "http://[::1]:5001/", "https://é.de"]),
)
async def test_a_question_is_sent_as_httpx_would_send_it(body: dict[str, Any], url: str) -> None:
    extensions = {"timeout": {"connect": 1.0}}
    ours = post(httpx.URL(url), HEADERS, body, extensions)
    theirs = httpx.Request("POST", url, json=body, headers=HEADERS, extensions=extensions)
    assert await message_of(ours) == await message_of(theirs)
    assert ours.extensions == theirs.extensions


@pytest.mark.parametrize("body", [{"a": "\ud800"}, {"a": float("nan")}])
def test_what_httpx_would_not_send_is_not_sent(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"surrogates|JSON") as theirs:
        httpx.Request("POST", "http://dify/", json=body)
    with pytest.raises(type(theirs.value)):
        post(httpx.URL("http://dify/"), {}, body, {})


async def test_no_cookie_is_looked_for() -> None:
    async with http_client("http://dify/", 1) as http:
        response = httpx.Response(200, headers={"Set-Cookie": "a=b"}, request=httpx.Request("GET", "http://dify/"))
        http.cookies.extract_cookies(response)
        assert not http.cookies
        assert "cookie" not in http.build_request("GET", "http://dify/").headers


async def test_a_question_comes_back_as_from_httpx() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = httpx.URL("http://127.0.0.1", port=server.sockets[0].getsockname()[1])
        async with http_client(str(url), 1) as http:
            request = post(url, {}, {}, {})
            response = await http.send(request, stream=True, auth=None)
            assert (response.status_code, response.request) == (302, request)
            assert await response.aread() == b"no"
            assert not http.is_closed
        with pytest.raises(RuntimeError, match="closed"):
            await http.send(request, stream=True, auth=None)
