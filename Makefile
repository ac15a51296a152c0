# Needs make and Python 3.11 or newer. Everything else goes into .venv.
# Extra arguments go through ARGS: make test ARGS="-k publish -x"

PYTHON ?= python3
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps
ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup up up-compose image-steps test chaos model lint format lock api bench day vectors two-hosts
.PHONY: launchers long screenshots clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

# Two stamps say what .venv holds, each written only when its step is complete, so that
# a step which was interrupted is done again. The first step starts from an empty .venv:
# nothing half-installed or no longer locked stays behind.
.venv/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(PIP) --require-hashes -r requirements.lock
	@touch $@

# The project itself, editable, built with the locked hatchling: nothing is fetched.
.venv/.installed: .venv/.locked pyproject.toml
	$(PIP) --no-build-isolation --editable .
	@touch $@

setup: .venv/.installed ## install everything into .venv (redone only when requirements.lock or pyproject.toml changed)

up: setup ## start the pipeline: tutormax up
	@$(BIN)/tutormax up $(ARGS)

up-compose: ## start the pipeline in containers, with Docker Compose; secrets come from .env
	@$(PYTHON) deploy/check_env.py
	docker compose up --build --detach --wait $(ARGS)

image-steps: setup ## run the Dockerfile's steps in a folder, without Docker, with packages from the index
	$(BIN)/python -m tests.deploy.dockerfile_steps

# A file's tests stay in one process, because they share its servers; in the order of tests/conftest.py.
# Three on two cores, because many wait for a daemon or for time to pass.
test: setup ## run the tests
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

chaos: setup ## break everything around publishers and drains, then check every message
	$(BIN)/python -m tests.chaos $(ARGS)

model: setup ## run the model-based test for about half an hour, with new examples
	MODEL_EXAMPLES=5000 $(BIN)/pytest tests/model $(ARGS)

lint: setup ## check formatting, style, types, imports between packages, and that Dagster loads
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/dagster definitions validate --workspace workspace.yaml --log-level warning
	DAGSTER_DISABLE_TELEMETRY=1 PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dg check defs

format: setup ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

# Hashes, but no addresses, so that the lock serves whichever index a machine uses.
# Versions that still fit stay as they are; ARGS=--upgrade takes the newest.
lock: setup ## write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --extra ui --extra embedded --extra metrics --extra postgres --extra celery --extra dev \
	  $(ARGS) --output-file requirements.lock pyproject.toml

api: setup ## write docs/api.md anew from the docstrings
	$(BIN)/python -m tests.docs.api

bench: setup ## measure draining
	$(BIN)/python -m benchmarks.drain $(ARGS)

day: setup ## simulate a day of 3,000 messages, and measure what its runs and looks cost
	$(BIN)/python -m benchmarks.day $(ARGS)

vectors: setup ## write docs/vectors anew: what producers in other languages test themselves with
	$(BIN)/python -m tests.vectors

# Two on two cores, because most start whole deployments.
long: setup ## run the tests that take long: what befalls whole deployments, the UI in a browser (a few minutes)
	$(BIN)/pytest -m long -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

two-hosts: setup ## drain 200,000 messages by workers on two hosts, and lose one of them in the middle
	$(BIN)/python -m tests.split.two_hosts $(ARGS)

launchers: setup ## measure a run by the code server and by a worker of Celery
	$(BIN)/python -m benchmarks.launchers $(ARGS)

screenshots: setup ## take the pictures of docs/operations.md anew, with Debian's chromium (a few minutes)
	$(BIN)/python -m tests.ui.screenshots

clean: ## remove .venv, caches and build products; never the data in .tutormax
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./.tutormax -prune -o -path ./.git -prune -o \
	  \( -name __pycache__ -o -name '*.egg-info' \) -type d -prune -exec rm -rf {} +
