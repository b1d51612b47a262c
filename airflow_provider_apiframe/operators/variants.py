"""image_variants: an image that was stored, in the sizes and formats that channels want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, XComArg

from airflow_provider_apiframe.api.errors import InvalidRequestError
from airflow_provider_apiframe.api.validation import truncated_repr
from airflow_provider_apiframe.delivery.variant_arguments import VariantArguments
from airflow_provider_apiframe.delivery.variants import make_variants
from airflow_provider_apiframe.exceptions import fail_without_retry
from airflow_provider_apiframe.literals import (
    CheckedPartial,
    errors_of_the_dag_file,
    is_templated,
)
from airflow_provider_apiframe.version_compat import STAYS_TEXT

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

Variants = Mapping[str, str | Mapping[str, Any]]


def image_variants(
    result: Any,
    variants: Variants | str,
    *,
    task_id: str = "image_variants",
    save_to: str | None = None,
    save_conn_id: str | None = None,
    **task_arguments: Any,
) -> Any:
    """Make a task that makes variants of what another task stored, and return its output.

    ``resized = image_variants(poster.output, {"story": "1080x1920", "banner": {"size": "1200x628",
    "format": "webp"}})``, then ``publish(resized["story"])``. Of a mapped task's results each gets
    a task of its own.

    :param result: the output of a ``FluxGenerateOperator`` or an ``ApiframeJobSensor`` with
        ``save_to``.
    :param variants: and all else, see :class:`ImageVariantsOperator`.
    :param task_arguments: what all tasks of Airflow take.
    :returns: an XComArg: name -> URI; each name is a key of its own as well.
    :raises InvalidParameterError: an argument is wrong.
    """
    arguments = {
        "task_id": task_id,
        "variants": variants,
        "save_to": save_to,
        "save_conn_id": save_conn_id,
        **task_arguments,
    }
    if _is_of_many(result):
        return ImageVariantsOperator.partial(**arguments).expand(result=result).output
    return ImageVariantsOperator(result=result, **arguments).output


class ImageVariantsOperator(BaseOperator):
    """Make variants of stored images: other sizes and formats, each a file of its own.

    Each image is read from its storage once and stays as it is. Of ``s3://bucket/poster.png`` the
    variant "story" is ``s3://bucket/poster-story.png``. EXIF orientation is applied, the colour
    profile is kept, and so is the XMP packet with the mark that an image is made by AI. Content
    credentials (C2PA) sign the bytes of one file and cannot survive an edit: a variant has none.
    Needs Pillow: ``pip install 'airflow-provider-apiframe[images]'``.

    :param result: what ``FluxGenerateOperator`` and ``ApiframeJobSensor`` return with ``save_to``;
        or text that renders to it. PNG, JPEG or WebP, up to 100 MiB and 64 megapixels each.
        Templated.
    :param variants: 1 to 100 names, each with a size such as "1080x1920" or with the settings of
        :class:`airflow_provider_apiframe.delivery.variant_arguments.Variant`: ``size``, ``fit``,
        ``format``, ``quality``, ``background``; or text that renders to it. Templated at any depth.
    :param save_to: a folder that the variants go to, a path or URL that ends with "/"; default: the
        folder of the image. Templated.
    :param save_conn_id: id of the Airflow connection of the storage, where paths name none (as in
        ``s3://my_aws@bucket/``). Templated.
    :param multiple_outputs: whether each name is an XCom of its own as well (default). False pushes
        the mapping only; other tasks take ``operator.output`` then, and ``uris["story"]`` of it.
    :returns: name -> URI, without a connection; each name is an XCom of its own as well, so
        ``operator.output["story"]`` works. The variants of the second image of a result have "-2"
        behind their names, those of the third "-3".
    :raises InvalidParameterError: an argument is wrong; when the DAG is parsed, or before anything
        is read. No retry.
    :raises AirflowFailException: retrying cannot help: a missing or broken image, no Pillow.
    :raises StorageError: the storage could not be reached; a retry may mend it, and replaces what
        was written already by the same bytes.
    """

    template_fields: Sequence[str] = ("result", "variants", "save_to", "save_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"result": "json", "variants": "json"}
    ui_color = "#efe4fb"

    def __init__(
        self,
        *,
        result: Any,
        variants: Variants | str,
        save_to: str | None = None,
        save_conn_id: str | None = None,
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        _check_literals(
            task_id=self.task_id,
            result=result,
            variants=variants,
            save_to=save_to,
            save_conn_id=save_conn_id,
        )
        self.result = result
        self.variants = variants
        self.save_to = save_to
        self.save_conn_id = save_conn_id

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Check the literals of mapped tasks when the DAG is parsed; label each with its prompt."""
        _check_literals(**kwargs)
        label = STAYS_TEXT + "{{ (task.result.prompt or task.result.job_id) | truncate(60) }}"
        partial = super().partial(**{"map_index_template": label, **kwargs})
        return CheckedPartial(partial, kwargs, check=_check_literals)

    def execute(self, context: Context) -> dict[str, str]:
        """Make all variants and return where they are."""
        with fail_without_retry():
            arguments = VariantArguments.read(
                {
                    "variants": self.variants,
                    "save_to": self.save_to,
                    "save_conn_id": self.save_conn_id,
                }
            )
            return make_variants(
                self.result,
                arguments.variants,
                save_to=arguments.save_to,
                save_conn_id=arguments.save_conn_id,
            )


def _check_literals(**arguments: Any) -> None:
    """Check all *arguments* whose values are known while the DAG is read.

    :raises InvalidParameterError: naming the task, what is wrong and what is allowed. Its traceback
        ends in the line that made the task.
    """
    names = VariantArguments.model_fields
    given = {name: value for name, value in arguments.items() if name in names}
    with errors_of_the_dag_file(arguments.get("task_id")):
        result = arguments.get("result", "")
        if not (isinstance(result, (str, Mapping)) or is_templated(result)):
            raise InvalidRequestError(
                f"result={truncated_repr(result)}: must be the output of a task that stores "
                "images, e.g. poster.output"
            )
        VariantArguments.read(given, is_templated=is_templated)


def _is_of_many(result: Any) -> bool:
    """Return whether *result* is a list of results, by what it comes from."""
    # What map(), zip() and concat() make has no operator, and is always a list. A mapped operator
    # is no BaseOperator.
    operator = getattr(result, "operator", None)
    return isinstance(result, XComArg) and not isinstance(operator, BaseOperator)
