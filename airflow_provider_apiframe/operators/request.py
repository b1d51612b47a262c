"""RequestOperator: what operators share whose arguments are those of one request."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from airflow_provider_apiframe.api.params.catalog import nearest_model
from airflow_provider_apiframe.api.params.request import GenerateRequest, ImageRequest
from airflow_provider_apiframe.literals import (
    CheckedPartial,
    as_stored,
    check_literals,
)
from airflow_provider_apiframe.operators.base import ApiframeOperator
from airflow_provider_apiframe.submission.needed_outputs import needed_outputs
from airflow_provider_apiframe.version_compat import STAYS_TEXT


class RequestOperator(ApiframeOperator):
    """Submit what the arguments say. An operator is its arguments, its request and its label.

    Values without a template are checked when the DAG file is parsed, so a wrong argument is an
    import error; after rendering everything is checked again, before anything is sent or paid.
    """

    request_type: ClassVar[type[ImageRequest]] = GenerateRequest
    params_name: ClassVar[Literal["flux_params", "params"]] = "params"
    """What users call the model's parameters."""
    params_field: ClassVar[str] = "model_params"
    """The field that holds them; ``params`` of a task are Airflow's own."""
    request_fields: ClassVar[tuple[str, ...]]
    """The template fields that are the request's arguments."""
    map_index_label: ClassVar[str] = (
        STAYS_TEXT + "{{ task.prompt | truncate(60) if task.prompt is string else '' }}"
    )
    """Template of the label of a mapped task. It must render whatever the arguments are: an error
    in it would hide why a task failed, or fail one whose image is paid."""
    defaults: ClassVar[dict[str, Any]] = {}
    """Arguments that have another value than None where they are not given."""

    def _check(self, **arguments: Any) -> None:
        """Check the literals among the *arguments* of this class.

        :raises InvalidParameterError: naming the task and what is wrong.
        """
        self.check_arguments(task_id=self.task_id, **arguments)
        self._needed_outputs += needed_outputs(**arguments)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Check the literals of mapped tasks when the DAG is parsed; label each of them."""
        cls.check_arguments(**kwargs)
        kwargs = as_stored(kwargs, depth=1)
        partial = super().partial(**{"map_index_template": cls.map_index_label, **kwargs})
        return CheckedPartial(
            partial, kwargs, check=cls.check_arguments, defaults=cls._defaults_of_init()
        )

    @classmethod
    def _defaults_of_init(cls) -> dict[str, Any]:
        """Return the defaults, none for a subclass whose own ``__init__`` may set other values."""
        owner = next(base for base in cls.__mro__ if vars(base).keys() & {"__init__", "defaults"})
        return cls.defaults if "defaults" in vars(owner) else {}

    @classmethod
    def check_arguments(cls, **arguments: Any) -> None:
        """Check the *arguments* whose values are known while the DAG is read.

        :raises InvalidParameterError: naming the task and what is wrong.
        """
        given = {cls._name_of(field): value for field, value in arguments.items()}
        check_literals(request_type=cls.request_type, params_name=cls.params_name, **given)

    @classmethod
    def _name_of(cls, field: str) -> str:
        """Return what users call a field of the task."""
        return cls.params_name if field == cls.params_field else field

    def _request(self) -> ImageRequest:
        arguments = {self._name_of(name): getattr(self, name) for name in self.request_fields}
        # Each kind has its own keywords.
        request: ImageRequest = self.request_type.parse(  # type: ignore[attr-defined]
            **arguments, webhook_url=self.webhook_url, webhook_events=self.webhook_events
        )
        if isinstance(request, GenerateRequest) and (near := nearest_model(request.model)):
            self.log.warning(
                "Model %r is not one this provider knows; did you mean %r?", request.model, near
            )
        return request
