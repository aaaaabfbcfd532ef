"""The log of frames and the tokens, as plain calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.archive import FrameLog, LocalArchive
from tests.service import make_settings

# A frame, and how many frames the client is behind with reading, or None where there is no client.
WRITES = st.lists(st.tuples(st.text(max_size=30), st.none() | st.integers(0, 8), st.booleans()), max_size=60)


@given(writes=WRITES, max_frames=st.integers(0, 10), max_bytes=st.integers(0, 1000))
def test_a_log_gives_back_all_after_a_frame_or_says_that_it_cannot(
    writes: list[tuple[str, int | None, bool]], max_frames: int, max_bytes: int
) -> None:
    log = FrameLog(max_frames, max_bytes)
    session: list[str] = []
    needed = 0
    for frame, behind, is_new_session in writes:
        if is_new_session:
            log.begin_session()
            session = []
        needed = log.end if behind is None else max(needed, log.end - behind)
        log.append(frame, needed)
        session.append(frame)
        kept = 0
        for seq in range(len(session) + 1):
            position = log.after(seq)
            assert log.has_had(seq)
            if position is not None:
                rest = [log.get(at) for at in range(position, log.end)]
                assert rest == session[seq:]
                kept += 1
        assert kept >= 1  # who has all of it can always go on
        assert log.after(len(session) + 1) is None
        assert not log.has_had(len(session) + 1)
        assert all(log.get(at) is not None for at in range(needed, log.end))
        if behind is None:
            needed = log.end
            log.trim(needed)
            assert (
                log.end - min((log.after(seq) or log.end for seq in range(len(session) + 1)), default=0) <= max_frames
            )
            assert log.size <= max_bytes


def test_a_record_keeps_its_newest_token_and_the_one_its_client_came_by_until_that_is_confirmed() -> None:
    archive = LocalArchive(make_settings())
    record, other = archive.open("a"), archive.open("b")
    first, foreign = record.issue(), other.issue()
    second = record.issue(first)
    third = record.issue(second)
    assert [archive.holder(token) for token in (first, second, third, foreign)] == [None, "a", "a", "b"]
    record.confirm()
    assert [archive.holder(token) for token in (second, third)] == [None, "a"]
    record.close()
    assert [archive.holder(token) for token in (third, foreign)] == [None, "b"]
    assert archive.holder("") is None
