"""Keys and certificates that sign content, and some that don't."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
Format = serialization.PrivateFormat


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key, format: Format = Format.PKCS8, password: bytes | None = None) -> str:
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, format, encryption).decode()


def certificate_pem(
    key: Key,
    issuer: tuple[str, Key] | None = None,
    *,
    name: str = "The press office",
    starts: timedelta = timedelta(days=-1),
    ends: timedelta = timedelta(days=30),
    for_signing: bool = True,
) -> str:
    """Return a certificate for *key*, signed by the issuer or by itself."""

    def named(text: str) -> x509.Name:
        attributes = ((NameOID.COMMON_NAME, text), (NameOID.ORGANIZATION_NAME, "Example"))
        return x509.Name([x509.NameAttribute(*attribute) for attribute in attributes])

    issuer_name, issuer_key = issuer or (name, key)
    now = datetime.now(UTC)
    usage = [True, False, False, False, False, False, False, False, False]
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(x509.KeyUsage(*usage), True)
        .add_extension(authority, False)
    )
    if for_signing:
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purposes, False)
    hashed = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(issuer_key, hashed)
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
