"""Where an image is stored, by ``save_to``: a folder or a file name, with placeholders.

Decided on text alone: nothing is opened, and DAG files may import it.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.validation import truncated_repr

PLACEHOLDERS = ("dag_id", "run_id", "task_id", "map_index", "job_id", "n", "ext", "ds")

EXTENSIONS = ("png", "jpg", "jpeg", "webp")

MAX_PART = 100
"""Characters of a placeholder's value in a name: file systems allow 255 bytes for a whole one."""

MAX_NAME = 255
"""Bytes of a name in a path: what file systems allow."""

MAX_PATH = 1000
"""Bytes of a path: S3 and GCS allow 1,024 for a key."""

_DEFAULT_NAME = "{job_id}-{n}.{ext}"

_LOCAL = ("file", "local")

# What storages and their libraries take literally: no wildcards ("*", "?", "["), no query, no
# backslash, no control characters.
_SEGMENT = re.compile(r"[\w .=+@,;()&$!'~-]+")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_SHOWN = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)


@dataclass(frozen=True)
class SaveTo:
    """A ``save_to``, checked. Made with :meth:`parse`.

    :param root: what comes before the path: "s3://bucket", "file://".
    :param folder: the segments of the folder's path, with placeholders.
    :param name: the file's name with placeholders; None where ``save_to`` is a folder.
    """

    root: str
    folder: tuple[str, ...]
    name: str | None

    @classmethod
    def parse(cls, value: Any) -> SaveTo:
        """Read ``save_to``: a folder that ends with "/", or a file name with an extension.

        :param value: a storage URL such as "s3://bucket/folder/", or an absolute local path.
        :raises InvalidRequestError: saying what is wrong and what is allowed.
        """
        if not isinstance(value, str):
            raise _wrong(value, 'must be text, such as "s3://bucket/folder/"')
        root, path = _split(value)
        *folder, name = path.split("/")
        for segment in [*folder, *([name] if name else [])]:
            _check_segment(value, segment)
        if name and not name.lower().endswith((".{ext}", *(f".{ext}" for ext in EXTENSIONS))):
            raise _wrong(
                value,
                'must end with "/" for a folder, or name a file with its extension, such as '
                "poster.png or poster.{ext}",
            )
        return cls(root, tuple(folder), name or None)

    @property
    def fixed_extension(self) -> str | None:
        """The extension that the name asks for; None where it is the image's own."""
        extension = self.name.rpartition(".")[2].lower() if self.name else "{ext}"
        return None if extension == "{ext}" else extension

    @property
    def tells_mapped_tasks_apart(self) -> bool:
        """Whether mapped tasks write different names."""
        return self.name is None or bool(self.placeholders & {"map_index", "job_id"})

    @property
    def placeholders(self) -> set[str]:
        """The placeholders in it."""
        parts = (*self.folder, self.name or "")
        return {found for part in parts for found in _PLACEHOLDER.findall(part)}

    def uri(self, values: Mapping[str, Any], *, n: int, ext: str) -> str:
        """Return where image *n* goes.

        Into a folder it goes as ``{dag_id}/{run_id}/{task_id}[-{map_index}]/{job_id}-{n}.{ext}``.
        A file name without ``{n}`` is the first image's; the others get a number behind it.

        :param values: "dag_id", "run_id", "task_id", "map_index" (-1 for a task that is not
            mapped), "job_id" and "ds".
        :param n: number of the image in its job, from 1.
        :param ext: by the image's first bytes: "png", "jpg" or "webp".
        :raises InvalidRequestError: the name gets too long for a storage.
        """
        mapped = int(values["map_index"]) >= 0
        folder, name = self.folder, self.name
        if name is None:
            task = "{task_id}-{map_index}" if mapped else "{task_id}"
            folder, name = (*folder, "{dag_id}", "{run_id}", task), _DEFAULT_NAME
        elif n > 1 and "{n}" not in name:
            stem, _, extension = name.rpartition(".")
            name = f"{stem}-{n}.{extension}"
        parts = {key: safe_part(str(values[key])) for key in PLACEHOLDERS if key in values}
        parts |= {"n": str(n), "ext": ext, "map_index": str(max(0, int(values["map_index"])))}
        segments = [
            _PLACEHOLDER.sub(lambda found: parts[found[1]], segment) for segment in (*folder, name)
        ]
        path = "/".join(segments)
        if len(path.encode()) > MAX_PATH or any(len(part.encode()) > MAX_NAME for part in segments):
            raise InvalidRequestError(
                f"save_to leads to {truncated_repr(path)}, which is too long: a path may have "
                f"{MAX_PATH} bytes, and a name in it {MAX_NAME}"
            )
        return f"{self.root}/{path}"


def placeholder_values(context: Any) -> dict[str, Any]:
    """Return the values of a task's placeholders, by its context: all but the image's own."""
    ti, dag_run = context["ti"], context.get("dag_run")
    # A run that an asset or a person started has no logical date; it still has a day.
    moment = getattr(dag_run, "run_after", None) or datetime.now(UTC)
    return {
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": ti.map_index,
        "ds": context.get("ds") or f"{moment:%Y-%m-%d}",
    }


def safe_part(text: str) -> str:
    """Return *text* as a part of a name: letters, digits, ".", "_" and "-", no dot first.

    What is too long is cut, and ends in a hash of the whole. So does what has letters of other
    alphabets: two names of the same length would be one row of "_".
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".") or "_"
    if len(safe) <= MAX_PART and text.isascii():
        return safe
    return f"{safe[: MAX_PART - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _split(text: str) -> tuple[str, str]:
    """Return what comes before the path, and the path without its first "/"."""
    if text.startswith("/"):
        return "file://", text[1:]
    scheme, found, rest = text.partition("://")
    scheme = scheme.lower()
    bucket, slash, path = rest.partition("/")
    if not found or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise _wrong(
            text, 'must be a storage URL such as "s3://bucket/folder/", or an absolute local path'
        )
    if scheme in ("http", "https"):
        raise _wrong(text, "nothing can be stored behind an http(s) link")
    if scheme in _LOCAL and bucket:
        raise _wrong(text, f'must be absolute, "file:///{rest}"')
    if scheme not in _LOCAL and not re.fullmatch(r"[\w.@:+-]+", bucket):
        raise _wrong(text, f'must name a bucket, as in "{scheme}://bucket/folder/"')
    if not slash:
        raise _wrong(text, f'must end with "/" for a folder: "{text}/"')
    return f"{scheme}://{bucket}", path


def _check_segment(value: Any, segment: str) -> None:
    if segment in ("", ".", ".."):
        raise _wrong(value, f"must not have {segment!r} as a part of its path")
    for name in _PLACEHOLDER.findall(segment):
        if name not in PLACEHOLDERS:
            near = difflib.get_close_matches(name, PLACEHOLDERS, n=1)
            advice = f"did you mean {{{near[0]}}}?" if near else f"known are {_SHOWN}"
            raise _wrong(value, f"has the unknown placeholder {{{name}}}, {advice}")
    if not _SEGMENT.fullmatch(_PLACEHOLDER.sub("_", segment)):
        raise _wrong(
            value,
            f"has characters in {segment!r} that file names should not have; letters, digits, "
            f"spaces and . _ - = + @ , ; ( ) & $ ! ' ~ are fine, and the placeholders {_SHOWN}",
        )


def _wrong(value: Any, reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"save_to={truncated_repr(value)}: {reason}")
