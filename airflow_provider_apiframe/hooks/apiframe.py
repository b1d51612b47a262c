"""ApiframeHook: from an Airflow connection to a client."""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    ConfigurationError,
    InvalidRequestError,
)
from airflow_provider_apiframe.api.models import Account, Job, JobAccepted, JobPage, ModelInfo
from airflow_provider_apiframe.api.params.flux import truncated_repr
from airflow_provider_apiframe.api.params.request import GenerateRequest, checked_seconds
from airflow_provider_apiframe.api.settings import (
    DEFAULT_BASE_URL,
    ClientSettings,
    checked_api_key,
    checked_base_url,
)
from airflow_provider_apiframe.hooks import connection as connection_form
from airflow_provider_apiframe.polling.blocking import wait_for_job
from airflow_provider_apiframe.polling.wait import Wait

if TYPE_CHECKING:
    import requests
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_apiframe.api.async_client import AsyncApiframeClient
    from airflow_provider_apiframe.api.client import ApiframeClient
    from airflow_provider_apiframe.api.download import DownloadedImage

log = logging.getLogger(__name__)

# requests and httpx are imported where they are used: DAG files import this module, and requests
# alone costs 0.2 s.


class ApiframeHook(BaseHook):
    """Speaks to Apiframe with the API key of an Airflow connection.

    Connection type ``apiframe``: the password is the API key, the host the base URL (empty:
    https://api.apiframe.ai); extras ``timeout`` (seconds per request, 60), ``max_retries`` (4),
    ``verify`` (true, or the path of a CA bundle), ``requests_per_minute`` (that each triggerer may
    make to wait for jobs, 120) and ``allow_http`` (false). Nothing is read or opened before the
    first use.

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

    def generate_image(
        self,
        request: GenerateRequest | None = None,
        idempotency_key: str | None = None,
        **arguments: Any,
    ) -> JobAccepted:
        """Submit one image. Costs credits when it is accepted.

        ``generate_image(prompt="a mug", flux_params={"seed": 7})``, or with a ready request.

        :param request: from :meth:`.GenerateRequest.parse`; or leave it out and give its arguments
            as keywords: *prompt*, *model*, *flux_params*, *webhook_url*, *webhook_events*.
        :param idempotency_key: 1-255 ASCII characters. A repeat with the same key within 24 hours
            returns the same job and costs nothing. Without one a random key is used, which covers
            the retries within this call only.
        :returns: the job's id and status.
        :raises InvalidRequestError: an argument is wrong. Nothing was sent.
        """
        if request is None:
            request = GenerateRequest.parse(**arguments)
        elif arguments or not isinstance(request, GenerateRequest):
            reason = "must be a GenerateRequest, or be left out and its arguments given as keywords"
            raise InvalidRequestError(f"request={truncated_repr(request)}: {reason}")
        return self.client.generate(request, idempotency_key or uuid.uuid4().hex)

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
    ) -> JobPage:
        """Return one page of jobs, newest first.

        :param limit: jobs per page, 1-100.
        :param cursor: ``next_cursor`` of the page before.
        :param status: only jobs in this state: QUEUED, PROCESSING, COMPLETED, FAILED or CANCELLED.
        :param model: only jobs of this model.
        :param scope: "user" (the API's default) or "team", which only a team's admins may ask for.
        """
        return self.client.list_jobs(
            limit=limit, cursor=cursor, status=status, model=model, scope=scope
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

    def get_account(self) -> Account:
        """Return user, team and credits left. Free."""
        return self.client.get_account()

    def list_models(self, modality: str | None = "image") -> list[ModelInfo]:
        """Return the vendor's curated catalogue, with price ranges.

        :param modality: "image", "video" or "music"; None for all.
        """
        return self.client.list_models(modality)

    def download(self, url: str, target: str | os.PathLike[str]) -> DownloadedImage:
        """Fetch an image into *target*, a file or a folder.

        Streamed, whole or not at all, never with the API key.

        :raises DownloadError: see :func:`airflow_provider_apiframe.api.download.download`.
        """
        return self.client.download(url, target)

    def test_connection(self) -> tuple[bool, str]:
        """Ask the free ``GET /v2/me``: whether the key works, and e.g.

        "Connected to team Acme (plan pro): 3644 credits left".
        """
        try:
            return True, self.get_account().describe()
        except ApiframeError as error:
            return False, str(error)


def settings_from(connection: Connection, conn_id: str) -> ClientSettings:
    """Return the client's settings that an Airflow connection stands for.

    :raises ConfigurationError: naming the connection, the field and what is allowed.
    """
    name = f"connection {conn_id!r}"
    extra = _Extra(name, connection.extra)
    return ClientSettings(
        api_key=checked_api_key(connection.password, name=name),
        base_url=checked_base_url(
            _host_of(connection), allow_http=extra.flag("allow_http"), name=name
        ),
        timeout=extra.number("timeout"),
        max_retries=int(extra.number("max_retries")),
        verify=extra.verify(),
        requests_per_minute=int(extra.number("requests_per_minute")),
        name=name,
    )


@contextmanager
def _hiding_the_connection(conn_id: str) -> Iterator[None]:
    """Say what is wrong with a connection without the frames that hold it.

    The ``repr`` of Airflow's Connection shows the password, and Airflow may log tracebacks with
    local variables.
    """
    try:
        yield
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"Airflow has no connection {conn_id!r}. Add one: airflow connections add {conn_id} --conn-type apiframe "
            "--conn-password YOUR_API_KEY (keys are made at console.apiframe.ai). Outside a task, and where the triggerer runs "
            f"apart, Airflow 3 may see only environment variables and secrets backends: AIRFLOW_CONN_{conn_id.upper()}."
        ) from None
    except ConfigurationError as error:
        raise error.with_traceback(None) from None


def _host_of(connection: Connection) -> str:
    """Put together what Airflow keeps apart when a connection is written as a URI: schema, host and port."""
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        return DEFAULT_BASE_URL
    if "://" not in host and connection.schema in ("http", "https"):
        host = f"{connection.schema}://{host}"
    return f"{host}:{connection.port}" if connection.port else host


class _Extra:
    """The connection's extras, with the defaults and limits of the form. They hold no secrets.

    The JSON is read here, not with ``extra_dejson``: that masks every value through a synchronous
    call to the supervisor, which must not happen on the triggerer's event loop.
    """

    def __init__(self, name: str, text: str | None) -> None:
        self._name = name
        self._fields = {field.name: field for field in connection_form.EXTRA_FIELDS}
        try:
            values = json.loads(text) if text else {}
        except ValueError:
            values = None
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"{name}: the extra must be a JSON object")
        self._values = values
        for unknown in values.keys() - self._fields.keys():
            near = difflib.get_close_matches(str(unknown), self._fields, n=1)
            log.warning(
                "%s: unknown extra %r is ignored%s",
                name,
                unknown,
                f"; did you mean {near[0]!r}?" if near else "",
            )

    def _get(self, key: str) -> Any:
        value = self._values.get(key)
        return self._fields[key].default if value in (None, "") else value

    def number(self, key: str) -> float:
        field, value = self._fields[key], self._get(key)
        least, whole = field.minimum or 0.0, field.kind == "integer"
        try:
            number = float(value) if not isinstance(value, bool) else math.nan
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number) and number >= least and not (whole and number % 1):
            return number
        kind = "a whole number" if whole else "a number"
        raise ConfigurationError(
            f"{self._name}: extra {key}={value!r} must be {kind}, at least {least:g}"
        )

    def flag(self, key: str) -> bool:
        return self._flag(key, self._get(key))

    def verify(self) -> bool | str:
        value = self._get("verify")
        if isinstance(value, str) and value.strip().lower() not in ("true", "false"):
            if os.path.isfile(value):
                return value
            raise ConfigurationError(
                f"{self._name}: extra verify={value!r} must be true, false or the path of a CA bundle"
            )
        # requests looks at these by itself, httpx does not; both must trust the same.
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        return self._flag("verify", value) and (bundle or True)

    def _flag(self, key: str, value: Any) -> bool:
        read = str(value).strip().lower()
        if read in ("true", "false"):
            return read == "true"
        raise ConfigurationError(f"{self._name}: extra {key}={value!r} must be true or false")
