# Each target sets up what it needs. On a fresh machine: python3 (3.11 or newer), make and a package index are enough.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PINS := requirements/airflow-3.3.2.txt
# The longest first: those of DAGs are on two workers from the start.
TESTS ?= tests/dags tests/unit
# Tests wait as often as they compute, so four workers pay on two cores, too; more gain nothing, for
# each imports Airflow first. WORKERS=0 runs in one process.
WORKERS ?= 4
# A test that hangs ends as a failed one which shows its stacks.
PARALLEL := --numprocesses $(WORKERS) --timeout 300 --timeout-method thread
FAULTS ?= 200
IMAGES ?= 1000
EVENTS ?= 100
# Kept bytecode saves every process three seconds of compiling Airflow.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test coverage lifecycle chaos storage cluster cluster-test cluster-chaos ui browser screenshots bench bench-batch lint catalog sandbox clean

help:  ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

demo: $(VENV)/.ready  ## Run the marketing example against the sandbox; images land in demo-output/
	@$(BIN)/python scripts/demo.py

test: $(VENV)/.ready  ## Run the tests
	$(BIN)/python -m pytest $(PARALLEL) $(TESTS)

coverage: $(VENV)/.ready  ## Run the tests and show the branch coverage of the package; fails below 95 %
	$(BIN)/python -m pytest $(PARALLEL) --cov=airflow_provider_apiframe $(TESTS)

lifecycle: $(VENV)/.ready  ## Kill real Airflow processes and count what is paid; prints a table
	$(BIN)/python -m pytest tests/lifecycle

chaos: $(VENV)/.ready  ## The long draw of random faults and kills (FAULTS=200, SEED=... for the same draw again)
	LIFECYCLE_FAULTS=$(FAULTS) LIFECYCLE_SEED=$(SEED) $(BIN)/python -m pytest tests/lifecycle/test_chaos.py

storage: $(VENV)-storage/.ready  ## Save images to S3 and GCS servers on this machine
	$(VENV)-storage/bin/python -m pytest tests/storage

cluster: $(VENV)-cluster/.ready  ## Start an Airflow of many parts (Celery, Redis, PostgreSQL) with sandbox and examples
	@$(VENV)-cluster/bin/python scripts/cluster.py

cluster-test: $(VENV)-cluster/.ready  ## End parts of such an Airflow and count what is paid: 15 minutes; prints tables
	$(VENV)-cluster/bin/python -m pytest tests/cluster

cluster-chaos: $(VENV)-cluster/.ready  ## The long draw of ends and faults (EVENTS=100, SEED=... for the same draw again)
	CLUSTER_EVENTS=$(EVENTS) CLUSTER_SEED=$(SEED) $(VENV)-cluster/bin/python -m pytest tests/cluster/test_cluster_chaos.py

ui: $(VENV)/.ready  ## Start Airflow with its UI, sandbox, examples and a finished run to look at (PORT=8080)
	@$(BIN)/python scripts/ui.py $(if $(PORT),--port $(PORT))

browser: $(VENV)-browser/.ready  ## Look at Airflow's UI in Chromium, click through it; needs Chromium (CHROMIUM=path)
	$(VENV)-browser/bin/python -m pytest --timeout 300 --timeout-method thread tests/browser

screenshots: $(VENV)-browser/.ready  ## Take the images of the documentation anew: docs/images/*.webp; needs Chromium
	@$(VENV)-browser/bin/python scripts/screenshots.py $(SCREENSHOTS)

bench: $(VENV)-bench/.ready  ## Measure requests, lag, CPU, memory, imports, worker seconds: 12 minutes (BENCH=--quick: one)
	@$(VENV)-bench/bin/python benchmarks/run.py $(BENCH)

bench-batch: $(VENV)-cluster/.ready  ## Measure many images in one batch beside mapped tasks on a real Airflow (IMAGES=1000)
	@$(VENV)-cluster/bin/python benchmarks/batch.py --images $(IMAGES)

lint: $(VENV)/.ready  ## Style, types, import rules, workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet .github

catalog: $(VENV)/.ready  ## Compare the table of models with the vendor's live list (CATALOG="--openapi FILE" or "--base-url URL")
	@$(BIN)/python scripts/catalog.py $(CATALOG)

sandbox: $(VENV)/.ready  ## Start a local Apiframe on http://127.0.0.1:8765
	@$(BIN)/python -m airflow_provider_apiframe.sandbox --port 8765

clean:  ## Remove the environment and everything that was made
	rm -rf $(VENV) $(VENV)-bench $(VENV)-storage $(VENV)-cluster $(VENV)-browser demo-output test-results dist build

$(VENV)/.ready: $(PINS) pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh $(VENV) $(PINS) --editable .
	@touch $@

# What some targets need on top of the set of the tests, each in an environment of its own.
$(VENV)-%/.ready: $(PINS) requirements/%.txt pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh $(VENV)-$* $(PINS) --editable .
	@$(VENV)-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements/$*.txt
	@touch $@

# Of its own, because the providers of S3 do not resolve beside the set of the tests.
$(VENV)-storage/.ready: requirements/storage.txt pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh $(VENV)-storage requirements/storage.txt --editable .
	@touch $@
