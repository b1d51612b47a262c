"""What Airflow stores of operators for any model, and of decorated functions."""

from __future__ import annotations

import datetime
import json
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_apiframe.decorators.flux import flux_task
from airflow_provider_apiframe.decorators.image import image_task
from airflow_provider_apiframe.operators.image import ImageGenerateOperator
from airflow_provider_apiframe.operators.image_tools import (
    ImageBackgroundRemoveOperator,
    ImageEditOperator,
    ImageUpscaleOperator,
    MidjourneyActionOperator,
)

try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before Airflow 3.2
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

SHARED = {"save_to", "save_conn_id", "webhook_url", "apiframe_conn_id"}
IMAGE = {"model", "prompt", "model_params", *SHARED}
FUNCTION = {"op_args", "op_kwargs"}


def dag_of_everything() -> DAG:
    with DAG(
        "models", schedule=None, start_date=datetime.datetime(2026, 1, 1), params={"seed": 1}
    ) as dag:
        photo = ImageGenerateOperator(
            task_id="photo", model="seedream-4.5", prompt="a mug", params={"seed": "{{ 7 }}"}
        )
        partial = ImageGenerateOperator.partial(task_id="photos", model="seedream-4.5")
        partial.expand_kwargs([{"prompt": "a cap", "params": {"seed": 8}}])

        @task
        def requests() -> list[dict[str, Any]]:
            return [{"prompt": "a cap", "params": {"seed": 8}}]

        partial = ImageGenerateOperator.partial(task_id="later", model="seedream-4.5")
        partial.expand_kwargs(requests())
        ImageUpscaleOperator(task_id="large", image=photo.output, params={"upscale_factor": 2})
        ImageEditOperator(
            task_id="edit", image=photo.output, prompt="a", mode="inpaint", mask="/tmp/mask.png"
        )
        ImageBackgroundRemoveOperator.partial(task_id="cut_outs").expand(image=["s3://b/a.png"])
        MidjourneyActionOperator(
            task_id="sketch", parent_job_id=photo.output["job_id"], action="upsample", index=2
        )

        @flux_task(flux_params={"seed": 7})
        def poster(what: str) -> str:
            return what

        @image_task(model="seedream-4.5", params={"seed": 9})
        def banner(what: str) -> str:
            return what

        poster("a mug")
        banner.expand(what=["a mug"])
    return dag


def stored() -> str:
    return json.dumps(DagSerialization.to_dict(dag_of_everything()))


def test_what_is_stored_has_every_task_with_its_template_fields():
    read = DagSerialization.from_dict(json.loads(stored()))
    fields = {task.task_id: {*task.template_fields} for task in read.tasks}
    del fields["requests"]
    assert fields == {
        **dict.fromkeys(("photo", "photos", "later"), IMAGE),
        "large": {"image", "model", "model_params", *SHARED},
        "cut_outs": {"image", "model", "model_params", *SHARED},
        "edit": {
            *("image", "prompt", "mode", "mask", "outpaint", "model", "model_params"),
            *SHARED,
        },
        "sketch": {
            *("parent_job_id", "action", "index", "zoom_ratio", "direction", "mask", "prompt"),
            *SHARED,
        },
        "poster": {"prompt", "model", "flux_params", *SHARED, *FUNCTION},
        "banner": {*IMAGE, *FUNCTION},
    }
    photo, poster = read.get_task("photo"), read.get_task("poster")
    assert photo.model_params == {"seed": "{{ 7 }}"}
    assert set(photo.params) == {"seed"}
    assert photo.params["seed"] == 1
    assert photo.downstream_task_ids == {"large", "edit", "sketch"}
    assert (poster.prompt, poster.flux_params) == ("(what the function returns)", {"seed": 7})
    assert poster.operator_name == "@task.flux"


def test_what_is_stored_is_the_same_each_time_or_each_parse_would_be_a_new_version_of_the_dag():
    first = stored()
    assert first == stored()
    assert " object at 0x" not in first
