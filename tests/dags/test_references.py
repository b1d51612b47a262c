"""Chained operators: the image of one task is an input image of the next."""

from __future__ import annotations

import io

from PIL import Image

HEAD = """
    from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath
    from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

    def flux(task_id, **arguments):
        return FluxGenerateOperator(
            task_id=task_id, prompt=task_id, poll_interval=0.05, **arguments
        )
"""


def inputs(sandbox, prompt: str) -> list[list[str]]:
    """The input images of the jobs with this prompt."""
    return [
        job.input["fluxParams"]["input_images"]
        for job in sandbox.state.jobs
        if job.input["prompt"] == prompt
    ]


def test_the_output_of_a_task_is_an_input_image_of_the_next(connected, run_dag):
    run = run_dag(
        "chained",
        f"""{HEAD}
    with DAG("chained", schedule=None, render_template_as_native_obj=False):
        poster = flux("poster")
        flux("whole", flux_params={{"input_images": poster.output}})
        flux("listed", flux_params={{"input_images": [poster.output, "https://a.example/b.png"]}})
        flux("links", flux_params={{"input_images": poster.output["image_urls"]}})
        flux("items", flux_params={{"input_images": [poster.output["images"]]}})
        text = "{{{{ ti.xcom_pull('poster') }}}}"
        poster >> flux("rendered", flux_params={{"input_images": text}})
        url = "{{{{ ti.xcom_pull('poster')['image_urls'][0] }}}}"
        poster >> flux("one", flux_params={{"input_images": [url], "resolution": "1 MP"}})
        params = '{{"input_images": {{{{ ti.xcom_pull("poster")["images"] | tojson }}}}}}'
        poster >> flux("everything", flux_params=params)
    """,
    )
    (link,) = run.xcom("poster")["image_urls"]
    for task_id in ("whole", "links", "items", "rendered", "one", "everything"):
        assert run.states(task_id) == ["success"]
        assert inputs(connected, task_id) == [[link]], task_id
    assert inputs(connected, "listed") == [[link, "https://a.example/b.png"]]


def test_variations_are_mapped_over_posters_and_all_posters_go_into_one(connected, run_dag):
    run = run_dag(
        "variations",
        f"""{HEAD}
    def params(result):
        return {{"input_images": [result], "aspect_ratio": "match_input_image"}}

    def arguments(result):
        return {{"flux_params": {{"input_images": result}}, "prompt": "with_kwargs"}}

    with DAG("variations", schedule=None):
        posters = FluxGenerateOperator.partial(task_id="posters", poll_interval=0.05).expand(
            prompt=["red", "blue"]
        )
        FluxGenerateOperator.partial(
            task_id="each", prompt="each", poll_interval=0.05
        ).expand(flux_params=posters.output.map(params))
        FluxGenerateOperator.partial(task_id="with_kwargs", poll_interval=0.05).expand_kwargs(
            posters.output.map(arguments)
        )
        flux("all", flux_params={{"input_images": posters.output}})
        flux("all_links", flux_params={{"input_images": posters.output["image_urls"]}})
    """,
    )
    links = [result["image_urls"][0] for result in run.xcoms("posters")]
    assert len(set(links)) == 2
    for task_id in ("each", "with_kwargs"):
        assert run.states(task_id) == ["success"] * 2
        assert sorted(inputs(connected, task_id)) == sorted([link] for link in links)
    for task_id in ("all", "all_links"):
        assert inputs(connected, task_id) == [links]


def test_files_are_mapped_over_and_uploaded(connected, run_dag, tmp_path):
    colors = ["red", "blue"]
    for color in colors:
        Image.new("RGB", (64, 48), color).save(tmp_path / f"{color}.png")
    run_dag(
        "from_files",
        f"""{HEAD}
    folder = ObjectStoragePath("file://{tmp_path}")
    with DAG("from_files", schedule=None):
        FluxGenerateOperator.partial(
            task_id="each", prompt="each", poll_interval=0.05
        ).expand(flux_params=[
            {{"input_images": [folder / "red.png"]}},
            {{"input_images": ["{tmp_path}/{{{{ 'blue' }}}}.png"]}},
        ])
        flux("both", flux_params={{"input_images": [
            folder / "red.png", "file://{tmp_path}/blue.png"
        ]}})
    """,
    )

    def color(url: str) -> str:
        upload = connected.state.uploads.find(url.rpartition("/")[2])
        with Image.open(io.BytesIO(upload.content)) as image:
            return {(255, 0, 0): "red", (0, 0, 255): "blue"}[image.getpixel((0, 0))]

    assert sorted(color(url) for urls in inputs(connected, "each") for url in urls) == [
        "blue",
        "red",
    ]
    assert [color(url) for url in inputs(connected, "both")[0]] == colors


def test_a_path_that_cannot_be_meant_is_a_dag_import_error(import_errors):
    for images, said in {
        '["mug.png"]': "'mug.png' is a relative path",
        '[ObjectStoragePath("s3://brand/")]': "is a folder",
        '["/a.png"] * 11': "a list of up to 10",
        '[{"job_id": "j", "images": [], "status": "QUEUED"}]': "has no images",
    }.items():
        error = import_errors(f"""{HEAD}
    with DAG("broken", schedule=None):
        flux("poster", flux_params={{"input_images": {images}}})
        """)
        assert said in error, error
        assert "task 'poster'" in error
