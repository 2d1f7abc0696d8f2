# For people at a terminal. GNU make 3.81 (macOS) is enough. `make help` lists what there is.

SF ?= 0.1
PORT ?= 8000
ROWS ?= 1000
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# What the benchmark compares the service with has requirements of its own.
USUAL := .venv-bench
# What looks at the libraries is not among them.
SUPPLY := .venv-release
INTO_SERVICE := $(BIN)/python -m pip --python $(SUPPLY)/service install --quiet --disable-pip-version-check

# A moved clone or an upgraded Python leaves a .venv that no longer runs: make it anew.
ifneq ($(wildcard $(STAMP)),)
ifneq ($(shell $(BIN)/python -c '' 2>/dev/null && cat $(STAMP)),$(CURDIR))
BROKEN := broken
endif
endif

.DEFAULT_GOAL := help
.PHONY: help run test test-all serve faults clients bench image-check dashboard check dist sbom audit clean broken

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' '$(firstword $(MAKEFILE_LIST))'

run: $(STAMP)  ## Try it: PostgreSQL with TPC-H orders, SF=0.1, or ROWS=1000 made-up ones of TABLES=mine.toml; PORT=8000
	@exec $(BIN)/python -m lakebase_api.local $(if $(TABLES),--tables '$(TABLES)') --scale '$(SF)' \
	  --rows '$(ROWS)' --port '$(PORT)'

# A PORT that the shell happens to have is for a platform, and would open the service to the network.
serve: $(STAMP)  ## The API alone, against the database that .env or the environment names; PORT=8000
	@unset PORT; $(if $(filter command,$(origin PORT)),export BIND='127.0.0.1:$(PORT)';) exec $(BIN)/gunicorn wsgi:app

# Nothing exported in this shell may lead a test to a real database.
test: CHOSEN = $(if $(TABLES),tests/tables/every,-m 'not slow')
test: $(STAMP)  ## Run the tests on an embedded PostgreSQL, but for those that take long; TABLES=mine.toml: of yours
test-all: $(STAMP)  ## Run all tests
test test-all:
	@for name in $$(env | sed -En 's/^((PG|DATABRICKS_|LAKEBASE_)[A-Za-z0-9_]*)=.*/\1/p'); do unset $$name; done; \
	unset ENDPOINT_NAME DEFAULT_POSTGRES_SCHEMA DEFAULT_POSTGRES_TABLE BIND PORT; \
	ENV_FILE=/dev/null TABLES='$(TABLES)' exec $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(CHOSEN)

faults: $(STAMP)  ## Break everything around the service for a quarter of an hour, and hold the figures against bounds
	@exec $(BIN)/python -m benchmarks.faults $(if $(ONLY),--only $(ONLY))

clients: $(STAMP)  ## Make clients with common generators, and run them; ONLY=orval; javac for the Java one
	@exec $(BIN)/python -m tests.generated_clients $(ONLY)

bench: $(STAMP) $(USUAL)/.installed  ## Compare what a request costs with the least and with the usual stack; needs wrk
	@exec $(BIN)/python -m benchmarks.bench $(if $(ONLY),--only '$(ONLY)')

image-check: $(STAMP)  ## Build the image as the Dockerfile says, without an engine, and run it; needs Linux, root and debootstrap
	@exec $(BIN)/python -m benchmarks.image_check

dashboard: $(STAMP)  ## Run each query of the dashboard, and the rules of alerts, on a real Prometheus, which has to be there
	@exec $(BIN)/python -m benchmarks.dashboard

check: $(STAMP)  ## Lint, formatting, types, who may import whom; the sdist and the wheel, built and installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.package

dist: $(STAMP)  ## The sdist and the wheel, into dist/, once they were installed and tried
	@rm -rf dist
	@exec $(BIN)/python -m tests.package dist

# Of what pip installs for the service, and nothing else: the environment has not even pip. The wheel is not named by
# its path, which would be in the document.
sbom: dist $(SUPPLY)/.installed  ## What the service consists of, with versions and licences, as CycloneDX, into dist/sbom.json
	@rm -rf $(SUPPLY)/service
	@$(BIN)/python -m venv --without-pip $(SUPPLY)/service
	@$(INTO_SERVICE) -r requirements.txt
	@$(INTO_SERVICE) --no-index --no-deps --find-links dist lakebase-api
	@$(SUPPLY)/bin/cyclonedx-py environment --output-reproducible --output-file dist/sbom.json $(SUPPLY)/service
	@echo dist/sbom.json

audit: $(SUPPLY)/.installed  ## Look up known vulnerabilities of what requirements.txt has; asks the network
	@$(SUPPLY)/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements.txt

clean:  ## Remove .venv, the local data and the tools' caches
	rm -rf .venv $(USUAL) $(SUPPLY) .local dist build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is the last thing written and goes before anything changes: without it .venv is made from nothing.
$(STAMP): requirements.txt requirements-dev.txt $(BROKEN)
	@command -v '$(PYTHON)' >/dev/null || { echo '$(PYTHON) is not there: try make PYTHON=python3.11.' >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$$('$(PYTHON)' -V 2>&1) is too old: 3.11 or newer is needed; try make PYTHON=python3.11." >&2; exit 1; }
	@'$(PYTHON)' -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo '$(PYTHON) has no venv module: on Debian or Ubuntu, apt install python3-venv.' >&2; exit 1; }
	@test -f $@ && test -z '$(BROKEN)' || rm -rf .venv
	@rm -f $@
	@test -d .venv || { echo 'Making .venv, once.'; '$(PYTHON)' -m venv .venv; } || \
	  { echo 'Could not make .venv: see the message above.' >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt || \
	  { echo 'pip could not install requirements-dev.txt: see its message above, then run this again.' >&2; exit 1; }
	@echo '$(CURDIR)' >$@

$(SUPPLY)/.installed: $(STAMP) requirements-release.txt
	@rm -rf $(SUPPLY)
	@$(BIN)/python -m venv $(SUPPLY)
	@$(SUPPLY)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-release.txt
	@touch $@

$(USUAL)/.installed: $(STAMP) benchmarks/requirements.txt
	@rm -rf $(USUAL)
	@$(BIN)/python -m venv $(USUAL)
	@$(USUAL)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@
