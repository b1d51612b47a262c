"""Fetching an image: streamed, whole or not at all, and never with the API key.

The links point at the vendor's CDN, another host than the API. The CDN refuses clients without a
product-style User-Agent.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import unquote, urlsplit

import requests
import tenacity
import urllib3

from airflow_provider_apiframe.api.body import PIECE_BYTES, within
from airflow_provider_apiframe.api.endpoints import USER_AGENT
from airflow_provider_apiframe.api.errors import DownloadError
from airflow_provider_apiframe.api.image_format import (
    HEAD_BYTES,
    TAIL_BYTES,
    image_type,
    is_complete,
)
from airflow_provider_apiframe.api.redirects import redirected, without_secrets
from airflow_provider_apiframe.api.retries import retry_backoff
from airflow_provider_apiframe.api.settings import MAX_IMAGE_BYTES, is_loopback

T = TypeVar("T")

MAX_SECONDS = 600.0
"""Time cap of one attempt: 100 MB at 170 kB/s."""

_MAX_REDIRECTS = 5
_MAX_NAME = 100  # characters of a link's name; file systems allow 255 bytes


@dataclass(frozen=True)
class DownloadedImage:
    """An image on disk.

    :param path: where it is.
    :param content_type: by its first bytes.
    :param bytes: its size.
    :param sha256: of its bytes, in hex.
    """

    path: Path
    content_type: str
    bytes: int
    sha256: str


def download(
    url: str,
    target: str | os.PathLike[str],
    *,
    timeout: float = 60.0,
    max_retries: int = 4,
    verify: bool | str = True,
    max_bytes: int = MAX_IMAGE_BYTES,
    max_seconds: float = MAX_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> DownloadedImage:
    """Fetch the image behind *url* into *target*.

    Redirects are followed to public addresses only, and never from https to http. A link on this
    machine may lead to this machine.

    :param url: http(s) link to a PNG, JPEG or WebP.
    :param target: a file, written under exactly this name; or a folder (one that exists, or a path
        ending in "/"), where the image gets the link's name with the extension of its true type. An
        existing file is replaced.
    :param timeout: seconds to wait for the connection and for each piece.
    :param max_retries: how often a lost connection, a short read, 408, 429 or 5xx is tried again.
    :param verify: as in ``requests``.
    :param max_bytes: size cap in bytes.
    :param max_seconds: time cap of one attempt in seconds.
    :param sleep: waits the given seconds between retries.
    :raises DownloadError: the link is dead, gives something that is no image, or could not be read
        whole. *target* is untouched: bytes go to a temporary file beside it, which is renamed when
        it is complete. (An attempt over *max_seconds* is left behind and may still finish, whole.)
    """
    attempt = partial(_download_once, url, target, timeout, verify, max_bytes)
    return _retrying(url, attempt, max_retries, max_seconds, sleep)


def content_sha256(
    url: str,
    *,
    timeout: float,
    max_retries: int,
    verify: bool | str,
    max_bytes: int,
    sleep: Callable[[float], None],
) -> str:
    """Return the SHA-256, in hex, of what is behind *url*; otherwise as :func:`download`."""
    attempt = partial(_hash_once, url, timeout, verify, max_bytes)
    return _retrying(url, attempt, max_retries, MAX_SECONDS, sleep)


def _retrying(
    url: str,
    attempt: Callable[[], T],
    max_retries: int,
    max_seconds: float,
    sleep: Callable[[float], None],
) -> T:
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, DownloadError) and error.transient
        ),
        wait=lambda state: retry_backoff(state.attempt_number, None),
        stop=tenacity.stop_after_attempt(max_retries + 1),
        sleep=sleep,
        reraise=True,
    )

    def in_time() -> T:
        try:
            return within(max_seconds, attempt)
        except TimeoutError:
            shown = without_secrets(url)
            raise DownloadError(
                f"{shown} was not there whole within {max_seconds:g} s", transient=True
            ) from None

    return retrying(in_time)


def _download_once(
    url: str, target: str | os.PathLike[str], timeout: float, verify: bool | str, max_bytes: int
) -> DownloadedImage:
    is_folder = os.fspath(target).endswith(("/", os.sep)) or Path(target).is_dir()
    folder = Path(target) if is_folder else Path(target).parent
    with _following(url, timeout, verify) as response, _temporary_file(folder) as file:
        digest, size, content_type, extension = _copy(url, response, file, max_bytes)
        path = folder / _file_name(url, extension) if is_folder else Path(target)
        file.flush()
        Path(file.name).replace(path)
    return DownloadedImage(path, content_type, size, digest)


def _hash_once(url: str, timeout: float, verify: bool | str, max_bytes: int) -> str:
    digest, size = hashlib.sha256(), 0
    with _following(url, timeout, verify) as response:
        for piece in response.iter_content(PIECE_BYTES):
            size += len(piece)
            _check_size(url, size, max_bytes)
            digest.update(piece)
    return digest.hexdigest()


def _check_size(url: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        shown = without_secrets(url)
        raise DownloadError(f"{shown} gives more than {max_bytes} bytes; stopped", transient=False)


def _copy(
    url: str, response: requests.Response, file: IO[bytes], max_bytes: int
) -> tuple[str, int, str, str]:
    """Copy the image into *file*; return its SHA-256, size, content type and extension."""
    shown = without_secrets(url)
    digest, size, head, tail = hashlib.sha256(), 0, b"", b""
    promised = response.headers.get("Content-Length", "")
    # Not read to find out: what says so much is no image of ours.
    if promised.isdigit() and int(promised) > max_bytes:
        raise DownloadError(
            f"{shown} announces {promised} bytes, more than {max_bytes}", transient=False
        )
    for piece in response.iter_content(PIECE_BYTES):
        size += len(piece)
        _check_size(url, size, max_bytes)
        head = (head + piece)[:HEAD_BYTES]
        tail = (tail + piece)[-TAIL_BYTES:]
        digest.update(piece)
        file.write(piece)
    if promised.isdigit() and "Content-Encoding" not in response.headers and int(promised) != size:
        raise DownloadError(f"{shown} gave {size} of {promised} bytes", transient=True)
    kind = image_type(head)
    if kind is None:
        raise DownloadError(
            f"{shown} gave {size} bytes that are no PNG, JPEG or WebP: {head!r}...", transient=False
        )
    if not is_complete(kind[0], head, tail, size):
        raise DownloadError(f"{shown} gave {size} bytes without the image's end", transient=True)
    return digest.hexdigest(), size, *kind


@contextmanager
def _following(url: str, timeout: float, verify: bool | str) -> Iterator[requests.Response]:
    """Yield the 200 response that *url* leads to."""
    shown = without_secrets(url)
    headers = {"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"}
    try:
        with requests.Session() as session:
            session.trust_env = not is_loopback(urlsplit(url).hostname)  # reached without a proxy
            for _ in range(_MAX_REDIRECTS + 1):
                with session.get(
                    url,
                    headers=headers,
                    stream=True,
                    timeout=timeout,
                    verify=verify,
                    allow_redirects=False,
                ) as response:
                    location = response.headers.get("location")
                    if not response.is_redirect or location is None:
                        _check_status(shown, response.status_code)
                        yield response
                        return
                    url = redirected(url, location, shown)
            raise DownloadError(
                f"{shown} redirects more than {_MAX_REDIRECTS} times", transient=False
            )
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        ValueError,  # what cannot be read as a URL at all
    ):
        raise DownloadError(f"{shown} is not an http(s) link", transient=False) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        # The library's own text repeats the URL, query and all: a signed link is a secret.
        reason = type(error).__name__
        raise DownloadError(f"{shown} could not be read: {reason}", transient=True) from None
    except OSError as error:
        raise DownloadError(f"The image could not be written: {error}", transient=False) from None


def _check_status(shown: str, status: int) -> None:
    if status == 200:
        return
    transient = status in (408, 429) or status >= 500
    error = DownloadError(f"{shown} returned {status}.", transient=transient, status_code=status)
    if error.link_is_dead:
        error.adding("The link has expired or the image is gone.")
    raise error


@contextmanager
def _temporary_file(folder: Path) -> Iterator[IO[bytes]]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".apiframe-{uuid.uuid4().hex}.part"
    try:
        with path.open("xb") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


def _file_name(url: str, extension: str) -> str:
    stem = Path(unquote(urlsplit(url).path)).stem
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', stem)[:_MAX_NAME] or 'image'}.{extension}"
