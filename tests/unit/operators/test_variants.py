from __future__ import annotations

import datetime
import linecache
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    MappedOperator,
    task,
    task_group,
)
from PIL import Image

from airflow_provider_apiframe.delivery import variants as delivery
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.hooks.object_store import StorageError
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.operators.variants import ImageVariantsOperator, image_variants
from airflow_provider_apiframe.sensors.job import ApiframeJobSensor

SIZES = {"story": "20x40", "banner": {"size": "30x10", "format": "webp"}}


def result(folder: Path, name: str = "poster.png") -> dict[str, object]:
    """What a task returned that stored an image in *folder*."""
    Image.new("RGB", (90, 60), "red").save(folder / name)
    return {
        "job_id": "j-1",
        "status": "COMPLETED",
        "images": [{"uri": f"file://{folder}/{name}"}],
    }


def operator(**arguments) -> ImageVariantsOperator:
    return ImageVariantsOperator(
        **{"task_id": "resize", "result": "{{ result }}", "variants": SIZES, **arguments}
    )


def dag() -> DAG:
    return DAG("a_dag", schedule=None, start_date=datetime.datetime(2026, 1, 1))


SIZE = ['size "WIDTHxHEIGHT" in pixels, each from 1 to 8192']
WRONG = [
    ({"variants": {"story": "1080*1920"}}, ["variants['story']: size='1080*1920'", *SIZE]),
    ({"variants": {"story": "0x5"}}, ["variants['story']: size='0x5'", *SIZE]),
    ({"variants": {"story": "8193x5"}}, ["size='8193x5'", *SIZE]),
    ({"variants": {"story": "20000x20000"}}, ["size='20000x20000'", *SIZE]),
    ({"variants": {"story": 1080}}, ["size=1080", *SIZE]),
    ({"variants": {"story": None}}, ["size=None", *SIZE]),
    ({"variants": {"story": {"fit": "pad"}}}, ["variants['story']: size: must be", *SIZE]),
    (
        {"variants": {"story": {"size": "9x9", "fits": "pad"}}},
        ["variants['story']: fits='pad': unknown key, did you mean 'fit'?"],
    ),
    (
        {"variants": {"story": {"size": "9x9", "dpi": 72}}},
        ["dpi=72", "known are size, fit, format, quality, background"],
    ),
    (
        {"variants": {"story": {"size": "9x9", "fit": "fill"}}},
        ["fit='fill'", '"cover", "contain" or "pad"'],
    ),
    (
        {"variants": {"story": {"size": "9x9", "format": "gif"}}},
        ["format='gif'", '"jpg", "png" or "webp"'],
    ),
    ({"variants": {"a": {"size": "9x9", "quality": 0}}}, ["quality=0", "1 to 100"]),
    ({"variants": {"a": {"size": "9x9", "quality": 101}}}, ["quality=101", "1 to 100"]),
    ({"variants": {"a": {"size": "9x9", "quality": True}}}, ["quality=True", "1 to 100"]),
    (
        {"variants": {"a": {"size": "9x9", "background": "red"}}},
        ["background='red'", '"#rrggbb" or "transparent"'],
    ),
    (
        {"variants": {"a": {"size": "9x9", "background": "transparent", "format": "jpg"}}},
        ["background='transparent'", "a jpg cannot be transparent"],
    ),
    ({"variants": {"a": "1x0", "b": "0x1"}}, ["variants['a']", "variants['b']"]),
    ({"variants": {}}, ["variants={}", "1 to 100 names"]),
    ({"variants": {f"v{n}": "1x1" for n in range(101)}}, ["variants={", "1 to 100 names"]),
    ({"variants": None}, ["variants=None", "a mapping"]),
    ({"variants": "story"}, ["variants='story'", "a mapping"]),
    ({"variants": {"../x": "9x9"}}, ["variants: ['../x']", "A-Z, a-z, 0-9"]),
    ({"variants": {"": "9x9", "ok": "9x9", "-x": "9x9"}}, ["variants: ['', '-x']"]),
    ({"variants": {"x\n": "9x9"}}, [r"variants: ['x\n']"]),
    ({"variants": {"x" * 51: "9x9"}}, ["1 to 50"]),
    ({"variants": {"2": "9x9"}}, ["variants: ['2']", "neither a number"]),
    ({"variants": {"return_value": "9x9"}}, ["variants: ['return_value']"]),
    ({"variants": {1: "9x9"}}, ["variants: [1]"]),
    ({"save_to": "s3://bucket/x"}, ["save_to='s3://bucket/x'", 'ends with "/"']),
    ({"save_to": "out/"}, ["save_to='out/'", "an absolute path or a URL"]),
    ({"save_to": "/x/../../etc/"}, ["save_to='/x/../../etc/'", "must not have '..'"]),
    ({"save_to": "s3://b/x//"}, ["save_to='s3://b/x//'", "must not have ''"]),
    ({"save_to": "s3://b/%2e%2e/"}, ["save_to='s3://b/%2e%2e/'", "characters in '%2e%2e'"]),
    ({"save_to": "s3://b/{run_id}/"}, ["save_to='s3://b/{run_id}/'", "takes no placeholders"]),
    ({"save_conn_id": " "}, ["save_conn_id=' '", "Airflow connection"]),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_a_wrong_literal_is_refused_when_the_dag_is_read(arguments, said):
    with pytest.raises(InvalidParameterError) as caught:
        operator(**arguments)
    for piece in ("task 'resize': ", *said):
        assert piece in str(caught.value)


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_the_same_is_refused_after_rendering_before_anything_is_read(arguments, said):
    op = operator()
    for name, value in arguments.items():
        setattr(op, name, value)  # as rendering does
    with pytest.raises(AirflowFailException) as caught:
        op.execute({})
    for piece in said:
        assert piece in str(caught.value)


@pytest.mark.parametrize("given", [None, ["x"], 3])
def test_what_cannot_be_a_result_is_refused_when_the_dag_is_read(given):
    with pytest.raises(InvalidParameterError, match=r"result=.*poster\.output"):
        operator(result=given)


def test_an_operator_in_place_of_its_output_is_refused_when_the_dag_is_read():
    with pytest.raises(InvalidParameterError, match=r"e\.g\. poster\.output"):
        operator(result=FluxGenerateOperator(task_id="poster", prompt="a poster"))


def mapped() -> None:
    with dag():
        posters = FluxGenerateOperator.partial(task_id="posters").expand(prompt=["a", "b"])
        image_variants(posters.output, {"story": "0x5"})


def mapped_variants() -> None:
    with dag():
        ImageVariantsOperator.partial(task_id="resize", result="{{ x }}").expand(
            variants=[{"story": "9x9"}, {"story": "0x5"}]  # image_variants would not take a list
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda: image_variants("{{ result }}", {"story": "0x5"}),
        lambda: ImageVariantsOperator(task_id="x", result="", variants={"story": "0x5"}),
        mapped,
        mapped_variants,
    ],
)
def test_an_error_of_a_dag_file_ends_in_the_line_that_makes_the_task(make):
    with pytest.raises(InvalidParameterError, match="0x5") as caught:
        make()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.filename == __file__
    assert "variants" in linecache.getline(last.filename, last.lineno).lower()


@pytest.mark.parametrize(
    "arguments",
    [
        {"variants": "{{ params.variants }}"},
        {"variants": {"story": "{{ params.size }}"}},
        {"variants": {"story": {"size": "9x9", "quality": "{{ params.quality }}"}}},
        {"save_to": "s3://bucket/{{ ds }}"},
        {"save_conn_id": "{{ params.connection }}"},
        {"result": lambda context, jinja_env: {}},
    ],
)
def test_what_holds_a_template_waits_for_rendering(arguments):
    operator(**arguments)


def test_what_is_known_beside_a_template_is_checked_at_once():
    with pytest.raises(InvalidParameterError, match="quality=0"):
        operator(variants={"story": {"size": "{{ params.size }}", "quality": 0}})


def test_templates_render_at_any_depth_and_numbers_come_as_text(tmp_path):
    op = operator(
        result="{{ result }}",
        variants={"story": {"size": "{{ w }}x40", "quality": "{{ q }}"}},
        save_to="{{ folder }}/out/",
    )
    op.render_template_fields({"result": result(tmp_path), "w": 20, "q": 80, "folder": tmp_path})
    assert op.execute({}) == {"story": f"file://{tmp_path}/out/poster-story.png"}


def test_whole_variants_may_be_text_that_renders_to_a_mapping(tmp_path):
    op = operator(result=result(tmp_path), variants="{{ variants | tojson }}")
    op.render_template_fields({"variants": SIZES})
    assert set(op.execute({})) == {"story", "banner"}


def test_it_returns_where_each_variant_is(tmp_path):
    made = operator(result=result(tmp_path)).execute({})
    assert made == {
        "story": f"file://{tmp_path}/poster-story.png",
        "banner": f"file://{tmp_path}/poster-banner.webp",
    }
    for uri in made.values():
        assert Path(uri.removeprefix("file://")).exists()


def test_a_result_that_was_not_stored_fails_without_retry_and_says_what_to_do():
    images = [{"url": "https://cdn.example.com/1.png", "uri": None}]
    op = operator(result={"job_id": "j-1", "status": "COMPLETED", "images": images})
    with pytest.raises(InvalidParameterError, match=r"'j-1' were not stored.*Give save_to"):
        op.execute({})


@pytest.mark.parametrize("content", [None, b"no image", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"])
def test_a_missing_or_broken_image_fails_without_retry(content, tmp_path):
    op = operator(result=result(tmp_path))
    (tmp_path / "poster.png").unlink()
    if content:
        (tmp_path / "poster.png").write_bytes(content)
    with pytest.raises(AirflowFailException, match=r"poster\.png"):
        op.execute({})


def test_a_storage_that_is_away_is_left_to_airflows_retry(tmp_path, monkeypatch):
    def away(*arguments):
        raise StorageError("s3://bucket/a.png could not be written: EIO", transient=True)

    monkeypatch.setattr(delivery, "put", away)
    with pytest.raises(StorageError):
        operator(result=result(tmp_path)).execute({})


def test_a_full_disk_of_the_worker_is_left_to_airflows_retry(tmp_path, monkeypatch):
    op = operator(result=result(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(StorageError, match="The worker's own disk") as caught:
        op.execute({})
    assert caught.value.transient


# One import in a DAG


def test_the_output_has_a_key_for_each_variant():
    with dag():
        poster = FluxGenerateOperator(task_id="poster", prompt="a poster")
        resized = image_variants(poster.output, SIZES, save_to="s3://bucket/", retries=3)
    op = resized.operator
    assert (op.task_id, op.save_to, op.retries) == ("image_variants", "s3://bucket/", 3)
    assert op.multiple_outputs is True
    assert op.upstream_task_ids == {"poster"}
    assert (resized["story"].key, resized["story"].operator) == ("story", op)


def mapped_operator() -> object:
    return FluxGenerateOperator.partial(task_id="posters").expand(prompt=["a", "b"]).output


def mapped_sensor() -> object:
    return ApiframeJobSensor.partial(task_id="posters").expand(job_id=["a", "b"]).output


def mapped_and_changed() -> object:
    return mapped_operator().map(lambda made: made)


def list_of_a_task() -> object:
    @task(task_id="posters")
    def posters() -> list:
        return []

    return posters().map(lambda made: made)


@pytest.mark.parametrize(
    "results", [mapped_operator, mapped_sensor, mapped_and_changed, list_of_a_task]
)
def test_each_result_of_a_mapped_task_gets_a_task_of_its_own(results):
    with dag():
        op = image_variants(results(), SIZES, task_id="resize").operator
    assert isinstance(op, MappedOperator)
    assert op.upstream_task_ids == {"posters"}
    assert "prompt" in op.partial_kwargs["map_index_template"]


def test_inside_a_mapped_task_group_it_follows_the_task_beside_it():
    with dag() as the_dag:

        @task_group
        def campaign(prompt):
            poster = FluxGenerateOperator(task_id="poster", prompt=prompt)
            image_variants(poster.output, SIZES)

        campaign.expand(prompt=["a", "b"])
    assert isinstance(the_dag.get_task("campaign.image_variants"), ImageVariantsOperator)


def test_importing_it_loads_no_pillow_and_no_http_library():
    code = (
        "import sys; from airflow.providers.common.compat.sdk import BaseOperator, XComArg; "
        "before = set(sys.modules); import airflow_provider_apiframe.operators.variants; "
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'airflow_provider_apiframe'" in done.stdout
    for library in ("PIL", "requests", "fsspec", "upath"):
        assert f"'{library}'" not in done.stdout
