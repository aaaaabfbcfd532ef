"""What is written by template is what the model would write, whatever the text."""

from __future__ import annotations

from dataclasses import replace as changed

from hypothesis import given
from hypothesis import strategies as st

from app.models.messages import CLIENT_TYPES, Status
from app.models.pieces import INTERIM_ACK, AnswerPiece, MessageAck, interim_ack, waiting

# Halves of surrogate pairs among them.
texts = st.text(alphabet=st.characters(exclude_categories=()))
ids = st.text(alphabet="az-AZ_09.:", min_size=1)
optional = st.sampled_from([None, True, False])


@given(content=texts, replace=optional, session_id=ids, number=st.integers(0, 10**9))
def test_a_piece_of_an_answer_is_written_as_its_model(
    content: str, replace: bool | None, session_id: str, number: int
) -> None:
    piece = AnswerPiece(session_id, number, f"q-{number}", number, content, replace)
    assert piece.to_json() == piece.model().to_json()


@given(
    kind=st.sampled_from(CLIENT_TYPES),
    is_final=optional,
    session_id=ids,
    message_id=st.none() | texts,
    details=st.none() | st.dictionaries(texts, st.sampled_from(["cut", "ignored", "rounded"])),
)
def test_the_ack_of_a_message_is_written_as_its_model(
    kind: str, is_final: bool | None, session_id: str, message_id: str | None, details: dict[str, str] | None
) -> None:
    ack = MessageAck(session_id, 7, kind, is_final, message_id, details)  # type: ignore[arg-type]
    assert ack.to_json() == ack.model().to_json()


@given(session_id=ids, reason=ids, note=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_status_that_says_why_nothing_is_asked_is_written_as_its_model(
    session_id: str, reason: str, note: str
) -> None:
    status = Status(session_id=session_id, seq=7, stage="waiting_for_question", reason=reason, note=note)
    assert waiting(session_id, 7, reason, note) == status.to_json()


@given(session_id=ids, message_id=st.none() | texts)
def test_the_ack_of_an_interim_chunk_is_written_as_that_of_any_other(session_id: str, message_id: str | None) -> None:
    ack = changed(INTERIM_ACK, session_id=session_id, seq=7, id=message_id)
    assert interim_ack(session_id, 7, message_id) == ack.to_json()
