"""The most that a request may cost, by the vendor's catalogue."""

from __future__ import annotations

import pytest

from airflow_provider_apiframe.api.models import ModelInfo
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.submission.budget import price_of


def info(id: str = "gpt-image-1.5", **fields) -> ModelInfo:
    return ModelInfo(id=id, cost_min=1, **fields)


THREE = GenerateRequest.parse(
    prompt="a mug",
    model="gpt-image-1.5",
    params={"number_of_images": 3},
)


@pytest.mark.parametrize(
    ("catalogue", "price"),
    [
        ([info(cost_max=9, pricing_mode="flat")], 9),
        ([info(cost_max=9, pricing_mode="per-output")], 27),
        ([info(cost_max=9)], 27),
        ([info(cost_max=9, pricing_mode="by the moon")], 27),
        ([info(cost_max=0, pricing_mode="flat")], 0),
        ([info("another", cost_max=99), info(cost_max=9, pricing_mode="flat")], 9),
        # As in two modalities: the dearer one.
        ([info(cost_max=9, modality="image"), info(cost_max=5, modality="tool")], 27),
        ([info(), info(cost_max=9)], 27),
    ],
)
def test_the_top_of_the_range_counts_for_each_output_unless_the_price_is_flat(catalogue, price):
    assert price_of(THREE, catalogue) == price


@pytest.mark.parametrize("catalogue", [[], [info()], [info("another", cost_max=9)]])
def test_a_price_that_the_catalogue_does_not_say_is_none(catalogue):
    assert price_of(THREE, catalogue) is None
