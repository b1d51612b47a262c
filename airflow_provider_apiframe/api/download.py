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
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import requests
import tenacity

from airflow_provider_apiframe.api.endpoints import USER_AGENT
from airflow_provider_apiframe.api.errors import DownloadError
from airflow_provider_apiframe.api.retries import retry_backoff
from airflow_provider_apiframe.api.settings import is_loopback

MAX_BYTES = 100 * 1024 * 1024
"""Size cap.

A 4 MP image has about 12 MB as PNG; a link that gives more than 100 MB is not an image of ours.
"""

_CHUNK = 64 * 1024
_HEAD = 12  # bytes that tell the type


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


def image_type(head: bytes) -> tuple[str, str] | None:
    """Return (content type, file extension) by the first 12 bytes, None for another type."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png", "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg", "jpg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp", "webp"
    return None


def download(
    url: str,
    target: str | os.PathLike[str],
    *,
    timeout: float = 60.0,
    max_retries: int = 4,
    verify: bool | str = True,
    max_bytes: int = MAX_BYTES,
    sleep: Callable[[float], None] = time.sleep,
) -> DownloadedImage:
    """Fetch the image behind *url* into *target*.

    :param url: http(s) link to a PNG, JPEG or WebP.
    :param target: a file, written under exactly this name; or a folder (one that exists, or a path
        ending in "/"), where the image gets the link's name with the extension of its true type. An
        existing file is replaced.
    :param timeout: seconds to wait for the connection and for each piece.
    :param max_retries: how often a lost connection, a short read, 408, 429 or 5xx is tried again.
    :param verify: as in ``requests``.
    :param max_bytes: size cap in bytes.
    :param sleep: waits the given seconds between retries.
    :raises DownloadError: the link is dead, gives something that is no image, or could not be read
        whole. *target* is untouched: bytes go to a temporary file beside it, which is renamed when
        it is complete.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, DownloadError) and error.transient
        ),
        wait=lambda state: retry_backoff(state.attempt_number, None),
        stop=tenacity.stop_after_attempt(max_retries + 1),
        sleep=sleep,
        reraise=True,
    )
    return retrying(_download_once, url, target, timeout, verify, max_bytes)


def _download_once(
    url: str, target: str | os.PathLike[str], timeout: float, verify: bool | str, max_bytes: int
) -> DownloadedImage:
    shown = _without_secrets(url)
    is_folder = os.fspath(target).endswith(("/", os.sep)) or Path(target).is_dir()
    folder = Path(target) if is_folder else Path(target).parent
    folder.mkdir(parents=True, exist_ok=True)
    with _response(url, timeout, verify) as response, _temporary_file(folder) as file:
        digest, size, head = hashlib.sha256(), 0, b""
        for chunk in response.iter_content(_CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise DownloadError(
                    f"{shown} gives more than {max_bytes} bytes; stopped", transient=False
                )
            head = (head + chunk)[:_HEAD] if len(head) < _HEAD else head
            digest.update(chunk)
            file.write(chunk)
        promised = response.headers.get("Content-Length", "")
        if (
            promised.isdigit()
            and "Content-Encoding" not in response.headers
            and int(promised) != size
        ):
            raise DownloadError(f"{shown} gave {size} of {promised} bytes", transient=True)
        kind = image_type(head)
        if kind is None:
            raise DownloadError(
                f"{shown} gave {size} bytes that are no PNG, JPEG or WebP: {head!r}...",
                transient=False,
            )
        content_type, extension = kind
        path = folder / _file_name(url, extension) if is_folder else Path(target)
        file.flush()
        Path(file.name).replace(path)
    return DownloadedImage(path, content_type, size, digest.hexdigest())


@contextmanager
def _response(url: str, timeout: float, verify: bool | str) -> Iterator[requests.Response]:
    shown = _without_secrets(url)
    try:
        host = urlsplit(url).hostname
    except ValueError:
        raise DownloadError(f"{shown} is not an http(s) link", transient=False) from None
    try:
        headers = {"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"}
        with requests.Session() as session:
            session.trust_env = not is_loopback(host)  # this machine is reached without a proxy
            with session.get(
                url, headers=headers, stream=True, timeout=timeout, verify=verify
            ) as response:
                status = response.status_code
                if status >= 400:
                    gone = (
                        " The link has expired or the image is gone."
                        if status in (403, 404, 410)
                        else ""
                    )
                    transient = status in (408, 429) or status >= 500
                    raise DownloadError(
                        f"{shown} returned {status}.{gone}", transient=transient, status_code=status
                    )
                yield response
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
    ):
        raise DownloadError(f"{shown} is not an http(s) link", transient=False) from None
    except requests.RequestException as error:
        # The library's own text repeats the URL, query and all: a signed link is a secret.
        raise DownloadError(
            f"{shown} could not be read: {type(error).__name__}", transient=True
        ) from None


@contextmanager
def _temporary_file(folder: Path) -> Iterator[IO[bytes]]:
    path = folder / f".apiframe-{uuid.uuid4().hex}.part"
    try:
        with path.open("xb") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


def _file_name(url: str, extension: str) -> str:
    stem = Path(unquote(urlsplit(url).path)).stem
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', stem) or 'image'}.{extension}"


def _without_secrets(url: str) -> str:
    """Return *url* without user, password and query, for error texts: a signed link is a secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the link"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
