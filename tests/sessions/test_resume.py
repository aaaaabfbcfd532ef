"""The tokens, as plain calls."""

from __future__ import annotations

from app.sessions.resume import Tokens


def test_a_session_keeps_its_newest_token_and_the_one_its_client_came_by_until_that_is_confirmed() -> None:
    tokens = Tokens()
    first, foreign = tokens.issue("a"), tokens.issue("b")
    second = tokens.issue("a", first)
    third = tokens.issue("a", second)
    assert [tokens.key_of(token) for token in (first, second, third, foreign)] == [None, "a", "a", "b"]
    tokens.confirm("a")
    assert [tokens.key_of(token) for token in (second, third)] == [None, "a"]
    tokens.revoke("a")
    assert [tokens.key_of(token) for token in (third, foreign)] == [None, "b"]
    assert tokens.key_of("") is None
