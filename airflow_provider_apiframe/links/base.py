"""A link that the task itself stores as soon as it knows where it leads."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_apiframe.version_compat import push_link, stored_link

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)


class StoredLink(BaseOperatorLink):
    """Base of our links.

    Airflow 3 has the worker store each link as an XCom when a task ends or defers, by asking
    :meth:`get_link`; that is too late for a task that waits for minutes. So the task calls
    :meth:`show` when it knows the address, and Airflow finds the same again at the end. On Airflow
    2 the web server asks :meth:`get_link`, and finds what the task stored.

    A task with ``do_xcom_push=False`` stores nothing itself: on Airflow 3 its buttons work when it
    has ended or deferred, on Airflow 2 they do not.
    """

    @property
    def xcom_key(self) -> str:
        """The XCom that holds the address, as Airflow 3 names it."""
        return f"_link_{type(self).__name__}"

    def show(self, task: Any, context: Context, url: str) -> None:
        """Let the button of this task instance lead to *url*, an http(s) URL or an absolute path.

        What keeps Airflow from storing it is a warning in the log: the image is paid.
        """
        if _known_to(task).get(self.xcom_key) == url:
            return
        task._links = {**_known_to(task), self.xcom_key: url}
        if not task.do_xcom_push:
            return
        try:
            push_link(context["ti"], self.xcom_key, url)
        except Exception as error:  # of Airflow's API server, or of an XCom backend
            log.warning("The link %r could not be stored: %s", self.name, error)

    def leads_nowhere(self, task: Any) -> None:
        """Say that there is nothing to show, so that Airflow's question at the end asks no API
        server, whose 404 ``airflow dags test`` logs as an error."""
        task._links = {self.xcom_key: "", **_known_to(task)}

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address, empty while it is not known."""
        known = _known_to(operator).get(self.xcom_key)
        if known is not None:
            return known
        try:
            stored = stored_link(ti_key, self.xcom_key)
        except Exception as error:  # as above; on Airflow 3.0 it would end the task's process
            log.warning("The link %r could not be read: %s", self.name, error)
            return ""
        return stored if isinstance(stored, str) else ""


def _known_to(task: Any) -> dict[str, str]:
    """Return the addresses that were found in this process, by their XCom keys."""
    known: dict[str, str] = getattr(task, "_links", {})
    return known
