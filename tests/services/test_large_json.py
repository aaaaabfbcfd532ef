"""A long text inside of JSON: found, cut and read piece by piece, with the same words as in one go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services import large_json
from app.services.large_json import LongText, begins_long_text, read_json


@pytest.fixture(autouse=True, scope="module")
def _small_pieces() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_json, "PIECE_BYTES", 64)
        yield


def found(data: bytes | bytearray) -> LongText | None:
    text = LongText(data)
    while text.look_on():
        pass
    return text if text.is_whole else None


def whole(pieces: Iterator[str]) -> str:
    """The text, with the halves of pairs joined."""
    return "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


texts = st.text(alphabet=st.characters(exclude_categories=[]), max_size=200) | st.text(
    alphabet='ab"\\/{}\n\t水📚\u2028\x00\x7f', max_size=200
)
heads = st.dictionaries(
    st.sampled_from(["event", "task_id", "created_at", "id"]),
    st.none() | st.booleans() | st.integers() | st.text(alphabet="abc 水", max_size=5),
    max_size=4,
)


@given(head=heads, text=texts, tail=st.dictionaries(st.sampled_from(["z", "y"]), texts), is_ascii=st.booleans())
def test_a_long_text_is_read_in_pieces_as_in_one_go(
    head: dict[str, Any], text: str, tail: dict[str, str], is_ascii: bool
) -> None:
    if not is_ascii:
        text = text.encode(errors="replace").decode()
        tail = {key: value.encode(errors="replace").decode() for key, value in tail.items()}
    separators = (", ", ": ") if is_ascii else (",", ":")
    data = json.dumps({**head, "answer": text, **tail}, ensure_ascii=is_ascii, separators=separators).encode()
    if not begins_long_text(data):
        return  # its head is longer than a piece here
    for kind in (bytes, bytearray):
        long = found(kind(data))
        assert long is not None
        assert whole(iter(long)) == whole(iter([text]))
        assert read_json(long.rest) == {**head, "answer": "", **tail}
        assert list(long) == list(long)


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    for start in (b"", b'{"answer":"', b'{"event":"message","answer": "'):
        if (long := found(start + data)) is not None:
            assert all(isinstance(piece, str) for piece in long)


@pytest.mark.parametrize(
    "data",
    [
        b'{"answer":"' + b"x" * 500,
        b'{"answer":"' + b"x" * 500 + b"\\",
        b'{"answer":"' + b"x" * 500 + b'\\u12"}',
        b'{"answer":"' + b"x" * 500 + b'\\"}',
        b'{"answer":"' + b"\x80" * 500 + b'"}',
        b'{"data":{"answer":"' + b"x" * 500 + b'"}}',
        b'{"data":[],"answer":"' + b"x" * 500 + b'"}',
        b'[{"answer":"' + b"x" * 500 + b'"}]',
        b'{"answer":7}',
        b'{"event":"message"}',
        b"",
    ],
)
def test_what_cannot_be_cut_is_no_long_text(data: bytes) -> None:
    assert found(data) is None


def test_every_look_and_every_piece_is_small() -> None:
    data = json.dumps({"event": "message", "answer": "水\n" * 10_000}).encode()
    text = LongText(data)
    looks = 0
    while text.look_on():
        looks += 1
    assert looks >= len(data) // 64
    assert max(map(len, text)) <= 64


def test_a_character_that_is_none_costs_only_itself() -> None:
    long = found(b'{"answer":"' + b"x" * 100 + b"\xff\x00" + b"y" * 100 + b'"}')
    assert long is not None
    assert "".join(long) == "x" * 100 + "\ufffd\x00" + "y" * 100
