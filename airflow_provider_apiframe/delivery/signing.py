"""Content credentials (C2PA): a signed statement in an image's file that AI made it.

Needs the extra ``[c2pa]`` and a certificate of the user's own. Nothing is sent to anybody, unless
the certificate names a timestamp server.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from airflow_provider_apiframe import __version__
from airflow_provider_apiframe.api.body import within
from airflow_provider_apiframe.api.errors import SigningError
from airflow_provider_apiframe.delivery.image_structure import has_credentials, read_structure
from airflow_provider_apiframe.delivery.provenance import Mark, written_whole
from airflow_provider_apiframe.delivery.signing_certificate import SigningCertificate
from airflow_provider_apiframe.delivery.xmp import TRAINED_ALGORITHMIC_MEDIA

log = logging.getLogger(__name__)

MAX_SECONDS = 60.0
"""Signing takes 0.1 s; a timestamp server may take longer."""

_SETTINGS = {
    # A thumbnail is as large as the image itself, and an image shows itself.
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"ocsp_fetch": False, "remote_manifest_fetch": False},
}

# The library says no more than that a certificate is invalid.
_PROFILE_HINT = (
    "A signer's certificate has the key usage digitalSignature, an extended key usage such as "
    "emailProtection or documentSigning, and is not a CA's."
)


def sign_c2pa(source: Path, target: Path, certificate: SigningCertificate, mark: Mark) -> bool:
    """Write the image *source* with content credentials to *target*: AI made it, and which model.

    The last step: any change of the file afterwards breaks the signature. Signing the same image
    again gives other bytes, for they hold the time and a number of their own.

    :param source: a PNG, JPEG or WebP.
    :param target: a file, replaced if it exists, and written whole or not at all. It may be
        *source*.
    :param certificate: what signs.
    :param mark: names the model.
    :returns: False, and *target* is not written, where the image has content credentials already:
        others would take their place.
    :raises SigningError: the extra ``[c2pa]`` is missing, or the certificate is refused; transient
        where the timestamp server or the disk may be the reason.
    :raises BrokenImageError: *source* is no PNG, JPEG or WebP, or is cut short.
    """
    library = load_library()
    if has_credentials(source):
        log.info("Image %d of job %s keeps its own content credentials", mark.image, mark.job_id)
        return False
    with source.open("rb") as file:
        image = read_structure(file)
        with written_whole(target) as signed:
            try:
                within(
                    MAX_SECONDS,
                    lambda: _sign(library, certificate, mark, image.content_type, file, signed),
                )
            except TimeoutError:
                raise SigningError(
                    f"{certificate.name}: the image was not signed within {MAX_SECONDS:g} s",
                    transient=True,
                ) from None
            except library.C2paError as error:
                raise _signing_error(library, certificate, error) from None
    return True


def load_library() -> ModuleType:
    """Return the signing library.

    :raises SigningError: it is not installed, or cannot be loaded.
    """
    try:
        import c2pa
    except (ImportError, RuntimeError, OSError) as error:  # it may be there without its binary
        raise SigningError(
            "Content credentials need the package c2pa-python, which cannot be loaded "
            f"({error}). Install it: pip install 'airflow-provider-apiframe[c2pa]'",
            transient=False,
        ) from None
    module: ModuleType = c2pa
    return module


def _sign(
    library: ModuleType,
    certificate: SigningCertificate,
    mark: Mark,
    content_type: str,
    source: BinaryIO,
    target: BinaryIO,
) -> None:
    info = library.C2paSignerInfo(
        certificate.algorithm,
        certificate.certificate_chain.encode(),
        certificate.private_key.encode(),
        certificate.timestamp_url,
    )
    with (
        library.Signer.from_info(info) as signer,
        library.Context.from_dict(_SETTINGS) as context,
        library.Builder(json.dumps(_manifest(mark)), context) as builder,
    ):
        builder.sign(signer, content_type, source, target)


def _manifest(mark: Mark) -> dict[str, object]:
    created = {
        "action": "c2pa.created",
        "digitalSourceType": TRAINED_ALGORITHMIC_MEDIA,
        "softwareAgent": {"name": mark.creator_tool},
    }
    return {
        "claim_generator_info": [{"name": "airflow-provider-apiframe", "version": __version__}],
        # Created: the signer says it, and has not only heard it.
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [created]}, "created": True}],
    }


def _signing_error(
    library: ModuleType, certificate: SigningCertificate, error: Exception
) -> SigningError:
    # A timestamp server's URL may hold a password.
    reason = re.sub(r"https?://[^\s)]+", "the timestamp server", str(error)).rstrip(".")
    # The certificate was found to be readable, valid today and the key's, so with a server to ask
    # it is the server that most likely failed.
    transient = certificate.timestamp_url is not None or isinstance(error, library.C2paError.Io)
    hint = "" if transient else f" {_PROFILE_HINT}"
    return SigningError(
        f"{certificate.name}: the image could not be signed: {reason}.{hint}", transient=transient
    )
