"""The circuit breaker: plain calls, with the time as a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.errors import (
    RagBrokenStream,
    RagError,
    RagFailed,
    RagNotConfigured,
    RagRateLimited,
    RagRejected,
    RagTimeout,
    RagUnavailable,
)
from app.services.breaker import DECISIVE_RETRY_MS, MAX_UNHEARD, Breaker, Trial

DOWN = RagUnavailable("down")
REFUSALS = [RagRejected("400"), RagFailed("a node failed"), RagRateLimited("429"), RagError("of some other kind")]


SILENT = RagTimeout("only pings", "first_text", is_silent=True)


def fail(breaker: Breaker, now: float = 0, error: RagError = DOWN, user: str = "") -> None:
    """One question from its beginning to its failure."""
    trial = breaker.admit(now, user)
    breaker.fail(trial, error, now)
    breaker.leave(trial)


def succeed(breaker: Breaker, now: float = 0) -> None:
    trial = breaker.admit(now)
    breaker.succeed(trial)
    breaker.leave(trial)


def retry_after(breaker: Breaker, now: float) -> int | None:
    with pytest.raises(RagUnavailable) as refusal:
        breaker.admit(now)
    return refusal.value.retry_after_ms


def opened(limit: int = 2, seconds: float = 30) -> Breaker:
    """A breaker that opened at 0."""
    breaker = Breaker(limit, seconds)
    for _ in range(limit):
        fail(breaker)
    assert not breaker.is_closed
    return breaker


def test_it_opens_after_failures_in_a_row_and_says_when_to_ask_again() -> None:
    breaker = Breaker(3, 30)
    fail(breaker, 1)
    fail(breaker, 2)
    assert breaker.is_closed
    fail(breaker, 3)
    assert retry_after(breaker, 3) == 30_000
    assert retry_after(breaker, 32.9995) == 1  # rounded up: never too early


def test_nobody_is_told_to_wait_longer_than_it_is_left_alone() -> None:
    breaker = Breaker(1, 30)
    fail(breaker, 2.00001)
    assert 2.00001 + 30 - 2.00001 > 30  # as floats count
    assert retry_after(breaker, 2.00001) == 30_000


def test_an_answer_between_failures_begins_the_count_anew() -> None:
    breaker = Breaker(2, 30)
    fail(breaker)
    succeed(breaker)
    fail(breaker)
    assert breaker.is_closed


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_a_refusal_is_no_failure_for_only_an_upstream_that_works_can_refuse(error: RagError) -> None:
    breaker = Breaker(2, 30)
    fail(breaker)
    fail(breaker, error=error)
    fail(breaker)
    assert breaker.is_closed
    assert breaker.failures == {"unavailable": 2}


def test_a_missing_key_says_nothing_about_the_upstream() -> None:
    breaker = Breaker(2, 30)
    fail(breaker)
    fail(breaker, error=RagNotConfigured("no key"))
    assert breaker.is_closed
    fail(breaker)
    assert not breaker.is_closed


def test_an_interrupted_question_counts_neither_way() -> None:
    breaker = Breaker(2, 30)
    fail(breaker)
    breaker.leave(breaker.admit(0))
    assert breaker.is_closed
    fail(breaker)
    assert not breaker.is_closed


def test_text_alone_does_not_end_a_row_of_broken_answers() -> None:
    breaker = Breaker(2, 30)
    for _ in range(2):
        trial = breaker.admit(0)
        breaker.text_came(trial)
        breaker.fail(trial, RagBrokenStream("cut"), 0)
        breaker.leave(trial)
    assert not breaker.is_closed


def test_silence_counts_once_for_each_user() -> None:
    breaker = Breaker(3, 30)
    for _ in range(5):
        fail(breaker, error=SILENT, user="one whose inputs do not fit")
    fail(breaker, error=SILENT, user="another")
    assert breaker.is_closed
    assert breaker.failures == {"first_text": 6}
    fail(breaker, error=SILENT, user="a third")
    assert not breaker.is_closed


@pytest.mark.parametrize("error", [DOWN, RagTimeout("", "first_text"), RagTimeout("", "connect")])
def test_a_failure_that_is_no_silence_counts_each_time(error: RagError) -> None:
    breaker = Breaker(2, 30)
    fail(breaker, error=error, user="one")
    fail(breaker, error=error, user="one")
    assert not breaker.is_closed


def test_an_answer_begins_the_count_of_the_unheard_anew() -> None:
    breaker = Breaker(2, 30)
    fail(breaker, error=SILENT, user="one")
    succeed(breaker)
    fail(breaker, error=SILENT, user="one")
    fail(breaker, error=SILENT, user="two")
    assert not breaker.is_closed


def test_who_was_met_with_silence_before_does_not_keep_it_open() -> None:
    breaker = Breaker(1, 30)
    fail(breaker, 0, SILENT, "one")
    fail(breaker, 30, SILENT, "one")
    succeed(breaker, 31)
    assert breaker.is_closed
    fail(breaker, 32, SILENT, "one")
    assert not breaker.is_closed


def test_the_unheard_are_bounded() -> None:
    breaker = Breaker(MAX_UNHEARD + 2, 30)
    for number in range(MAX_UNHEARD):
        fail(breaker, error=SILENT, user=str(number))
    fail(breaker, error=SILENT, user="0")
    assert breaker.is_closed
    fail(breaker, error=SILENT, user="one more")
    fail(breaker, error=SILENT, user="one more")  # who is not remembered counts again
    assert not breaker.is_closed


def test_failures_are_counted_by_phase_even_when_it_never_opens() -> None:
    breaker = Breaker(0, 30)
    for error in [
        RagTimeout("", "connect"),
        RagTimeout("", "first_text"),
        RagTimeout("", "stall"),
        RagTimeout("", "total"),
        RagUnavailable("502"),
        RagUnavailable("503"),
        RagBrokenStream("cut"),
    ]:
        fail(breaker, error=error)
    assert breaker.is_closed
    assert breaker.failures == {
        "connect": 1,
        "first_text": 1,
        "stall": 1,
        "total": 1,
        "unavailable": 2,
        "broken": 1,
    }


def test_after_its_time_one_question_passes_and_the_others_wait_for_it() -> None:
    breaker = opened()
    breaker.admit(30)
    assert retry_after(breaker, 30) == DECISIVE_RETRY_MS
    assert retry_after(breaker, 99) == DECISIVE_RETRY_MS


def test_the_first_text_of_the_one_question_lets_the_others_pass() -> None:
    breaker = opened()
    decisive = breaker.admit(30)
    breaker.text_came(decisive)
    succeed(breaker, 30)
    breaker.succeed(decisive)
    breaker.leave(decisive)
    assert breaker.is_closed


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_a_refusal_of_the_one_question_lets_the_others_pass_too(error: RagError) -> None:
    breaker = opened()
    fail(breaker, 30, error)
    assert breaker.is_closed


def test_a_failure_of_the_one_question_begins_the_time_anew() -> None:
    breaker = opened()
    fail(breaker, 40)
    assert retry_after(breaker, 41) == 29_000


def test_the_one_question_that_breaks_after_its_text_is_the_first_failure_of_a_new_row() -> None:
    breaker = opened(limit=2)
    decisive = breaker.admit(30)
    breaker.text_came(decisive)
    breaker.fail(decisive, RagBrokenStream("cut"), 31)
    breaker.leave(decisive)
    assert breaker.is_closed
    fail(breaker, 32)
    assert not breaker.is_closed


@pytest.mark.parametrize("error", [None, RagNotConfigured("no key")], ids=["interrupted", "no key"])
def test_the_one_question_that_finds_nothing_out_frees_its_place(error: RagError | None) -> None:
    breaker = opened()
    decisive = breaker.admit(30)
    if error is not None:
        breaker.fail(decisive, error, 30)
    breaker.leave(decisive)
    assert not breaker.is_closed
    succeed(breaker, 30)
    assert breaker.is_closed


def test_what_was_asked_before_it_opened_changes_nothing_any_more() -> None:
    breaker = Breaker(1, 30)
    early = [breaker.admit(0) for _ in range(4)]
    fail(breaker, 0)
    breaker.fail(early[0], DOWN, 20)
    assert retry_after(breaker, 20) == 10_000  # not prolonged
    breaker.succeed(early[1])
    assert not breaker.is_closed
    decisive = breaker.admit(30)
    for trial in early:
        breaker.leave(trial)
    assert retry_after(breaker, 30) == DECISIVE_RETRY_MS
    breaker.succeed(decisive)
    breaker.fail(early[2], DOWN, 31)
    assert breaker.is_closed
    assert breaker.failures == {"unavailable": 3}


class AnyTraffic(RuleBasedStateMachine):
    """Questions that begin and end in any order, with any outcome, against a simple account of the rules."""

    LIMIT, SECONDS = 3, 30.0

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(self.LIMIT, self.SECONDS)
        self.now = 0.0
        self.running: list[Trial] = []
        self.decisive: list[Trial] = []
        self.failures = 0
        self.opened_at: float | None = None

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_question_comes(self) -> None:
        is_due = self.opened_at is not None and self.now >= self.opened_at + self.SECONDS
        if not self.breaker.is_closed and (self.decisive or not is_due):
            assert 0 < (retry_after(self.breaker, self.now) or 0) <= self.SECONDS * 1000
            return
        trial = self.breaker.admit(self.now)
        self.running.append(trial)
        if not self.breaker.is_closed:
            self.decisive.append(trial)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), outcome=st.sampled_from(["text", "answer", "failure", "refusal", "interrupt"]))
    def something_happens_to_one(self, data: st.DataObject, outcome: str) -> None:
        trial = data.draw(st.sampled_from(self.running))
        was_closed, is_decisive = self.breaker.is_closed, trial in self.decisive
        match outcome:
            case "text":
                self.breaker.text_came(trial)
            case "answer":
                self.breaker.succeed(trial)
            case "refusal":
                self.breaker.fail(trial, RagRejected("400"), self.now)
            case "failure":
                self.breaker.fail(trial, DOWN, self.now)
                self.failures += 1
        if outcome != "text":
            self.breaker.leave(trial)
            self.running.remove(trial)
        if self.breaker.is_closed != was_closed:
            assert outcome != "interrupt"
            assert (outcome == "failure") == was_closed
            assert was_closed or is_decisive  # nobody else closes it
        if was_closed and not self.breaker.is_closed:
            self.opened_at = self.now
        if is_decisive and not was_closed:
            self.decisive.remove(trial)
            if outcome == "failure":
                self.opened_at = self.now

    @invariant()
    def one_question_at_most_finds_out(self) -> None:
        assert len(self.decisive) <= (not self.breaker.is_closed)

    @invariant()
    def no_failure_goes_uncounted(self) -> None:
        assert self.breaker.failures.total() == self.failures


TestAnyTraffic = AnyTraffic.TestCase


@given(st.lists(st.sampled_from([DOWN, RagTimeout("", "stall"), None]), max_size=40), st.integers(1, 6))
def test_it_opens_exactly_at_that_many_failures_in_a_row(outcomes: list[RagError | None], limit: int) -> None:
    breaker = Breaker(limit, 30)
    row = 0
    for outcome in outcomes:
        succeed(breaker) if outcome is None else fail(breaker, error=outcome)
        row = 0 if outcome is None else row + 1
        assert breaker.is_closed == (row < limit)
        if not breaker.is_closed:
            return
