"""The images that a request names as input: those that this sandbox has, and all others.

The sandbox fetches nothing. An image from elsewhere is taken as it is, and nothing is known of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_apiframe.sandbox.state.image_size import Size
from airflow_provider_apiframe.sandbox.state.links import cdn_url, file_name
from airflow_provider_apiframe.sandbox.state.uploads import FOLDER, Upload, Uploads

if TYPE_CHECKING:
    from airflow_provider_apiframe.sandbox.state.jobs import Job

UNFETCHABLE = "Input image could not be fetched"


@dataclass(frozen=True, slots=True)
class JobImage:
    """One image of a job, by its number from 1; 0 is the grid of all."""

    job: Job
    number: int

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return self.job.plan.size


Input = Upload | JobImage


class InputImages:
    """What is known of the input images of one request.

    :param uploads: the uploaded files.
    :param linked_image: finds an image that this sandbox made by a link to it.
    :param base_url: where the submitter reached the sandbox, without a slash at the end.
    """

    def __init__(
        self, uploads: Uploads, linked_image: Callable[[str], JobImage | None], base_url: str
    ) -> None:
        self._uploads = uploads
        self._linked_image = linked_image
        cdn = cdn_url(base_url)
        self._own = (f"{cdn}/{FOLDER}/", f"{cdn}/images/")

    def find(self, url: str) -> Input | None:
        """Return the upload or the image of this sandbox at a URL, None for all others."""
        return self._uploads.find(file_name(url)) or self._linked_image(url)

    def can_fetch(self, url: str) -> bool:
        """Return whether an image can be fetched; one from elsewhere always can."""
        return not url.startswith(self._own) or self.find(url) is not None

    def size(self, url: str) -> Size | None:
        """Return width and height in pixels, None where they aren't known."""
        source = self.find(url)
        return source.size if source else None

    def can_read(self, url: str) -> bool:
        """Return whether what can be fetched at a URL is an image; from elsewhere it always is."""
        source = self.find(url)
        return self.can_fetch(url) and (source is None or source.size is not None)
