"""The contracts are valid, complete and true, and their pages need nothing from elsewhere."""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any, Literal, get_args

import httpx
import pytest
from jsonschema_rs import Draft7Validator, Draft202012Validator

from app import errors
from app.codes import CloseCode, ErrorCode
from app.contracts import schemas
from app.contracts.asyncapi import make_document
from app.contracts.page import HEADERS, http_page, protocol_page
from app.models import messages
from app.models.messages import ClientMessage
from tests import contract
from tests.client import Client
from tests.conftest import Serve
from tests.service import ROOT, browse

DOCUMENT = make_document("Kiosk", "/talk", 8000)
COMPONENTS = DOCUMENT["components"]
(CHANNEL,) = DOCUMENT["channels"].values()
OPERATION = {"hear": schemas.client_messages(), "tell": schemas.server_messages()}


def http(service: Any) -> httpx.AsyncClient:
    return browse(service.http_url)


# The AsyncAPI document


def test_the_document_is_asyncapi() -> None:
    specification = json.loads((ROOT / "tests/asyncapi/3.0.0.json").read_text(encoding="utf-8"))
    validator = Draft7Validator(specification)
    assert [error.message for error in validator.iter_errors(DOCUMENT)] == []
    assert not validator.is_valid({**DOCUMENT, "channels": {"realtime": {**CHANNEL, "adress": "/"}}})


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for part in value for found in references(part)]
    if not isinstance(value, dict):
        return []
    here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return here + [found for part in value.values() for found in references(part)]


def test_every_reference_leads_somewhere() -> None:
    assert references(DOCUMENT)
    for reference in references(DOCUMENT):
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_every_message_of_the_protocol_is_in_it() -> None:
    assert {model.__name__ for model in OPERATION["hear"]} == {model.__name__ for model in get_args(ClientMessage)}
    assert {"Ack", "Status", "Answer", "FinalAnswer", "Error"} <= {model.__name__ for model in OPERATION["tell"]}
    for operation, models in OPERATION.items():
        listed = [each["$ref"].rpartition("/")[2] for each in DOCUMENT["operations"][operation]["messages"]]
        assert listed == [model.__name__ for model in models]
    assert list(CHANNEL["messages"]) == list(COMPONENTS["messages"])
    assert [operation["action"] for operation in DOCUMENT["operations"].values()] == ["receive", "send"]


@pytest.mark.parametrize("operation", ["hear", "tell"])
def test_every_message_has_examples_that_are_of_its_kind_and_no_other(operation: str) -> None:
    for model in OPERATION[operation]:
        examples = COMPONENTS["messages"][model.__name__].get("examples", [])
        assert examples, f"app/contracts/examples.py has none for {model.__name__}"
        for example in examples:
            assert contract.check(example["payload"], operation) == model.__name__
            if operation == "hear":
                messages.parse(json.dumps(example["payload"]))


def test_every_field_has_a_meaning() -> None:
    for name, schema in COMPONENTS["schemas"].items():
        for field, about in schema.get("properties", {}).items():
            assert about.get("description"), f"app/contracts/words.py says nothing of {name}.{field}"


@pytest.mark.parametrize(
    "message",
    [
        {"type": "asr_chunk"},
        {"text": "no type"},
        {"type": "asr_chunk", "text": 7},
        {"type": "asr_chunk", "text": "a", "is_final": "yes"},
        {"type": "asr_chunk", "text": "a", "session_id": "a b"},
        {"type": "asr_chunk", "text": "a", "session_id": "a\n"},
        {"type": "control", "action": "dance"},
        {"type": "control", "action": "instant_query", "text": 7},
        {"type": "shout"},
    ],
)
def test_what_the_service_refuses_the_contract_refuses(message: dict[str, Any]) -> None:
    with pytest.raises(errors.ClientError):
        messages.parse(json.dumps(message))
    with pytest.raises(AssertionError):
        contract.check(message, "hear")


@pytest.mark.parametrize(
    "message",
    [
        {"type": "asr_chunk", "text": "a", "confidence": 1.1},
        {"type": "asr_chunk", "text": "a", "segment_id": True},
        {"type": "asr_chunk", "text": "a", "id": "x" * 129},
        {"type": "configure", "speakers": "guest"},
        {"type": "configure", "speakers": ["x"] * 65},
    ],
)
def test_what_the_service_leaves_out_the_contract_refuses(message: dict[str, Any]) -> None:
    assert "ignored" in (messages.read(json.dumps(message))[1] or {}).values()
    with pytest.raises(AssertionError):
        contract.check(message, "hear")


def test_null_is_the_same_as_absent_for_what_a_client_sends() -> None:
    message = {"type": "asr_chunk", "text": "a", **dict.fromkeys(["id", "speaker", "confidence", "is_final"])}
    messages.parse(json.dumps(message))
    assert contract.check(message, "hear") == "AsrChunk"


@pytest.mark.parametrize(
    "change",
    [{"seq": None}, {"seq": "1"}, {"sources": None}, {"error": None}, {"final": False}, {"mood": "good"}],
)
def test_a_frame_that_is_not_as_published_is_noticed(change: dict[str, Any]) -> None:
    (frame, *_) = [example["payload"] for example in COMPONENTS["messages"]["FinalAnswer"]["examples"]]
    contract.check(frame)
    with pytest.raises(AssertionError):
        contract.check({**frame, **change})
    with pytest.raises(AssertionError):
        contract.check({name: value for name, value in frame.items() if name != "usage"})


def test_a_frame_that_comes_new_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Farewell(messages.Frame):
        """The service says goodbye."""

        type: Literal["farewell"] = "farewell"
        code: str = "GOODBYE"

    monkeypatch.setattr(messages, "Farewell", Farewell, raising=False)
    document = make_document("Kiosk", "/talk", 0)
    message, schema = (document["components"][part]["Farewell"] for part in ("messages", "schemas"))
    assert message["summary"] == "The service says goodbye."
    assert message["examples"] == [{"summary": "As it is sent.", "payload": {"type": "farewell", "code": "GOODBYE"}}]
    assert schema["required"] == ["type", "code"]
    assert "Farewell" in protocol_page(document)


async def test_frames_are_held_against_the_contract_as_they_come(client: Client) -> None:
    await client.say("I see.")
    frame = await client.receive()
    with pytest.raises(AssertionError, match="not in the contract"):
        client.rules.check({**frame, "mood": "good"})


# Codes


def test_every_code_is_published_with_its_meaning() -> None:
    assert CHANNEL["x-error-codes"] == {str(code): code.meaning for code in ErrorCode}
    assert CHANNEL["x-close-codes"] == {str(code): code.meaning for code in CloseCode}
    published = {**CHANNEL["x-error-codes"], **CHANNEL["x-close-codes"], **CHANNEL["x-answer-error-codes"]}
    assert all(published.values())


def test_a_code_that_comes_new_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class RagAsleep(errors.RagError):
        """The provider sleeps.

        It wakes up at six.
        """

        code = "RAG_ASLEEP"
        __module__ = errors.__name__

    (channel,) = make_document("Kiosk", "/talk", 0)["channels"].values()
    assert channel["x-answer-error-codes"]["RAG_ASLEEP"] == {"description": "The provider sleeps.", "retryable": False}
    del RagAsleep
    gc.collect()  # whoever asks for all of them afterwards does not find it


# What the service publishes


async def test_the_service_publishes_its_own_settings(start: Serve) -> None:
    service = await start(app_title="Kiosk", ws_path="/talk")
    async with http(service) as client:
        response = await client.get("/asyncapi.json")
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert document["info"]["title"] == "Kiosk"
    assert [channel["address"] for channel in document["channels"].values()] == ["/talk"]
    assert document["components"] == COMPONENTS


async def test_the_http_pages_answer_as_the_openapi_document_says(start: Serve) -> None:
    services = [await start(), await start(dify_api_key=None)]
    async with http(services[0]) as ready, http(services[1]) as not_ready:
        document = (await ready.get("/openapi.json")).json()
        seen = set()
        for client in (ready, not_ready):
            for path in document["paths"]:
                response = await client.get(path)
                described = document["paths"][path]["get"]["responses"][str(response.status_code)]
                ((media, content),) = described["content"].items()
                assert response.headers["content-type"].partition(";")[0] == media
                if media == "application/json":
                    schema = {**content["schema"], "components": document["components"]}
                    assert [each.message for each in Draft202012Validator(schema).iter_errors(response.json())] == []
                seen.add((path, response.status_code))
    assert {("/health", 200), ("/health/ready", 200), ("/health/ready", 503), ("/asyncapi.json", 200)} <= seen
    for name in ("Health", "ReadyPage"):
        schema = document["components"]["schemas"][name]
        assert set(schema["required"]) == set(schema["properties"])


# The pages


class Page(HTMLParser):
    """What a page refers to, and whether all that is opened is closed."""

    VOID = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append(tag)
        self.attributes |= set(named)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in {"href", "src"} and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_pages_need_nothing_from_elsewhere_and_run_nothing(start: Serve) -> None:
    async with http(await start()) as client:
        for path in ("/docs", "/docs/protocol"):
            response = await client.get(path)
            policy = response.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "unsafe" not in policy
            assert response.headers["x-content-type-options"] == "nosniff"
            page = Page(response.text)
            assert not {"script", "link", "img", "iframe", "form"} & set(page.tags)
            assert not {name for name in page.attributes if name.startswith("on") or name == "style"}
            assert len(page.ids) == len(set(page.ids))
            for link in page.links:
                target = response.url.join(link)
                assert target.host == response.url.host
                if link.startswith("#"):
                    assert link[1:] in page.ids
                else:
                    assert (await client.get(target)).status_code == 200
        assert (await client.get("/redoc")).status_code == 404


def test_the_style_is_the_one_that_the_policy_allows() -> None:
    page = protocol_page(DOCUMENT)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{allowed}'" in HEADERS["Content-Security-Policy"]


def test_the_protocol_page_shows_every_field_and_code() -> None:
    page = protocol_page(DOCUMENT)
    for schema in COMPONENTS["schemas"].values():
        assert all(f"<code>{name}</code>" in page for name in schema.get("properties", {}))
    for codes in ("x-error-codes", "x-answer-error-codes", "x-close-codes"):
        assert all(f"<code>{code}</code>" in page for code in CHANNEL[codes])


def test_a_title_is_text_and_nothing_else() -> None:
    hostile = "<script>alert(1)</script>\" '"
    for page in (
        protocol_page(make_document(hostile, "/talk", 0)),
        http_page({"info": {"title": hostile, "version": "1"}, "paths": {}}),
    ):
        assert "<script" not in page
        assert "&lt;script&gt;" in page
