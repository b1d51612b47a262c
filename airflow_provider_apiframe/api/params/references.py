"""Reference images: everything that may stand for one, and the one text that each comes to.

That text is an http(s) URL, which is sent as it is, or the path of a file, which is uploaded right
before the request is submitted: a storage path ("s3://bucket/key") or an absolute local one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import PurePath
from typing import Any

from airflow_provider_apiframe.api.params.text import read_literal
from airflow_provider_apiframe.api.validation import RuleError, WrongItemError, truncated_repr

IMAGE_NOUN = "http(s) URL, storage path, absolute local path or result of an earlier task"
IMAGES_NOUN = "http(s) URLs, storage paths, absolute local paths or results of earlier tasks"

_MAX_ITEMS = 100  # far above what a model takes: the rest of an endless list is not looked at
_MAX_DEPTH = 8  # a list of the results of mapped tasks has 4 levels

_URL = re.compile(r"https?://[^\s/]+\S*")
_STORAGE_PATH = re.compile(r"(?!https?:|file:)[a-z][a-z0-9+.-]*://.+", re.IGNORECASE)
_LOCAL_PATH = re.compile(r"(file://)?/.+")


def is_url(reference: str) -> bool:
    """Return whether *reference* is an http(s) URL; else it is the path of a file."""
    return _URL.fullmatch(reference) is not None


def is_path_object(value: Any) -> bool:
    """Return whether *value* is a path: of pathlib, of universal_pathlib, or an
    ObjectStoragePath."""
    return isinstance(value, PurePath) or (hasattr(value, "protocol") and hasattr(value, "path"))


def path_text(path: Any) -> str:
    """Return a path object as text, with the connection that it names: "s3://conn_id@bucket/key".

    Text is returned as it is.
    """
    text = str(path)
    scheme, separator, rest = text.partition("://")
    conn_id = getattr(path, "conn_id", None)
    named = not conn_id or not separator or "@" in rest.partition("/")[0]
    return text if named else f"{scheme}://{conn_id}@{rest}"


def one_reference(value: Any) -> Any:
    """Return the one URL or path that *value* stands for.

    :raises ValueError: it stands for none, for several, or for something else.
    """
    if value is None:
        return None
    found = flat_references(value)
    if len(found) != 1:
        if not found:
            raise RuleError(f"takes one image, {truncated_repr(value)} has 0")
        raise RuleError(
            f"takes one image, {truncated_repr(value)} has {len(found)}; name one, such as "
            "result['images'][1]"
        )
    return found[0]


def flat_references(value: Any) -> Any:
    """Return the URLs and paths that *value* stands for, in order.

    :param value: a URL, a path, a path object, an ``ImageJobResult`` mapping (each of its images by
        ``uri`` if that is set, else by ``url``), one of its ``images``, text that holds one of
        these as JSON or as a Python literal, or a list of them, at most 8 levels deep.
    :raises ValueError: something in it is none of these.
    """
    return None if value is None else list(islice(_flattened(value, _MAX_DEPTH), _MAX_ITEMS))


def _flattened(value: Any, depth: int) -> Iterator[str]:
    if not depth:
        raise RuleError(f"is nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = read_literal(value)
        except ValueError as error:
            raise RuleError(f"{truncated_repr(value)} is {error}") from None
    if isinstance(value, str):
        yield _checked(value.strip())
    elif is_path_object(value):
        yield _checked(path_text(value))
    elif isinstance(value, Mapping):
        yield from _flattened(_images_of(value), depth - 1)
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        for item in value:
            yield from _flattened(item, depth - 1)
    else:
        raise WrongItemError(truncated_repr(value))


def _images_of(result: Mapping[Any, Any]) -> Any:
    """Return what a mapping stands for: a whole result, or one of its images."""
    if one := result.get("uri") or result.get("url"):
        return one
    if several := result.get("images") or result.get("image_urls"):
        return several
    if "job_id" in result:
        raise RuleError(
            f"the result of job {truncated_repr(result['job_id'])} has no images, it is "
            f"{truncated_repr(result.get('status'))}; a task with wait_for_completion=False does "
            "not have them yet"
        )
    raise RuleError(
        f"{truncated_repr(result)} is no result of an image task, nor one of its images"
    )


def _checked(reference: str) -> str:
    shown = truncated_repr(reference)
    if not reference.isprintable():
        raise RuleError(f"{shown} holds characters that no URL or path has")
    if is_url(reference):
        return reference
    if _STORAGE_PATH.fullmatch(reference) or _LOCAL_PATH.fullmatch(reference):
        if reference.endswith("/"):
            raise RuleError(f"{shown} is a folder; name a file")
        return reference
    if " " in reference and reference.startswith(("http://", "https://")):
        raise RuleError(f"{shown} holds a space; in a URL it is written as %20")
    if "://" in reference or not reference or reference.startswith("data:"):
        raise WrongItemError(shown)
    raise RuleError(
        f"{shown} is a relative path, and tasks run in no folder that is known; write it as "
        '"/folder/image.png" or "s3://bucket/image.png"'
    )
