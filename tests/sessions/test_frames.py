"""The log of frames, as plain calls."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from app.sessions.frames import FrameLog, NotKept

# A frame, and how many frames the client is behind with reading, or None where there is no client.
WRITES = st.lists(st.tuples(st.text(max_size=30), st.none() | st.integers(0, 8), st.booleans()), max_size=60)


@dataclass
class Cursor:
    position: int = 0


def after(log: FrameLog, seq: int, session_id: str | None = None) -> int | str:
    try:
        return log.after(seq, session_id)
    except NotKept as error:
        return error.reason


@given(writes=WRITES, max_frames=st.integers(0, 10), max_bytes=st.integers(0, 1000))
def test_a_log_gives_back_all_after_a_frame_or_says_that_it_cannot(
    writes: list[tuple[str, int | None, bool]], max_frames: int, max_bytes: int
) -> None:
    log = FrameLog(max_frames, max_bytes)
    sessions: list[list[str]] = []
    reader, needed = Cursor(), 0
    for frame, behind, is_new_session in writes:
        if is_new_session or not sessions:
            log.begin_session(str(len(sessions)))
            sessions.append([])
        needed = log.end if behind is None else max(needed, log.end - behind)
        reader.position = needed
        log.readers = [] if behind is None else [Cursor(log.end), reader]
        log.append(frame)
        sessions[-1].append(frame)
        if behind is None:
            needed = log.end
            assert log.size <= max_bytes
        kept = set()
        for number, session in enumerate(sessions):
            later = [each for other in sessions[number + 1 :] for each in other]
            for seq in range(len(session) + 1):
                position = after(log, seq, str(number))
                if isinstance(position, int):
                    assert list(log.frames)[position - log.first :] == session[seq:] + later
                    kept.add(position)
        assert kept == set(range(min(kept), log.end + 1))  # what is lost is the beginning
        assert min(kept) <= needed
        if behind is None:
            assert log.end - min(kept) <= max_frames
        for seq in range(len(sessions[-1]) + 1):
            assert after(log, seq) == after(log, seq, str(len(sessions) - 1))
        assert after(log, len(sessions[-1]) + 1) == "unknown_frame"


def test_a_log_knows_the_sessions_whose_frames_it_has() -> None:
    log = FrameLog(max_frames=3, max_bytes=1000)

    def write(session_id: str, frames: int) -> None:
        log.begin_session(session_id)
        for _ in range(frames):
            log.append("{}")

    write("a", 2)
    write("b", 1)
    assert [after(log, seq, "a") for seq in range(4)] == [0, 1, 2, "unknown_frame"]
    assert [after(log, seq, "b") for seq in range(3)] == [2, 3, "unknown_frame"]
    write("a", 2)  # the latest of that name
    assert [after(log, seq, "a") for seq in range(4)] == [3, 4, 5, "unknown_frame"]
    assert [after(log, seq, "b") for seq in range(3)] == [2, 3, "unknown_frame"]
    write("d", 2)
    assert [after(log, seq, "b") for seq in range(2)] == ["frames_lost", "frames_lost"]
    assert after(log, 0, "never") == "frames_lost"
