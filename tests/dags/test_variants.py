from __future__ import annotations

import pytest
from PIL import Image

HEAD = """
    from airflow.providers.common.compat.sdk import DAG, task
    from airflow_provider_apiframe.operators.variants import image_variants

    @task
    def poster(name, folder):
        return {
            "job_id": name,
            "status": "COMPLETED",
            "prompt": f"a poster of a {name}",
            "images": [{"url": "https://cdn.example.com/1.png", "uri": f"file://{folder}/{name}"}],
        }

    @task
    def use(uri):
        return uri
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("mug.png", "cap.png"):
        Image.new("RGB", (90, 60), "red").save(tmp_path / name)
    return tmp_path


def test_a_variant_reaches_the_next_task_by_its_name(folder, run_dag):
    run = run_dag(
        "variants",
        f"""{HEAD}
    with DAG("variants", schedule=None):
        resized = image_variants(
            poster("mug.png", "{folder}"),
            {{"story": "20x40", "banner": {{"size": "30x10", "format": "{{{{ 'webp' }}}}"}}}},
        )
        use(resized["story"])
    """,
    )
    story, banner = (f"file://{folder}/{name}" for name in ("mug-story.png", "mug-banner.webp"))
    assert run.xcom("image_variants") == {"story": story, "banner": banner}
    assert run.xcom("image_variants", "banner") == banner
    assert run.xcom("use") == story
    with Image.open(folder / "mug-story.png") as image:
        assert image.size == (20, 40)


def test_each_of_mapped_results_gets_a_task_with_a_readable_label(folder, run_dag):
    run = run_dag(
        "mapped_variants",
        f"""{HEAD}
    with DAG("mapped_variants", schedule=None):
        posters = poster.partial(folder="{folder}").expand(name=["mug.png", "cap.png"])
        resized = image_variants(posters, {{"story": "20x40"}}, task_id="resize")
        use.expand(uri=resized.map(lambda made: made["story"]))
    """,
    )
    stories = [f"file://{folder}/{name}-story.png" for name in ("mug", "cap")]
    assert run.xcoms("resize") == [{"story": story} for story in stories]
    assert run.labels("resize") == ["a poster of a mug.png", "a poster of a cap.png"]
    assert run.xcoms("use") == stories


def test_one_broken_image_fails_alone_and_without_retry(folder, run_dag):
    (folder / "cap.png").write_bytes(b"no image")
    run = run_dag(
        "broken_variants",
        f"""{HEAD}
    with DAG("broken_variants", schedule=None):
        posters = poster.partial(folder="{folder}").expand(name=["cap.png", "mug.png"])
        image_variants(posters, {{"story": "20x40"}}, task_id="resize", retries=3, retry_delay=0)
    """,
    )
    assert (run.states("resize"), run.tries("resize")) == (["failed", "success"], [1, 1])


def test_a_wrong_size_is_a_dag_import_error_that_ends_in_the_users_line(import_errors):
    error = import_errors(f"""{HEAD}
    with DAG("broken", schedule=None):
        image_variants(poster("mug.png", "/"), {{"story": "1080*1920"}})
    """)
    assert "variants['story']: size='1080*1920'" in error
    last_frame = error.rpartition('File "')[2]
    assert "broken.py" in last_frame.splitlines()[0]
    assert "image_variants(poster(" in last_frame
