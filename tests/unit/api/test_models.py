"""What goes in (GenerateRequest) and what comes back (Job, Account, lists), as values."""

from __future__ import annotations

import json

import pytest
from flux_strategies import model_and_params
from hypothesis import given
from pydantic import ValidationError

from airflow_provider_apiframe.api.errors import (
    InvalidRequestError,
    JobCancelledError,
    JobError,
    JobFailedError,
    UnexpectedResponseError,
)
from airflow_provider_apiframe.api.models import Account, Job, JobAccepted, JobPage, ModelList
from airflow_provider_apiframe.api.params.catalog import nearest_model
from airflow_provider_apiframe.api.params.flux import FluxParams
from airflow_provider_apiframe.api.params.request import GenerateRequest, checked_seconds

A, B = "https://cdn2.apiframe.ai/images/a-1.png", "https://cdn2.apiframe.ai/images/a-2.png"


def refusal(**given) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        GenerateRequest.parse(**{"prompt": "a poster", **given})
    return caught.value


def job(**fields) -> Job:
    return Job.model_validate({"id": "j-1", "status": "COMPLETED", **fields})


# What goes in


@pytest.mark.parametrize(
    "prompt", ["x", "a" * 2000, "😀" * 1000, "ä" * 2000, " a ", "line\nline", "日本" * 1000]
)
def test_a_prompt_of_1_to_2000_utf_16_units_is_sent_as_it_is(prompt):
    assert GenerateRequest.parse(prompt=prompt).to_payload()["prompt"] == prompt


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "must have 1 to 2000 characters, is empty"),
        (" \n\t", "must have 1 to 2000 characters, is only white space"),
        ("a" * 2001, "(2001 characters): must have 1 to 2000 characters, has 2001"),
        ("😀" * 1000 + "a", "must have 1 to 2000 characters, has 2001"),
        ("😀" * 1001, "must have 1 to 2000 characters, has 2002"),
        (None, "prompt=None: must be text of 1 to 2000 characters"),
        (5, "prompt=5: must be text"),
        (b"poster", "prompt=b'poster': must be text"),
        (["a poster"], "prompt=['a poster']: must be text"),
    ],
)
def test_a_prompt_of_another_length_or_type_is_refused(prompt, said):
    error = refusal(prompt=prompt)
    assert str(error).startswith("prompt=")
    assert said in str(error)
    assert list(error.fields) == ["prompt"]
    assert len(str(error)) < 250


def test_the_model_is_flux_2_flex_unless_another_is_named():
    assert GenerateRequest.parse(prompt="x").to_payload() == {"prompt": "x", "model": "flux-2-flex"}
    assert (
        GenerateRequest.parse(prompt="x", model="flux-2-pro").to_payload()["model"] == "flux-2-pro"
    )


def test_a_model_that_is_not_known_is_sent_as_it_is():
    request = GenerateRequest.parse(
        prompt="x", model="flux-3-flex", flux_params={"steps": 9, "raw": True}
    )
    assert request.to_payload() == {
        "prompt": "x",
        "model": "flux-3-flex",
        "fluxParams": {"steps": 9, "raw": True},
    }


@pytest.mark.parametrize("model", [None, "", "  ", 2, ["flux-2-flex"]])
def test_what_cannot_be_a_model_id_is_refused_with_the_known_ones(model):
    error = refusal(model=model)
    assert str(error).startswith(
        f"model={model!r}: must be a model id such as flux-2-flex, flux-2-pro"
    )
    assert list(error.fields) == ["model"]


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("flux-2-flx", "flux-2-flex"),
        ("Flux-2-Flex", "flux-2-flex"),
        ("flux-1-1-pro", "flux-1.1-pro"),
        ("flux-2-flex", None),
        ("midjourney", None),
    ],
)
def test_a_misspelt_model_id_is_recognised(model, meant):
    assert nearest_model(model) == meant


@pytest.mark.parametrize("url", ["https://hooks.example/a?b=c", "http://127.0.0.1:9/hook"])
def test_a_webhook_is_sent_with_its_events(url):
    wire = GenerateRequest.parse(
        prompt="x", webhook_url=url, webhook_events=["completed", "progress"]
    ).to_payload()
    assert (wire["webhookUrl"], wire["webhookEvents"]) == (url, ["completed", "progress"])


@pytest.mark.parametrize(
    "url",
    ["", "hooks.example", "ftp://hooks.example", "https://", "https://a b", 5, ["https://a/b"]],
)
def test_a_webhook_url_that_is_none_is_refused(url):
    error = refusal(webhook_url=url)
    assert str(error) == f"webhook_url={url!r}: must be an http(s) URL"
    assert list(error.fields) == ["webhook_url"]


@pytest.mark.parametrize(
    "events",
    [[], "completed", ["done"], ["completed", "COMPLETED"], [None], {"completed": True}, 1],
)
def test_webhook_events_that_the_api_does_not_know_are_refused(events):
    error = refusal(webhook_url="https://hooks.example", webhook_events=events)
    assert (
        str(error)
        == f'webhook_events={events!r}: must be a list of "progress", "completed", "failed"'
    )
    assert list(error.fields) == ["webhook_events"]


FLUX = {"steps": 30, "prompt_upsampling": True, "aspect_ratio": "9:16"}


@pytest.mark.parametrize(
    "given",
    [
        FLUX,
        FluxParams(**FLUX),
        json.dumps(FLUX),
        repr(FLUX),
        f"\n  {FLUX!r}\n",
        '{"steps": "30", "prompt_upsampling": "true", "aspect_ratio": "9:16", "seed": null}',
        FLUX | {"seed": None},
    ],
)
def test_flux_params_come_as_mapping_object_json_or_python_literal(given):
    assert GenerateRequest.parse(prompt="x", flux_params=given).to_payload()["fluxParams"] == FLUX


@pytest.mark.parametrize("given", [None, {}, "{}", FluxParams(), {"steps": None}])
def test_without_flux_params_none_are_sent(given):
    assert "fluxParams" not in GenerateRequest.parse(prompt="x", flux_params=given).to_payload()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "steps=30",
        "[1, 2]",
        '"text"',
        "null",
        "None",
        "{",
        "{'a': open('x')}",
        "(" * 500,
        5,
        [("steps", 3)],
        b"{}",
        True,
    ],
)
def test_flux_params_of_another_form_are_refused(given):
    error = refusal(flux_params=given)
    assert (
        "must be a mapping, a FluxParams, or text that holds a mapping as JSON or as a Python "
        "literal" in str(error)
    )
    assert str(error).startswith("flux_params=")
    assert list(error.fields) == ["flux_params"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 15_000,
        "-" * 99_999 + "1",
        "1+" * 49_999 + "1",
        " " * 10_000_000,
    ],
    ids=["brackets", "braces", "signs", "sums", "blanks"],
)
def test_flux_params_that_nest_without_end_or_are_too_long_are_refused_in_a_short_error(text):
    error = refusal(flux_params=text)
    assert "flux_params" in error.fields
    assert len(str(error)) < 300


def test_all_that_is_wrong_with_a_request_is_told_in_one_error():
    error = refusal(prompt="", flux_params={"steps": 99}, webhook_events=["completed"])
    assert set(error.fields) == {"prompt", "steps", "webhook_events"}
    for piece in ("prompt=''", "flux_params: steps=99", "webhook_events=['completed']"):
        assert piece in str(error)


def test_a_request_made_without_parse_is_checked_as_well():
    with pytest.raises(InvalidRequestError, match="prompt='': must have 1 to 2000"):
        GenerateRequest(prompt="")


def test_flux_params_are_checked_for_the_model_also_as_an_object():
    assert "flux-2-pro does not take it" in str(
        refusal(model="flux-2-pro", flux_params=FluxParams(steps=30))
    )
    assert "goes with height" in str(refusal(flux_params=FluxParams(width=512)))


@given(model_and_params())
def test_json_and_python_text_mean_what_the_mapping_means(drawn):
    model, params = drawn
    wires = [
        GenerateRequest.parse(prompt="x", model=model, flux_params=form).to_payload()
        for form in (params, json.dumps(params), repr(params), FluxParams(**params))
    ]
    assert wires == [wires[0]] * 4


# What comes back


@pytest.mark.parametrize(
    ("result", "urls"),
    [
        ({"images": [A, B]}, [A, B]),
        ({"images": [{"url": A}, {"imageUrl": B}]}, [A, B]),
        ({"images": A}, [A]),
        ({"images": {"url": A}}, [A]),
        ({"images": [A], "gridUrl": B}, [A]),
        ({"images": [], "url": A}, [A]),
        ({"images": None, "image": A}, [A]),
        ({"images": [None, 5, "", A]}, [A]),
        (A, [A]),
        ("http://127.0.0.1:8765/images/a-1.png", ["http://127.0.0.1:8765/images/a-1.png"]),
        ([A, B], [A, B]),
        ([{"url": A}, {"image_url": B}], [A, B]),
        *[({key: A}, [A]) for key in ("image", "imageUrl", "image_url", "url")],
        ({"image": {"url": A}}, [A]),
        *[
            (nothing, [])
            for nothing in (
                None,
                {},
                [],
                "",
                "done",
                5,
                True,
                {"images": []},
                {"videoUrl": A},
                "ftp://a/b",
            )
        ],
    ],
)
def test_the_links_are_found_in_every_form_of_result(result, urls):
    assert job(result=result).image_urls == urls


@pytest.mark.parametrize("status", ["COMPLETED", "completed", "Completed"])
def test_a_status_is_read_in_any_case(status):
    assert job(status=status).status == "COMPLETED"
    assert JobAccepted.model_validate({"jobId": "j-1", "status": status}).status == "COMPLETED"


@pytest.mark.parametrize(
    ("status", "finished"),
    [("QUEUED", False), ("PROCESSING", False), ("PAUSED", False), ("", False)]
    + [(status, True) for status in ("COMPLETED", "FAILED", "CANCELLED", "failed")],
)
def test_only_the_three_final_states_are_finished(status, finished):
    assert job(status=status).is_terminal is finished


def test_a_job_is_read_from_the_names_of_the_api():
    read = Job.model_validate_json(
        '{"id": "j-1", "status": "COMPLETED", "model": "flux-2-flex", "progress": 100, '
        '"result": null, "error": null, '
        '"creditCost": 12, "webhookStatus": null, "createdAt": "2026-07-01T10:00:00.000Z", '
        '"completedAt": "2026-07-01T10:00:15.000Z", "expired": false, '
        '"input": {"prompt": "x"}, "new": [1]}'
    )
    assert read == Job(
        id="j-1",
        status="COMPLETED",
        model="flux-2-flex",
        progress=100,
        credit_cost=12,
        created_at="2026-07-01T10:00:00.000Z",
        completed_at="2026-07-01T10:00:15.000Z",
        expired=False,
        input={"prompt": "x"},
    )
    assert read.prompt == "x"


@pytest.mark.parametrize(
    ("cost", "read"),
    [
        (12, 12),
        (0, 0),
        (None, None),
        (1.5, 1.5),
        ("a lot", None),
        ({}, None),
        (-3, None),
        (-0.5, None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_a_credit_cost_is_a_number_or_not_known(cost, read):
    assert job(creditCost=cost).credit_cost == read


ODD = [5, 1.5, True, "text", [], ["x"], {}, {"message": "x"}, None]


@pytest.mark.parametrize(
    "field",
    [
        "model",
        "progress",
        "result",
        "error",
        "creditCost",
        "createdAt",
        "completedAt",
        "expired",
        "webhookStatus",
        "input",
    ],
)
@pytest.mark.parametrize("value", ODD)
def test_an_odd_optional_field_does_not_make_a_job_unreadable(field, value):
    read = job(**{"result": A, field: value})
    assert (read.id, read.status) == ("j-1", "COMPLETED")


def test_a_job_of_id_and_status_alone_is_read():
    assert job().credit_cost is None


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"id": "j-1"},
        {"status": "QUEUED"},
        {"id": "", "status": "QUEUED"},
        {"id": None, "status": "x"},
    ],
)
def test_a_job_without_id_or_status_is_no_job(answer):
    with pytest.raises(ValueError, match="validation error"):
        Job.model_validate(answer)


@pytest.mark.parametrize("status", ["QUEUED", "completed", None])
def test_an_accepted_job_is_read_whatever_its_status(status):
    # Without the id the job would be paid for and lost.
    assert JobAccepted.model_validate({"jobId": "j-1", "status": status}).job_id == "j-1"


def test_an_accepted_job_without_a_status_is_queued():
    assert JobAccepted.model_validate({"jobId": "j-1"}).status == "QUEUED"


def test_a_completed_job_with_images_is_returned():
    completed = job(result=A)
    assert completed.raise_for_status() is completed


@pytest.mark.parametrize(
    ("fields", "kind", "said"),
    [
        (
            {"status": "FAILED", "error": "No capacity"},
            JobFailedError,
            "The job FAILED: No capacity",
        ),
        (
            {"status": "FAILED", "error": "No capacity", "creditCost": 0},
            JobFailedError,
            "The job FAILED: No capacity (credits charged: 0)",
        ),
        ({"status": "FAILED"}, JobFailedError, "The job FAILED: the API gave no reason"),
        ({"status": "CANCELLED"}, JobCancelledError, "The job was CANCELLED"),
        (
            {"status": "CANCELLED", "error": "by the team"},
            JobCancelledError,
            "The job was CANCELLED (by the team)",
        ),
    ],
)
def test_a_job_that_ended_without_an_image_raises_its_reason(fields, kind, said):
    with pytest.raises(kind) as caught:
        job(result=A, **fields).raise_for_status()
    assert str(caught.value).startswith(said)
    assert isinstance(caught.value, JobError)
    assert (caught.value.job_id, caught.value.transient) == ("j-1", True)


@pytest.mark.parametrize("result", [None, {}, {"videoUrl": "https://a/b.mp4"}, "done", [1]])
def test_a_completed_job_without_a_link_keeps_the_raw_result(result):
    with pytest.raises(UnexpectedResponseError) as caught:
        job(result=result).raise_for_status()
    assert caught.value.raw == repr(result)
    assert caught.value.job_id == "j-1"
    assert "j-1" in str(caught.value)
    assert repr(result) in str(caught.value)
    assert not caught.value.transient


def test_a_raw_result_is_cut_to_2000_characters():
    with pytest.raises(UnexpectedResponseError) as caught:
        job(result={"text": "x" * 5000}).raise_for_status()
    assert len(caught.value.raw) < 2050


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"nextCursor": None, "hasMore": False},
        {"nextCursor": 5, "hasMore": "perhaps"},
        {"models": []},
    ],
)
def test_a_page_of_jobs_is_read_with_and_without_its_cursor(more):
    page = JobPage.model_validate({"jobs": [{"id": "j-1", "status": "QUEUED"}], **more})
    assert [read.id for read in page.jobs] == ["j-1"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            {"user": {"email": "a@b.c"}, "team": {"name": "Acme", "plan": "pro", "credits": 3644}},
            "Connected to team Acme (plan pro): 3644 credits left",
        ),
        (
            {"team": {"name": "Acme", "plan": None, "credits": 0}},
            "Connected to team Acme: 0 credits left",
        ),
        ({"team": {"name": "Acme"}}, "Connected to team Acme: unknown credits left"),
        ({"team": {"credits": 5}}, "Connected to team (no name): 5 credits left"),
        (
            {"team": None, "user": {"email": "a@b.c"}},
            "Connected as a@b.c, which has no team and so no credits",
        ),
        (
            {"team": None, "user": {}},
            "Connected as an account, which has no team and so no credits",
        ),
    ],
)
def test_an_account_is_described_in_a_line(answer, text):
    assert Account.model_validate(answer).describe() == text


@pytest.mark.parametrize("field", ["name", "plan", "credits"])
@pytest.mark.parametrize("value", ODD)
def test_an_odd_field_of_a_team_does_not_make_an_account_unreadable(field, value):
    team = {"name": "Acme", "plan": "pro", "credits": 1, field: value}
    assert Account.model_validate({"team": team}).describe().startswith("Connected to team")


def test_a_model_of_the_catalogue_is_read_with_its_costs():
    entry = {
        "id": "flux-2-flex",
        "label": "Flux 2 Flex",
        "modality": "image",
        "costMin": 6,
        "costMax": 24.5,
        "new": {},
    }
    read = ModelList.model_validate({"models": [entry, {"id": "x"}]}).models
    assert [(model.id, model.cost_min, model.cost_max) for model in read] == [
        ("flux-2-flex", 6, 24.5),
        ("x", None, None),
    ]


def test_an_account_of_nobody_is_no_account():
    with pytest.raises(ValidationError, match="neither user nor team"):
        Account.model_validate({})


@pytest.mark.parametrize(("value", "seconds"), [(5, 5), (0.5, 0.5), ("30", 30)])
def test_seconds_are_a_number_above_0(value, seconds):
    assert checked_seconds("timeout", value) == seconds


@pytest.mark.parametrize(
    "value", [0, -1, "soon", "", None, True, float("nan"), float("inf"), "inf", []]
)
def test_what_is_no_number_of_seconds_is_refused(value):
    with pytest.raises(InvalidRequestError) as raised:
        checked_seconds("timeout", value)
    assert str(raised.value) == f"timeout={value!r}: must be a number of seconds above 0"
