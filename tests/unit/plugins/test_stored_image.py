from __future__ import annotations

import pytest

from airflow_provider_apiframe.hooks.object_store import StorageError
from airflow_provider_apiframe.plugins import stored_image
from airflow_provider_apiframe.plugins.recorded_image import ImageUnavailableError, RecordedImage
from airflow_provider_apiframe.plugins.stored_image import verified_copy
from airflow_provider_apiframe.version_compat import mask_secret


@pytest.mark.parametrize("step", ["storage_path", "local_copy"])
def test_a_viewer_is_told_no_secret_that_a_storage_library_names(monkeypatch, step):
    mask_secret("a-key-of-the-storage")

    def fail(*args: object, **options: object) -> None:
        raise StorageError("no access for a-key-of-the-storage", transient=True)

    monkeypatch.setattr(stored_image, "storage_path", lambda *args: None)
    monkeypatch.setattr(stored_image, step, fail)
    image = RecordedImage(uri="s3://bucket/a.png", sha256="0" * 64, bytes=1)
    with pytest.raises(ImageUnavailableError) as caught, verified_copy(image, None):
        pass
    assert "no access for ***" in str(caught.value)
