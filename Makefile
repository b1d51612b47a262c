# Each target sets up what it needs. On a fresh machine: python3 (3.11 or newer), make and a package index are enough.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PINS := requirements/airflow-3.3.2.txt
TESTS ?= tests

.PHONY: help demo test lint sandbox clean

help:  ## This list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-8s %s\n", $$1, $$2}'

demo: $(VENV)/.ready  ## Run the marketing example against the sandbox; pictures land in demo-output/
	@$(BIN)/python scripts/demo.py

test: $(VENV)/.ready  ## Run the tests
	$(BIN)/python -m pytest $(TESTS)

lint: $(VENV)/.ready  ## Style, types, and the rules of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

sandbox: $(VENV)/.ready  ## Start a local Apiframe on http://127.0.0.1:8765
	@$(BIN)/python -m airflow_provider_apiframe.sandbox --port 8765

clean:  ## Remove the environment and everything that was made
	rm -rf $(VENV) demo-output dist build

$(VENV)/.ready: $(PINS) pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh $(VENV) $(PINS) --editable .
	@touch $@
