"""Files that are sent within the request: a mask for Midjourney."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from airflow_provider_apiframe.api.errors import InvalidRequestError, UnreadableFileError
from airflow_provider_apiframe.api.image_file import MAX_INLINE_CHARACTERS
from airflow_provider_apiframe.api.params.midjourney_action import MidjourneyActionRequest
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.submission.idempotency import (
    SubmissionRecord,
    fingerprint,
    hashes_by_path,
)
from airflow_provider_apiframe.submission.references import References

PARENT = "0b1c2d3e-0000-4000-8000-00000000000a"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def mask(tmp_path) -> Path:
    path = tmp_path / "mask.png"
    path.write_bytes(PNG + b"white")
    return path


def read(mask: Path, record: SubmissionRecord | None = None) -> References:
    request = MidjourneyActionRequest.parse(parent_job_id=PARENT, action="inpaint", mask=str(mask))
    return References.read(request, None, record)


def test_the_mask_is_sent_and_nothing_is_uploaded(mask, connected):
    references = read(mask).uploaded(ApiframeHook())
    assert base64.b64decode(references.sent.to_payload()["mask"]) == mask.read_bytes()
    assert (references.uploads, connected.state.uploads.count) == ({}, 0)


def test_the_key_goes_by_the_masks_content(mask):
    first = fingerprint(read(mask).hashed)
    assert fingerprint(read(mask).hashed) == first
    mask.write_bytes(PNG + b"black")
    assert fingerprint(read(mask).hashed) != first


def test_a_mask_that_only_an_earlier_try_could_read_still_finds_its_job(mask):
    first = read(mask)
    record = SubmissionRecord(
        job_id="j-1",
        fingerprint=fingerprint(first.hashed),
        scope=0,
        clear_number=0,
        run_clear_number=0,
        generation=0,
        file_hashes=hashes_by_path(first.hashes),
        uploads={},
    )
    mask.unlink()
    later = read(mask, record)
    assert fingerprint(later.hashed) == record.fingerprint
    with pytest.raises(UnreadableFileError, match="could be read by an earlier try"):
        _ = later.sent


def test_a_mask_of_more_bytes_than_the_vendor_takes_is_refused(mask):
    most = MAX_INLINE_CHARACTERS // 4 * 3
    mask.write_bytes(PNG + bytes(most - len(PNG)))
    assert len(read(mask).sent.to_payload()["mask"]) == MAX_INLINE_CHARACTERS
    mask.write_bytes(PNG + bytes(most - len(PNG) + 1))
    with pytest.raises(InvalidRequestError, match=f"takes at most {most}"):
        _ = read(mask).sent
