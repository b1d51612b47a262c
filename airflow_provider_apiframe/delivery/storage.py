"""The images of a finished job go to the user's own storage, before their links die.

Each is fetched into a local temporary folder, marked as made by AI, and put to its place. What is
in its place already is recognised by its mark and not fetched again: a task that is repeated, or a
sensor that collects the same job, does no work twice.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from airflow_provider_apiframe.api.errors import (
    ApiframeError,
    BrokenImageError,
    DownloadError,
    InvalidRequestError,
)
from airflow_provider_apiframe.api.image_format import complete_image_type
from airflow_provider_apiframe.api.models import Job
from airflow_provider_apiframe.delivery.image_structure import has_credentials, image_size
from airflow_provider_apiframe.delivery.naming import SaveTo, placeholder_values
from airflow_provider_apiframe.delivery.provenance import Mark, add_mark, read_mark
from airflow_provider_apiframe.delivery.result import ImageResult
from airflow_provider_apiframe.delivery.signing import load_library, sign_c2pa
from airflow_provider_apiframe.delivery.signing_certificate import (
    SigningCertificate,
    certificate_of_connection,
)
from airflow_provider_apiframe.hooks.object_store import (
    StorageError,
    StoredFileMissingError,
    check_connection,
    local_copy,
    put,
    split_connection,
    storage_path,
)

if TYPE_CHECKING:
    from airflow_provider_apiframe.api.client import ApiframeClient
    from airflow_provider_apiframe.hooks.apiframe import ApiframeHook

log = logging.getLogger(__name__)

Provenance = Literal["iptc", "c2pa"]

MAX_THREADS = 8
"""How many images of a job are fetched and stored at once."""

_MARK_BYTES = 1024 * 1024  # what marks and signatures add to an image, at most
_JPG = {"jpeg": "jpg"}
_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


class ImageNotSavedError(ApiframeError):
    """An image could not be stored. It is paid; a retry reconnects to its job and only stores it.

    Everything that may be wrong (a broken link, a full disk, a missing bucket) is mended from
    outside.
    """

    transient = True


class ImagesExpiredError(ApiframeError):
    """The vendor has deleted the images of the job."""


@dataclass(frozen=True)
class ImageStorage:
    """Where the images of a task go, and how they are marked.

    :param client: of the task's connection.
    :param save_to: the folder or file name, rendered.
    :param names: values of the placeholders, see :meth:`.SaveTo.uri`; all but the job's.
    :param conn_id: id of the Airflow connection with the storage's credentials; None for those that
        the filesystem finds by itself.
    :param provenance: "iptc" writes the machine-readable mark, "c2pa" the mark and a signature;
        None leaves the bytes as they are.
    :param certificate: signs, with "c2pa".
    """

    client: ApiframeClient
    save_to: SaveTo
    names: Mapping[str, Any]
    conn_id: str | None = None
    provenance: Provenance | None = "iptc"
    certificate: SigningCertificate | None = None

    @classmethod
    def of(
        cls,
        context: Any,
        hook: ApiframeHook,
        save_to: str | None,
        *,
        conn_id: str | None,
        provenance: Provenance | None,
    ) -> ImageStorage | None:
        """Return the storage of a running task; None where it saves nothing.

        :param context: Airflow's context of the try.
        :param hook: of the task's connection, which is read only if something is saved.
        :raises InvalidRequestError: *save_to* cannot be used.
        :raises ConfigurationError: the certificate cannot be used.
        """
        if save_to is None:
            return None
        certificate = None
        if provenance == "c2pa":
            load_library()  # found missing before anything is paid
            certificate = certificate_of_connection()
        names = placeholder_values(context)
        return cls(hook.client, SaveTo.parse(save_to), names, conn_id, provenance, certificate)

    def check(self, output_format: str | None = None) -> None:
        """See that the images can be saved, as far as that can be told before anything is paid.

        :param output_format: what was asked for: "png", "jpg", "jpeg" (which models differ in),
            "webp"; None for the API's choice.
        :raises InvalidRequestError: the file's name asks for another format.
        :raises ConfigurationError: no installed package knows the storage.
        :raises ConnectionNotFoundError: the connection with its credentials is missing.
        :raises StorageError: its filesystem could not be set up.
        """
        named = self.save_to.fixed_extension
        asked = _JPG.get(output_format or "", output_format)
        if named and asked and _JPG.get(named, named) != asked:
            raise InvalidRequestError(
                f"save_to names a .{named} file, and output_format is {output_format!r}: give both "
                "the same format, or name the file with {ext}"
            )
        self._uri("0" * 36, 10, "webp")  # not too long
        self.reach()

    def reach(self) -> None:
        """Set up the storage's filesystem. To be called first, and not on a thread: not all
        versions of Airflow give connections to threads.

        :raises ConnectionNotFoundError: the connection with its credentials is missing.
        :raises StorageError: its filesystem could not be set up.
        """
        # The root alone: an error shows no name that no image will have.
        root = f"{self.save_to.root}/"
        check_connection(root, self.conn_id)
        storage_path(root, self.conn_id)

    def save(
        self, job: Job, model: str | None = None, *, max_threads: int = MAX_THREADS
    ) -> list[ImageResult]:
        """Store all images of *job* and return what is known of each, in order.

        :param model: the model that was asked for, in case the job does not name it.
        :param max_threads: how many of its images are stored at once; who saves many jobs at once
            gives 1.
        :raises ImagesExpiredError: the vendor has deleted them.
        :raises ImageNotSavedError: one could not be stored. The others are; the next call stores
            the rest.
        """
        count = len(job.image_urls)

        def save_one(n: int) -> ImageResult | ApiframeError:
            try:
                return self._save_one(job, n, model)
            except ApiframeError as error:
                if count > 1:  # the first one's is raised
                    log.warning("Image %d of %d was not saved: %s", n, count, error)
                return error

        threads = ThreadPoolExecutor(min(max_threads, count))
        try:
            outcomes = list(threads.map(save_one, range(1, count + 1)))
        finally:
            # A task that runs into its execution_timeout does not wait for slow images.
            threads.shutdown(wait=False, cancel_futures=True)
        for n, outcome in enumerate(outcomes, 1):
            if isinstance(outcome, ImagesExpiredError):
                raise outcome
            if isinstance(outcome, ApiframeError):
                raise ImageNotSavedError(
                    f"Image {n} of {count} was not saved: {outcome}. It is paid: a retry only "
                    "saves it",
                    job_id=job.id,
                ) from outcome
        return [outcome for outcome in outcomes if not isinstance(outcome, ApiframeError)]

    def _save_one(self, job: Job, n: int, model: str | None) -> ImageResult:
        try:
            with tempfile.TemporaryDirectory(prefix="apiframe-") as name:
                folder = Path(name)
                return self._find(job, n, folder) or self._fetch(job, n, model, folder)
        except OSError as error:
            raise StorageError(f"The worker's own disk: {error}", transient=True) from None

    def _find(self, job: Job, n: int, folder: Path) -> ImageResult | None:
        """Return the image that is stored already, if it is there and as it should be."""
        extension = urlsplit(job.image_urls[n - 1]).path.rpartition(".")[2].lower()
        for ext in [extension] if extension in _TYPES else _TYPES:
            uri, local = self._uri(job.id, n, ext), folder / f"stored.{ext}"
            max_bytes = self.client.settings.max_image_bytes + _MARK_BYTES
            try:
                local_copy(storage_path(uri, self.conn_id), local, max_bytes=max_bytes)
            except StoredFileMissingError:
                continue
            except StorageError as error:
                # Who may only write can still save.
                log.info("Cannot tell whether the image is saved already: %s", error)
                continue
            if self._is_image(local, uri, job, n):
                log.info("Image %d of job %s is saved already: %s", n, job.id, uri)
                return _result(job, n, uri, local)
        return None

    def _is_image(self, local: Path, uri: str, job: Job, n: int) -> bool:
        """Return whether a stored file is image *n* of the job, as this task would have it."""
        if complete_image_type(local) is None:
            return False
        mark = read_mark(local)
        if self.provenance is None:  # no mark tells whose it is; its name may
            return mark is None and job.id in uri
        is_marked = mark is not None and mark.intact and (mark.job_id, mark.image) == (job.id, n)
        return is_marked and (self.provenance != "c2pa" or has_credentials(local))

    def _fetch(self, job: Job, n: int, model: str | None, folder: Path) -> ImageResult:
        image = self._download(job, n, folder)
        marked = self._mark(image, Mark(job.id, job.model or model, n))
        extension = image.suffix.removeprefix(".")
        uri = self._uri(job.id, n, extension)
        if not uri.endswith(f".{extension}") and not uri.endswith(".jpeg"):
            log.warning("The image is a %s, whatever its name says: %s", extension, uri)
        result = _result(job, n, uri, marked)
        put(marked, storage_path(uri, self.conn_id), str(result["content_type"]))
        log.info(
            "Saved image %d of job %s: %s (%s bytes)", n, job.id, result["uri"], result["bytes"]
        )
        return result

    def _download(self, job: Job, n: int, folder: Path) -> Path:
        try:
            return self.client.download(job.image_urls[n - 1], f"{folder}/").path
        except DownloadError as error:
            if not error.link_is_dead:
                raise
            log.info("The link of image %d is dead; asking for the job anew: %s", n, error)
        job = self.client.get_job(job.id)
        if job.expired or len(job.image_urls) < n:
            raise ImagesExpiredError(
                "Apiframe has deleted the images of this job; nothing but a new job, which is paid "
                "for, gives new ones",
                job_id=job.id,
            )
        return self.client.download(job.image_urls[n - 1], f"{folder}/").path

    def _mark(self, image: Path, mark: Mark) -> Path:
        """Return the image with its mark; the image itself where it needs or takes none."""
        if self.provenance is None:
            return image
        marked = image.with_name(f"marked{image.suffix}")
        try:
            if not add_mark(image, marked, mark):
                return image
        except BrokenImageError as error:
            # It ends as an image should, and is paid: an image without the mark beats none.
            log.warning(
                "Image %d of job %s stays without a mark: %s", mark.image, mark.job_id, error
            )
            return image
        if self.certificate:
            sign_c2pa(marked, marked, self.certificate, mark)
        return marked

    def _uri(self, job_id: str, n: int, ext: str) -> str:
        return self.save_to.uri({**self.names, "job_id": job_id}, n=n, ext=ext)


def _result(job: Job, n: int, uri: str, local: Path) -> ImageResult:
    with local.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    width, height = image_size(local) or (None, None)
    return ImageResult(
        url=job.image_urls[n - 1],
        uri=split_connection(uri)[1],
        content_type=complete_image_type(local),
        bytes=local.stat().st_size,
        width=width,
        height=height,
        sha256=digest,
    )
