"""``@task.image``: a function returns the prompt, and the task makes images with any model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar, overload

from airflow.providers.common.compat.sdk import DecoratedOperator

from airflow_provider_apiframe.decorators.base import DecoratedImageOperator, image_decorator
from airflow_provider_apiframe.operators.image import ImageGenerateOperator
from airflow_provider_apiframe.operators.model_params import renamed

if TYPE_CHECKING:
    from airflow.sdk.bases.decorator import Task

    from airflow_provider_apiframe.api.params.base import ModelParams
    from airflow_provider_apiframe.delivery.storage import Provenance

P = ParamSpec("P")
R = TypeVar("R", bound=str | Mapping[str, Any])


class ImageDecoratedOperator(DecoratedImageOperator, ImageGenerateOperator):
    """What ``@task.image`` makes of a function, see :func:`image_task`."""

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *ImageGenerateOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **ImageGenerateOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.image"


@overload
def image_task(
    python_callable: Callable[P, R],
    *,
    model: str,
    params: ModelParams | Mapping[str, Any] | str | None = ...,
    **kwargs: Any,
) -> Task[P, R]: ...


@overload
def image_task(
    *,
    model: str,
    params: ModelParams | Mapping[str, Any] | str | None = ...,
    apiframe_conn_id: str = ...,
    wait_for_completion: bool = ...,
    deferrable: bool = ...,
    poll_interval: float = ...,
    timeout: float = ...,
    regenerate_on_clear: bool = ...,
    max_credits: float | None = ...,
    save_to: str | None = ...,
    save_conn_id: str | None = ...,
    provenance: Provenance | None = ...,
    webhook_url: str | None = ...,
    webhook_events: Sequence[str] | None = ...,
    multiple_outputs: bool = ...,
    **kwargs: Any,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def image_task(
    python_callable: Callable[..., Any] | None = None,
    *,
    multiple_outputs: bool = True,
    **kwargs: Any,
) -> Any:
    """Make a task of a function that returns what to paint: ``@task.image(model=...)``.

    ::

        @task.image(model="nano-banana-pro", params={"aspect_ratio": "9:16", "resolution": "2K"})
        def poster(product: dict) -> str:
            return f"a poster for {product['name']}, modern design"


        publish(poster(load_product())["image_urls"])

    The function returns the prompt, or a mapping of arguments, and must return the same on a retry:
    see :class:`airflow_provider_apiframe.decorators.base.DecoratedImageOperator`.

    :param python_callable: the function; given by the use as a decorator.
    :param multiple_outputs: whether each key of the result is an XCom of its own as well (default).
        The function's return type says nothing about the task's result.
    :param kwargs: all arguments of
        :class:`airflow_provider_apiframe.operators.image.ImageGenerateOperator` but the prompt:
        ``model``, ``params``, ``save_to`` ...
    :returns: the decorator, or the decorated function: a call makes the task.
    :raises InvalidParameterError: an argument is wrong; when the DAG is parsed.
    """
    return image_decorator(
        ImageDecoratedOperator,
        python_callable,
        multiple_outputs=multiple_outputs,
        **renamed(kwargs),
    )
