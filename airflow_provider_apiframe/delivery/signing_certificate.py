"""The user's certificate for content credentials, checked before anything is paid."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from airflow_provider_apiframe.api.errors import ConfigurationError
from airflow_provider_apiframe.api.validation import (
    FrozenModel,
    RuleError,
    reason_of,
    truncated_repr,
)
from airflow_provider_apiframe.hooks.connection import ConnectionNotFoundError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

CONNECTION_ID = "c2pa_default"
"""Of the Airflow connection with the certificate, which may have any type."""

DEFAULT_NAME = "the signing certificate"

# What a connection's extra calls the fields that do not come from its password.
_EXTRAS = {
    "certificate": "certificate_chain",
    "algorithm": "algorithm",
    "timestamp_url": "timestamp_url",
}
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]+)-----END \1-----")
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_MIN_RSA_BITS = 2048


class SigningCertificate(FrozenModel):
    """What signs content credentials.

    PEM texts may have lost their line breaks, as in a form's one-line field, or have ``\\n`` in
    their place.

    :param name: what error texts call it, e.g. "connection 'c2pa'".
    :param private_key: PEM, not encrypted; never shown in ``repr`` or in an error.
    :param certificate_chain: PEM; the signer's certificate first, then those that vouch for it.
    :param algorithm: what the key signs with: es256, es384 or es512 (elliptic curves P-256, P-384
        and P-521), ed25519, or ps256, ps384 or ps512 (RSA).
    :param timestamp_url: http(s) URL of a timestamp server (RFC 3161), which is sent a hash. Its
        word makes the signature outlive the certificate. None asks nobody.
    :raises ConfigurationError: saying what is wrong: text that is no PEM, an algorithm that is not
        the key's, a key that is not the certificate's, a certificate that is not valid today.
    """

    # Not in the error that pydantic raises either, which stays behind ours as its context.
    model_config = ConfigDict(hide_input_in_errors=True)

    name: str = Field(DEFAULT_NAME, json_schema_extra={"noun": "a text"})
    private_key: str = Field(
        repr=False, json_schema_extra={"noun": "an unencrypted private key in PEM"}
    )
    certificate_chain: str = Field(json_schema_extra={"noun": "certificates in PEM"})
    algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = "es256"
    timestamp_url: str | None = Field(None, json_schema_extra={"noun": "an http(s) URL"})

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as invalid:
            # One problem, and without its input: that may be the key.
            problem = invalid.errors(include_url=False, include_input=False)[0]
            text = reason_of(type(self), problem)
            if problem["loc"] == ("algorithm",):
                text = f"algorithm={truncated_repr(values['algorithm'])} {text}"
            elif not isinstance(problem.get("ctx", {}).get("error"), RuleError):
                text = f"{problem['loc'][0]} {text}"
            raise ConfigurationError(f"{values.get('name', DEFAULT_NAME)}: {text}") from None

    @field_validator("private_key")
    @classmethod
    def _check_private_key(cls, text: str) -> str:
        from cryptography.hazmat.primitives import serialization

        found = [(label, pem) for label, pem in _pem_blocks(text) if label.endswith("PRIVATE KEY")]
        if not found:
            raise RuleError(
                "the private key is no PEM, which begins with -----BEGIN PRIVATE KEY-----, or it "
                "is encrypted"
            )
        label, pem = found[0]
        if "ENCRYPTED" in label:
            raise RuleError("the private key is encrypted; openssl pkcs8 -in KEY.pem decrypts it")
        key = _load_key(pem)
        # In the one wrapping that the signing library reads.
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    @field_validator("certificate_chain")
    @classmethod
    def _check_certificate_chain(cls, text: str) -> str:
        from cryptography import x509

        chain = "".join(pem for label, pem in _pem_blocks(text) if label == "CERTIFICATE")
        try:
            certificates = x509.load_pem_x509_certificates(chain.encode())
        except ValueError:
            raise RuleError(
                "the certificate is no PEM, which begins with -----BEGIN CERTIFICATE-----"
            ) from None
        first, now = certificates[0], datetime.now(UTC)
        if not first.not_valid_before_utc <= now <= first.not_valid_after_utc:
            raise RuleError(
                f"the certificate is valid from {first.not_valid_before_utc:%Y-%m-%d %H:%M} to "
                f"{first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, which is not now"
            )
        return chain

    @field_validator("timestamp_url")
    @classmethod
    def _check_timestamp_url(cls, url: str | None) -> str | None:
        try:
            parts = urlsplit(url or "https://none")
            usable = parts.scheme in ("http", "https") and parts.hostname and not parts.username
        except ValueError:
            usable = False
        if not usable:
            raise RuleError(
                "timestamp_url must be an http(s) URL without user and password, such as "
                "https://timestamps.example.com"
            )
        return url or None

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = _load_key(self.private_key)
        usable = _algorithms_of(key)
        if self.algorithm not in usable:
            raise RuleError(
                f"algorithm={self.algorithm!r} is not the private key's, which signs with "
                f"{' or '.join(usable)}"
            )
        certificate = x509.load_pem_x509_certificate(self.certificate_chain.encode())
        wanted, own = (
            public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for public_key in (certificate.public_key(), key.public_key())
        )
        if wanted != own:
            raise RuleError(
                "the private key is not that of the first certificate in the chain, "
                f"{truncated_repr(certificate.subject.rfc4514_string())}"
            )
        return self


def certificate_of_connection(conn_id: str = CONNECTION_ID) -> SigningCertificate:
    """Return the signing certificate in an Airflow connection.

    :raises ConnectionNotFoundError: there is no such connection; a retry may find it.
    :raises ConfigurationError: as :func:`signing_certificate`.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

    try:
        return signing_certificate(
            f"connection {conn_id!r}", *_password_and_extra(BaseHook.get_connection(conn_id))
        )
    except AirflowNotFoundException:
        raise ConnectionNotFoundError(
            conn_id,
            'provenance="c2pa" signs with the certificate in it. Add one: airflow connections add '
            f'{conn_id} --conn-type generic --conn-password "$(cat key.pem)" --conn-extra '
            '\'{"certificate": "-----BEGIN CERTIFICATE-----..."}\'',
        ) from None
    except ConfigurationError as error:
        # Without the frames that hold the private key: Airflow may log local variables.
        raise error.with_traceback(None) from None


def _password_and_extra(connection: Connection) -> tuple[str | None, str | None]:
    return connection.password, connection.extra


def signing_certificate(
    name: str, private_key: str | None, extra: str | None
) -> SigningCertificate:
    """Return the signing certificate that an Airflow connection stands for.

    :param name: what error texts call it, e.g. "connection 'c2pa'".
    :param private_key: the connection's password: the private key in PEM.
    :param extra: the connection's extra: a JSON object with ``certificate`` (the chain in PEM),
        and, where they are wanted, ``algorithm`` and ``timestamp_url``.
    :raises ConfigurationError: naming what is wrong, an extra that nobody knows included.
    """
    try:
        values = json.loads(extra) if extra else {}
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{name}: the extra must be a JSON object")
    if unknown := values.keys() - _EXTRAS.keys():
        raise ConfigurationError(
            f"{name}: the extra {truncated_repr(min(unknown))} is unknown; known are "
            f"{', '.join(_EXTRAS)}"
        )
    # Forms and environment variables give "" for what was left empty.
    fields = {_EXTRAS[key]: value for key, value in values.items() if value not in (None, "")}
    return SigningCertificate(
        name=name, private_key=private_key or "", **{"certificate_chain": "", **fields}
    )


def _pem_blocks(text: str) -> list[tuple[str, str]]:
    """Return label and PEM of each block in *text*, with line breaks where they belong."""
    blocks = []
    for label, body in _PEM.findall(text.replace("\\n", "\n")):
        data = "".join(body.split())
        lines = "\n".join(data[start : start + 64] for start in range(0, len(data), 64))
        blocks.append((label, f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"))
    return blocks


def _load_key(pem: str) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RuleError("the private key cannot be read; is its PEM whole?") from None


def _algorithms_of(key: PrivateKeyTypes) -> list[str]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return ["ed25519"]
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return [_CURVES[key.curve.name]]
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _MIN_RSA_BITS:
        return ["ps256", "ps384", "ps512"]
    raise RuleError(
        "the private key is of a kind that signs no content: wanted is an elliptic curve (P-256, "
        f"P-384 or P-521), Ed25519, or RSA with {_MIN_RSA_BITS} bits or more"
    )
