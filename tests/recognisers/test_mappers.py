"""What recognisers send becomes the chunks of `messages.json`, by the mappers in JavaScript and by those in Python."""

from __future__ import annotations

import asyncio
import base64
import copy
import itertools
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from app.models.messages import AsrChunk
from app.tools.listen.complaints import complaint
from app.tools.listen.ears import EARS
from app.tools.listen.mappers import MAPPERS
from tests.client import PATIENCE
from tests.recognisers.replaying import Replay
from tests.service import ROOT

Row = dict[str, Any]
Chunks = list[list[Row]]
"""Of each message."""

ROWS: list[Row] = json.loads(Path(__file__).with_name("messages.json").read_text(encoding="utf-8"))
COMPLAINTS: list[Row] = json.loads(Path(__file__).with_name("complaints.json").read_text(encoding="utf-8"))
NAMES = [f"{row['mapper']}: {row['about']}" for row in ROWS]
IN_PYTHON = [row for row in ROWS if row["mapper"] in MAPPERS]
# What a field may hold that should hold something else; the last one is what a library makes of a large number.
ODD: list[Any] = [None, {}, [], "", -1, True, [None], {"low": 1, "high": 0, "unsigned": False}]
SOURCE = (ROOT / "app" / "static" / "recognisers.js").read_bytes()
# By its text: node takes a file of this name for an older kind of module.
SCRIPT = f"""
import * as makers from "data:text/javascript;base64,{base64.b64encode(SOURCE).decode()}";
import {{ readFileSync }} from "node:fs";
const rows = JSON.parse(readFileSync(0, "utf8"));
const chunksOf = ({{ mapper, options, messages }}) => messages.map(makers[mapper](options));
console.log(JSON.stringify(rows.map((row) => (row.mapper ? chunksOf(row) : makers.complaint(row.message) ?? null))));
"""


async def in_node(rows: list[Row]) -> list[Any]:
    """What JavaScript makes of each row: chunks of its messages, or the complaint in its message."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node, which runs the mappers in JavaScript")
    process = await asyncio.create_subprocess_exec(
        *(node, "--input-type=module", "--eval", SCRIPT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(3 * PATIENCE):
        out, err = await process.communicate(json.dumps(rows).encode())
    assert process.returncode == 0, err.decode()
    made: list[Any] = json.loads(out)
    return made


def in_python(row: Row) -> Chunks:
    return list(map(MAPPERS[row["mapper"]](**row["options"]), row["messages"]))


def prefixes(made: Chunks) -> set[str]:
    return {chunk["segment_id"].partition("-")[0] for chunks in made for chunk in chunks if "segment_id" in chunk}


def without_prefix(made: Chunks) -> Chunks:
    """Each mapper puts one of its own before all ids."""
    assert len(prefixes(made)) == 1
    return [
        [
            {name: value.partition("-")[2] if name == "segment_id" else value for name, value in chunk.items()}
            for chunk in chunks
        ]
        for chunks in made
    ]


def spoilt(row: Row) -> Row:
    """The row with each of its messages once more for each value in it, that value gone or odd."""

    def places(value: Any) -> Iterator[tuple[Any, Any]]:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, each in list(items):
            yield value, key
            yield from places(each)

    messages: list[Any] = [*ODD, "text"]
    for message in row["messages"]:
        whole = copy.deepcopy(message)
        for holder, key in places(whole):
            value = holder[key]
            for odd in ODD:
                holder[key] = odd
                messages.append(copy.deepcopy(whole))
            holder[key] = value
    return row | {"messages": messages}


def assert_sound(made: Chunks) -> None:
    for text in {json.dumps(chunk) for chunk in itertools.chain(*made)}:
        AsrChunk.model_validate_json(text)
        assert not re.search(r"undefined|null|None|NaN|nan|\[object", text)


async def test_the_mappers_in_javascript_make_the_chunks_of_the_table() -> None:
    made = await in_node(ROWS)
    assert len(set.union(*map(prefixes, made))) == len(ROWS)
    for row, chunks in zip(ROWS, made, strict=True):
        assert without_prefix(chunks) == row["chunks"], row["about"]


@pytest.mark.parametrize("row", IN_PYTHON, ids=[name for name in NAMES if not name.startswith("webSpeech")])
def test_the_mappers_in_python_make_the_chunks_of_the_table(row: Row) -> None:
    assert without_prefix(in_python(row)) == row["chunks"]


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_the_chunks_of_the_table_ask_what_was_asked(row: Row) -> None:
    replay = Replay(speculate=False)
    for at, chunks in enumerate(row["chunks"]):
        for chunk in chunks:
            replay.hear({"type": "asr_chunk", **chunk}, at / 4)
    replay.until(len(row["chunks"]) + 60)
    assert replay.questions == row["asked"]


@pytest.mark.slow
async def test_no_odd_field_breaks_a_mapper_in_javascript_or_makes_words() -> None:
    for chunks in await in_node([spoilt(row) for row in ROWS]):
        assert_sound(chunks)


@pytest.mark.no_cover  # many times what the table reaches
@pytest.mark.slow
@pytest.mark.parametrize("row", IN_PYTHON, ids=[name for name in NAMES if not name.startswith("webSpeech")])
def test_no_odd_field_breaks_a_mapper_in_python_or_makes_words(row: Row) -> None:
    assert_sound(in_python(spoilt(row)))


def in_words(row: Row) -> Any:
    return row["told"] and {"text": row["told"], "is_fatal": row["fatal"]}


async def test_what_a_recogniser_complains_of_is_told_in_javascript() -> None:
    assert await in_node(COMPLAINTS) == list(map(in_words, COMPLAINTS))


@pytest.mark.parametrize("row", COMPLAINTS, ids=lambda row: f"{row['from']}: {row['told']}")
def test_what_a_recogniser_complains_of_is_told_in_python(row: Row) -> None:
    told = complaint(row["message"])
    assert (told and asdict(told)) == in_words(row)


@pytest.mark.slow
async def test_no_odd_complaint_breaks_anything() -> None:
    messages = [each for row in COMPLAINTS for each in spoilt({"messages": [row["message"]]})["messages"]]
    in_javascript = await in_node([{"message": message} for message in messages])
    assert all(found is None or found["text"] for found in in_javascript)
    assert all(told is None or told.text for told in map(complaint, messages))


def test_the_table_has_the_complaints_of_every_recogniser_that_has_any() -> None:
    # These close the connection, and say no more than its code.
    silent = {"vosk", "sherpa-onnx", "realtimestt", "whisper-streaming", "pocketsphinx", "recall", "attendee", "zoom"}
    assert {row["from"] for row in COMPLAINTS if row["told"]} >= set(EARS) - silent


def test_the_table_has_every_mapper_and_what_went_wrong_once() -> None:
    messages = Counter[str]()
    for row in ROWS:
        messages[row["mapper"]] += len(row["messages"])
        assert len(row["chunks"]) == len(row["messages"])
        for chunk in itertools.chain(*row["chunks"]):
            AsrChunk.model_validate(chunk)
            assert chunk["text"] == chunk["text"].strip()
            # Always an id, but for what ends a turn.
            assert ("segment_id" in chunk) != (chunk["is_final"] and not chunk["text"])
    exported = re.findall(r"^export function (\w+)", SOURCE.decode(), re.MULTILINE)
    assert set(messages) == set(exported) - {"complaint"} == {*MAPPERS, "webSpeech"}
    assert min(messages.values()) >= 4
    assert {int(number) for row in ROWS for number in re.findall(r"\bF(\d+)", row["about"])} == set(range(1, 17))
