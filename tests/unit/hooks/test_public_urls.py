from __future__ import annotations

import json

import pytest

from airflow_provider_apiframe.api.errors import ConfigurationError
from airflow_provider_apiframe.hooks import public_urls
from airflow_provider_apiframe.hooks.public_urls import parse_public_urls, public_url


@pytest.fixture
def option(monkeypatch):
    """Set ``[apiframe] public_urls`` to this text, or to this mapping as JSON."""

    def option(value: object) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv("AIRFLOW__APIFRAME__PUBLIC_URLS", text)

    public_urls._usable_addresses.cache_clear()
    return option


ADDRESSES = {
    "s3://brand-assets/": "https://cdn.example.com/brand/",
    "s3://brand-assets/intern/": "https://intern.example.com",
    "file:///data/images": "http://files.example.com/images",
}


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("s3://brand-assets/a/poster.png", "https://cdn.example.com/brand/a/poster.png"),
        ("s3://brand-assets/intern/a.png", "https://intern.example.com/a.png"),
        ("file:///data/images/a.png", "http://files.example.com/images/a.png"),
        ("s3://brand-assets/a b?#%.png", "https://cdn.example.com/brand/a%20b%3F%23%25.png"),
        ("s3://brand-assets-of-others/a.png", None),
        ("gs://brand-assets/a.png", None),
        ("s3://brand-assets/../secret.png", None),
        ("s3://brand-assets/a/./b.png", None),
        ("s3://brand-assets//evil.example.com/a.png", None),
        ("s3://brand-assets/", None),
    ],
)
def test_a_saved_image_has_the_address_of_the_longest_beginning(option, uri, address):
    option(ADDRESSES)
    assert public_url(uri) == address


@pytest.mark.parametrize("text", ["", " ", "{}"])
def test_without_the_option_nothing_is_public(option, text, caplog):
    option(text)
    assert public_url("s3://brand-assets/a.png") is None
    assert not caplog.records


def test_airflow_knows_no_public_address_by_itself():
    assert public_url("s3://brand-assets/a.png") is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{", "must be a JSON object such as"),
        ("[]", "must be a JSON object such as"),
        ("[" * 100_000, "must be a JSON object such as"),
        ({"brand-assets/": "https://a.example.com"}, "'brand-assets/': 'https://a.example.com': "),
        ({"s3://": "https://a.example.com"}, "must begin a storage URL, such as s3://bucket/"),
        ({"s3://b/": "a.example.com"}, "must be a plain http(s) URL"),
        ({"s3://b/": "ftp://a.example.com"}, "must be a plain http(s) URL"),
        ({"s3://b/": "javascript:alert(1)"}, "must be a plain http(s) URL"),
        ({"s3://b/": "https://"}, "must be a plain http(s) URL"),
        ({"s3://b/": "https://[a"}, "must be a plain http(s) URL"),
        ({"s3://b/": "https://me:pw@a.example.com"}, "without user, query or fragment"),
        ({"s3://b/": "https://a.example.com?x=1"}, "without user, query or fragment"),
        ({"s3://b/": 5}, "must be a plain http(s) URL"),
        ({"s3://b/": None}, "must be a plain http(s) URL"),
    ],
)
def test_a_wrong_option_is_told_once_and_makes_nothing_public(option, value, said, caplog):
    option(value)
    for _ in range(3):
        assert public_url("s3://b/a.png") is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert said in record.getMessage()
    assert "[apiframe] public_urls" in record.getMessage()


def test_a_stray_percent_sign_in_the_configuration_ends_nothing(option, monkeypatch, caplog):
    def broken(*args: object, **options: object) -> str:
        raise ValueError("'%' must be followed by '%' or '('")

    monkeypatch.setattr(public_urls.conf, "get", broken)
    assert public_url("s3://b/a.png") is None
    assert "'%' must be followed" in caplog.text


def test_the_parsed_option_says_what_is_wrong():
    with pytest.raises(ConfigurationError, match="must begin a storage URL"):
        parse_public_urls('{"images/": "https://a.example.com"}')
