"""The tokens, as plain calls."""

from __future__ import annotations

from app.sessions.resume import Tokens, hash_of, key_of, new_token


def test_a_session_keeps_its_newest_token_and_the_one_its_client_came_by_until_that_is_confirmed() -> None:
    tokens = Tokens()
    first, second, third, foreign = (new_token("a") for _ in range(4))
    tokens.add(hash_of(first))
    tokens.add(hash_of(second), hash_of(first))
    tokens.add(hash_of(third), hash_of(second))
    assert [tokens.opens(token) for token in (first, second, third, foreign)] == [False, True, True, False]
    assert tokens.confirm()
    assert not tokens.confirm()
    assert [tokens.opens(token) for token in (second, third)] == [False, True]
    tokens.revoke()
    assert not tokens.opens(third)
    assert not tokens.opens("")


def test_a_token_tells_whose_it_is_and_nothing_of_it_is_kept() -> None:
    token = new_token("a")
    assert key_of(token) == "a"
    assert key_of("\ud800") == "\ud800"
    tokens = Tokens()
    tokens.add(hash_of(token))
    assert token.partition(".")[2] not in str(tokens.hashes)
    assert not tokens.opens("a.\ud800")
