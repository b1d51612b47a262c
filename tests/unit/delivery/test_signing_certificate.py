"""The certificate for content credentials: what is wrong with it is said before anything is paid,
and the key is never shown."""

from __future__ import annotations

import json
import traceback
from datetime import timedelta

import pytest
from certificates import Format, certificate_pem, key_pem, new_key
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from airflow_provider_apiframe.api.errors import ConfigurationError
from airflow_provider_apiframe.delivery.signing_certificate import (
    SigningCertificate,
    signing_certificate,
)

KEY = new_key()
KEY_PEM, CHAIN = key_pem(KEY), certificate_pem(KEY)
SECRET = "".join(KEY_PEM.split("\n")[1:-2])


def refusal(**values: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        SigningCertificate(**{"private_key": KEY_PEM, "certificate_chain": CHAIN, **values})
    assert not caught.value.transient
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert SECRET[:20] not in shown
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (new_key(), "es256"),
        (ec.generate_private_key(ec.SECP384R1()), "es384"),
        (ec.generate_private_key(ec.SECP521R1()), "es512"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
        (rsa.generate_private_key(65537, 2048), "ps256"),
    ],
)
def test_each_kind_of_key_has_its_algorithm(key, algorithm):
    chain = certificate_pem(key)
    pem = key_pem(key)
    made = SigningCertificate(private_key=pem, certificate_chain=chain, algorithm=algorithm)
    assert made.algorithm == algorithm
    other = "es384" if algorithm == "es256" else "es256"
    text = refusal(private_key=pem, certificate_chain=chain, algorithm=other)
    assert f"algorithm='{other}' is not the private key's, which signs with {algorithm}" in text


@pytest.mark.parametrize("line_break", ["", " ", "\\n", "\r\n"])
@pytest.mark.parametrize("format", [Format.PKCS8, Format.TraditionalOpenSSL])
def test_a_key_is_read_from_a_one_line_field_and_in_the_old_wrapping(line_break, format):
    made = SigningCertificate(
        private_key=key_pem(KEY, format).replace("\n", line_break),
        certificate_chain=CHAIN.replace("\n", line_break),
    )
    assert (made.private_key, made.certificate_chain) == (KEY_PEM, CHAIN)


def test_the_key_may_stand_behind_the_parameters_of_its_curve():
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    pem = parameters + key_pem(KEY, Format.TraditionalOpenSSL)
    assert SigningCertificate(private_key=pem, certificate_chain=CHAIN).private_key == KEY_PEM


def test_the_chain_is_kept_whole_and_in_its_order():
    root = new_key()
    chain = certificate_pem(KEY, ("Root", root)) + certificate_pem(root, name="Root")
    made = SigningCertificate(private_key=KEY_PEM, certificate_chain=chain)
    assert made.certificate_chain == chain


def test_the_key_is_not_shown():
    made = SigningCertificate(private_key=KEY_PEM, certificate_chain=CHAIN)
    assert SECRET[:20] not in repr(made).replace("\\n", "") + str(made)


OTHER_PEM = key_pem(new_key())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"private_key": ""}, "the private key is no PEM"),
        ({"private_key": SECRET}, "the private key is no PEM"),
        ({"private_key": None}, "private_key must be an unencrypted private key in PEM"),
        ({"private_key": CHAIN}, "the private key is no PEM"),
        ({"private_key": KEY_PEM[:-60] + KEY_PEM[-26:]}, "cannot be read; is its PEM whole?"),
        ({"private_key": KEY_PEM.replace("M", "-", 1)}, "the private key is no PEM"),
        ({"private_key": key_pem(KEY, password=b"pw")}, "encrypted; openssl pkcs8 -in"),
        (
            {"private_key": key_pem(KEY, Format.TraditionalOpenSSL, b"pw")},
            "or it is encrypted",
        ),
        ({"private_key": OTHER_PEM}, "is not that of the first certificate in the chain, 'O=Exa"),
        ({"certificate_chain": ""}, "the certificate is no PEM"),
        ({"certificate_chain": KEY_PEM}, "the certificate is no PEM"),
        ({"certificate_chain": CHAIN[:200] + CHAIN[400:]}, "the certificate is no PEM"),
        ({"certificate_chain": 7}, "certificate_chain must be certificates in PEM"),
        ({"algorithm": "md5"}, 'algorithm=\'md5\' must be "es256", "es384"'),
        ({"timestamp_url": "ftp://a.example"}, "timestamp_url must be an http(s) URL"),
        ({"timestamp_url": "https://me:pw@a.example"}, "timestamp_url must be an http(s) URL"),
        ({"timestamp_url": "https://[::1"}, "timestamp_url must be an http(s) URL"),
        ({"key": KEY_PEM}, "key is unknown; known are name, private_key"),
        ({"name": "connection 'c2pa'", "algorithm": "x"}, "connection 'c2pa': algorithm='x'"),
    ],
)
def test_what_is_wrong_is_named(values, says):
    assert says in refusal(**values)


def test_a_certificate_that_is_not_valid_today_is_refused():
    old = certificate_pem(KEY, starts=timedelta(days=-9), ends=timedelta(days=-2))
    assert "UTC, which is not now" in refusal(certificate_chain=old)
    new = certificate_pem(KEY, starts=timedelta(days=2), ends=timedelta(days=9))
    assert "UTC, which is not now" in refusal(certificate_chain=new)


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256K1())]
)
def test_a_key_that_signs_no_content_is_refused(key):
    text = refusal(private_key=key_pem(key), certificate_chain=certificate_pem(key))
    assert "of a kind that signs no content" in text


def test_a_connection_gives_a_certificate():
    extra = {"certificate": CHAIN, "algorithm": "es256", "timestamp_url": "https://tsa.example"}
    made = signing_certificate("connection 'c2pa'", KEY_PEM, json.dumps(extra))
    assert made == SigningCertificate(
        name="connection 'c2pa'",
        private_key=KEY_PEM,
        certificate_chain=CHAIN,
        timestamp_url="https://tsa.example",
    )


def test_what_a_form_leaves_empty_is_not_set():
    extra = {"certificate": CHAIN, "algorithm": "", "timestamp_url": None}
    made = signing_certificate("connection 'c2pa'", KEY_PEM, json.dumps(extra))
    assert (made.algorithm, made.timestamp_url) == ("es256", None)


@pytest.mark.parametrize(
    ("password", "extra", "says"),
    [
        (None, json.dumps({"certificate": CHAIN}), "the private key is no PEM"),
        (KEY_PEM, None, "the certificate is no PEM"),
        (KEY_PEM, "{", "the extra must be a JSON object"),
        (KEY_PEM, "[" * 100_000, "the extra must be a JSON object"),
        (KEY_PEM, "[]", "the extra must be a JSON object"),
        (
            KEY_PEM,
            '{"certificat": "x"}',
            "the extra 'certificat' is unknown; known are certificate, algorithm, timestamp_url",
        ),
        (KEY_PEM, '{"private_key": "x"}', "the extra 'private_key' is unknown"),
    ],
    # Not named by keys and certificates, which are other ones in each process.
    ids=["no key", "no extra", "no JSON", "too deep", "no object", "misspelt", "unknown"],
)
def test_a_connection_that_lacks_something_is_named_with_what_it_lacks(password, extra, says):
    with pytest.raises(ConfigurationError, match="connection 'c2pa': ") as caught:
        signing_certificate("connection 'c2pa'", password, extra)
    assert says in str(caught.value)
    assert SECRET[:20] not in str(caught.value)
