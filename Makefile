# The two commands: `make demo` and `make test`. Each needs Python 3.11+ and make, and nothing else:
# all that they install and write is under .venv and .work.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Relative, so that a directory with a space in its name works.
WORK := .work
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
OLDEST := 3.2.0
# Two files of tests at once: most of them wait for processes. ARGS='-n 0' runs one after the other.
PARALLEL := -n 2 --dist loadfile
OLDEST_VENV := $(WORK)/airflow-$(OLDEST)
PYTHON310_VENV := $(WORK)/python-3.10

# Somebody's own caches are used when they are named; the default is inside this directory.
export UV_CACHE_DIR ?= $(CURDIR)/.work/cache/uv
export PIP_CACHE_DIR ?= $(CURDIR)/.work/cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_PYTHON_DOWNLOADS := never
export UV_HTTP_TIMEOUT ?= 180
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
# Airflow and PostgreSQL want a home directory; build machines do not always have one.
ifeq ($(and $(strip $(HOME)),$(wildcard $(HOME)/.)),)
export HOME := $(CURDIR)/.work/home
$(shell mkdir -p "$(HOME)")
endif

# The first Python that is new enough (3.11: the DuckDB provider's floor). `make PYTHON=… test` chooses.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	if command -v $$p >/dev/null && $$p -c '$(NEW_ENOUGH)'; then command -v $$p; break; fi; done)

# Python 3.10 is tested where there is one. pyenv's shims are on the PATH but run only chosen versions.
PYTHON310 ?= $(shell for p in python3.10 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.10*/bin/python3.10; do \
	if "$$p" -c "" 2>/dev/null; then command -v "$$p"; break; fi; done)

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

# ---- set-up ----------------------------------------------------------------------------------------

$(UV): requirements/uv.lock
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found. Install one, or say: make PYTHON=/path/to/python3.x …" >&2; exit 1; }
	@mkdir -p "$(WORK)"
	@echo "Creating .venv with $(PYTHON) …"
	rm -rf "$(VENV)"
	"$(PYTHON)" -m venv "$(VENV)"
	"$(BIN)/python" -m pip install --quiet --require-hashes -r requirements/uv.lock
	@touch "$(UV)"

$(VENV)/.installed: $(UV) requirements/dev.lock pyproject.toml
	@echo "Installing requirements/dev.lock into .venv …"
	"$(UV)" pip sync --quiet --python "$(BIN)/python" --require-hashes requirements/dev.lock
	"$(UV)" pip install --quiet --python "$(BIN)/python" --no-deps --no-build-isolation --editable .
	@touch "$@"

$(OLDEST_VENV)/.installed: $(UV) requirements/airflow-$(OLDEST).lock pyproject.toml
	@echo "Installing requirements/airflow-$(OLDEST).lock into $(OLDEST_VENV) …"
	"$(UV)" venv --quiet --allow-existing --python "$(BIN)/python" "$(OLDEST_VENV)"
	"$(UV)" pip sync --quiet --python "$(OLDEST_VENV)/bin/python" --require-hashes requirements/airflow-$(OLDEST).lock
	"$(UV)" pip install --quiet --python "$(OLDEST_VENV)/bin/python" --no-deps --no-build-isolation --editable .
	@touch "$@"

$(PYTHON310_VENV)/.installed: $(UV) requirements/python-3.10.lock pyproject.toml
	@echo "Installing requirements/python-3.10.lock into $(PYTHON310_VENV) …"
	@test -n "$(PYTHON310)" || { echo "No Python 3.10 was found: make PYTHON310=/path/to/python3.10 …" >&2; exit 1; }
	"$(UV)" venv --quiet --allow-existing --python "$(PYTHON310)" "$(PYTHON310_VENV)"
	"$(UV)" pip sync --quiet --python "$(PYTHON310_VENV)/bin/python" --require-hashes requirements/python-3.10.lock
	"$(UV)" pip install --quiet --python "$(PYTHON310_VENV)/bin/python" --no-deps --no-build-isolation --editable .
	@touch "$@"

.PHONY: install
install: $(VENV)/.installed ## Set up .venv from the lock file (the other commands do it by themselves)

.PHONY: lock
lock: $(UV) ## Refresh the lock files under requirements/ (ARGS=--upgrade for newer versions)
	requirements/lock.sh "$(UV)" $(ARGS)

# ---- checks ----------------------------------------------------------------------------------------

.PHONY: lint
lint: install ## Lint, formatting, types, architecture
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports"

.PHONY: format
format: install ## Let ruff mend what it can
	"$(BIN)/ruff" check --fix .
	"$(BIN)/ruff" format .

.PHONY: test
test: lint ## Lint, types and all tests, on the newest Airflow
	"$(BIN)/python" -m pytest $(PARALLEL) tests/unit tests/integration tests/ui tests/chaos $(ARGS)

.PHONY: chromium
chromium: ## Install Debian's Chromium for the tests of the pages, unless there is a browser
	@scripts/install_chromium.sh

.PHONY: chaos
chaos: install ## The long version (40 minutes): hundreds of SIGKILLs, outages, storms, a thousand random syncs
	CHAOS_KILLS="$${CHAOS_KILLS:-120}" CHAOS_SECONDS="$${CHAOS_SECONDS:-30}" \
		"$(BIN)/python" -m pytest tests/chaos/tokens $(ARGS)
	CELERY_ACCOUNTS="$${CELERY_ACCOUNTS:-50}" "$(BIN)/python" -m pytest -s tests/chaos/workers $(ARGS)
	$(MAKE) chaos-sync

.PHONY: chaos-sync
chaos-sync: install ## Its half about tables: a thousand stories, every crash point, SIGKILLs of syncs and servers
	CHAOS_SEEDS="$${CHAOS_SEEDS:-1-1000}" CHAOS_MINUTES="$${CHAOS_MINUTES:-20}" \
		CHAOS_SYNC_KILLS="$${CHAOS_SYNC_KILLS:-100}" CHAOS_SERVER_KILLS="$${CHAOS_SERVER_KILLS:-30}" \
		CRASH_EVERY="$${CRASH_EVERY:-1}" CATALOGUE_SEEDS="$${CATALOGUE_SEEDS:-1-40}" \
		"$(BIN)/python" -m pytest -n 2 --dist load tests/chaos/sync $(ARGS)

.PHONY: test-oldest
test-oldest: $(OLDEST_VENV)/.installed ## Unit tests and those marked `matrix`, on the oldest supported Airflow
	"$(OLDEST_VENV)/bin/python" -m pytest $(PARALLEL) tests/unit tests/integration -m matrix $(ARGS)

.PHONY: test-python310
test-python310: $(PYTHON310_VENV)/.installed ## Imports and unit tests on Python 3.10, without DuckDB (needs a python3.10)
	"$(PYTHON310_VENV)/bin/python" -m pytest tests/unit $(ARGS)

.PHONY: test-matrix
test-matrix: install $(OLDEST_VENV)/.installed ## The suite on the oldest and on the newest Airflow, and Python 3.10 where there is one
	@PYTHON310="$(PYTHON310)" tests/matrix "$(OLDEST_VENV)" "$(VENV)" $(ARGS)

.PHONY: bench
bench: install ## Every benchmark (an hour, on a quiet machine); downloads other loaders, see docs/peers.md
	for each in benchmarks/*.py; do echo "== $$each"; "$(BIN)/python" "$$each"; done
	"$(BIN)/python" -m benchmarks.peers $(ARGS)

# ---- the main job ----------------------------------------------------------------------------------

.PHONY: demo
demo: install ## Install, sync, change, expire, sync again, compare: with real Airflow and a simulated Stripe
	"$(BIN)/python" -m demo.run $(ARGS)

.PHONY: up
up: install ## The same, left running for your browser until Ctrl-C
	"$(BIN)/python" -m demo.up $(ARGS)

.PHONY: screenshots
screenshots: install chromium ## Take the pictures of docs/images anew (ARGS="list-light …" for some)
	"$(BIN)/python" tests/ui/screenshots.py $(ARGS)

.PHONY: clean
clean: ## Remove all that was installed and written here
	rm -rf .venv .work .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
