"""Which part of an account's requests is one triggerer's."""

from __future__ import annotations

import logging
from contextlib import suppress

from airflow.providers.common.compat.sdk import conf

from airflow_provider_apiframe.api.settings import ClientSettings
from airflow_provider_apiframe.api.validation import truncated_repr
from airflow_provider_apiframe.hooks.config import DEFAULT_TRIGGERERS, SECTION, TRIGGERERS

log = logging.getLogger(__name__)


def for_one_triggerer(settings: ClientSettings) -> ClientSettings:
    """Return *settings* with the ``requests_per_minute`` that one triggerer may make, at least 1.

    The connection's number is for all triggerers together. They know nothing of each other, so each
    takes an equal part, however the triggers are spread.
    """
    share = max(1, settings.requests_per_minute // _triggerers())
    return settings.model_copy(update={"requests_per_minute": share})


def _triggerers() -> int:
    """Return ``[apiframe] triggerers``; 1, with a warning, where that is no number >= 1.

    It is read while a task waits for an image that is paid, so a bad value ends nothing.
    """
    try:
        # Up to Airflow 3.1 only its commands load what providers declare; `dag.test()` does not.
        value = conf.get(SECTION, TRIGGERERS, fallback=str(DEFAULT_TRIGGERERS))
    except Exception as error:  # a stray % in airflow.cfg, for one
        shown = f" cannot be read ({error}): it"
    else:
        with suppress(TypeError, ValueError):
            if int(value) >= 1:
                return int(value)
        shown = f"={truncated_repr(value)}"
    log.warning(
        "[%s] %s%s must be a whole number, at least 1. Taken as 1: each triggerer may make all the "
        "requests that requests_per_minute allows",
        SECTION,
        TRIGGERERS,
        shown,
    )
    return 1
