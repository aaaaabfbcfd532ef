"""What people think of answers gets to Dify, and to nobody who takes none."""

from __future__ import annotations

from typing import Any

from tests.client import Client
from tests.conftest import Serve
from tests.scrape import scrape
from tests.standin.dify import StandInDify
from tests.standin.scripts import answer, status


async def rate(client: Client, **fields: Any) -> list[dict[str, Any]]:
    await client.control("feedback", **fields)
    await client.send("keepalive")
    return (await client.until(received_type="keepalive"))[:-1]


async def test_what_somebody_thinks_of_an_answer_gets_to_dify(start: Serve, dify: StandInDify) -> None:
    service = await start()
    async with service.connect() as client:
        query_id = (await client.ask("What is RAG?"))[-1]["query_id"]
        (ack,) = await rate(client, query_id=query_id, rating="like", text="Good.")
        assert ack["type"] == "ack"
        await dify.until(lambda: len(dify.feedback) == 1, "the first feedback")
        await rate(client, query_id=query_id)
        await dify.until(lambda: len(dify.feedback) == 2, "the second feedback")
        user = dify.requests[0].user
        assert dify.feedback == [
            {"rating": "like", "user": user, "content": "Good."},
            {"rating": None, "user": user, "content": ""},
        ]
        page = await scrape(service)
        assert [page.get("feedback_total", rating=each) for each in ("like", "dislike", "none")] == [1, 0, 1]
        # What is no rating must not void the one before.
        (refused,) = await rate(client, query_id=query_id, rating="meh")
        assert (refused["code"], refused["details"]) == ("INVALID_MESSAGE", {"field": "rating"})
        for fields in ({"query_id": "c9-9"}, {}, {"query_id": 7}):
            _, error = await rate(client, rating="like", **fields)
            assert error["code"] == "FEEDBACK_UNSUPPORTED"
        await client.control("reset")
        await client.settle()
        _, error = await rate(client, query_id=query_id, rating="like")
        assert error["code"] == "FEEDBACK_UNSUPPORTED"
    assert len(dify.calls) == 2


async def test_a_dify_that_takes_none_disturbs_nobody(start: Serve, dify: StandInDify) -> None:
    service = await start()
    async with service.connect() as client:
        query_id = (await client.ask("What is RAG?"))[-1]["query_id"]
        dify.api_keys = {"app-another"}
        await rate(client, query_id=query_id, rating="dislike")
        await dify.until(lambda: len(dify.calls) == 1, "a feedback")
        dify.api_keys = {dify.api_key}
        assert (await client.ask("What is Dify?"))[-1]["reason"] == "answered"


async def test_answers_of_others_and_broken_ones_cannot_be_rated(start: Serve, dify: StandInDify) -> None:
    service = await start(dify_max_retries=0, breaker_failures=0)
    backed = await start(dify_max_retries=0, fallback_provider="local")
    dify.default = status(500)
    for each in (service, backed):
        async with each.connect() as client:
            query_id = (await client.ask("How do I set the Dify key?"))[-1]["query_id"]
            _, error = await rate(client, query_id=query_id, rating="like")
            assert error["code"] == "FEEDBACK_UNSUPPORTED"
    assert dify.calls == []


async def test_a_question_that_was_answered_before_says_so_and_is_asked_again(start: Serve, dify: StandInDify) -> None:
    service = await start()
    dify.will(status(401), answer("One."), answer("Two."), answer("Three."))
    async with service.connect() as client:
        asked = []
        for text in ("What is RAG?", "What is RAG?", "what is rag?", "What is Dify?"):
            await client.control("instant_query", text=text)
            asked.append(next(frame for frame in await client.until(stage="idle") if frame.get("question")))
    # The first one failed: there is nothing to look at.
    assert [frame.get("repeats") for frame in asked] == [None, None, asked[1]["query_id"], None]
    assert len(dify.requests) == 4
