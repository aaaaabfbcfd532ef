"""Who is let in, as whom, and what a reload changes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from app.errors import StartError
from app.identity import Directory, Gate, Identity, Refusal, gate
from app.services.proxies import proxy_for
from app.values import allowed_origin_of, origin_of
from tests.identity.samples import SECRET, entry, hash_of, tenant
from tests.service import make_settings


def test_a_token_identifies_its_tenant_and_nobody_else() -> None:
    acme, shop = tenant("acme", "one"), tenant("shop", "two")
    directory = Directory([acme, shop])
    assert directory.identify("one") == Identity(acme)
    assert directory.identify("two") == Identity(shop)
    for wrong in ("", "On", "one ", "ONE", hash_of("one"), "thr\u00e9e", None):
        assert directory.identify(wrong) is None


def test_without_tenants_everybody_is_nobody_in_particular() -> None:
    directory = Directory()
    assert directory.is_open
    assert directory.identify(None) == directory.identify("anything") == Identity(None)
    assert not Directory([tenant()]).is_open


SHOP, OTHER = "https://shop.example", "https://other.example"


@pytest.mark.parametrize(
    ("origins", "service", "own", "is_foreign"),
    [
        ([], [SHOP], [], False),
        ([], [], [SHOP], False),
        ([OTHER], [], [], False),
        (["null"], [], [], False),
        ([SHOP], [SHOP], [], False),
        (["HTTPS://SHOP.EXAMPLE:443"], [SHOP], [], False),
        (["http://shop.example"], [SHOP], [], True),
        (["https://shop.example:8443"], [SHOP], [], True),
        (["https://shop.example.evil.example"], [SHOP], [], True),
        ([OTHER], [SHOP], [], True),
        (["null"], [SHOP], [], True),
        (["null"], ["null"], [], False),
        ([OTHER], ["*"], [], False),
        (["null"], ["*"], [], False),
        ([OTHER], ["*"], [SHOP], True),
        ([""], [SHOP], [], True),
        (["nonsense"], [SHOP], [], True),
        ([SHOP, SHOP], [SHOP], [], True),
        # A tenant's own list stands in the place of the service's.
        ([SHOP], [], [SHOP], False),
        ([OTHER], [], [SHOP], True),
        ([OTHER], [OTHER], [SHOP], True),
        ([SHOP], [OTHER], [SHOP], False),
    ],
)
def test_a_foreign_origin_is_told_from_a_known_one(
    origins: list[str], service: list[str], own: list[str], is_foreign: bool
) -> None:
    acme = tenant(allowed_origins=own)
    directory = Directory([acme], allowed_origins=map(allowed_origin_of, service))
    assert directory.is_foreign(origins, None, Identity(acme)) is is_foreign


def test_in_an_open_service_the_list_of_the_service_counts() -> None:
    directory = Directory(allowed_origins=[origin_of(SHOP)])
    assert directory.is_foreign([OTHER], None, Identity())
    assert not directory.is_foreign([SHOP], None, Identity())


@pytest.mark.parametrize(
    ("origin", "host", "is_foreign"),
    [
        ("https://evil.example", "127.0.0.1:8000", True),
        ("https://evil.example", None, True),
        ("null", "127.0.0.1:8000", True),
        ("nonsense", "127.0.0.1:8000", True),
        ("file://", "127.0.0.1:8000", True),
        # Pages of this machine, whatever serves them.
        ("http://localhost:3000", "127.0.0.1:8000", False),
        ("https://127.0.0.1", "127.0.0.1:8000", False),
        ("http://[::1]:5173", "[::1]:8000", False),
        ("http://app.localhost:1", "127.0.0.1:8000", False),
        ("http://localhost.evil.example", "127.0.0.1:8000", True),
        ("http://127.0.0.1.evil.example", "127.0.0.1:8000", True),
        ("chrome-extension://127.0.0.1", "127.0.0.1:8000", True),
        # Its own page, asked for by an address or by a name that it is known to have.
        ("http://192.168.1.5:8000", "192.168.1.5:8000", False),
        ("https://192.168.1.5:8443", "192.168.1.5", False),
        ("http://192.168.1.5:8001", "192.168.1.5:8000", True),
        ("http://192.168.1.6:8000", "192.168.1.5:8000", True),
        ("http://[fe80::1]:8000", "[fe80::1]:8000", False),
        ("https://rag.example", "rag.example", False),
        ("https://RAG.example:443", "rag.example.", False),
        ("https://other.example", "other.example", True),
        ("https://other.example", "not a host", True),
    ],
)
def test_an_open_service_without_a_list_is_for_its_own_pages_and_those_of_this_machine(
    origin: str, host: str | None, is_foreign: bool
) -> None:
    directory = Directory(allowed_hosts=["rag.example"])
    assert directory.is_foreign([origin], host, Identity()) is is_foreign
    assert not directory.is_foreign([], host, Identity())
    assert directory.is_foreign([origin, origin], host, Identity())


def test_the_own_page_may_connect_beside_every_list() -> None:
    directory = Directory(allowed_origins=[origin_of(SHOP)], allowed_hosts=["rag.example"])
    assert not directory.is_foreign(["https://rag.example"], "rag.example", Identity())
    assert not directory.is_foreign(["http://10.0.0.1:8000"], "10.0.0.1:8000", Identity())
    assert directory.is_foreign(["http://localhost:3000"], "rag.example", Identity())


@pytest.mark.parametrize(
    ("service", "origin", "is_foreign"),
    [
        ([SHOP], SHOP, False),
        ([SHOP], OTHER, False),  # the page of a tenant has to learn that its token is not valid
        ([SHOP], "https://third.example", True),
        ([], "https://third.example", False),
    ],
)
def test_a_stranger_is_foreign_when_every_list_would_turn_it_away(
    service: list[str], origin: str, is_foreign: bool
) -> None:
    directory = Directory([tenant(allowed_origins=[OTHER])], allowed_origins=map(origin_of, service))
    assert directory.is_foreign([origin], None, None) is is_foreign


# The comparison


def test_hashes_are_compared_in_constant_time_only() -> None:
    """Every use of a hash in the gate is `compare_digest(...)`, or the question whether there is one."""
    tree = ast.parse(Path(gate.__file__).read_text(encoding="utf-8"))
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "token_sha256"]
    assert {ast.unparse(parents[use]) for use in uses} == {
        "hmac.compare_digest(digest, tenant.token_sha256)",
        "tenant.token_sha256 is not None",
    }


# The gate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tenants.toml"
    path.write_text(entry("acme", "one") + entry("shop", "two", f'allowed_origins = ["{SHOP}"]'))
    return path


def name_of(admitted: Identity | Refusal) -> str | Refusal:
    if isinstance(admitted, Refusal):
        return admitted
    assert admitted.tenant is not None
    return admitted.tenant.name


@pytest.mark.parametrize(
    ("headers", "subprotocols", "query", "admitted"),
    [
        ([(b"authorization", b"Bearer one")], [], b"", "acme"),
        ([(b"Authorization", b"bearer one")], [], b"", "acme"),
        ([], ["realtime-rag.v1", "bearer.one"], b"", "acme"),
        ([], [], b"token=one", "acme"),
        ([(b"origin", SHOP.encode()), (b"host", b"rag.example")], [], b"token=two", "shop"),
        ([(b"Origin", OTHER.encode())], [], b"token=two", Refusal.FOREIGN_ORIGIN),
        ([(b"origin", SHOP.encode()), (b"origin", SHOP.encode())], [], b"token=two", Refusal.FOREIGN_ORIGIN),
        ([(b"origin", b"\xff")], [], b"token=two", Refusal.FOREIGN_ORIGIN),
        ([(b"origin", OTHER.encode())], [], b"", Refusal.UNAUTHORIZED),
        ([], [], b"", Refusal.UNAUTHORIZED),
        ([(b"authorization", b"Bearer three")], ["bearer.one"], b"", Refusal.UNAUTHORIZED),
        ([(b"authorization", b"Bearer \xff\xfe")], [], b"token=\xff", Refusal.UNAUTHORIZED),
    ],
)
def test_a_handshake_is_let_in_as_its_tenant_or_refused(
    path: Path,
    headers: list[tuple[bytes, bytes]],
    subprotocols: list[str],
    query: bytes,
    admitted: str | Refusal,
) -> None:
    gate = Gate(make_settings(auth_tokens_file=path))
    assert not gate.directory.is_open
    assert name_of(gate.admit(headers, subprotocols, query)) == admitted


def test_without_settings_the_gate_is_open_to_all_with_or_without_a_token() -> None:
    gate = Gate(make_settings())
    assert gate.directory.is_open
    assert gate.admit([], ["bearer.x"], b"token=y") == Identity()
    assert gate.admit([(b"origin", b"http://10.0.0.1"), (b"host", b"10.0.0.1")], [], b"") == Identity()
    assert gate.admit([(b"origin", OTHER.encode()), (b"host", b"10.0.0.1")], [], b"") is Refusal.FOREIGN_ORIGIN


def test_an_open_service_may_still_keep_out_other_web_pages() -> None:
    gate = Gate(make_settings(allowed_origins=SHOP))
    assert gate.admit([(b"origin", OTHER.encode())], [], b"") is Refusal.FOREIGN_ORIGIN
    assert gate.admit([(b"origin", SHOP.encode())], [], b"") == Identity()
    assert gate.admit([], [], b"") == Identity()


def test_a_refusal_is_logged_without_the_token(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate(make_settings(auth_tokens_file=path))
    with caplog.at_level("INFO"):
        gate.admit([(b"authorization", f"Bearer {SECRET}".encode())], [f"bearer.{SECRET}"], f"token={SECRET}".encode())
        gate.admit([(b"origin", OTHER.encode())], [], b"token=two")
    assert caplog.messages == [
        "refused a client: no valid token",
        f"refused a client: a foreign origin, ['{OTHER}']",
    ]


def test_the_service_does_not_start_with_a_wrong_file(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"^AUTH_TOKENS_FILE: .* cannot be read"):
        Gate(make_settings(auth_tokens_file=tmp_path / "none.toml"))


def test_a_reload_replaces_who_may_connect(path: Path) -> None:
    gate = Gate(make_settings(auth_tokens_file=path))
    path.write_text(entry("acme", "new") + entry("third", "three"))
    gate.reload()
    assert [name_of(gate.admit([], [], query)) for query in (b"token=new", b"token=three")] == ["acme", "third"]
    assert [gate.admit([], [], query) for query in (b"token=one", b"token=two")] == [Refusal.UNAUTHORIZED] * 2


@pytest.mark.parametrize("broken", ["", "[[tenants]]", f'token = "{SECRET}"', None])
def test_a_reload_of_a_broken_file_changes_nothing_and_is_logged(
    path: Path, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    gate = Gate(make_settings(auth_tokens_file=path))
    path.unlink() if broken is None else path.write_text(broken)
    gate.reload()
    assert name_of(gate.admit([], [], b"token=one")) == "acme"
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith("who may connect stays as it was: AUTH_TOKENS_FILE: ")
    assert SECRET not in record.getMessage()


def test_the_user_of_a_tenant_is_a_pseudonym_with_its_name() -> None:
    assert Identity().user_prefix == ""
    assert Identity(tenant("acme"), subject="someone@example.org").user_prefix == "acme-"


@pytest.mark.parametrize(
    "own",
    [
        ['dify_api_key = "k"', 'dify_base_url = "http://rag.internal/v1"'],
        ['openai_base_url = "http://rag.internal/v1"'],
    ],
    ids=["dify", "openai"],
)
def test_a_tenants_server_that_no_proxy_leads_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: list[str]
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    monkeypatch.setenv("NO_PROXY", "rag.internal")
    path = tmp_path / "tenants.toml"
    path.write_text(entry("acme", "t", *own))
    settings = make_settings(auth_tokens_file=path)
    Gate(settings, proxy_for)
    path.write_text(entry("acme", "t", *own).replace("rag.internal", "rag.example"))
    with pytest.raises(StartError, match=r"^ALL_PROXY: "):
        Gate(settings, proxy_for)
