"""Submits the requests of a batch, several at once, each by its own idempotency key.

It does what ``idempotency.py`` promises, for each request. What an earlier try may have submitted
is submitted again with the same key: where there is a job, that returns the job and costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    ConflictError,
    InvalidRequestError,
    RateLimitedError,
    RequestRefusedError,
)
from airflow_provider_apiframe.api.params.request import GenerateRequest
from airflow_provider_apiframe.api.retries import retry_backoff
from airflow_provider_apiframe.delivery.manifest import ManifestLine
from airflow_provider_apiframe.submission.batch_files import BatchFiles, Uploads
from airflow_provider_apiframe.submission.batch_plan import next_generation, refused, submitted
from airflow_provider_apiframe.submission.batch_requests import BatchRequest
from airflow_provider_apiframe.submission.earlier_jobs import find_submitted
from airflow_provider_apiframe.submission.idempotency import IdempotencyScope
from airflow_provider_apiframe.submission.rate_gate import RateGate
from airflow_provider_apiframe.submission.references import References

if TYPE_CHECKING:
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)

MAX_THREADS = 8
"""How many requests are submitted at once."""

MAX_SEARCHES = 10
"""For how many requests of a wave the list of jobs is searched. Each may take a hundred requests,
and it is needed only where an earlier try could not write the manifest."""

_LOG_EVERY = 100
_NOTE_EVERY = 20


class NotLookedForError(ApiframeError):
    """The job of an earlier try was not looked for yet: a wave looks for ``MAX_SEARCHES``."""

    transient = True


class _EndedError(Exception):
    """The submitting has ended; this request was not sent, or not again."""


@dataclass(frozen=True)
class SubmittedWave:
    """What came of a wave.

    :param lines: of the requests that were accepted, or refused for what they ask.
    :param error: what ended the submitting before all were submitted; None where nothing did. One
        that a retry may mend comes first.
    :param unheard: whether a request without a line here may have been accepted all the same.
    """

    lines: tuple[ManifestLine, ...]
    error: Exception | None = None
    unheard: bool = False


@dataclass(frozen=True)
class BatchSubmission:
    """One try's way to the jobs of a batch.

    :param hook: of the task's connection.
    :param scope: the tries that want the same images.
    :param files: the files among the requests' reference images.
    :param since: from when on an earlier try may have made a job, None where that is not known.
    """

    hook: ApiframeHook
    scope: IdempotencyScope
    files: BatchFiles
    since: datetime | None = None

    def upload(self, wave: Mapping[str, BatchRequest], lines: Sequence[ManifestLine]) -> Uploads:
        """Upload the files that the requests of *lines* name, but for what is uploaded already.

        :param wave: the requests by their identity.
        :raises ApiframeError: a file changed or is away, or the API is.
        """
        known = {sha256: url for line in lines for sha256, url in line.uploads.items()}
        return self.files.upload(self.hook, (wave[line.key].request for line in lines), known)

    def with_uploads(
        self, line: ManifestLine, wish: BatchRequest, uploads: Uploads
    ) -> ManifestLine:
        """Return a line that keeps what its request is about to be submitted with."""
        urls = self.files.urls_by_content(wish.request, uploads)
        return line.model_copy(update={"uploads": urls})

    def submit(
        self,
        lines: Sequence[ManifestLine],
        requests: Mapping[str, BatchRequest],
        uploads: Uploads,
        on_submitted: Callable[[Iterable[ManifestLine]], None],
    ) -> SubmittedWave:
        """Submit the requests of *lines*.

        A request that is refused for what it asks fails alone. Any other error ends the submitting:
        what was in flight then is heard out, and nothing more is sent.

        :param requests: by their identity.
        :param uploads: of their files.
        :param on_submitted: is told each line that came of it, a few at a time: submitting a
            thousand takes minutes.
        """
        client, gate = self.hook.client, RateGate()  # made here: Airflow is asked on this thread
        attempts = client.settings.max_retries + 1
        searches = iter(range(MAX_SEARCHES))

        def submit_one(line: ManifestLine) -> ManifestLine | Exception:
            wish = requests[line.key]
            try:
                return self._submit_one(line, wish, uploads, gate, attempts, searches)
            except _EndedError as error:
                return error
            except InvalidRequestError as error:
                if line.uploads.keys() & {*uploads.reused}:
                    log.warning("Uploading the input images of request %d anew", line.index)
                    return line.model_copy(update={"uploads": {}})
                log.warning("Request %d was refused: %s", line.index, error)
                return refused(line, error)
            except ConflictError as error:
                log.warning("Request %d was refused: %s", line.index, error)
                return refused(line, error)
            except Exception as error:  # whatever it is: what others submitted is paid
                if isinstance(error, RequestRefusedError) and _is_about_the_request(error):
                    log.warning("Request %d was refused: %s", line.index, error)
                    return refused(line, error)
                gate.close()
                return error

        threads = ThreadPoolExecutor(min(MAX_THREADS, len(lines)))
        outcomes: list[ManifestLine | Exception] = []
        noted = 0
        try:
            for outcome in threads.map(submit_one, lines):
                outcomes.append(outcome)
                if len(outcomes) % _LOG_EVERY == 0:
                    log.info("Submitted %d of %d requests", len(outcomes), len(lines))
                if len(outcomes) % _NOTE_EVERY == 0 or len(outcomes) == len(lines):
                    on_submitted(_lines(outcomes[noted:]))
                    noted = len(outcomes)
        finally:
            # A task that is told to stop does not wait for what is in flight: the keys find it.
            gate.close()
            threads.shutdown(wait=False, cancel_futures=True)
        return _wave(outcomes)

    def _submit_one(
        self,
        line: ManifestLine,
        wish: BatchRequest,
        uploads: Uploads,
        gate: RateGate,
        attempts: int,
        searches: Iterator[int],
    ) -> ManifestLine:
        request = wish.request
        for path in request.paths:
            if path in uploads.errors:
                raise uploads.errors[path]
        generation = next_generation(line)
        key = self.scope.key(self.files.hashed(request), generation, wish.id)
        sent = request.replacing({path: uploads.urls[path] for path in request.paths})
        attempt = 0
        unheard: ApiframeError | None = None  # nobody knows whether it was accepted then
        while gate.wait():
            try:
                accepted = self.hook.client.submit(sent, key, retry=False)
            except RateLimitedError as error:
                if not gate.limit(error):
                    raise _unless_unheard(error, unheard) from None
            except ApiframeError as error:
                gate.passed()
                if isinstance(error, ConflictError) and request.paths:
                    if next(searches, None) is None:
                        raise NotLookedForError(
                            f"{error} That may be the job of an earlier try, which uploaded the "
                            "same input images to other URLs. They are looked for "
                            f"{MAX_SEARCHES} at a time; what comes next goes on with the others."
                        ) from None
                    return self._job_of_other_uploads(line, request, error)
                attempt += 1
                if not error.transient:
                    raise _unless_unheard(error, unheard) from None
                if attempt >= attempts:
                    raise error.adding(
                        f"Tried {attempt} times. It may have been accepted and paid for all the "
                        "same: a retry of the task finds it, within 24 hours."
                    ) from None
                unheard = error
                log.warning("Submitting request %d again: %s", line.index, error)
                gate.pause(retry_backoff(attempt, getattr(error, "retry_after", None)))
            else:
                gate.passed()
                return submitted(line, accepted.job_id, accepted.status)
        raise unheard or _EndedError

    def _job_of_other_uploads(
        self, line: ManifestLine, request: GenerateRequest, conflict: ConflictError
    ) -> ManifestLine:
        """Return the line with the job that an earlier try made from other uploads of the files.

        :raises ConflictError: it cannot be found, or not be told from another one.
        """
        references = References(
            request, {path: self.files.hashes[path] for path in request.paths}, {}
        )
        job = find_submitted(self.hook, references, self.since)
        if job is None:
            raise conflict.adding(
                "That may be the job of an earlier try, which uploaded the same input images to "
                "other URLs; no one job could be proven to be it. ApiframeJobSensor collects it by "
                "its id."
            )
        return submitted(line, job.id, job.status)


def _unless_unheard(error: ApiframeError, unheard: ApiframeError | None) -> ApiframeError:
    """Return what refused a request; or that it may be paid, where an earlier response was lost."""
    if unheard is None:
        return error
    return unheard.adding(
        f"Submitted again: {error} The first one may have been accepted and paid for: a retry of "
        "the task finds it, within 24 hours."
    )


def _is_about_the_request(error: RequestRefusedError) -> bool:
    # A redirect or a wrong path meets all of them.
    return error.status_code in (413, 422)


def _lines(outcomes: Iterable[ManifestLine | Exception]) -> tuple[ManifestLine, ...]:
    return tuple(outcome for outcome in outcomes if isinstance(outcome, ManifestLine))


def _wave(outcomes: Sequence[ManifestLine | Exception]) -> SubmittedWave:
    errors = [
        outcome
        for outcome in outcomes
        if isinstance(outcome, Exception) and not isinstance(outcome, _EndedError)
    ]
    errors.sort(key=lambda error: not getattr(error, "transient", False))
    return SubmittedWave(
        _lines(outcomes), errors[0] if errors else None, any(map(_is_unheard, errors))
    )


def _is_unheard(error: Exception) -> bool:
    # A 429 says that nothing was accepted; of an error that is not the API's nobody knows.
    return getattr(error, "transient", True) and not isinstance(error, RateLimitedError)
