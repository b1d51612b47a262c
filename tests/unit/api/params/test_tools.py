"""The requests that work on images which are there already: their arguments and their bodies."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vendor_contract import midjourney_actions

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.image_file import MAX_INLINE_CHARACTERS
from airflow_provider_apiframe.api.params.base import ParseContext
from airflow_provider_apiframe.api.params.midjourney_action import MidjourneyActionRequest
from airflow_provider_apiframe.api.params.tools import (
    BackgroundRemoveRequest,
    EditRequest,
    UpscaleRequest,
)

URL = "https://images.example/a.png"
PATH = "s3://bucket/a.png"
MASK = "s3://bucket/mask.png"
PARENT = "0b1c2d3e-0000-4000-8000-00000000000a"
BASE64 = base64.b64encode(b"\x89PNG\r\n\x1a\n a drawing").decode()


def refusal(kind: Any, **arguments: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        kind.parse(**arguments)
    return str(caught.value)


def edit(**arguments: Any) -> EditRequest:
    return EditRequest.parse(**{"image": URL, "prompt": "a hat", "mode": "inpaint", **arguments})


def action(name: str, **arguments: Any) -> MidjourneyActionRequest:
    return MidjourneyActionRequest.parse(parent_job_id=PARENT, action=name, **arguments)


def test_the_image_stands_among_the_parameters_of_the_body():
    request = UpscaleRequest.parse(image=URL, params={"upscale_factor": "4"})
    assert request.to_payload() == {
        "model": "topaz-image-upscale",
        "topazUpscaleParams": {"image": URL, "upscale_factor": 4},
    }


def test_a_body_has_its_webhook_beside_the_parameters():
    request = BackgroundRemoveRequest.parse(
        image=URL, webhook_url="https://hooks.example", webhook_events=["failed"]
    )
    assert request.to_payload() == {
        "model": "bria-bg-remove",
        "briaBgRemoveParams": {"image": URL},
        "webhookUrl": "https://hooks.example",
        "webhookEvents": ["failed"],
    }


@pytest.mark.parametrize("result", [{"uri": PATH}, {"images": [{"uri": PATH, "url": URL}]}, PATH])
def test_the_image_may_be_the_result_of_an_earlier_task(result):
    request = UpscaleRequest.parse(image=result)
    assert request.paths == [PATH]
    sent = request.replacing({PATH: URL}).to_payload()
    assert sent["topazUpscaleParams"] == {"image": URL}


def test_image_and_mask_are_replaced_each_by_its_own():
    request = edit(image=PATH, mask=MASK)
    assert request.paths == [PATH, MASK]
    sent = request.replacing({PATH: URL, MASK: f"{URL}?mask"}).to_payload()["fluxFillParams"]
    assert (sent["image"], sent["mask"]) == (URL, f"{URL}?mask")


def test_the_job_of_a_tool_is_known_again_by_its_images():
    request = edit(image=PATH, mask=MASK, params={"steps": 7})
    body = request.replacing({PATH: URL, MASK: f"{URL}?mask"}).to_payload()
    assert request.paired_images(body) == [(PATH, URL), (MASK, f"{URL}?mask")]
    other = {**body, "fluxFillParams": {**body["fluxFillParams"], "steps": 8}}
    assert request.paired_images(other) is None


def test_what_a_request_asks_for_can_be_read_on_every_tool():
    clarity = UpscaleRequest.parse(
        image=URL,
        model="clarity-upscale",
        params={"prompt": "a face", "output_format": "webp", "seed": 7},
    )
    assert (clarity.prompt, clarity.output_format, clarity.seed) == ("a face", "webp", 7)
    cut_out = BackgroundRemoveRequest.parse(
        image=URL, model="851-bg-remove", params={"format": "jpg"}
    )
    assert (cut_out.prompt, cut_out.output_format, cut_out.seed) == (None, "jpg", None)
    assert edit(mask=URL).prompt == "a hat"
    assert (action("upsample", index=1).model, clarity.outputs) == ("midjourney", 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, 'mask=None: is not set, and mode "inpaint" needs it'),
        ({"mask": URL, "outpaint": "Make square"}, 'does not go with mode "inpaint"'),
        ({"mode": "outpaint"}, 'outpaint=None: is not set, and mode "outpaint" needs it'),
        (
            {"mode": "outpaint", "outpaint": "Make square", "mask": URL},
            'does not go with mode "outpaint"',
        ),
        ({"mode": "paint"}, '"inpaint" or "outpaint"'),
        ({"mask": URL, "prompt": " "}, "1 to 2000 characters, is only white space"),
        ({"mask": URL, "params": {"mask": URL}}, "is an argument of its own"),
        ({"mask": URL, "params": {"prompt": "x"}}, "is an argument of its own"),
        ({"mask": URL, "params": {"step": 3}}, "did you mean 'steps'?"),
        ({"image": [URL, URL], "mask": URL}, "takes one image"),
    ],
)
def test_what_does_not_go_together_in_an_edit_is_refused(arguments, said):
    with pytest.raises(InvalidRequestError) as caught:
        edit(**arguments)
    assert said in str(caught.value)


def test_rules_of_an_edit_wait_for_what_is_templated():
    for templated in ({"mode"}, {"mask"}):
        arguments = {"image": URL, "prompt": "a hat", "mode": "inpaint"}
        for name in templated:
            arguments[name] = None
        EditRequest.checked(arguments, ParseContext(templated=frozenset(templated)))


def test_a_tool_of_another_kind_is_refused():
    said = refusal(UpscaleRequest, image=URL, model="flux-fill-pro")
    assert "is for POST /v2/images/edit; for /v2/images/upscale there are topaz-image" in said


def test_a_tool_that_is_not_known_needs_the_name_of_its_parameters():
    said = refusal(UpscaleRequest, image=URL, model="topaz-image-upscal")
    assert "did you mean 'topaz-image-upscale'?" in said
    request = UpscaleRequest.parse(image=PATH, model="foo-9", params={"fooParams": {"size": 3}})
    assert request.replacing({PATH: URL}).to_payload() == {
        "model": "foo-9",
        "fooParams": {"image": URL, "size": 3},
    }
    said = refusal(UpscaleRequest, image=URL, model="foo-9", params={"fooParams": {"image": URL}})
    assert "is an argument of its own" in said


VALID: dict[str, dict[str, Any]] = {
    "upsample": {"index": 1},
    "variation": {"index": "4"},
    "inpaint": {"mask": BASE64, "prompt": "a hat"},
    "outpaint": {"zoom_ratio": "1.5"},
    "pan": {"direction": "left"},
}


@pytest.mark.parametrize("name", VALID)
def test_an_action_fits_the_vendors_schema(name):
    if not midjourney_actions():
        pytest.skip("the vendor's OpenAPI file is not there")
    from vendor_schemas import variant_validator

    payload = action(name, **VALID[name]).to_payload()
    assert list(variant_validator("midjourney/action", name).iter_errors(payload)) == []
    assert (payload["parentJobId"], payload["action"]) == (PARENT, name)
    assert VALID.keys() == midjourney_actions().keys()


@pytest.mark.parametrize("name", VALID)
def test_an_action_needs_what_it_needs_and_takes_no_more(name):
    if name != "inpaint":  # whose prompt may be left out
        assert f'is not set, and action "{name}" needs it' in refusal(
            MidjourneyActionRequest, parent_job_id=PARENT, action=name
        )
    for other in VALID.keys() - {name}:
        extra = {key: value for key, value in VALID[other].items() if key not in VALID[name]}
        if extra:
            with pytest.raises(InvalidRequestError, match=f'"{name}" does not take it'):
                action(name, **VALID[name], **extra)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("upsample", {"index": 0}, "must be 1, 2, 3 or 4"),
        ("upsample", {"index": 5}, "must be 1, 2, 3 or 4"),
        ("upsample", {"index": True}, "must be 1, 2, 3 or 4"),
        ("outpaint", {"zoom_ratio": 3}, "must be 1.5 or 2"),
        ("outpaint", {"zoom_ratio": True}, "must be 1.5 or 2"),
        ("pan", {"direction": "north"}, '"up", "down", "left" or "right"'),
        ("blend", {}, '"upsample", "variation", "inpaint", "outpaint" or "pan"'),
        ("inpaint", {"mask": URL}, "is a URL, and Midjourney takes the mask itself"),
        ("inpaint", {"mask": BASE64, "prompt": "x" * 2001}, "at most 2000 characters, has 2001"),
        ("inpaint", {"mask": f"{BASE64}!"}, "begins as base64, and is none"),
        ("inpaint", {"mask": "mask.png"}, "is a relative path"),
    ],
)
def test_a_wrong_argument_of_an_action_is_refused(name, arguments, said):
    with pytest.raises(InvalidRequestError) as caught:
        action(name, **arguments)
    assert said in str(caught.value)


@pytest.mark.parametrize("job_id", ["", "None", "j-1", 7, PARENT[1:]])
def test_a_parent_that_is_no_job_id_is_refused(job_id):
    said = refusal(MidjourneyActionRequest, parent_job_id=job_id, action="upsample", index=1)
    assert "must be the id of a Midjourney job" in said


def test_a_mask_in_base64_is_sent_as_it_is_and_a_file_is_read_first():
    inline = action("inpaint", mask=BASE64)
    assert (inline.paths, inline.inline_paths) == ([], frozenset())
    assert inline.to_payload()["mask"] == BASE64
    named = action("inpaint", mask={"uri": MASK})
    assert (named.paths, named.inline_paths) == ([MASK], {MASK})
    assert named.replacing({MASK: BASE64}).to_payload() == inline.to_payload()


def test_a_jpeg_in_base64_is_no_path_though_it_begins_like_one():
    text = base64.b64encode(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(30)).decode()
    assert text.startswith("/9j/")
    assert action("inpaint", mask=text).paths == []
    assert action("inpaint", mask="/9j/mask.png").paths == ["/9j/mask.png"]


def test_a_mask_has_as_much_base64_as_the_vendor_takes():
    head = base64.b64encode(b"\x89PNG\r\n\x1a\n....").decode()
    longest = head + "A" * (MAX_INLINE_CHARACTERS - len(head))
    assert action("inpaint", mask=longest).to_payload()["mask"] == longest
    said = refusal(
        MidjourneyActionRequest, parent_job_id=PARENT, action="inpaint", mask=f"{longest}AAAA"
    )
    assert "at most 12000000 characters, has 12000004" in said
    assert len(said) < 300


@given(st.sampled_from(sorted(VALID)), st.sampled_from(["action", "index", "mask", "direction"]))
def test_rules_of_an_action_wait_for_what_is_templated(name, templated):
    arguments = {"parent_job_id": PARENT, "action": name, **VALID[name], templated: None}
    MidjourneyActionRequest.checked(arguments, ParseContext(templated=frozenset({templated})))
