"""What differs between Airflow 2.11 and 3.3 and is not in ``airflow.providers.common.compat.sdk`` of every supported release.

Features are looked for, not version numbers.
"""

from __future__ import annotations

try:
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 2
    from airflow.utils.log.secrets_masker import mask_secret  # type: ignore[no-redef]

__all__ = ["mask_secret"]
