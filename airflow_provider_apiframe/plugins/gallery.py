"""GalleryPlugin: the tabs "Images" in Airflow's UI (3.1+), and the routes they show.

Airflow loads this module in each of its processes, so it brings in nothing of the web: that is
imported at the first request.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_apiframe.hooks.gallery_paths import URL_PREFIX

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# The addresses are relative: the UI resolves them against the address that users see, with the base
# path of [api] base_url or of a proxy.
_FOLDER = URL_PREFIX.removeprefix("/")
_RUN = "dag_id={DAG_ID}&run_id={RUN_ID}"
_QUERIES = {
    "dag_run": _RUN,
    "task_instance": f"{_RUN}&task_id={{TASK_ID}}&map_index={{MAP_INDEX}}",
    "asset": "asset_id={ASSET_ID}",
}
# All tasks of this provider template the id of their connection, and so do subclasses of them.
_OUR_TASKS = {"task.template_fields": ["apiframe_conn_id"]}


class _Routes:
    """The ASGI application behind the prefix, made when the first request comes."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            from airflow_provider_apiframe.plugins.routes import gallery_routes

            self._app = gallery_routes()
        await self._app(scope, receive, send)


def external_views(known_destinations: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the tabs for an Airflow whose UI knows these destinations.

    One that it does not know would cost all of them.

    :param known_destinations: empty where Airflow (3.1 to 3.3) does not tell. It has the first two
        then, and shows the second on each task instance: it cannot tell ours.
    """
    tabs = [_tab("dag_run"), _tab("task_instance")]
    if known_destinations:
        tabs[1]["applies_to"] = _OUR_TASKS
    if "asset" in known_destinations:
        tabs.append(_tab("asset"))
    return tabs


def _tab(destination: str) -> dict[str, Any]:
    return {
        "name": "Images",
        "destination": destination,
        "href": f"{_FOLDER}/gallery?{_QUERIES[destination]}",
        "url_route": f"apiframe-{destination.replace('_', '-')}",
        "icon": f"{_FOLDER}/static/icon.svg",
        "icon_dark_mode": f"{_FOLDER}/static/icon-dark.svg",
    }


def _known_destinations() -> tuple[str, ...]:
    """Return where this Airflow's UI has room for tabs, () before it told (3.4)."""
    module = sys.modules[AirflowPlugin.__module__]
    return get_args(getattr(module, "BaseDestinationLiteral", None))


_APPS: list[Any] = [{"app": _Routes(), "url_prefix": URL_PREFIX, "name": "Apiframe images"}]
_VIEWS: list[Any] = external_views(_known_destinations())


class GalleryPlugin(AirflowPlugin):
    """Images of a run, a task instance or an asset (Airflow 3.4), as tabs of Airflow's UI."""

    name = "apiframe"
    fastapi_apps = _APPS
    external_views = _VIEWS
