"""What only a running Airflow shows: import errors, retries, deferral, native templates."""

from __future__ import annotations

import pytest

HEAD = """
    from airflow.providers.common.compat.sdk import DAG, task
    from airflow_provider_apiframe.operators.flux import FluxGenerateOperator
    from airflow_provider_apiframe.sensors.job import ApiframeJobSensor
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('flux_params={"steps": 80}', "steps=80: must be a whole number from 1 to 50"),
        ('flux_params={"step": 30}', "did you mean 'steps'?"),
        ('model="flux-2-pro", flux_params={"steps": 30}', "models that do: flux-2-flex"),
    ],
)
def test_a_wrong_parameter_is_a_dag_import_error(arguments, said, import_errors):
    error = import_errors(f"""{HEAD}
    with DAG("broken", schedule=None):
        FluxGenerateOperator(task_id="poster", prompt="a poster", {arguments})
    """)
    assert said in error


@pytest.mark.parametrize(
    ("name", "arguments", "tries"),
    [
        ("steps", 'prompt="a poster", flux_params={"steps": "{{ 80 }}"}', 1),
        ("prompt", "prompt=\"{{ '' }}\"", 1),
        ("connection", 'prompt="a poster", apiframe_conn_id="nowhere"', 2),
        ("failed_job", 'prompt="a poster [fail: no luck]"', 2),
        ("refused_content", 'prompt="a poster [fail: NSFW content detected]"', 1),
        ("budget", 'prompt="a poster", max_credits=1', 1),
    ],
)
def test_only_what_a_retry_may_mend_is_retried(name, arguments, tries, connected, run_dag):
    dag_id = f"retries_{name}"
    run = run_dag(
        dag_id,
        f"""{HEAD}
    with DAG("{dag_id}", schedule=None):
        FluxGenerateOperator(
            task_id="poster", retries=1, retry_delay=0, poll_interval=0.05, {arguments}
        )
    """,
    )
    assert run.states("poster") == ["failed"]
    assert run.tries("poster") == [tries]
    assert connected.state.credits_spent == 0


def test_a_retry_finds_the_job_of_the_try_whose_answer_was_lost(connected, connect, run_dag):
    connect(password=connected.api_key, host=connected.url, extra={"max_retries": 0})
    connected.faults.next("generate", drop=True, applied=True)
    run = run_dag(
        "lost_answer",
        f"""{HEAD}
    with DAG("lost_answer", schedule=None):
        FluxGenerateOperator(
            task_id="poster", prompt="a poster", retries=1, retry_delay=0, poll_interval=0.05
        )
    """,
    )
    assert (run.states("poster"), run.tries("poster")) == (["success"], [2])
    assert run.xcom("poster", "job_id") == connected.state.jobs[0].id
    assert run.xcom("poster")["reused"] is True
    assert connected.state.jobs_paid == 1


def test_the_job_and_that_it_was_counted_are_noted_where_airflow_has_a_store_for_it(
    connected, run_dag
):
    pytest.importorskip(
        "airflow.models.task_state_store", reason="the task state store came with Airflow 3.3"
    )
    run = run_dag(
        "noted",
        f"""{HEAD}
    with DAG("noted", schedule=None):
        FluxGenerateOperator(task_id="poster", prompt="a poster", poll_interval=0.05)
    """,
    )
    assert run.stored("poster", "apiframe_job")["job_id"] == run.xcom("poster", "job_id")
    assert run.stored("poster", "apiframe_counted_job") == run.xcom("poster", "job_id")


def test_the_retry_policy_waits_an_outage_out(connected, connect, run_dag):
    pytest.importorskip(
        "airflow.sdk.definitions.retry_policy", reason="retry policies came with Airflow 3.3"
    )
    connect(password=connected.api_key, host=connected.url, extra={"max_retries": 0})
    connected.faults.next("generate", status=503, times=2)
    run = run_dag(
        "waits_it_out",
        f"""{HEAD}
    from datetime import timedelta
    from airflow_provider_apiframe.policies.retry import ApiframeRetryPolicy

    with DAG("waits_it_out", schedule=None):
        FluxGenerateOperator(
            task_id="poster",
            prompt="a poster",
            poll_interval=0.05,
            retries=2,
            retry_delay=timedelta(hours=1),
            retry_policy=ApiframeRetryPolicy(pause=timedelta(seconds=0.1)),
        )
    """,
    )
    assert (run.states("poster"), run.tries("poster")) == (["success"], [3])
    assert connected.state.jobs_paid == 1


PUBLISH = """
        images = FluxGenerateOperator.partial(task_id="images", poll_interval=0.05).expand(
            prompt=["a mug", "a cap"]
        )

        @task
        def publish(url):
            return url
"""


def test_a_task_per_image_takes_what_it_wants_of_each_result(connected, run_dag):
    run = run_dag(
        "mapped_results",
        f"""{HEAD}
    with DAG("mapped_results", schedule=None):
{PUBLISH}
        publish.expand(url=images.output.map(lambda result: result["image_urls"][0]))
    """,
    )
    urls = [made["image_urls"][0] for made in run.xcoms("images")]
    assert run.xcoms("publish") == urls
    assert len({*urls}) == 2


def test_mapping_over_a_key_of_the_results_is_the_import_error_that_the_readme_tells(
    import_errors,
):
    error = import_errors(f"""{HEAD}
    with DAG("broken", schedule=None):
{PUBLISH}
        publish.expand(url=images.output["image_urls"])
    """)
    assert "cannot map over XCom with custom key 'image_urls'" in error


def test_a_wrong_value_among_mapped_ones_fails_alone_and_without_retry(connected, run_dag):
    run = run_dag(
        "mapped_values",
        f"""{HEAD}
    with DAG("mapped_values", schedule=None):
        FluxGenerateOperator.partial(
            task_id="posters", prompt="a poster", retries=3, retry_delay=0, poll_interval=0.05
        ).expand(
            flux_params=[{{"steps": 10}}, {{"steps": "{{{{ 80 }}}}"}}]
        )
    """,
    )
    assert (run.states("posters"), run.tries("posters")) == (["success", "failed"], [1, 1])
    assert connected.state.jobs_created == 1


def test_a_deferred_task_and_sensor_deliver_what_waiting_ones_do(connected, run_dag):
    run = run_dag(
        "deferring",
        f"""{HEAD}
    class Resuming(FluxGenerateOperator):
        def execute_complete(self, context, event=None):
            context["ti"].xcom_push(key="resumed", value=True)
            return super().execute_complete(context, event)

    with DAG("deferring", schedule=None):
        poster = Resuming(
            task_id="poster", prompt="a {{{{ 'poster' }}}}", deferrable=True, poll_interval=0.05
        )
        ApiframeJobSensor(task_id="collect", job_id=poster.output["job_id"], deferrable=True)
    """,
    )
    assert run.xcom("poster", "resumed")
    made, collected = run.xcom("poster"), run.xcom("collect")
    assert made["prompt"] == "a poster"
    assert (
        made["image_urls"]
        == collected["image_urls"]
        == [f"{connected.cdn_url}/images/{connected.state.jobs[0].id}-1.png"]
    )


@pytest.mark.parametrize("native", [True, False])
def test_whole_flux_params_may_come_from_another_task(native, connected, run_dag):
    run = run_dag(
        f"from_a_task_{native}",
        f"""{HEAD}
    with DAG("from_a_task_{native}", schedule=None, render_template_as_native_obj={native}):
        @task
        def choose():
            return {{"steps": 12, "aspect_ratio": "4:3", "seed": None}}

        choose() >> FluxGenerateOperator(
            task_id="poster",
            prompt="a poster",
            flux_params="{{{{ ti.xcom_pull('choose') }}}}",
            poll_interval=0.05,
        )
    """,
    )
    assert run.states("poster") == ["success"]
    assert connected.state.jobs[0].input["fluxParams"] == {"steps": 12, "aspect_ratio": "4:3"}


LOOP = """
    from datetime import timedelta
    from airflow.sdk import RetryDecision, RetryPolicy, task_group

    class RunAgain(RetryPolicy):
        def evaluate(self, exception, try_number, max_tries, context=None):
            return RetryDecision.reschedule(timedelta(0), max_reschedules=3)

    waits = {"prompt": "a poster", "poll_interval": 0.05}
"""


@pytest.fixture
def _loops() -> None:
    pytest.importorskip("airflow.sdk.definitions.loop", reason="loops came with Airflow 3.4")


@pytest.mark.usefixtures("_loops")
def test_every_iteration_of_a_loop_pays_for_an_image_of_its_own(connected, run_dag):
    run = run_dag(
        "loop",
        f"""{HEAD}{LOOP}
    with DAG("loop", schedule=None):
        @task_group
        def draw():
            FluxGenerateOperator(task_id="poster", **waits)

        draw.loop(max_iterations=3)
    """,
    )
    assert run.states("draw.poster") == ["success"] * 3
    assert connected.state.jobs_created == connected.state.jobs_paid == 3


@pytest.mark.usefixtures("_loops")
def test_mapped_tasks_in_a_loop_pay_for_an_image_each_in_every_iteration(connected, run_dag):
    run = run_dag(
        "mapped_loop",
        f"""{HEAD}{LOOP}
    with DAG("mapped_loop", schedule=None):
        @task_group
        def draw():
            params = [{{"steps": 10}}, {{"steps": 10}}]
            FluxGenerateOperator.partial(task_id="posters", **waits).expand(flux_params=params)

        draw.loop(max_iterations=2)
    """,
    )
    assert run.states("draw.posters") == ["success"] * 4
    assert connected.state.jobs_created == connected.state.jobs_paid == 4


@pytest.mark.usefixtures("_loops")
def test_a_try_of_an_iteration_that_is_rescheduled_reconnects(connected, connect, run_dag):
    connect(password=connected.api_key, host=connected.url, extra={"max_retries": 0})
    connected.faults.next("generate", drop=True, applied=True, times=2)
    run = run_dag(
        "rescheduled_loop",
        f"""{HEAD}{LOOP}
    with DAG("rescheduled_loop", schedule=None):
        @task_group
        def draw():
            FluxGenerateOperator(task_id="poster", retry_policy=RunAgain(), **waits)

        draw.loop(max_iterations=2)
    """,
    )
    assert run.states("draw.poster") == ["success"] * 2
    assert run.tries("draw.poster") == [1, 1]  # it is the same try that runs again
    assert connected.state.requests["generate"] == 4
    assert connected.state.jobs_created == connected.state.jobs_paid == 2
