from __future__ import annotations

import datetime
import linecache
import traceback

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    TaskDeferred,
    task,
)

from airflow_provider_apiframe.api.errors import (
    ConnectionFailedError,
    JobFailedError,
    JobTimeoutError,
    ServiceUnavailableError,
)
from airflow_provider_apiframe.api.params.flux import FluxParams
from airflow_provider_apiframe.exceptions import InvalidParameterError
from airflow_provider_apiframe.hooks.connection import ConnectionNotFoundError
from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
from airflow_provider_apiframe.polling import schedule
from airflow_provider_apiframe.triggers.job import (
    MIN_DEFERRAL_SECONDS,
    ApiframeJobTrigger,
    JobWaitError,
)


def operator(**arguments) -> FluxGenerateOperator:
    return FluxGenerateOperator(
        **{"task_id": "poster", "prompt": "a poster", "poll_interval": 0.05, **arguments}
    )


WRONG = [
    ({"flux_params": {"steps": 80}}, ["steps=80", "1 to 50"]),
    ({"flux_params": {"guidance": 0.5}}, ["guidance=0.5", "1.5 to 10"]),
    ({"flux_params": {"width": 100, "height": 512}}, ["width=100", "256 to 2048"]),
    (
        {"flux_params": {"input_images": ["https://example.com/a.png"] * 11}},
        ["input_images", "up to 10"],
    ),
    ({"flux_params": {"output_format": "jpeg"}}, ["output_format='jpeg'", '"jpg"']),
    ({"flux_params": {"step": 30}}, ["step=30", "did you mean 'steps'"]),
    ({"flux_params": {"aspectratio": "1:1"}}, ["aspectratio='1:1'", "did you mean 'aspect_ratio'"]),
    (
        {"flux_params": {"steps": 30}, "model": "flux-2-pro"},
        ["steps=30", "flux-2-pro does not take it", "flux-2-flex"],
    ),
    (
        {"flux_params": {"aspect_ratio": "16:9", "width": 512, "height": 512}},
        ["width=512", "custom", "16:9"],
    ),
    ({"flux_params": {"width": 512}}, ["width=512", "height"]),
    ({"flux_params": "steps=30"}, ["flux_params='steps=30'", "mapping"]),
    ({"prompt": ""}, ["prompt=''", "1 to 2000"]),
    ({"prompt": "x" * 2001}, ["prompt", "1 to 2000", "2001"]),
    ({"model": ""}, ["model=''", "flux-2-flex"]),
    ({"webhook_url": "ftp://example.com"}, ["webhook_url='ftp://example.com'", "http(s)"]),
    ({"webhook_events": ["done"]}, ["webhook_events=['done']", "completed"]),
    ({"webhook_events": ["completed"]}, ["webhook_events=['completed']", "webhook_url"]),
    ({"apiframe_conn_id": None}, ["apiframe_conn_id=None", "Airflow connection"]),
    ({"timeout": 0}, ["timeout=0", "above 0"]),
    ({"max_credits": True}, ["max_credits=True", "number of credits above 0"]),
    ({"wait_for_completion": "no"}, ["wait_for_completion='no'", "True or False"]),
    ({"deferrable": "x"}, ["deferrable='x'", "True or False"]),
    ({"max_credits": 0}, ["max_credits=0", "above 0"]),
    ({"max_credits": "a lot"}, ["max_credits='a lot'", "number of credits"]),
    ({"regenerate_on_clear": "False"}, ["regenerate_on_clear='False'", "True or False"]),
    ({"timeout": "{{ params.timeout }}"}, ["timeout='{{ params.timeout }}'", "above 0"]),
    ({"poll_interval": "soon"}, ["poll_interval='soon'", "above 0"]),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_a_wrong_literal_is_refused_when_the_dag_is_read(arguments, said):
    with pytest.raises(InvalidParameterError) as caught:
        operator(**arguments)
    for piece in ("task 'poster': ", *said):
        assert piece in str(caught.value)


def mapped() -> None:
    with dag():
        FluxGenerateOperator.partial(task_id="posters").expand(prompt=["a", ""])


@pytest.mark.parametrize(
    "make",
    [
        lambda: operator(prompt=""),
        lambda: FluxGenerateOperator.partial(task_id="posters", prompt=""),
        mapped,
    ],
)
def test_an_error_of_a_dag_file_ends_in_the_line_that_makes_the_task(make):
    with pytest.raises(InvalidParameterError) as caught:
        make()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.filename == __file__
    assert "FluxGenerateOperator" in linecache.getline(last.filename, last.lineno)


def test_flux_params_that_nest_without_end_are_refused_when_the_dag_is_read():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidParameterError, match="input_images"):
        operator(flux_params={"input_images": deep})


NOT_TEMPLATED = {
    "timeout",
    "wait_for_completion",
    "deferrable",
    "max_credits",
    "regenerate_on_clear",
    "poll_interval",
    "webhook_events",
}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (arguments, said)
        for arguments, said in WRONG
        if not {*NOT_TEMPLATED, "apiframe_conn_id"} & arguments.keys()
    ],
)
def test_the_same_is_refused_after_rendering_before_anything_is_sent(
    arguments, said, connected, ti
):
    op = operator()
    for name, value in arguments.items():
        setattr(op, name, value)  # as rendering does
    with pytest.raises(AirflowFailException) as caught:
        op.execute({"ti": ti})
    for piece in said:
        assert piece in str(caught.value)
    assert connected.state.requests == {}


def test_an_invalid_parameter_is_a_value_error_that_airflow_does_not_retry():
    assert issubclass(InvalidParameterError, ValueError)
    assert issubclass(InvalidParameterError, AirflowFailException)


def test_what_mapped_tasks_share_is_checked_when_the_dag_is_read():
    with pytest.raises(InvalidParameterError, match="steps=80"):
        FluxGenerateOperator.partial(task_id="posters", flux_params={"steps": 80})


@pytest.mark.parametrize(
    ("expand", "said"),
    [
        (lambda partial: partial.expand(prompt=["a", ""]), "prompt=''"),
        (
            lambda partial: partial.expand(prompt=["a"], flux_params=[{"step": 3}]),
            "did you mean 'steps'",
        ),
        (
            lambda partial: partial.expand(prompt=["a"], flux_params=[{"go_fast": True}]),
            "flux-2-flex does not take it",
        ),
        (
            lambda partial: partial.expand_kwargs(
                [{"prompt": "a"}, {"prompt": "b", "flux_params": {"step": 3}}]
            ),
            "'steps'",
        ),
    ],
)
def test_what_is_mapped_over_literally_is_checked_when_the_dag_is_read(expand, said):
    with dag(), pytest.raises(InvalidParameterError, match=said):
        expand(FluxGenerateOperator.partial(task_id="posters"))


def test_a_parameter_of_another_model_passes_where_the_model_is_mapped():
    with dag():
        FluxGenerateOperator.partial(
            task_id="posters", prompt="a", flux_params={"go_fast": True}
        ).expand(model=["flux-2-dev"])


def test_mapped_tasks_are_labelled_with_their_prompt_unless_told_otherwise():
    with dag():
        posters = FluxGenerateOperator.partial(task_id="posters").expand(prompt=["a", "b"])
        named = FluxGenerateOperator.partial(
            task_id="named", map_index_template="{{ task.model }}"
        ).expand(prompt=["a"])
    assert posters.partial_kwargs["map_index_template"] == FluxGenerateOperator.map_index_label
    assert named.partial_kwargs["map_index_template"] == "{{ task.model }}"


def dag() -> DAG:
    return DAG("a_dag", schedule=None, start_date=datetime.datetime(2026, 1, 1))


@pytest.mark.parametrize(
    "arguments",
    [
        {"prompt": "{{ params.prompt }}"},
        {"model": "{{ params.model }}", "flux_params": {"go_fast": True}},
        {"flux_params": "{{ params.flux | tojson }}"},
        {"flux_params": {"steps": "{{ params.steps }}", "guidance": 4.5}},
        {"flux_params": {"width": "{{ params.width }}", "height": 512}},
        {
            "flux_params": {
                "width": 512,
                "height": "{% if params.big %}2048{% else %}512{% endif %}",
            }
        },
        {"flux_params": {"input_images": ["https://example.com/a.png", "{{ params.image }}"]}},
        {"flux_params": {"resolution": "match_input_image", "input_images": "{{ params.images }}"}},
        {"webhook_url": "{{ var.value.webhook }}"},
        {"prompt": lambda context, jinja_env: "a poster"},
    ],
)
def test_what_holds_a_template_waits_for_rendering(arguments):
    operator(**arguments)


@pytest.mark.parametrize(
    ("flux_params", "piece"),
    [
        ({"step": "{{ params.steps }}"}, "did you mean 'steps'"),
        ({"steps": "{{ params.steps }}", "guidance": 99}, "guidance=99"),
        ({"width": "{{ params.width }}", "height": 9999}, "height=9999"),
    ],
)
def test_what_is_known_beside_a_template_is_checked_at_once(flux_params, piece):
    with pytest.raises(InvalidParameterError, match=piece):
        operator(flux_params=flux_params)


def test_the_output_of_another_task_waits_for_rendering():
    with dag():

        @task
        def write() -> dict[str, str]:
            return {"prompt": "a poster"}

        written = write()
        operator(prompt=written["prompt"], flux_params=written, webhook_url=written["url"])
        operator(
            task_id="other",
            flux_params={"seed": written["seed"], "input_images": [written["image"]]},
        )


def test_templates_render_at_any_depth():
    op = operator(
        prompt="a {{ params.what }}",
        flux_params={
            "steps": "{{ params.steps }}",
            "input_images": ["https://example.com/{{ params.what }}.png"],
        },
    )
    op.render_template_fields({"params": {"what": "poster", "steps": 12}})
    assert op.prompt == "a poster"
    assert op.flux_params == {"steps": "12", "input_images": ["https://example.com/poster.png"]}


def test_a_flux_params_object_is_taken_as_its_values():
    assert operator(flux_params=FluxParams(steps=12, seed=None)).flux_params == {"steps": 12}


@pytest.mark.parametrize(
    "flux_params",
    [
        {"steps": "12", "guidance": "4.5"},
        "{'steps': '12', 'guidance': 4.5}",
        '{"steps": 12, "guidance": "4.5"}',
    ],
)
def test_numbers_as_text_and_whole_mappings_as_text_work(flux_params, connected, ti):
    operator(flux_params=flux_params).execute({"ti": ti})
    assert connected.state.jobs[0].input["fluxParams"] == {"steps": 12, "guidance": 4.5}


def test_execute_returns_the_image_and_pushes_the_job_id(connected, ti):
    result = operator(flux_params={"output_format": "webp"}).execute({"ti": ti})
    (job,) = connected.state.jobs
    assert ti.xcoms["job_id"] == job.id
    assert result.pop("completed_at") >= result.pop("created_at")
    url = f"{connected.cdn_url}/images/{job.id}-1.webp"
    assert result == {
        "job_id": job.id,
        "model": "flux-2-flex",
        "status": "COMPLETED",
        "prompt": "a poster",
        "image_urls": [url],
        "images": [
            dict.fromkeys(["uri", "content_type", "bytes", "width", "height", "sha256"])
            | {"url": url},
        ],
        "credit_cost": 12,
        "reused": False,
    }


def test_without_waiting_it_returns_the_accepted_job_at_once(connected, ti):
    connected.configure(latency=3600)
    result = operator(wait_for_completion=False, deferrable=True).execute({"ti": ti})
    assert (result["status"], result["image_urls"], result["model"]) == (
        "QUEUED",
        [],
        "flux-2-flex",
    )
    assert result["job_id"] == ti.xcoms["job_id"] == connected.state.jobs[0].id


def test_nothing_is_pushed_where_nothing_may_be(connected, ti):
    result = operator(do_xcom_push=False).execute({"ti": ti})
    assert ti.xcoms == {}
    assert result["status"] == "COMPLETED"


def test_deferrable_it_defers_with_an_absolute_deadline_and_no_secret(connected, ti):
    connected.configure(latency=3600)
    op = operator(deferrable=True, timeout=60, poll_interval=3)
    before = datetime.datetime.now().timestamp()
    with pytest.raises(TaskDeferred) as deferred:
        op.execute({"ti": ti})
    after = datetime.datetime.now().timestamp()
    trigger = deferred.value.trigger
    assert isinstance(trigger, ApiframeJobTrigger)
    _, arguments = trigger.serialize()
    assert before + 60 <= arguments.pop("deadline") <= after + 60
    not_before = arguments.pop("not_before")
    assert before <= not_before - MIN_DEFERRAL_SECONDS <= after
    assert arguments == {
        "job_id": ti.xcoms["job_id"],
        "apiframe_conn_id": "apiframe_default",
        "poll_interval": 3,
        "prompt": "a poster",
        "keeps_progress": True,
    }
    assert deferred.value.method_name == "execute_complete"
    assert not deferred.value.kwargs  # dag.test() loses them; everything is in the event


def test_execute_complete_reads_everything_from_the_event(ti):
    job = {
        "id": "j",
        "status": "COMPLETED",
        "result": {"images": ["https://cdn.example.com/1.png"]},
        "credit_cost": 7,
    }
    result = operator().execute_complete({"ti": ti}, {"status": "finished", "job": job})
    assert (result["job_id"], result["image_urls"], result["credit_cost"]) == (
        "j",
        ["https://cdn.example.com/1.png"],
        7,
    )


@pytest.mark.parametrize(
    "event",
    [None, {}, {"status": "finished"}, {"status": "error", "message": "broken"}],
)
def test_an_event_that_nothing_can_be_made_of_is_left_to_a_retry_which_reconnects(event):
    with pytest.raises(JobWaitError):
        operator().execute_complete({}, event)


@pytest.mark.parametrize(
    "event",
    [
        {"status": "timeout", "message": "late"},
        {"status": "error", "message": "down"},
    ],
)
def test_an_event_that_a_retry_may_mend_is_left_to_airflows_retry(event):
    with pytest.raises(JobWaitError):
        operator().execute_complete({}, event)


def test_a_deferred_result_has_the_prompt_that_was_sent_not_one_rendered_anew(ti):
    op = operator(prompt="{{ range(9) | random }}")
    job = {
        "id": "j",
        "status": "COMPLETED",
        "result": "https://cdn.example.com/1.png",
        "input": {"prompt": "a poster"},
    }
    assert (
        op.execute_complete({"ti": ti}, {"status": "finished", "job": job})["prompt"] == "a poster"
    )


def test_a_failed_job_is_refunded_and_may_be_retried(connected, ti):
    with pytest.raises(JobFailedError, match="no luck") as caught:
        operator(prompt="a poster [fail: no luck]").execute({"ti": ti})
    assert not isinstance(caught.value, AirflowFailException)
    assert connected.state.jobs[0].id in str(caught.value)
    assert connected.state.credits_spent == 0


def test_a_retry_after_a_deadline_finds_the_job_again_and_pays_nothing(connected, ti):
    connected.configure(latency=3600)
    ti.max_tries = 1
    op = operator(timeout=0.2, retries=1)
    with pytest.raises(JobTimeoutError) as caught:
        op.execute({"ti": ti})
    (job,) = connected.state.jobs
    assert f"ApiframeJobSensor(job_id={job.id!r})" in str(caught.value)
    ti.try_number = 2
    with pytest.raises(JobTimeoutError, match=job.id):
        op.execute({"ti": ti})
    assert connected.state.jobs_paid == 1


def test_a_retry_after_a_lost_answer_finds_the_job_and_takes_its_image(connected, connect, ti):
    connect(password=connected.api_key, host=connected.url, extra={"max_retries": 0})
    connected.faults.next("generate", drop=True, applied=True)
    ti.max_tries = 1
    op = operator(retries=1)
    with pytest.raises(ConnectionFailedError):
        op.execute({"ti": ti})
    ti.try_number = 2
    assert op.execute({"ti": ti})["job_id"] == connected.state.jobs[0].id
    assert connected.state.jobs_paid == 1


def test_an_outage_that_outlasts_the_repeats_is_left_to_airflows_retry(connected, connect, ti):
    connect(password=connected.api_key, host=connected.url, extra={"max_retries": 0})
    connected.faults.next("generate", status=503)
    with pytest.raises(ServiceUnavailableError):
        operator().execute({"ti": ti})


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            {"status": 401, "body": {"error": "Invalid API key"}},
            "rejected the API key of connection 'apiframe_default'",
        ),
        ({"status": 403, "body": {"error": "API key is inactive"}}, "inactive"),
        ({"status": 403, "body": "error code: 1010"}, "proxy"),
        ({"status": 409, "body": {"error": "conflict"}}, "idempotency key"),
        (
            {
                "status": 402,
                "body": {
                    "error": "Insufficient credits",
                    "creditsRequired": 12,
                    "creditsAvailable": 3,
                },
            },
            "costs 12, the team of connection 'apiframe_default' has 3",
        ),
    ],
)
def test_permanent_answers_fail_without_retry_and_say_what_to_do(fault, said, connected, ti):
    connected.faults.next("generate", **fault)
    with pytest.raises(AirflowFailException, match=said):
        operator().execute({"ti": ti})
    assert connected.state.requests["generate"] == 1


def test_an_error_that_ends_the_wait_says_how_to_collect_the_job(connected, ti):
    connected.faults.next("job", status=401, body={"error": "Invalid API key"}, times=99)
    with pytest.raises(JobTimeoutError) as caught:  # which Airflow retries
        operator(timeout=0.3).execute({"ti": ti})
    (job,) = connected.state.jobs
    assert "rejected the API key" in str(caught.value)
    assert f"ApiframeJobSensor(job_id={job.id!r}) collects it" in str(caught.value)


def test_a_completed_job_without_a_link_fails_without_retry_and_keeps_job_id_and_result(
    connected, ti, monkeypatch
):
    monkeypatch.setattr(schedule, "MAX_IMAGE_POLLS", 1)
    connected.configure(result_form="none")
    with pytest.raises(AirflowFailException, match="no link to an image") as caught:
        operator().execute({"ti": ti})
    assert connected.state.jobs[0].id in str(caught.value)


def test_a_missing_price_changes_nothing(connected, ti):
    connected.configure(cost_null=True)
    assert operator().execute({"ti": ti})["credit_cost"] is None


def test_a_missing_connection_is_left_to_a_retry_and_says_how_to_add_one(ti):
    """While Airflow's database or API server is away, a connection reads as not found."""
    with pytest.raises(
        ConnectionNotFoundError, match="airflow connections add nowhere --conn-type apiframe"
    ):
        operator(apiframe_conn_id="nowhere").execute({"ti": ti})


@pytest.mark.parametrize(("deferrable", "warns"), [(True, True), (False, False)])
def test_a_connection_that_only_the_worker_may_see_is_named_before_anything_is_paid(
    deferrable, warns, connected, ti, caplog, capfd
):
    connected.faults.next("generate", status=402)
    with pytest.raises(AirflowFailException):
        operator(deferrable=deferrable).execute({"ti": ti})
    said = caplog.text + "".join(capfd.readouterr())
    assert ("AIRFLOW_CONN_APIFRAME_DEFAULT" in said) is warns


def test_an_unknown_model_is_left_to_the_api_with_a_warning(connected, ti, caplog, capfd):
    with pytest.raises(AirflowException, match="POST /v2/images/generate returned 400"):
        operator(model="flux2-flex").execute({"ti": ti})
    assert (
        "did you mean 'flux-2-flex'" in caplog.text + capfd.readouterr().out
    )  # Airflow 2 logs there, 3 here


def test_a_webhook_is_passed_on(connected, ti):
    arguments = {"webhook_url": "http://127.0.0.1:9/hook", "webhook_events": ["completed"]}
    operator(wait_for_completion=False, **arguments).execute({"ti": ti})
    body = connected.state.jobs[0].input
    assert (body["webhookUrl"], body["webhookEvents"]) == ("http://127.0.0.1:9/hook", ["completed"])


# Killed, marked or timed out


def test_on_kill_says_which_job_goes_on_and_how_to_collect_it(connected, ti, caplog, capfd):
    connected.configure(latency=3600)
    op = operator(timeout=0.1)
    with pytest.raises(JobTimeoutError):
        op.execute({"ti": ti})
    op.on_kill()
    said = caplog.text + "".join(capfd.readouterr())
    (job,) = connected.state.jobs
    assert f"ApiframeJobSensor(job_id={job.id!r}) collects it and pays nothing" in said
    assert "cannot cancel" in said


def test_on_kill_before_a_job_is_known_does_not_pretend_that_there_is_none(caplog, capfd):
    operator().on_kill()
    assert "If it accepted one, a retry of this task reconnects to it" in caplog.text + "".join(
        capfd.readouterr()
    )


def test_on_kill_of_a_resumed_task_names_its_job(ti, caplog, capfd):
    op = operator()
    with pytest.raises(JobFailedError):
        op.execute_complete(
            {"ti": ti}, {"status": "finished", "job": {"id": "j-1", "status": "FAILED"}}
        )
    op.on_kill()
    assert "ApiframeJobSensor(job_id='j-1')" in caplog.text + "".join(capfd.readouterr())
