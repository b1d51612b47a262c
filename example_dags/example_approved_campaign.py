"""An image that a person approves before it is published (Airflow 3.1 and newer).

Four candidates are made. The form in Airflow's UI (*Required actions*) shows them: choose one, or
ask for new ones, with the prompt as it is or edited. What was chosen goes on to ``publish``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowOptionalProviderFeatureException,
    Param,
    task,
)

try:
    from airflow_provider_apiframe.operators.review import review_images
except AirflowOptionalProviderFeatureException:
    pass  # Airflow 2.11 and 3.0 have no forms for running tasks, so this file has no DAG there
else:
    with DAG(
        "example_approved_campaign",
        schedule=None,
        params={
            "headline": Param("SUMMER SALE", title="Headline", type="string", minLength=1),
            # A local folder, so that the example runs without a bucket. With several workers
            # `publish` may run where the image is not.
            "output": Param(
                "/tmp/apiframe-approved/",
                title="Where the candidates are saved",
                description="A folder, such as s3://bucket/posters/",
                type="string",
                pattern="/$",
            ),
        },
        tags=["example", "apiframe"],
        doc_md=__doc__,
    ):
        chosen = review_images(
            4,
            prompt='A poster with bold text reading "{{ params.headline }}", modern design',
            flux_params={"aspect_ratio": "3:4", "output_format": "png"},
            save_to="{{ params.output }}",
            rounds=3,
            max_credits=300,
            response_timeout=timedelta(hours=24),
            lettering=True,
            retries=3,  # they cost nothing: a retry finds the job again
        )

        @task
        def publish(images: list[dict[str, Any]]) -> str:
            """Use the image that was approved."""
            print(f"Published: {images[0]['uri']}")
            return str(images[0]["uri"])

        publish(chosen["images"])
