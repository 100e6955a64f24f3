# Two commands do everything: `make run` and `make test`. They need Python 3.11 or newer and make.
.PHONY: run ui test test-all test-live test-clients test-browser check format clean

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python" >&2; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --clear --python "$$(command -v $(PYTHON))" .venv && \
		uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'; \
	else \
		$(PYTHON) -m venv --clear .venv && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	fi
	@touch $@

run: $(READY)  ## fetch, check and store the latest session
	@$(BIN)/kis-assets run

ui: $(READY)  ## the Dagster UI on http://127.0.0.1:3000
	@$(BIN)/kis-assets ui

test: $(READY)  ## every test that is quick, and how much of kis/ and sources/ they cover
	@$(BIN)/pytest -q -n 2 --cov=kis_assets.kis --cov=kis_assets.sources --cov-branch \
		--cov-report=term:skip-covered --cov-fail-under=90

test-all: $(READY)  ## the slow ones too
	@$(BIN)/pytest -q -n 2 -m 'not live and not clients and not browser'

test-live: $(READY)  ## against KIS itself, with credentials in the environment
	@$(BIN)/pytest -q -s -rs -m live

test-clients: $(READY)  ## published KIS clients against the simulator
	@$(BIN)/python -c 'import pykis, kis_trader' 2>/dev/null || \
		{ command -v uv >/dev/null 2>&1 && uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[clients]'; } || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[clients]'
	@$(BIN)/pytest -q -m clients

test-browser: $(READY)  ## the UI in headless Chromium; screenshots go to test-artifacts
	@$(BIN)/python -c 'import selenium' 2>/dev/null || \
		{ command -v uv >/dev/null 2>&1 && uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[browser]'; } || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@$(BIN)/pytest -q -rs -m browser

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
