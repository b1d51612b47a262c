"""A process that submits one image within the day's limit, once it is told to.

``python day_spender.py BASE_URL API_KEY LIMIT PRICE``: writes "ready", reads a line, writes "paid"
or "refused".
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

from airflow_provider_apiframe.api.client import ApiframeClient
from airflow_provider_apiframe.api.errors import BudgetExceededError
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.submission.day_budget import check_day_budget


def main(base_url: str, api_key: str, limit: str, price: str) -> None:
    with ApiframeClient(
        base_url=base_url, api_key=api_key, max_credits_per_day=float(limit)
    ) as client:
        hook = SimpleNamespace(
            client=client, list_jobs=client.list_jobs, list_models=client.list_models
        )
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            with check_day_budget(hook, float(price)) as reservation:  # type: ignore[arg-type]
                job = client.submit(GenerateRequest.parse(prompt="a poster"))
                reservation.accepted(job.job_id)
        except BudgetExceededError:
            print("refused", flush=True)
        else:
            print("paid", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
