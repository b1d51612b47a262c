"""ApiframeHook: from an Airflow connection to a client."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    ConfigurationError,
    InvalidRequestError,
)
from airflow_provider_apiframe.api.models import (
    Account,
    Job,
    JobAccepted,
    JobPage,
    ModelInfo,
    UploadedFile,
)
from airflow_provider_apiframe.api.params.request import (
    GenerateRequest,
    ImageRequest,
    checked_seconds,
)
from airflow_provider_apiframe.api.settings import ClientSettings
from airflow_provider_apiframe.api.validation import truncated_repr
from airflow_provider_apiframe.hooks import connection as connection_form
from airflow_provider_apiframe.hooks.connection import ConnectionNotFoundError, settings_from
from airflow_provider_apiframe.hooks.image_tools import ImageTools
from airflow_provider_apiframe.hooks.uploads import read_image
from airflow_provider_apiframe.polling.blocking import wait_for_job
from airflow_provider_apiframe.polling.wait import Wait

if TYPE_CHECKING:
    import requests

    from airflow_provider_apiframe.api.async_client import AsyncApiframeClient
    from airflow_provider_apiframe.api.client import ApiframeClient
    from airflow_provider_apiframe.api.download import DownloadedImage

# requests and httpx are imported where they are used: DAG files import this module, and requests
# alone costs 0.2 s.


class ApiframeHook(ImageTools, BaseHook):
    """Speaks to Apiframe with the API key of an Airflow connection.

    Connection type ``apiframe``: the password is the API key, the host the base URL (empty:
    https://api.apiframe.ai); extras ``timeout`` (seconds per request, 60), ``max_retries`` (4),
    ``verify`` (true, or the path of a CA bundle), ``requests_per_minute`` (that triggerers may make
    to wait for jobs, 120: all together, if ``[apiframe] triggerers`` says how many there are; else
    each), ``max_credits_per_day`` (no limit; see :mod:`.submission.day_budget`) and ``allow_http``
    (false). Nothing is read or opened before the first use.

    All methods raise an ``ApiframeError`` from :mod:`airflow_provider_apiframe.api.errors` when
    they fail; its ``transient`` says whether trying again later can help.

    :param apiframe_conn_id: id of the Airflow connection.
    """

    conn_name_attr = "apiframe_conn_id"
    default_conn_name = connection_form.DEFAULT_CONNECTION_ID
    conn_type = connection_form.CONNECTION_TYPE
    hook_name = connection_form.HOOK_NAME

    def __init__(self, apiframe_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.apiframe_conn_id = apiframe_conn_id

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's extra fields; Airflow 2.11 - 3.1 call it."""
        return connection_form.connection_form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return which standard fields the form shows and how; Airflow 2.11 - 3.1 call it."""
        return connection_form.ui_field_behaviour()

    @cached_property
    def client(self) -> ApiframeClient:
        """The synchronous client, made at the first use.

        :raises ConfigurationError: the connection is missing or cannot be used as it is written.
        """
        from airflow_provider_apiframe.api.client import ApiframeClient
        from airflow_provider_apiframe.version_compat import mask_secret

        with _hiding_the_connection(self.apiframe_conn_id):
            settings = settings_from(
                self.get_connection(self.apiframe_conn_id), self.apiframe_conn_id
            )
        mask_secret(settings.api_key)
        return ApiframeClient(settings)

    async def async_settings(self) -> ClientSettings:
        """Read the connection without blocking the event loop.

        :raises ConfigurationError: the connection is missing or cannot be used as it is written.
        """
        from airflow.providers.common.compat.connection import get_async_connection

        with _hiding_the_connection(self.apiframe_conn_id):
            return settings_from(
                await get_async_connection(self.apiframe_conn_id), self.apiframe_conn_id
            )

    async def async_client(self) -> AsyncApiframeClient:
        """Return a new asynchronous client, without blocking the event loop. Close it after use.

        :raises ConfigurationError: as :meth:`async_settings`.
        """
        settings = await self.async_settings()
        module = "airflow_provider_apiframe.api.async_client"
        await asyncio.to_thread(import_module, module)  # too slow for an event loop
        from airflow_provider_apiframe.api.async_client import AsyncApiframeClient

        return await AsyncApiframeClient.open(settings)

    def get_conn(self) -> requests.Session:
        """Return the ``requests.Session``.

        It adds the API key to requests to the API's host, and to no others.
        """
        return self.client.session

    def submit(self, request: ImageRequest, idempotency_key: str | None = None) -> JobAccepted:
        """Submit a request of any kind. Costs credits when it is accepted.

        Reference images that are paths are uploaded first, anew with each call.

        :param idempotency_key: 1-255 ASCII characters. A repeat with the same key within 24 hours
            returns the same job and costs nothing. Without one a random key is used, which covers
            the retries within this call only.
        :returns: the job's id and status.
        :raises InvalidRequestError: it is refused. Nothing was paid.
        """
        inline = request.inline_paths
        files = {
            path: read_image(path).inline() if path in inline else self.upload_file(path).url
            for path in request.paths
        }
        return self.client.submit(request.replacing(files), idempotency_key or uuid.uuid4().hex)

    def generate_image(
        self,
        request: GenerateRequest | None = None,
        idempotency_key: str | None = None,
        **arguments: Any,
    ) -> JobAccepted:
        """Submit one image. Costs credits when it is accepted.

        ``generate_image(prompt="a mug", flux_params={"seed": 7})``, or with a ready request. Input
        images that are paths are uploaded first, anew with each call.

        :param request: from :meth:`.GenerateRequest.parse`; or leave it out and give its arguments
            as keywords: *prompt*, *model*, *params* (for Flux models *flux_params* is another name
            of it), *webhook_url*, *webhook_events*.
        :param idempotency_key: as for :meth:`submit`.
        :returns: the job's id and status.
        :raises InvalidRequestError: an argument is wrong. Nothing was sent.
        """
        if request is None:
            request = GenerateRequest.parse(**arguments)
        elif arguments or not isinstance(request, GenerateRequest):
            reason = "must be a GenerateRequest, or be left out and its arguments given as keywords"
            raise InvalidRequestError(f"request={truncated_repr(request)}: {reason}")
        return self.submit(request, idempotency_key)

    def get_job(self, job_id: str, *, retry: bool = True) -> Job:
        """Return the job as it is now, in whatever state.

        :param retry: retry after a transient error; False makes it one request, for callers that
            poll again anyway.
        """
        return self.client.get_job(job_id, retry=retry)

    def list_jobs(
        self,
        *,
        limit: int = 20,
        cursor: str | None = None,
        status: str | None = None,
        model: str | None = None,
        scope: str | None = None,
        retry: bool = True,
    ) -> JobPage:
        """Return one page of jobs, newest first.

        :param limit: jobs per page, 1-100.
        :param cursor: ``next_cursor`` of the page before.
        :param status: only jobs in this state: QUEUED, PROCESSING, COMPLETED, FAILED or CANCELLED.
        :param model: only jobs of this model.
        :param scope: "user" (the API's default) or "team", which only a team's admins may ask for.
        :param retry: as in :meth:`get_job`.
        """
        return self.client.list_jobs(
            limit=limit, cursor=cursor, status=status, model=model, scope=scope, retry=retry
        )

    def wait_for_job(self, job_id: str, timeout: float = 600.0, poll_interval: float = 2.0) -> Job:
        """Wait until the job is finished and return it if it has images.

        :param timeout: seconds from now.
        :param poll_interval: seconds between two requests.
        :raises JobFailedError, JobCancelledError: it ended without an image.
        :raises JobTimeoutError: it was not finished in time. It keeps running.
        :raises UnexpectedResponseError: COMPLETED without a recognisable link.
        """
        wait = Wait.starting_now(
            job_id,
            timeout=checked_seconds("timeout", timeout),
            poll_interval=checked_seconds("poll_interval", poll_interval),
        )
        return wait_for_job(self.client, wait).raise_for_status()

    def get_account(self, *, retry: bool = True) -> Account:
        """Return user, team and credits left. Free.

        :param retry: as in :meth:`get_job`.
        """
        return self.client.get_account(retry=retry)

    def list_models(self, modality: str | None = "image", *, retry: bool = True) -> list[ModelInfo]:
        """Return the vendor's curated catalogue, with price ranges.

        :param modality: "image", "video" or "music"; None for all.
        :param retry: as in :meth:`get_job`.
        """
        return self.client.list_models(modality, retry=retry)

    def upload_file(
        self,
        path_or_file: str | os.PathLike[str] | IO[bytes],
        *,
        storage_conn_id: str | None = None,
    ) -> UploadedFile:
        """Upload an image, so that a request can name it by its URL. Free; it lives for 1-2 hours.

        Input images that are paths are uploaded by themselves; this is for other uses.

        :param path_or_file: a PNG, JPEG, WebP or GIF of 25 MB at most: a local path, a storage path
            ("s3://bucket/key", "s3://conn_id@bucket/key"), an ObjectStoragePath, or a file that is
            open in binary mode.
        :param storage_conn_id: the Airflow connection for a storage path that names none; None
            means the default of its scheme.
        :returns: its ``url``, when it expires, and what the API found it to be.
        :raises UnreadableFileError: it is not there, or its storage is away. Nothing was sent.
        :raises InvalidRequestError: it is too large, or no such image. Nothing was sent.
        """
        return self.client.upload(read_image(path_or_file, storage_conn_id))

    def download(self, url: str, target: str | os.PathLike[str]) -> DownloadedImage:
        """Fetch an image into *target*, a local file or folder.

        Streamed, whole or not at all, never with the API key. It is there for this worker only: the
        next task may run on another one. For other tasks, ``save_to`` of the operator or of
        ``ApiframeJobSensor`` puts the image into object storage.

        :raises DownloadError: see :func:`airflow_provider_apiframe.api.download.download`.
        """
        return self.client.download(url, target)

    def test_connection(self) -> tuple[bool, str]:
        """Ask the free ``GET /v2/me`` whether the key works.

        :returns: e.g. True and "Connected to team Acme (plan pro): 3644 credits left".
        """
        try:
            return True, self.get_account().describe()
        except ApiframeError as error:
            # Airflow tests a connection under an id that it makes up for that.
            own_name = f"connection {self.apiframe_conn_id!r}"
            return False, str(error).replace(own_name, "this connection")


@contextmanager
def _hiding_the_connection(conn_id: str) -> Iterator[None]:
    """Say what is wrong with a connection without the frames that hold it.

    The ``repr`` of Airflow's Connection shows the password, and Airflow may log tracebacks with
    local variables.
    """
    try:
        yield
    except AirflowNotFoundException:
        raise ConnectionNotFoundError(conn_id) from None
    except ConfigurationError as error:
        # A new one: to the one that came, contextlib gives its frames back.
        raise ConfigurationError(str(error)) from None
