"""What asking a backend costs less than httpx would take for it, and says the same."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.lines import message_of
from app.services.upstream import Post, http_client

HEADERS = {"Authorization": "Bearer app-x", "Accept-Encoding": "identity"}
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
BODIES = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | FLOATS | st.text())


@given(
    body=BODIES,
    url=st.sampled_from(["http://dify:8080/v1/chat", "https://dify/v1?a=b", "http://[::1]:5001/", "https://é.de"]),
)
async def test_a_question_is_sent_as_httpx_would_send_it(body: dict[str, Any], url: str) -> None:
    extensions = {"timeout": {"connect": 1.0}}
    ours = Post.of(httpx.URL(url), HEADERS, body).request(extensions)
    theirs = httpx.Request("POST", url, json=body, headers=HEADERS, extensions=extensions)
    assert await message_of(ours) == await message_of(theirs)
    assert ours.extensions == theirs.extensions


@pytest.mark.parametrize("body", [{"a": "\ud800"}, {"a": float("nan")}])
def test_what_httpx_would_not_send_is_not_sent(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"surrogates|JSON") as theirs:
        httpx.Request("POST", "http://dify/", json=body)
    with pytest.raises(type(theirs.value)):
        Post.of(httpx.URL("http://dify/"), {}, body)


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
            request = Post.of(url, {}, {}).request({})
            response = await http.send(request, stream=True, auth=None)
            assert (response.status_code, response.request) == (302, request)
            assert await response.aread() == b"no"
            assert not http.is_closed
        with pytest.raises(RuntimeError, match="closed"):
            await http.send(request, stream=True, auth=None)


@pytest.mark.parametrize("url", ["/v1/chat?a=b", "/"])
async def test_what_is_sent_at_once_over_a_kept_connection_is_the_same(url: str) -> None:
    asked: list[bytes] = []
    left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                asked.append(head + await reader.readexactly(length))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        base = httpx.URL("http://127.0.0.1", port=server.sockets[0].getsockname()[1])
        async with http_client(str(base), 1) as http:
            post = Post.of(base.join(url), HEADERS, {"a": "ä"})
            assert post.begin(http) is None  # there is no connection yet
            response = await http.send(post.request({}), stream=True, auth=None)
            await response.aread()
            for _ in range(2):
                exchange = post.begin(http)
                assert exchange is not None
                assert post.begin(http) is None  # it is in use
                reply = await exchange.reply()
                assert (reply.status_code, await reply.aread()) == (200, b"ok")
                exchange.close()
        assert post.begin(http) is None
        await left.wait()
    assert asked[0].endswith('ä"}'.encode())
    assert asked == asked[:1] * 3


async def test_what_cannot_be_sent_is_not_begun() -> None:
    async with http_client("http://dify/", 1) as http:
        with pytest.raises(httpx.LocalProtocolError):
            Post.of(httpx.URL("http://dify/"), {"Authorization": "Bearer a\nb"}, {}).begin(http)
    async with httpx.AsyncClient() as other:
        assert Post.of(httpx.URL("http://dify/"), {}, {}).begin(other) is None
