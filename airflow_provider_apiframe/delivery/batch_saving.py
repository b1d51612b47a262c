"""The images of many jobs go to the user's storage, several at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from airflow_provider_apiframe.api.errors import ApiframeError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.batch_lines import expired, not_saved, saved
from airflow_provider_apiframe.delivery.manifest import ManifestLine
from airflow_provider_apiframe.delivery.storage import (
    MAX_THREADS,
    ImagesExpiredError,
    ImageStorage,
)

log = logging.getLogger(__name__)

_LOG_EVERY = 100


def save_all(storage: ImageStorage, lines: Sequence[ManifestLine]) -> list[ManifestLine]:
    """Save the images of finished jobs, and return their lines with what is known of each.

    One that cannot be saved keeps no other from it; its line says why.

    :param lines: of jobs that are COMPLETED, with links.
    :raises StorageError, ConnectionNotFoundError: the storage cannot be reached at all.
    """
    if not lines:
        return []
    storage.reach()

    def save_one(line: ManifestLine) -> ManifestLine:
        job = Job(
            id=line.job_id or "", status=line.status, model=line.model, result=line.image_urls
        )
        try:
            return saved(line, storage.save(job, line.model, max_threads=1))
        except ImagesExpiredError as error:
            log.warning("Request %d: %s", line.index, error)
            return expired(line, error)
        except ApiframeError as error:
            log.warning("Request %d: %s", line.index, error)
            return not_saved(line, error)

    done: list[ManifestLine] = []
    threads = ThreadPoolExecutor(min(MAX_THREADS, len(lines)))
    try:
        for line in threads.map(save_one, lines):
            done.append(line)
            if len(done) % _LOG_EVERY == 0:
                log.info("Saved the images of %d of %d jobs", len(done), len(lines))
    finally:
        # A task that runs into its execution_timeout does not wait for slow images.
        threads.shutdown(wait=False, cancel_futures=True)
    return done
