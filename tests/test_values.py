"""Origins have one form, by which they are compared; addresses belong to somebody."""

from __future__ import annotations

import pytest

from app.values import origin_of, subscriber_of


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://shop.example", "https://shop.example:443"),
        ("HTTPS://Shop.Example:443", "https://shop.example:443"),
        ("http://shop.example", "http://shop.example:80"),
        ("http://127.0.0.1:08080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("app://local", "app://local:"),
        ("Null", "null"),
    ],
)
def test_an_origin_has_one_form(text: str, origin: str) -> None:
    assert origin_of(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "shop.example",
        "//shop.example",
        "https://",
        "https://*.shop.example",
        "https://shop.example/",
        "https://user@shop.example",
        "https://shop.example:",
        "https://shop.example:443x",
        "https://shop.example https://other.example",
        "https://shop.example\n",
        "https://\u212anife.example",
        "https://m\u00fcller.example",
        "https://[::1",
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an origin is"):
        origin_of(text)


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_of_ipv6_is_as_large_as_a_subscriber_has_it(address: str, whose: str) -> None:
    assert subscriber_of(address) == whose
