from __future__ import annotations

import pytest

pytest.importorskip(
    "airflow.providers.standard.operators.hitl", reason="Airflow 3.1 and newer have forms"
)

from reviewer import Reviewer

DAG = """
    from airflow.providers.common.compat.sdk import DAG, task
    from airflow_provider_apiframe.operators.review import review_images

    with DAG("reviewed", schedule=None):
        chosen = review_images({arguments})

        @task
        def publish(urls):
            return urls

        publish(chosen["image_urls"])
"""


@pytest.fixture
def review(connected, run_dag):
    def review(arguments, *answers):
        with Reviewer(answers) as reviewer:
            run = run_dag("reviewed", DAG.format(arguments=arguments))
        return run, reviewer

    return review


def test_the_image_that_a_person_chose_is_the_one_that_goes_on(connected, review):
    run, reviewer = review('2, prompt="a mug"', ("Image 2", {}))
    (form,) = reviewer.forms
    print(form)
    print(reviewer.errors)
    print(run.as_dict())
    assert 0
