"""The gallery's routes on Airflow's own API server, with what a real run has left behind."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from airflow.providers.common.compat.sdk import AirflowPlugin
from api_users import token_of
from fastapi.testclient import TestClient
from image_files import SAMPLES
from PIL import Image

from airflow_provider_apiframe.plugins import routes
from airflow_provider_apiframe.plugins.recorded_image import (
    MAX_VALUE_BYTES,
    TaskInstanceAddress,
    ViewerSession,
)
from airflow_provider_apiframe.plugins.routes import STATIC

pytestmark = pytest.mark.skipif(
    not hasattr(AirflowPlugin, "external_views"), reason="UI plugins came with Airflow 3.1"
)

DAG = """
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_apiframe.operators.flux import FluxGenerateOperator

    with DAG("gallery", schedule=None):
        FluxGenerateOperator.partial(
            task_id="posters", poll_interval=0.05, save_to="{folder}/", save_conn_id="a_storage",
            flux_params={{"width": 1024, "height": 512, "output_format": "png"}},
        ).expand(prompt=["a mug", "a cap"])
        FluxGenerateOperator(task_id="teaser", prompt="a teaser", poll_interval=0.05)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Any:
    """What the tests of this module share: a run is slow, and none of them changes it."""
    return SimpleNamespace(run=None, app=None, folder=tmp_path_factory.mktemp("images"))


@pytest.fixture
def run(made, connected, run_dag):
    made.run = made.run or run_dag("gallery", DAG.format(folder=made.folder))
    return made.run


@pytest.fixture
def result(run) -> dict[str, Any]:
    """The result of posters[1]."""
    return run.xcoms("posters")[1]


@pytest.fixture
def stored(result) -> Iterator[Path]:
    """The file of posters[1]; as it was when the test is over."""
    file = Path(result["images"][0]["uri"].removeprefix("file://"))
    content = file.read_bytes()
    yield file
    file.unlink(missing_ok=True)
    file.write_bytes(content)


class Airflow:
    """Airflow's API server in this process, as a user of a role sees it."""

    def __init__(self, app: Any, run: Any, base_path: str = "") -> None:
        self.app = app
        self.base = base_path
        self.run = run

    def client(self, role: str | None = "viewer", **headers: str) -> TestClient:
        headers = headers or {"Authorization": f"Bearer {token_of(role)}"}
        return TestClient(self.app, headers=headers, follow_redirects=False)

    def image(
        self, query: str = "", task_id: str = "posters", map_index: int = 1, role: str = "viewer"
    ) -> Any:
        return self.client(role).get(self.address(task_id, map_index) + query)

    def address(self, task_id: str = "posters", map_index: int = 1) -> str:
        return (
            f"{self.base}/apiframe/image?dag_id=gallery&run_id={quote(self.run.run_id, safe='')}"
            f"&task_id={task_id}&map_index={map_index}"
        )

    def record(self, value: Any) -> None:
        """Let posters[0] have returned *value*, as any author of a DAG could."""
        entry = (
            f"{self.base}/api/v2/dags/gallery/dagRuns/{quote(self.run.run_id, safe='')}"
            "/taskInstances/posters/xcomEntries/return_value"
        )
        done = self.client("admin").patch(entry, json={"value": value, "map_index": 0})
        assert done.status_code == 200, done.text

    def recorded(self, **image: Any) -> Any:
        """Return what the route answers to a record of these fields."""
        self.record({"job_id": "a-job", "images": [image]})
        return self.image(map_index=0)


@pytest.fixture
def airflow(made, run) -> Airflow:
    from airflow.api_fastapi.app import create_app

    made.app = made.app or create_app()
    return Airflow(made.app, run)


def as_recorded(content: bytes, uri: str) -> dict[str, Any]:
    return {"uri": uri, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_a_viewer_gets_the_image_that_the_task_recorded(airflow, result, stored):
    answer = airflow.image()
    assert answer.status_code == 200
    assert answer.content == stored.read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{result["images"][0]["sha256"]}"'
    assert answer.headers["cache-control"].startswith("private")
    assert answer.headers["content-disposition"] == f'inline; filename="{stored.name}"'


def test_no_copy_of_an_image_stays_on_the_api_server(airflow, stored, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert airflow.image().content == stored.read_bytes()
    assert airflow.image("&size=thumbnail").status_code == 200
    assert not list(tmp_path.iterdir())


def test_the_cookie_of_the_ui_is_a_session_too(airflow):
    token = airflow.client().headers["Authorization"].removeprefix("Bearer ")
    assert airflow.client(Cookie=f"_token={token}").get(airflow.address()).status_code == 200


def test_who_is_not_signed_in_gets_nothing(airflow):
    answer = TestClient(airflow.app).get(airflow.address())
    assert answer.status_code == 401
    assert "image" not in answer.headers["content-type"]


def test_who_may_not_read_the_xcom_gets_nothing(airflow):
    answer = airflow.image(role=None)
    assert answer.status_code == 403
    assert answer.json()["detail"] == "No permission to read this task's result in Airflow"


def test_a_browser_that_has_the_image_gets_it_once(airflow):
    first = airflow.image()
    again = airflow.client().get(
        airflow.address(), headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_a_browser_that_has_the_image_must_still_be_allowed_to_see_it(airflow):
    tag = airflow.image().headers["etag"]
    answer = airflow.client(None).get(airflow.address(), headers={"If-None-Match": tag})
    assert answer.status_code == 403


def test_a_thumbnail_has_400_pixels_at_most(airflow):
    answer = airflow.image("&size=thumbnail")
    assert answer.headers["content-type"] == "image/webp"
    with Image.open(BytesIO(answer.content)) as image:
        assert image.size == (400, 200)
    assert airflow.image("&size=thumbnail").content == answer.content


def test_without_pillow_the_image_itself_is_the_thumbnail(airflow, stored, monkeypatch):
    monkeypatch.setattr(routes, "can_make", lambda: False)
    assert airflow.image("&size=thumbnail").content == stored.read_bytes()


@pytest.mark.parametrize("base_path", ["/team-a/airflow", "/api"])
def test_it_works_under_a_base_path(run, stored, monkeypatch, base_path):
    from airflow.api_fastapi import app

    monkeypatch.setattr(app, "API_ROOT_PATH", f"{base_path}/")
    airflow = Airflow(app.create_app(), run, base_path)
    assert airflow.image().content == stored.read_bytes()
    page = airflow.client().get(f"{base_path}/apiframe/gallery")
    assert page.headers["content-type"].startswith("text/html")
    assert airflow.client().get(f"{base_path}/apiframe/static/gallery.js").status_code == 200


def test_an_image_that_is_gone_is_gone(airflow, stored):
    stored.unlink()
    answer = airflow.image()
    assert answer.status_code == 410
    assert "not where it was saved any more" in answer.json()["detail"]


def test_a_file_that_replaced_the_image_is_not_handed_out(airflow, stored):
    stored.write_bytes(stored.read_bytes()[::-1])
    answer = airflow.image()
    assert answer.status_code == 410
    assert answer.headers["cache-control"] == "no-store"


def test_a_made_up_record_reads_no_file_of_the_server(airflow, tmp_path):
    secret = tmp_path / "airflow.cfg"
    secret.write_text("fernet_key = ...")
    known = as_recorded(b"something else", f"file://{secret}")
    assert airflow.recorded(**known).status_code == 410
    same_size = {**known, "bytes": secret.stat().st_size}
    assert airflow.recorded(**same_size).status_code == 410
    missing = {**known, "uri": f"file://{tmp_path}/missing"}
    # Nor does it tell whether there is such a file.
    assert airflow.recorded(**missing).json() == airflow.recorded(**known).json()


def test_a_text_is_no_image_although_its_hash_is_known(airflow, tmp_path):
    text = b"hello"
    (tmp_path / "a.png").write_bytes(text)
    answer = airflow.recorded(**as_recorded(text, f"file://{tmp_path}/a.png"))
    assert answer.status_code == 415


@pytest.mark.parametrize("size", ["1", "0"])
def test_a_device_that_never_ends_is_not_read(airflow, size):
    known = as_recorded(b"x", "file:///dev/zero")
    assert airflow.recorded(**{**known, "bytes": int(size)}).status_code in (404, 410)


def test_a_record_of_a_huge_file_is_refused(airflow, tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    known = as_recorded(b"x", f"file://{tmp_path}/a.png")
    answer = airflow.recorded(**{**known, "bytes": 100 * 1024 * 1024 + 1})
    assert answer.status_code == 413


@pytest.mark.parametrize("scheme", ["http", "https", "HTTPS", "ftp"])
def test_the_server_fetches_nothing_from_the_web(airflow, connected, scheme):
    uri = connected.url.replace("http", scheme) + "/cdn/a.png"
    assert airflow.recorded(**as_recorded(b"x", uri)).status_code == 404


def test_a_storage_that_the_server_does_not_know_says_what_to_install(airflow):
    answer = airflow.recorded(**as_recorded(b"x", "nowhere://bucket/a.png"))
    assert answer.status_code == 502
    assert "apache-airflow-providers-amazon" in answer.json()["detail"]


@pytest.mark.parametrize("sample", ["png rgb", "jpeg rgb", "webp lossy"])
def test_each_format_is_handed_out_as_what_it_is(airflow, tmp_path, sample):
    content = SAMPLES[sample]()
    (tmp_path / "image").write_bytes(content)
    answer = airflow.recorded(**as_recorded(content, f"file://{tmp_path}/image"))
    assert answer.headers["content-type"] == f"image/{sample.split()[0]}"
    assert answer.content == content


@pytest.mark.parametrize(
    "value",
    [
        {},
        "text",
        "[" * 500,
        [],
        {"images": "none"},
        {"images": []},
        {"images": ["a.png"]},
        {"images": [{"uri": 1}]},
        {"images": [{"uri": "file:///a", "sha256": "../../etc/passwd", "bytes": 1}]},
    ],
)
def test_a_value_that_is_no_result_has_no_image(airflow, value):
    airflow.record(value)
    assert airflow.image(map_index=0).status_code == 404


def test_a_value_of_another_kind_is_not_read_to_its_end(airflow):
    airflow.record({"images": [], "text": "x" * MAX_VALUE_BYTES})
    assert airflow.image(map_index=0).status_code == 413


def test_an_image_that_was_not_saved_is_not_fetched_from_the_vendor(airflow):
    answer = airflow.image(task_id="teaser", map_index=-1)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Image 1 was not saved to a storage"


def test_a_task_without_a_result_has_no_image(airflow):
    assert airflow.image(task_id="nothing", map_index=-1).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "",
        "dag_id=gallery&run_id=r",
        "dag_id=..&run_id=r&task_id=t",
        "dag_id=gallery&run_id=..%2F..%2Fconnections&task_id=t",
        "dag_id=gallery&run_id=r&task_id=t&map_index=one",
        "dag_id=gallery&run_id=r&task_id=t&n=0",
        "dag_id=gallery&run_id=r&task_id=t&n=1000",
        "dag_id=gallery&run_id=r&task_id=t&region_id=../x",
        "dag_id=%ff&run_id=r&task_id=" + "t" * 300,
    ],
)
def test_a_request_that_names_no_task_instance_is_refused(airflow, query):
    assert airflow.client().get(f"/apiframe/image?{query}").status_code == 400


def test_a_path_in_the_request_leads_nowhere(airflow, stored):
    for query in (f"&uri=file://{stored}", f"&path={stored}", f"&n=1&file={stored}"):
        assert airflow.image(query, task_id="nothing").status_code == 404
    assert airflow.client().get(f"/apiframe/image/..%2f..%2f{stored}").status_code == 404


@pytest.mark.parametrize(("task_id", "conn_id"), [("posters", "a_storage"), ("teaser", None)])
def test_the_image_is_read_by_the_connection_that_saved_it(airflow, task_id, conn_id):
    session = ViewerSession(airflow.app, airflow.client().headers)
    map_index = 1 if task_id == "posters" else -1
    task = TaskInstanceAddress("gallery", airflow.run.run_id, task_id, map_index)
    assert asyncio.run(session.storage_connection(task, "file")) == conn_id


def test_an_image_with_a_public_address_is_left_to_it(airflow, monkeypatch):
    monkeypatch.setattr(routes, "public_url", lambda uri: "https://cdn.example.com/a.png")
    answer = airflow.image("&size=thumbnail")
    assert answer.status_code == 307
    assert answer.headers["location"] == "https://cdn.example.com/a.png"
    assert airflow.image(role=None).status_code == 403


def test_the_page_may_do_nothing_but_its_work(airflow):
    page = TestClient(airflow.app).get("/apiframe/gallery")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert page.text == (STATIC / "gallery.html").read_text()


@pytest.mark.parametrize("file", sorted(file.name for file in STATIC.iterdir()))
def test_the_files_of_the_page_are_served(airflow, file):
    answer = airflow.client().get(f"/apiframe/static/{file}")
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_nothing_but_the_files_of_the_page_is_served(airflow):
    for path in ("/static/../routes.py", "/static/%2e%2e/routes.py", "/routes.py", ""):
        answer = airflow.client().get(f"/apiframe{path}")
        assert "def " not in answer.text
        assert answer.status_code in (404, 200)


def test_the_ui_is_told_of_the_tabs(airflow):
    answer = airflow.client("admin").get("/api/v2/plugins").json()
    (ours,) = [plugin for plugin in answer["plugins"] if plugin["name"] == "apiframe"]
    tabs = {tab["destination"]: tab for tab in ours["external_views"]}
    assert {"dag_run", "task_instance"} <= set(tabs) <= {"dag_run", "task_instance", "asset"}
    assert tabs["dag_run"]["href"] == "apiframe/gallery?dag_id={DAG_ID}&run_id={RUN_ID}"
