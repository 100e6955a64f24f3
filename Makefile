# Two commands do everything: `make run` and `make test`. They need Python 3.11 or newer and make.
.PHONY: run ui bench docs docs-build test test-all test-live test-clients test-browser test-scale advisories dist sbom pins check format clean

# Some machines set it: then every process compiles the whole program anew.
export PYTHONDONTWRITEBYTECODE =

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
MORE := .venv/.more
SCALE := .venv/.scale
PINS = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make pins" $(UPGRADE)

VENV = $(if $(shell command -v uv),uv venv --quiet --clear --python "$$(command -v $(PYTHON))" .venv,\
	$(PYTHON) -m venv --clear .venv)
# Every file is held against the hashes of the constraints before anything of it is installed.
INSTALL := $(if $(shell command -v uv),uv pip install --quiet --compile-bytecode --python $(BIN)/python,\
	$(BIN)/python -m pip install --quiet --disable-pip-version-check)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python" >&2; exit 1; }
	@$(VENV)
	@$(INSTALL) --no-deps --require-hashes -r constraints.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# What only some targets need, beside the program and its key in no other case.
$(MORE): $(READY) constraints-more.txt
	@$(INSTALL) --no-deps --require-hashes -r constraints-more.txt
	@touch $@

# Clusters and other engines: hundreds of megabytes that nothing else needs.
$(SCALE): $(READY) constraints-scale.txt
	@$(INSTALL) --no-deps --require-hashes -r constraints-scale.txt
	@touch $@

run: $(READY)  ## fetch, check and store the latest session
	@$(BIN)/kis-assets run

ui: $(READY)  ## the Dagster UI on http://127.0.0.1:3000
	@$(BIN)/kis-assets ui

bench: $(MORE)  ## how fast it is, beside what else could do the job; takes about ten minutes
	@$(BIN)/python -m benchmarks

docs: $(MORE)  ## the docs site on http://127.0.0.1:8000
	@$(BIN)/python -m kis_assets_tests.docs_site serve

docs-build: $(MORE)  ## the docs site into build/docs/site; any warning fails
	@$(BIN)/python -m kis_assets_tests.docs_site

test: $(READY)  ## every test that is quick, and how much of kis/ and sources/ they cover
	@$(BIN)/pytest -q -n 2 --cov=kis_assets.kis --cov=kis_assets.krx --cov=kis_assets.sources \
		--cov=kis_assets.state --cov=kis_assets.transport --cov-branch \
		--cov-report=term:skip-covered --cov-fail-under=90

test-all: $(READY)  ## the slow ones too
	@$(BIN)/pytest -q -n 2 -m 'not live and not clients and not browser and not scale'

test-live: $(READY)  ## against KIS itself, with credentials in the environment
	@$(BIN)/pytest -q -s -rs -m live

test-clients: $(MORE)  ## published KIS clients against the simulator
	@$(BIN)/pytest -q -m clients

test-browser: $(MORE)  ## the UI in headless Chromium; screenshots go to test-artifacts
	@$(BIN)/pytest -q -rs -m browser

test-scale: $(SCALE)  ## Celery, PostgreSQL, Redis, S3, Daft and Spark; the servers are those of this machine
	@$(BIN)/pytest -q -rs -m scale

dist: $(READY)  ## the wheel and the sdist, into dist/
	@rm -rf dist
	@$(BIN)/python -m hatchling build

advisories: $(MORE)  ## whether an advisory is known of anything that is pinned
	@$(BIN)/python -m kis_assets_tests.advisories

sbom: $(MORE)  ## what the container image holds, as CycloneDX JSON, into build/
	@mkdir -p build
	@$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
		-o build/kis_assets.cdx.json constraints-image.txt

pins:  ## constraints anew, with their hashes, for what pyproject.toml asks; newer ones with UPGRADE=--upgrade
	@command -v uv >/dev/null || { echo "uv is needed: pip install uv" >&2; exit 1; }
	@$(PINS) --extra dev --extra pandas pyproject.toml -o constraints.txt
	@$(PINS) --group browser --group clients --group advisories --group bench --group docs -c constraints.txt -o constraints-more.txt
	@$(PINS) --all-extras --group scale -c constraints.txt -c constraints-more.txt pyproject.toml -o constraints-scale.txt
	@$(PINS) $(addprefix --extra ,redis delta postgres celery k8s traces) --group image -c constraints.txt -c constraints-scale.txt pyproject.toml -o constraints-image.txt

check: $(READY)  ## format, lint, types, definitions
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/basedpyright
	@$(BIN)/dagster definitions validate -m kis_assets.definitions

format: $(READY)
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

clean:  ## the virtual environment and caches; never the data
	rm -rf .venv .pytest_cache .ruff_cache build dist
