"""Where a token may stand in a handshake."""

from __future__ import annotations

import pytest

from app.identity import choose_subprotocol
from app.identity.tokens import token_of

BEARER = "Bearer h-token"


@pytest.mark.parametrize(
    ("authorizations", "subprotocols", "query", "token"),
    [
        ([BEARER], [], "", "h-token"),
        (["bEARER  h-token "], [], "", "h-token"),
        ([], ["realtime-rag.v1", "bearer.s-token"], "", "s-token"),
        ([], ["bearer.s-token"], "", "s-token"),
        ([], [], "last_seq=4&token=q-token", "q-token"),
        ([], [], "tok%65n=q%2Dtoken", "q-token"),
        # The first place that has one counts.
        ([BEARER], ["bearer.s-token"], "token=q-token", "h-token"),
        ([], ["bearer.s-token"], "token=q-token", "s-token"),
        # What is malformed is not there.
        (["Basic dXNlcjpw"], [], "token=q-token", "q-token"),
        (["Bearer"], ["bearer."], "token=q-token", "q-token"),
        (["Bearer two words"], [], "", None),
        (["h-token"], [], "", None),
        (["Bearer t\u00f6ken"], [], "", None),
        ([BEARER, "Bearer other"], [], "", None),
        ([BEARER, BEARER], [], "token=q-token", "q-token"),
        ([], ["bearer.one", "bearer.two"], "", None),
        ([], ["Bearer.s-token", "token", "realtime-rag.v1"], "", None),
        ([], [], "token=one&token=two", None),
        ([], [], "token=", None),
        ([], [], "token", None),
        ([], [], "token=a+b", None),
        ([], [], "token=a%0Ab", None),
        ([], [], "Token=q-token&resume_token=other", None),
        ([], [], "token=" + "x" * 4096, "x" * 4096),
        ([], [], "token=" + "x" * 4097, None),
        ([], [], "&&=%ff%zz", None),
        ([], [], "", None),
    ],
)
def test_a_token_is_found_in_its_places(
    authorizations: list[str], subprotocols: list[str], query: str, token: str | None
) -> None:
    assert token_of(authorizations, subprotocols, query) == token


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["realtime-rag.v1"], "realtime-rag.v1"),
        (["bearer.t", "realtime-rag.v1"], "realtime-rag.v1"),
        (["bearer.t"], None),
        (["realtime-rag.v2", "REALTIME-RAG.V1"], None),
        ([], None),
    ],
)
def test_the_subprotocol_of_the_service_is_chosen_and_never_the_token(offered: list[str], chosen: str | None) -> None:
    assert choose_subprotocol(offered) == chosen
