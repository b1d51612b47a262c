"""One try's way through a batch, wave by wave: submit, hand out what to wait for, save, write down.

Each step leaves the manifest behind that the next process needs: the same try when it resumes, or a
retry after this one was killed. Nothing in here waits for a job.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_apiframe.api.errors import ApiframeError, InvalidRequestError
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.batch_lines import (
    awaits_saving,
    is_saved,
    is_unfinished,
    polled,
)
from airflow_provider_apiframe.delivery.batch_result import BatchResult, build_batch_result
from airflow_provider_apiframe.delivery.batch_saving import save_all
from airflow_provider_apiframe.delivery.manifest import ManifestFile, ManifestLine
from airflow_provider_apiframe.delivery.storage import ImageNotSavedError, ImageStorage
from airflow_provider_apiframe.hooks.object_store import StorageError, split_connection
from airflow_provider_apiframe.submission.batch import BatchSubmission
from airflow_provider_apiframe.submission.batch_limits import BatchLimits
from airflow_provider_apiframe.submission.batch_plan import Batch, Step
from airflow_provider_apiframe.submission.submit import keeping_what_is_paid

log = logging.getLogger(__name__)

MAX_WAVE = 1000
"""How many jobs a task waits for at once."""

MAX_ID_BYTES = 43_000
"""What the ids of a wave's jobs come to at most. They lie in the row of the task's trigger, which
has 64 KB on MySQL, encrypted in base64."""


@dataclass
class BatchRun:
    """A batch in a try.

    :param batch: its requests, and how far each is.
    :param submission: submits them.
    :param limits: what they may cost.
    :param manifest: where their lines are written.
    :param storage: where their images are saved.
    :param wave_size: how many jobs to wait for at once, 1-1000.
    :param newest_before: when the newest job was created before this try, by the API's clock.
    :param reused: how many jobs an earlier try had submitted, as far as is known now.
    :param unreadable: why the requests could not be read. Then what is paid is collected first.
    :param is_unsure: something may have been submitted that the manifest does not know.
    :param unheard: whether this try or an earlier one sent a request that may have been accepted,
        for all it knows.
    :param begun_with: what tells the requests that the try began with from others, see
        :func:`.identity_of_all`; None where that is not known.
    :param on_saved: is told of the jobs whose images were saved just now.
    """

    batch: Batch
    submission: BatchSubmission
    limits: BatchLimits
    manifest: ManifestFile
    storage: ImageStorage
    wave_size: int
    newest_before: datetime | None
    reused: int
    unreadable: Exception | None
    is_unsure: bool
    unheard: bool
    begun_with: str | None
    on_saved: Callable[[Sequence[ManifestLine]], None]

    @property
    def lines(self) -> list[ManifestLine]:
        """The lines of the manifest, in order."""
        return list(self.batch.lines.values())

    @property
    def manifest_uri(self) -> str:
        """Where the manifest is, without the connection."""
        return split_connection(self.manifest.uri)[1]

    @property
    def carried(self) -> dict[str, Any]:
        """What a deferral carries over, as JSON values; all else is in the manifest. Where that is,
        and what is asked for, may be rendered to something else when the task resumes."""
        newest = self.newest_before
        return {
            "reused": self.reused,
            "newest_before": newest.isoformat() if newest else None,
            "unheard": self.unheard,
            "unsure": self.is_unsure,
            "manifest": self.manifest.uri,
            "requests": self.begun_with,
        }

    @property
    def done(self) -> int:
        """How many requests need nothing more from this try."""
        return sum(self.batch.step_of(line) is Step.NOTHING for line in self.lines)

    def write(self) -> None:
        """Write the manifest.

        :raises StorageError: it cannot be written.
        """
        self.manifest.write(self.lines)

    def next_wave(self) -> list[str]:
        """Submit what comes next; return which jobs to wait for, none when all is submitted.

        What is accepted already comes first: it is paid. An error that ends the submitting is
        raised when nothing is left to wait for.

        :raises ApiframeError: what ended the submitting.
        """
        while True:
            room = self.wave_size - len(self.batch.at(Step.WAIT))
            coming = self._next_to_submit()[: max(0, room)]
            error = self._submit(coming) if coming else None
            if waiting := self.batch.at(Step.WAIT):
                return list(dict.fromkeys(self._that_fit(waiting)))
            if error := error or self.unreadable:
                with keeping_what_is_paid(self.unheard):
                    raise self._with_what_goes_on(error)
            if not coming:
                return []

    def _with_what_goes_on(self, error: Exception) -> Exception:
        """Return an error that leaves to a retry what is paid and this try could not collect."""
        goes_on, unsaved = sum(map(is_unfinished, self.lines)), sum(map(awaits_saving, self.lines))
        if not isinstance(error, ApiframeError) or error.transient or not goes_on + unsaved:
            return error
        if isinstance(error, InvalidRequestError):
            error = ApiframeError(str(error))  # as it is it would be final all the same
        error.transient = True
        return error.adding(
            f"Jobs that go on and are paid for: {goes_on:,}, images that are paid and not saved: "
            f"{unsaved:,}. A retry collects them, and so does ApiframeJobSensor by the ids in the "
            "manifest."
        )

    def _next_to_submit(self) -> list[ManifestLine]:
        """Return the lines to submit: first those that have had no job.

        So a retry begins with the wave in which the try before it was killed.
        """
        return sorted(self.batch.at(Step.SUBMIT), key=lambda line: line.job_id is not None)

    def _submit(self, coming: list[ManifestLine]) -> Exception | None:
        """Submit requests; return what ended that, None where all were submitted."""
        try:
            admission = self.limits.check(self.batch, coming, may_be_paid=self.is_unsure)
        except ApiframeError as error:
            return error
        with admission.reservation:
            try:
                uploads = self.submission.upload(self.batch.requests, coming)
            except ApiframeError as error:
                return error
            if uploads.urls:
                coming = [
                    self.submission.with_uploads(line, self.batch.requests[line.key], uploads)
                    for line in coming
                ]
                self.batch = self.batch.with_lines(coming)
                try:
                    self.write()  # a retry must send the same, or the API does not know the keys
                except StorageError as error:
                    return error
            wave = self.submission.submit(coming, self.batch.requests, uploads, admission.accepted)
            # One wave is all that an earlier try can have left unknown.
            self.is_unsure = wave.unheard
            self.unheard |= wave.unheard
            self.batch = self.batch.with_lines(wave.lines)
        accepted = sum(line.job_id is not None for line in wave.lines)
        log.info("Apiframe accepted %d of %d requests", accepted, len(coming))
        if wave.error is not None:
            log.warning("Nothing more is submitted: %s", wave.error)
        if wave.lines:
            self._write_if_possible()
        return wave.error

    def _write_if_possible(self) -> None:
        try:
            self.write()
        except StorageError as error:
            # The jobs are accepted; the keys find them where no manifest names them.
            log.warning("The manifest could not be written; the batch goes on: %s", error)

    def _that_fit(self, waiting: Iterable[ManifestLine]) -> Iterator[str]:
        """Yield the ids of the jobs that one wait takes; the others come with the next one."""
        left = MAX_ID_BYTES
        for count, line in enumerate(waiting):
            job_id = line.job_id or ""
            left -= len(json.dumps(job_id)) + 2
            if count >= self.wave_size or (left < 0 and count):
                return
            yield job_id

    def record(self, jobs: Iterable[Job]) -> None:
        """Keep what a wait showed. A job that is not finished has an error: it is given up now."""
        jobs = list(jobs)
        by_job: dict[str | None, list[ManifestLine]] = {}
        for line in self.lines:
            by_job.setdefault(line.job_id, []).append(line)
        if any(job.id not in by_job for job in jobs):
            # This try submitted them before it was deferred, and its manifest is lost, or old.
            self.is_unsure = self.unheard = True
        known = [(line, job) for job in jobs for line in by_job.get(job.id, ())]
        self.batch = self.batch.with_lines(polled(line, job) for line, job in known)
        if self.newest_before is not None:
            self.reused += sum(
                job.created is not None and job.created <= self.newest_before for _, job in known
            )

    def save(self) -> None:
        """Save the images of finished jobs, and write the manifest.

        An image that cannot be saved keeps no other from it, see :meth:`check_saved`.

        :raises ApiframeError: the storage cannot be reached.
        """
        with keeping_what_is_paid(self.unheard or any(line.job_id for line in self.lines)):
            lines = save_all(self.storage, self.batch.at(Step.SAVE))
            self.batch = self.batch.with_lines(lines)
            self.on_saved([line for line in lines if is_saved(line)])
            self.write()

    def check_saved(self) -> None:
        """Leave to a retry what could not be saved: it is paid.

        :raises ImageNotSavedError: naming the number, and the first reason.
        """
        unsaved = [line for line in self.lines if awaits_saving(line)]
        if unsaved:
            raise ImageNotSavedError(
                f"The images of {len(unsaved):,} of {len(self.lines):,} requests were not saved, "
                f"the first ones: {unsaved[0].error}. They are paid: a retry only saves them",
                job_id=unsaved[0].job_id,
            )

    def result(self) -> BatchResult:
        """Return the XCom value."""
        return build_batch_result(self.lines, manifest=self.manifest_uri, reused=self.reused)
