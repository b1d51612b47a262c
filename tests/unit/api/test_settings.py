"""Base URL and API key: what is taken, what is refused, and that no text shows the key."""

from __future__ import annotations

import pytest

from airflow_provider_apiframe.api.errors import ConfigurationError
from airflow_provider_apiframe.api.settings import (
    DEFAULT_BASE_URL,
    ClientSettings,
    is_loopback,
)

KEY = "afk_0123456789abcdef"


def settings(**fields) -> ClientSettings:
    return ClientSettings(**{"api_key": KEY, **fields})


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://api.apiframe.ai", "https://api.apiframe.ai"),
        ("https://api.apiframe.ai/", "https://api.apiframe.ai"),
        ("https://api.apiframe.ai/v2", "https://api.apiframe.ai"),
        ("https://api.apiframe.ai/v2/", "https://api.apiframe.ai"),
        ("  https://api.apiframe.ai \n", "https://api.apiframe.ai"),
        ("HTTPS://api.apiframe.ai", "https://api.apiframe.ai"),
        ("https://proxy.example:8443", "https://proxy.example:8443"),
        ("api.apiframe.ai", "https://api.apiframe.ai"),
        ("api.apiframe.ai/v2", "https://api.apiframe.ai"),
        ("api.apiframe.ai:443", "https://api.apiframe.ai:443"),
        ("localhost:8765", "http://localhost:8765"),
        ("127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("[::1]:8765", "http://[::1]:8765"),
        ("http://localhost:8765/v2", "http://localhost:8765"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8765", "http://[::1]:8765"),
        ("https://localhost", "https://localhost"),
    ],
)
def test_a_base_url_is_taken_as_scheme_and_host(url, taken):
    assert settings(base_url=url).base_url == taken


def test_the_default_base_url_is_one_that_is_taken():
    assert settings(base_url=DEFAULT_BASE_URL).base_url == settings().base_url


@pytest.mark.parametrize(
    ("url", "piece"),
    [
        (
            "http://api.apiframe.ai",
            "would send the API key unencrypted. Use https://, or set allow_http to true",
        ),
        ("http://localhost.example", "unencrypted"),
        ("http://192.168.0.1:80", "unencrypted"),
        ("http://0.0.0.0:8765", "unencrypted"),
        (
            "https://api.apiframe.pro",
            "is Apiframe's older API version 1; this client speaks version 2",
        ),
        ("https://apiframe.pro", "version 1"),
        ("api.APIFRAME.pro", "version 1"),
        ("https://api.apiframe.ai/v1", "has a path; write scheme and host only"),
        ("https://api.apiframe.ai/v2/images", "has a path"),
        ("https://user:secret@api.apiframe.ai", "the API key does not belong into it"),
        (
            "https://api.apiframe.ai?key=secret",
            "the base URL must be plain, such as https://api.apiframe.ai",
        ),
        ("https://api.apiframe.ai#top", "the base URL must be plain"),
        ("user:secret@api.apiframe.ai", "the API key does not belong into it"),
        ("ftp://api.apiframe.ai", "is not an http(s) URL such as https://api.apiframe.ai"),
        ("https://", "is not an http(s) URL"),
        ("", "is not an http(s) URL"),
        ("   ", "is not an http(s) URL"),
        ("https://api.apiframe.ai:port", "is not an http(s) URL"),
        ("https://api.apiframe.ai:99999", "is not an http(s) URL"),
        ("https://[::1", "is not an http(s) URL"),
        ("[::1", "is not an http(s) URL"),
        ("https://api apiframe.ai", "is not a"),
        ("https://api..apiframe.ai", "is not an http(s) URL"),
        ("https://.apiframe.ai", "is not an http(s) URL"),
        (f"https://{'a' * 64}.ai", "is not an http(s) URL"),
        (r"api.apiframe.ai\[::1]", "is not an http(s) URL"),
        (r"http://api.apiframe.ai\[::1]", "is not an http(s) URL"),
        ("http://api.apiframe.ai\\@127.0.0.1", "does not belong into it"),
    ],
)
def test_a_base_url_that_cannot_be_used_is_refused_with_the_reason(url, piece):
    with pytest.raises(ConfigurationError) as caught:
        settings(base_url=url, name="connection 'apiframe_default'")
    assert piece in str(caught.value)
    assert str(caught.value).startswith("connection 'apiframe_default': ")
    assert "secret" not in str(caught.value)


def test_http_is_taken_off_this_machine_when_it_is_allowed():
    url = "http://10.0.0.7:8765"
    assert settings(base_url=url, allow_http=True).base_url == url


def test_allow_http_does_not_turn_a_bare_host_into_http():
    taken = settings(base_url="proxy.example", allow_http=True)
    assert taken.base_url == "https://proxy.example"


@pytest.mark.parametrize(
    "url",
    [
        f"https://{KEY}@api.apiframe.ai",
        f"https://api.apiframe.ai/{KEY}",
        f"https://api.apiframe.ai?key={KEY}",
        f"ftp://{KEY}@api.apiframe.ai",
        f"https://{KEY}@api.apiframe.ai:port",
        f"http://{KEY}.example",
        f"{KEY}@",
    ],
)
def test_a_key_that_was_written_into_the_host_is_not_shown(url):
    with pytest.raises(ConfigurationError) as caught:
        settings(base_url=url)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", [KEY, f"  {KEY}\n", "a-key-of-another-form"])
def test_a_key_is_taken_without_the_white_space_around_it(key):
    assert settings(api_key=key).api_key == key.strip()


@pytest.mark.parametrize("key", [None, "", " ", "\n"])
def test_a_missing_key_is_told_with_where_to_get_one(key):
    with pytest.raises(
        ConfigurationError,
        match=r"connection 'mine': it has no API key.*console\.apiframe\.ai",
    ):
        settings(api_key=key, name="connection 'mine'")


@pytest.mark.parametrize(
    "key", ["afk_12 34", "afk_12\n34", "afk_12\t34", "afk_ä", "afk_\u200b", "afk_12\x7f"]
)
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key):
    with pytest.raises(ConfigurationError, match="connection 'mine': the API key holds") as caught:
        settings(api_key=key, name="connection 'mine'")
    assert key not in str(caught.value)
    assert "afk_" not in str(caught.value)


@pytest.mark.parametrize("show", [repr, str, "{0}".format])
def test_settings_never_show_the_key(show):
    assert KEY not in show(ClientSettings(api_key=KEY))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("nothing to hide", "nothing to hide"),
        (f"the key {KEY} is unknown", "the key *** is unknown"),
        (f"{KEY}{KEY}", "******"),
        ("someone else's afk_other-KEY_1!", "someone else's afk_***!"),
    ],
)
def test_a_text_is_cleaned_of_the_key_and_of_what_looks_like_one(text, clean):
    assert ClientSettings(api_key=KEY).redact(text) == clean


def test_a_key_of_another_form_is_cleaned_too():
    assert ClientSettings(api_key="s3cr3t").redact("Invalid key s3cr3t") == "Invalid key ***"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_is_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "localhost.example",
        "10.0.0.1",
        "0.0.0.0",
        "::2",
        "api.apiframe.ai",
        "127.0.0.1.example",
    ],
)
def test_any_other_host_is_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"timeout": 0}, "timeout=0 must be a number, at least 0.1"),
        ({"timeout": True}, "timeout=True"),
        ({"max_retries": "often"}, "max_retries='often' must be a whole number, at least 0"),
        ({"timout": 5}, "timout=5 is unknown; known are timeout, max_retries"),
    ],
)
def test_a_wrong_option_is_named_with_its_value_and_what_is_allowed(fields, said):
    with pytest.raises(ConfigurationError) as caught:
        settings(**fields)
    assert str(caught.value).startswith(f"the Apiframe client: {said}")


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        settings().api_key = "afk_other"
