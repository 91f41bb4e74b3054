# Each target does its own set-up. Needs make (3.81 or later), git, and a Python 3.11-3.14 that can make virtual
# environments. Runs on Linux and macOS.

VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin

# A caller's AIRFLOW_* variables win over these.
AIRFLOW_HOME ?= $(CURDIR)/.airflow
AIRFLOW__CORE__DAGS_FOLDER ?= $(CURDIR)/dags
AIRFLOW__CORE__PLUGINS_FOLDER ?= $(CURDIR)/plugins
AIRFLOW__CORE__LOAD_EXAMPLES ?= False
# The demo's data never lie among real ones.
AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT ?= $(CURDIR)/data$(if $(filter demo up,$(or $(MAKECMDGOALS),demo)),/demo)
export AIRFLOW_HOME AIRFLOW__CORE__DAGS_FOLDER AIRFLOW__CORE__PLUGINS_FOLDER AIRFLOW__CORE__LOAD_EXAMPLES
export AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT
export PYTHONPATH := $(CURDIR)/include/sandbox

.PHONY: demo test test-fast up airflow bench build matrix screenshots dictionary lint lock clean

demo: $(VENV)/.installed $(AIRFLOW_HOME)/.migrated ## the whole product against the sandbox, in one command
	@$(BIN)/python -m jumpcloud_sandbox.demo

up: $(VENV)/.installed $(AIRFLOW_HOME)/.migrated ## the demo with the Airflow UI
	@$(BIN)/python -m jumpcloud_sandbox.up

airflow: $(VENV)/.installed $(AIRFLOW_HOME)/.migrated ## the Airflow CLI: make airflow ARGS="dags list"
	@PATH="$(BIN):$$PATH" $(BIN)/airflow $(ARGS)

# For two cores: one of the three processes runs all that start servers, and waits for them most of the time.
test: $(VENV)/.installed ## the whole test suite, or a part in one process: make test ARGS="tests/api -k retry"
	@$(BIN)/python -m pytest $(or $(ARGS),-n 3)

test-fast: $(VENV)/.installed ## what needs neither a running Airflow nor a browser, and is not slow
	@$(BIN)/python -m pytest -n 2 -m "not system and not browser and not slow" $(ARGS)

screenshots: $(VENV)/.installed ## the pictures of the README anew, taken by the browser tests
	@REQUIRE_BROWSER=1 SCREENSHOTS="$(CURDIR)/docs/images" $(BIN)/python -m pytest tests/browser $(ARGS)

dictionary: $(VENV)/.installed ## the documents that are made from include/sql/marts/*.yml
	@$(BIN)/python -m jumpcloud_elt.warehouse.dictionary_pages docs

lint: $(VENV)/.installed ## ruff, mypy, import-linter, sqlfluff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/sqlfluff lint --disable-progress-bar include/sql

bench: $(VENV)/.installed ## speed and memory, as ratios
	@$(BIN)/python -m benchmarks $(ARGS)

build: $(VENV)/.installed ## wheel and source distribution under dist/, checked as an index checks them
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt build twine
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation
	@$(BIN)/twine check --strict dist/*

matrix: ## the wheel under each supported Airflow, in environments of their own: make matrix ARGS="3.2.1 --tests"
	@python3 -m matrix $(ARGS)

lock: $(VENV)/.installed ## make constraints.txt anew
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --strip-extras --all-extras --upgrade \
		--no-header --no-annotate --no-emit-index-url pyproject.toml --output-file constraints.txt

clean: ## everything that the targets made, but for landed data
	rm -rf $(VENV) $(CURDIR)/.airflow $(CURDIR)/data/demo

$(VENV)/.installed: pyproject.toml constraints.txt
	@python=$$(for candidate in python3.13 python3.12 python3.11 python3.14 python3; do \
		if $$candidate -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
			>/dev/null 2>&1; then echo $$candidate; break; fi; done); \
	if [ -z "$$python" ]; then \
		echo "No Python 3.11 to 3.14 that can make virtual environments was found." >&2; \
		echo "Debian and Ubuntu: apt install python3 python3-venv. macOS: brew install python@3.13." >&2; \
		exit 1; \
	fi; \
	echo "Setting up .venv with $$($$python --version): once, a minute or two"; \
	$$python -m venv --clear "$(VENV)" && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		hatchling editables hatch-vcs hatch-fancy-pypi-readme && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--no-build-isolation --editable '.[test,lint]'
	@touch $@

$(AIRFLOW_HOME)/.migrated: $(VENV)/.installed
	@mkdir -p "$(AIRFLOW_HOME)"
	@echo "Setting up Airflow's metadata database"
	@$(BIN)/airflow db migrate >"$(AIRFLOW_HOME)/migrate.log" 2>&1 || { cat "$(AIRFLOW_HOME)/migrate.log"; exit 1; }
	@touch $@
