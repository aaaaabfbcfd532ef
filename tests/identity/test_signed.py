"""Signed tokens: what is believed, what is not, and how the service refuses to start with a wrong key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from app.errors import StartError
from app.identity import Gate, Identity, Refusal, Tenant
from app.identity.signed import LEEWAY
from tests.identity.samples import SECRET, entry
from tests.service import make_settings

KEY = "k" * 32
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
CURVE = ec.generate_private_key(ec.SECP256R1())


def public(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def private(key: rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)


def claims(**changes: Any) -> dict[str, Any]:
    """What stands in a valid token; None takes a claim away."""
    whole = {"sub": "u-1", "tenant": "acme", "exp": int(time.time()) + 600, **changes}
    return {name: value for name, value in whole.items() if value is not None}


def hs256(**changes: Any) -> str:
    return jwt.encode(claims(**changes), KEY, "HS256")


def by_hand(header: dict[str, Any], payload: bytes, key: bytes = KEY.encode()) -> str:
    """A token as no library would make it."""
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (json.dumps(header).encode(), payload)]
    signature = hmac.digest(key, b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def admit(gate: Gate, token: str) -> Identity | Refusal:
    return gate.admit([(b"authorization", f"Bearer {token}".encode())], [], b"")


@pytest.fixture
def gate() -> Gate:
    return Gate(make_settings(jwt_secret=KEY))


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    path.write_bytes(public(RSA))
    return path


# What is believed


def test_a_valid_token_says_who_it_is_and_until_when(gate: Gate) -> None:
    assert not gate.directory.is_open
    assert admit(gate, hs256(exp=4_000_000_000)) == Identity(Tenant(name="acme"), "u-1", 4_000_000_000 + LEEWAY)


def test_a_token_may_come_as_a_subprotocol_or_in_the_url(gate: Gate) -> None:
    for identity in (gate.admit([], [f"bearer.{hs256()}"], b""), gate.admit([], [], f"token={hs256()}".encode())):
        assert isinstance(identity, Identity)


def test_a_public_key_reads_what_its_private_key_signed(pem: Path) -> None:
    gate = Gate(make_settings(jwt_public_key_file=pem))
    assert isinstance(admit(gate, jwt.encode(claims(), RSA, "RS256")), Identity)


def test_clocks_may_differ_a_little_and_a_session_is_not_over_before_it_began(gate: Gate) -> None:
    now = time.time()
    identity = admit(gate, hs256(exp=now - LEEWAY / 2, nbf=now + LEEWAY / 2, iat=now + LEEWAY / 2))
    assert isinstance(identity, Identity)
    assert identity.expires_at is not None
    assert identity.expires_at > now


# What is not


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": 1},
        {"exp": 0},
        {"exp": True},
        {"exp": "4000000000"},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 10**400},
        {"exp": 253_402_300_800},
        {"exp": [4_000_000_000]},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "s" * 257},
        {"tenant": None},
        {"tenant": ""},
        {"tenant": 7},
        {"tenant": ["acme"]},
        {"tenant": "a" * 65},
        {"tenant": "acme\n"},
        {"tenant": "acme-ws-user-1"},
        {"aud": "another service"},
        {"aud": ""},
        {"aud": []},
    ],
)
def test_a_token_without_the_right_claims_is_refused(gate: Gate, changes: dict[str, Any]) -> None:
    assert isinstance(admit(gate, hs256()), Identity)
    token = by_hand({"alg": "HS256"}, json.dumps(claims(**changes)).encode())
    assert admit(gate, token) is Refusal.UNAUTHORIZED


def test_a_token_is_refused_once_it_has_expired(gate: Gate) -> None:
    assert admit(gate, hs256(exp=time.time() - LEEWAY - 1)) is Refusal.UNAUTHORIZED


@pytest.mark.parametrize(
    ("audience", "issuer", "is_valid"),
    [
        ("rag", "https://login.example", True),
        (["other", "rag"], "https://login.example", True),
        ("other", "https://login.example", False),
        (["other"], "https://login.example", False),
        (None, "https://login.example", False),
        ("rag", "https://other.example", False),
        ("rag", None, False),
    ],
)
def test_audience_and_issuer_have_to_fit(audience: str | list[str] | None, issuer: str | None, is_valid: bool) -> None:
    gate = Gate(make_settings(jwt_secret=KEY, jwt_audience="rag", jwt_issuer="https://login.example"))
    assert isinstance(admit(gate, hs256(aud=audience, iss=issuer)), Identity) is is_valid


def test_another_key_or_algorithm_is_refused(gate: Gate, pem: Path) -> None:
    payload = json.dumps(claims()).encode()
    unsigned = jwt.encode(claims(), "", "none")
    for token in (
        jwt.encode(claims(), "x" * 32, "HS256"),
        jwt.encode(claims(), KEY * 2, "HS512"),
        jwt.encode(claims(), RSA, "RS256"),
        unsigned,
        by_hand({"alg": "none"}, payload),
        by_hand({"alg": ["HS256"]}, payload),
        by_hand({}, payload),
        hs256() + "x",
        hs256()[:-3],
    ):
        assert admit(gate, token) is Refusal.UNAUTHORIZED
    by_public_key = Gate(make_settings(jwt_public_key_file=pem))
    for token in (
        # The public key is no secret: whoever knows it must not be able to sign with it.
        by_hand({"alg": "HS256"}, payload, key=public(RSA)),
        by_hand({"alg": "RS256"}, payload, key=public(RSA)),
        jwt.encode(claims(), rsa.generate_private_key(65537, 2048), "RS256"),
        jwt.encode(claims(), RSA, "PS256"),
        unsigned,
        hs256(),
    ):
        assert admit(by_public_key, token) is Refusal.UNAUTHORIZED


@pytest.mark.parametrize(
    "header",
    [{"alg": "HS256", "crit": ["x"]}, {"alg": "HS256", "b64": False, "crit": ["b64"]}, {"alg": "HS256", "kid": 7}],
)
def test_a_header_that_asks_for_something_else_is_refused(gate: Gate, header: dict[str, Any]) -> None:
    assert admit(gate, by_hand(header, json.dumps(claims()).encode())) is Refusal.UNAUTHORIZED


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{", b"\xff", b'"text"', b"[" * 2000, b'{"exp": 1e999}'])
def test_a_signed_token_without_claims_is_refused(gate: Gate, payload: bytes) -> None:
    assert admit(gate, by_hand({"alg": "HS256"}, payload)) is Refusal.UNAUTHORIZED


GATE = Gate(make_settings(jwt_secret=KEY))
SEGMENT = st.binary(max_size=60).map(lambda data: base64.urlsafe_b64encode(data).decode())
PIECE = st.one_of(
    SEGMENT, st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)), st.sampled_from(hs256().split("."))
)


@given(st.lists(PIECE, max_size=4).map(".".join))
def test_no_token_breaks_the_gate(token: str) -> None:
    assert isinstance(admit(GATE, token), Identity | Refusal)


def test_a_refused_token_leaves_a_reason_and_nothing_of_itself(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        admit(gate, hs256(exp=1, sub=SECRET))
        admit(gate, by_hand({"alg": "HS256"}, json.dumps(claims(sub=SECRET * 50)).encode()))
        admit(gate, hs256(tenant="ws-user", sub=SECRET))
    assert [message for message in caplog.messages if "refused" not in message] == [
        "a token is not valid: ExpiredSignatureError",
        "a token is not valid: claim sub",
        "a token is not valid: its tenant is not known",
    ]


# With tenants


def test_with_a_file_of_tenants_a_token_has_to_name_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(entry("acme", "static") + '[[tenants]]\nname = "shop"\nmax_sessions = 3\n')
    gate = Gate(make_settings(auth_tokens_file=path, jwt_secret=KEY))
    shop = admit(gate, hs256(tenant="shop"))
    assert isinstance(shop, Identity)
    assert shop.tenant is not None
    assert shop.tenant.max_sessions == 3
    assert admit(gate, hs256(tenant="third")) is Refusal.UNAUTHORIZED
    # A token of the file and a signed one lead to the same tenant.
    static, signed = admit(gate, "static"), admit(gate, hs256(tenant="acme"))
    assert isinstance(static, Identity)
    assert isinstance(signed, Identity)
    assert static.tenant == signed.tenant
    assert (static.subject, static.expires_at) == (None, None)


# The start


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (private(RSA), "holds a private key"),
        (private(RSA, b"password"), "holds a private key"),
        (public(CURVE), "is no RSA public key"),
        (public(WEAK), "less than 2048 bits"),
        (SECRET.encode(), "is no RSA public key"),
        (b"", "is no RSA public key"),
        (b"-----BEGIN PUBLIC KEY-----\n\xff", "is no RSA public key"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_key_file_stops_the_start(pem: Path, content: bytes | None, told: str) -> None:
    pem.unlink() if content is None else pem.write_bytes(content)
    with pytest.raises(StartError, match=rf"^JWT_PUBLIC_KEY_FILE: .*{told}") as refusal:
        Gate(make_settings(jwt_public_key_file=pem))
    assert SECRET not in str(refusal.value)


def test_a_public_key_is_no_secret(pem: Path) -> None:
    with pytest.raises(StartError, match=r"^JWT_SECRET: is no secret") as refusal:
        Gate(make_settings(jwt_secret=public(RSA).decode().strip()))
    assert "BEGIN" not in str(refusal.value)


@pytest.mark.parametrize("setting", ["jwt_secret", "jwt_public_key_file"])
def test_without_the_library_a_key_stops_the_start(monkeypatch: pytest.MonkeyPatch, pem: Path, setting: str) -> None:
    value = {"jwt_secret": KEY, "jwt_public_key_file": pem}[setting]
    monkeypatch.setitem(sys.modules, "jwt", None)  # as if it were not installed
    with pytest.raises(StartError, match=rf"^{setting.upper()}: needs the extra `jwt`"):
        Gate(make_settings(**{setting: value}))
    assert Gate(make_settings()).directory.is_open


def test_without_cryptography_a_public_key_stops_the_start(monkeypatch: pytest.MonkeyPatch, pem: Path) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(StartError, match=r"^JWT_PUBLIC_KEY_FILE: needs the extra `jwt`"):
        Gate(make_settings(jwt_public_key_file=pem))


def test_a_new_key_is_read_on_reload(pem: Path) -> None:
    gate = Gate(make_settings(jwt_public_key_file=pem))
    new = rsa.generate_private_key(65537, 2048)
    pem.write_bytes(public(new))
    gate.reload()
    assert isinstance(admit(gate, jwt.encode(claims(), new, "RS256")), Identity)
    assert admit(gate, jwt.encode(claims(), RSA, "RS256")) is Refusal.UNAUTHORIZED
    pem.write_bytes(b"")
    gate.reload()
    assert isinstance(admit(gate, jwt.encode(claims(), new, "RS256")), Identity)
