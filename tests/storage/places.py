"""Places where a test may write."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath


@dataclass(frozen=True)
class Place:
    """Where a test may write.

    :param url: a bucket or a folder, without a slash at its end, e.g. "s3://test-1f3a".
    :param conn_id: the Airflow connection, None for files.
    """

    url: str
    conn_id: str | None

    def path(self, name: str = "", conn_id: str | None = None) -> ObjectStoragePath:
        """Return the path of an object, by another connection if one is named."""
        from airflow.sdk import ObjectStoragePath

        return ObjectStoragePath(f"{self.url}/{name}", conn_id=conn_id or self.conn_id)

    def objects(self) -> dict[str, int]:
        """Return the size in bytes of everything that is there, by its name below `url`."""
        root = self.path()
        root.fs.invalidate_cache()  # written by another process, perhaps
        found = root.fs.find(root.path, detail=True)
        return {
            os.path.relpath(name, root.path): int(entry["size"]) for name, entry in found.items()
        }
