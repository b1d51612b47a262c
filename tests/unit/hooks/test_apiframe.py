from __future__ import annotations

import asyncio
import copy
import io
import os
import subprocess
import sys

import anyio
import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_apiframe.api.errors import (
    ConfigurationError,
    JobFailedError,
    JobTimeoutError,
    UnreadableFileError,
)
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.hooks import connection as connection_form
from airflow_provider_apiframe.hooks.apiframe import ApiframeHook
from airflow_provider_apiframe.hooks.connection import settings_from


class Row:
    """A connection as Airflow hands it over."""

    def __init__(self, password="afk_key", host=None, schema=None, port=None, extra=None):
        self.password, self.host, self.schema, self.port, self.extra = (
            password,
            host,
            schema,
            port,
            extra,
        )


def settings(**fields):
    return settings_from(Row(**fields), "studio")


@pytest.fixture(autouse=True)
def no_ca_bundle(monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def test_an_empty_connection_with_a_key_speaks_to_the_vendor_with_the_defaults():
    found = settings()
    assert (found.api_key, found.base_url) == ("afk_key", "https://api.apiframe.ai")
    assert (found.timeout, found.max_retries, found.verify) == (60.0, 4, True)
    assert found.requests_per_minute == 120


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": "https://api.example.com/"}, "https://api.example.com"),
        ({"host": "https://api.example.com/v2"}, "https://api.example.com"),
        ({"host": "api.example.com"}, "https://api.example.com"),
        ({"host": "api.example.com", "port": 8443}, "https://api.example.com:8443"),
        ({"host": "https://api.example.com/", "port": 8443}, "https://api.example.com:8443"),
        ({"host": "http://127.0.0.1:8765"}, "http://127.0.0.1:8765"),
        ({"host": "localhost", "port": 8765}, "http://localhost:8765"),
        ({"host": "localhost:8765", "port": 8765}, "http://localhost:8765"),
        ({"host": "http://localhost:8765/v2", "port": 443}, "http://localhost:8765"),
        ({"host": "http://[::1]:8765", "port": 8765}, "http://[::1]:8765"),
        ({"host": "[::1]", "port": 8765}, "http://[::1]:8765"),
        ({"host": "https://api.example.com/v2", "port": 8443}, "https://api.example.com:8443"),
        ({"host": "127.0.0.1", "port": 8765, "schema": "https"}, "https://127.0.0.1:8765"),
        (
            {"host": "http://apiframe.internal", "extra": '{"allow_http": true}'},
            "http://apiframe.internal",
        ),
    ],
)
def test_the_base_url_is_put_together_from_host_schema_and_port(fields, base_url):
    assert settings(**fields).base_url == base_url


def test_extras_may_be_text_as_forms_and_environment_variables_give_them(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    extra = (
        f'{{"timeout": "12.5", "max_retries": "0", "verify": "{bundle}", '
        '"allow_http": "False", "requests_per_minute": "30"}'
    )
    found = settings(extra=extra)
    assert (found.timeout, found.max_retries, found.verify) == (12.5, 0, str(bundle))
    assert found.requests_per_minute == 30


@pytest.mark.parametrize(
    ("extra", "limit"),
    [
        ("{}", None),
        ('{"max_credits_per_day": null}', None),
        ('{"max_credits_per_day": ""}', None),
        ('{"max_credits_per_day": "250.5"}', 250.5),
        ('{"max_credits_per_day": 40}', 40),
    ],
)
def test_without_a_limit_per_day_there_is_none(extra, limit):
    assert settings(extra=extra).max_credits_per_day == limit


def test_extras_left_empty_in_the_form_have_their_defaults():
    found = settings(extra='{"timeout": null, "max_retries": "", "verify": "", "allow_http": null}')
    assert (found.timeout, found.max_retries, found.verify) == (60.0, 4, True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"password": None}, "has no API key"),
        ({"password": "  "}, "has no API key"),
        ({"password": "two words"}, "spaces"),
        ({"host": "http://api.apiframe.ai"}, "unencrypted"),
        ({"host": "https://api.apiframe.pro"}, "version 1"),
        ({"host": "ftp://api.apiframe.ai"}, "not an http"),
        ({"host": "https://user:afk_key@api.apiframe.ai"}, "API key"),
        ({"extra": "[1]"}, "JSON object"),
        ({"extra": "{"}, "JSON object"),
        ({"extra": '{"timeout": 0}'}, "timeout=0 must be a number, at least 0.1"),
        ({"extra": '{"timeout": "soon"}'}, "timeout='soon'"),
        ({"extra": '{"max_retries": -1}'}, "max_retries=-1 must be a whole number, at least 0"),
        ({"extra": '{"max_retries": 1.5}'}, "max_retries=1.5"),
        (
            {"extra": '{"requests_per_minute": 0}'},
            "requests_per_minute=0 must be a whole number, at least 1",
        ),
        ({"extra": '{"max_retries": true}'}, "max_retries=True"),
        (
            {"extra": '{"max_credits_per_day": 0}'},
            "max_credits_per_day=0 must be a number of credits above 0",
        ),
        ({"extra": '{"max_credits_per_day": "much"}'}, "max_credits_per_day='much'"),
        ({"extra": '{"max_credits_per_day": true}'}, "max_credits_per_day=True"),
        ({"extra": '{"max_credits_per_day": NaN}'}, "max_credits_per_day=nan"),
        ({"extra": '{"verify": "/no/such/file"}'}, "verify='/no/such/file'"),
        ({"extra": '{"verify": 3}'}, "verify=3"),
        ({"extra": '{"verify": "/"}'}, "verify='/'"),
        ({"extra": '{"allow_http": "perhaps"}'}, "allow_http='perhaps' must be true or false"),
    ],
)
def test_a_connection_that_cannot_be_used_is_named_with_the_field_and_what_is_allowed(fields, said):
    with pytest.raises(ConfigurationError) as caught:
        settings(**fields)
    assert "connection 'studio'" in str(caught.value)
    assert said in str(caught.value)
    assert "afk_key" not in str(caught.value)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_ca_bundle_of_the_environment_counts_for_both_clients_unless_the_connection_has_its_own(
    name, monkeypatch, tmp_path
):
    own = tmp_path / "own.pem"
    own.touch()
    monkeypatch.setenv(name, "/etc/corporate.pem")
    assert settings().verify == "/etc/corporate.pem"
    assert settings(extra=f'{{"verify": "{own}"}}').verify == str(own)
    assert settings(extra='{"verify": false}').verify is False


def test_an_extra_that_nobody_knows_is_named_with_the_nearest_one(caplog):
    settings(extra='{"time_out": 5}')
    assert "unknown extra 'time_out' is ignored; did you mean 'timeout'?" in caplog.text


def test_a_missing_connection_says_how_to_add_one():
    with pytest.raises(ConfigurationError, match="airflow connections add nowhere"):
        ApiframeHook("nowhere").get_account()


def test_nothing_is_read_before_the_first_use():
    ApiframeHook("nowhere")


def test_testing_the_connection_is_free_and_tells_team_plan_and_credits(connected):
    assert ApiframeHook().test_connection() == (
        True,
        "Connected to team Sandbox team (plan sandbox): 5000 credits left",
    )
    assert connected.state.requests == {"me": 1}


@pytest.mark.parametrize(
    ("key", "said"), [("afk_wrong", "rejected the API key"), ("afk_inactive", "inactive")]
)
def test_testing_a_bad_connection_says_what_is_wrong(key, said, connected, connect):
    connect(password=key, host=connected.url)
    works, text = ApiframeHook().test_connection()
    assert not works
    assert said in text
    assert key not in text


def test_testing_a_connection_does_not_name_the_id_that_airflow_made_up_for_it(
    connected, connect, monkeypatch
):
    temporary = "temp_connection_7f3a"
    connect(password="afk_wrong", host=connected.url)
    stored = os.environ["AIRFLOW_CONN_APIFRAME_DEFAULT"]
    monkeypatch.setenv(f"AIRFLOW_CONN_{temporary.upper()}", stored)
    works, text = ApiframeHook(temporary).test_connection()
    assert not works
    assert "rejected the API key of this connection" in text
    assert temporary not in text


def test_submitting_without_a_key_of_ones_own_still_survives_a_lost_answer(connected):
    connected.faults.next("generate", drop=True, applied=True)
    accepted = ApiframeHook().generate_image(GenerateRequest.parse(prompt="a poster"))
    assert [job.id for job in connected.state.jobs] == [accepted.job_id]


def test_two_submits_are_two_images_unless_they_share_a_key(connected):
    hook, request = ApiframeHook(), GenerateRequest.parse(prompt="a poster")
    assert hook.generate_image(request).job_id != hook.generate_image(request).job_id
    assert (
        hook.generate_image(request, "same").job_id == hook.generate_image(request, "same").job_id
    )
    assert connected.state.jobs_paid == 3


def test_waiting_returns_the_finished_job_and_listing_finds_it(connected):
    hook = ApiframeHook()
    accepted = hook.generate_image(GenerateRequest.parse(prompt="a poster"))
    job = hook.wait_for_job(accepted.job_id, timeout=10, poll_interval=0.05)
    assert job == hook.get_job(accepted.job_id)
    assert [listed.id for listed in hook.list_jobs(status="COMPLETED", limit=1).jobs] == [job.id]


def test_waiting_for_a_failed_job_raises(connected):
    hook = ApiframeHook()
    accepted = hook.generate_image(GenerateRequest.parse(prompt="[fail: no luck]"))
    with pytest.raises(JobFailedError, match="no luck"):
        hook.wait_for_job(accepted.job_id, timeout=10, poll_interval=0.05)


def test_waiting_too_short_names_the_job(connected):
    connected.configure(latency=3600)
    hook = ApiframeHook()
    accepted = hook.generate_image(GenerateRequest.parse(prompt="a poster"))
    with pytest.raises(JobTimeoutError) as caught:
        hook.wait_for_job(accepted.job_id, timeout=0.1, poll_interval=0.05)
    assert caught.value.job_id == accepted.job_id


def test_the_catalogue_lists_the_flux_models_with_price_ranges(connected):
    models = {model.id: model for model in ApiframeHook().list_models()}
    assert models["flux-2-flex"].cost_max


def test_it_downloads_what_a_job_made(connected, tmp_path):
    hook = ApiframeHook()
    accepted = hook.generate_image(
        GenerateRequest.parse(prompt="a poster", flux_params={"output_format": "webp"})
    )
    job = hook.wait_for_job(accepted.job_id, timeout=10, poll_interval=0.05)
    file = hook.download(job.image_urls[0], f"{tmp_path}/")
    assert (file.path.name, file.content_type) == (f"{job.id}-1.webp", "image/webp")
    assert file.path.stat().st_size == file.bytes


def test_get_conn_is_a_session_that_knows_the_key(connected):
    assert ApiframeHook().get_conn().get(f"{connected.url}/v2/me", timeout=10).status_code == 200


def test_a_copied_session_still_knows_where_the_key_may_go(connected):
    session = copy.deepcopy(ApiframeHook().get_conn())
    assert session.get(f"{connected.url}/v2/me", timeout=10).status_code == 200


def test_this_machine_is_reached_without_a_proxy(connected, monkeypatch, tmp_path):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    hook = ApiframeHook()
    accepted = hook.generate_image(GenerateRequest.parse(prompt="a poster"))
    job = hook.wait_for_job(accepted.job_id, timeout=10, poll_interval=0.05)
    assert hook.download(job.image_urls[0], tmp_path / "poster.png").bytes > 0

    async def ask() -> str:
        async with await ApiframeHook().async_client() as client:
            return (await client.get_job(job.id)).status

    assert asyncio.run(ask()) == "COMPLETED"


def test_an_asynchronous_client_is_made_on_an_event_loop_of_anyio_too(connected):
    async def ask() -> str:
        async with await ApiframeHook().async_client() as client:
            return (await client.get_account()).describe()

    assert "Sandbox team" in anyio.run(ask)


def test_the_form_of_airflow_2_has_the_fields_of_the_metadata():
    pytest.importorskip("flask_appbuilder")
    pytest.importorskip("wtforms")
    assert list(ApiframeHook.get_connection_form_widgets()) == list(connection_form.conn_fields())


def test_the_two_forms_hide_and_label_the_same():
    methods, metadata = (
        ApiframeHook.get_ui_field_behaviour(),
        connection_form.ui_field_behaviour_metadata(),
    )
    assert {name.replace("_", "-"): value for name, value in methods.items()} == metadata


def test_reading_a_dag_brings_in_no_http_library_and_no_connection():
    code = (
        "import sys; from airflow.providers.common.compat.sdk import BaseOperator, "
        "BaseSensorOperator; before = set(sys.modules);"
        "import airflow_provider_apiframe.operators.flux, airflow_provider_apiframe.sensors.job;"
        "rare = ('.params.tools', '.params.midjourney_action', '.params.seedream');"
        "assert not [name for name in sys.modules if name.endswith(rare)];"
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]
    assert not {"requests", "urllib3", "httpx", "PIL", "fastapi", "uvicorn"} & set(eval(out))


# Files


@pytest.fixture
def mug(tmp_path):
    path = tmp_path / "mug.gif"
    path.write_bytes(b"GIF89a" + bytes(50))
    return path


@pytest.mark.parametrize(
    "given",
    [
        str,
        lambda path: path,
        lambda path: path.as_uri(),
        lambda path: ObjectStoragePath(path.as_uri()),
        lambda path: path.open("rb"),
        lambda path: io.BytesIO(path.read_bytes()),
    ],
    ids=["text", "path", "uri", "object storage", "file", "bytes"],
)
def test_a_file_is_uploaded_however_it_is_given(given, mug, connected):
    uploaded = ApiframeHook().upload_file(given(mug))
    assert (uploaded.content_type, uploaded.byte_size) == ("image/gif", 56)
    assert connected.state.uploads.find(f"{uploaded.id}.gif").content == mug.read_bytes()


def test_a_path_relative_to_where_the_caller_is_can_be_uploaded(mug, connected, monkeypatch):
    monkeypatch.chdir(mug.parent)
    assert ApiframeHook().upload_file("mug.gif").url


@pytest.mark.parametrize(
    ("name", "said"), [("nothing.png", "FileNotFoundError"), (".", "IsADirectoryError")]
)
def test_a_file_that_cannot_be_read_is_named(name, said, tmp_path, connected):
    with pytest.raises(UnreadableFileError, match=said) as caught:
        ApiframeHook().upload_file(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert ("seen on one worker only" in str(caught.value)) == (said == "FileNotFoundError")
    assert not caught.value.transient
    assert not connected.state.requests


def test_a_closed_file_is_told_of(mug, connected):
    file = mug.open("rb")
    file.close()
    with pytest.raises(UnreadableFileError, match="closed file"):
        ApiframeHook().upload_file(file)


def test_a_request_of_its_own_may_name_files(mug, connected):
    accepted = ApiframeHook().generate_image(
        prompt="a mug", flux_params={"input_images": [str(mug), "https://a.example/b.png"]}
    )
    first, second = connected.state.job(accepted.job_id).input["fluxParams"]["input_images"]
    assert first.startswith(f"{connected.cdn_url}/uploads/")
    assert second == "https://a.example/b.png"


def test_a_request_of_any_kind_is_submitted_with_its_files(mug, connected):
    hook, params = ApiframeHook(), {"input_images": [str(mug)], "seed": 7}
    request = GenerateRequest.parse(prompt="a mug", params=params)
    accepted = hook.submit(request, "key-1")
    (image,) = connected.state.job(accepted.job_id).input["fluxParams"]["input_images"]
    assert image.startswith(f"{connected.cdn_url}/uploads/")


def test_flux_params_and_params_name_the_same_argument(connected):
    hook, prompt = ApiframeHook(), "a poster"
    one = hook.generate_image(prompt=prompt, params={"seed": 7}, idempotency_key="same")
    other = hook.generate_image(prompt=prompt, flux_params={"seed": 7}, idempotency_key="same")
    assert one.job_id == other.job_id
