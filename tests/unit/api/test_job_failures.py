from __future__ import annotations

import pytest

from airflow_provider_apiframe.api.errors import JobFailedError
from airflow_provider_apiframe.api.job_failures import FAILURES, classify_failure
from airflow_provider_apiframe.api.models import Job


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("No available capacity, please try again later", "no_capacity"),
        ("Model is overloaded", "no_capacity"),
        ("Prediction timed out", "no_capacity"),
        ("Content filter is temporarily unavailable", "no_capacity"),
        (
            "NSFW content detected. Try running it again, or try a different prompt.",
            "refused_content",
        ),
        (
            "The input or output was flagged as sensitive. Please try again with different "
            "inputs. (E005)",
            "refused_content",
        ),
        ("Request Moderated", "refused_content"),
        ("Content policy violation", "refused_content"),
        ("provider error: content-policy violation", "refused_content"),
        ("Your prompt was rejected", "refused_content"),
        ("Invalid aspect ratio", "invalid_request"),
        ("Input image is too large", "invalid_request"),
        ("cannot identify image file", "invalid_request"),
        ("Could not decode the input image", "invalid_request"),
        ("Upstream provider: content flagged as sensitive (E005)", "refused_content"),
        ("Unsupported image type", "invalid_request"),
        ("Prompt is too long", "invalid_request"),
        ("Generation failed", "unknown"),
        ("Generation took too long", "unknown"),
        ("Internal Server Error", "unknown"),
        ("Unable to process request at this time", "unknown"),
        ("Invalid response from provider", "unknown"),
        ("Internal validation error", "unknown"),
        ("Moderation service error", "unknown"),
        ("Safety checker crashed", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_vendors_texts_are_told_apart(text, kind):
    assert classify_failure(text).kind == kind


def test_a_retry_is_left_out_only_where_the_text_says_that_it_cannot_help():
    assert {rule.kind for rule in FAILURES if not rule.transient} == {
        "refused_content",
        "invalid_request",
    }
    assert classify_failure("a text nobody has seen").transient


@pytest.mark.parametrize(
    ("text", "transient", "advice"),
    [
        ("No capacity", True, "Submit it again"),
        ("Request Moderated.", False, "change the prompt"),
        ("Invalid seed", False, "change the parameters"),
    ],
)
def test_the_error_says_what_to_do(text, transient, advice):
    with pytest.raises(JobFailedError, match=advice) as caught:
        Job(id="j", status="FAILED", error=text).raise_for_status()
    assert caught.value.transient is transient
    assert caught.value.kind == classify_failure(text).kind
