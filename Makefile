# `make demo` and `make test` do their own set-up and may be run again. CI calls the same targets (.ci/run).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHIM := task/shim
UI := task/ui
PAGE := python/kspsign/publishing/page.html
DIR ?= demo
BENCH ?=
FUZZ ?=
GENERATIVE ?=
PYTEST ?=
# Tests wait for four tenths of their time, for programs, clocks and disks: three processes keep two processors busy.
WORKERS ?= 3
PUBLISHER ?=
COVERAGE ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Only what is built here needs Node; without it the demo leaves the page out and says so.
DEMO_PAGE := $(if $(shell command -v npm),$(PAGE))

.PHONY: help demo test test-fast corpus test-windows lint package wheel page docs bench faults fuzz lock clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp $(DEMO_PAGE) ## the whole path on the embedded default, on real Windows binaries (DIR=demo)
	@$(BIN)/kspsign demo $(DIR)

test: $(VENV)/dev.stamp build/shim/index.js $(PAGE) build/agent/.stamp ## the unit and integration tests (COVERAGE=1 counts what they reach, and fails below the floor)
	tools/install_peers.sh
	$(BIN)/python tools/fetch_corpus.py --tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(if $(COVERAGE),--cov --cov-report=term) $(PYTEST)

test-fast: $(VENV)/dev.stamp build/shim/index.js $(PAGE) ## the unit tests alone: the inner loop (PYTEST='-k journal')
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/unit $(PYTEST)

corpus: $(VENV)/dev.stamp ## real files that others made, each verdict beside osslsigncode's (Debian 12)
	tools/install_peers.sh
	$(BIN)/python tools/fetch_corpus.py
	$(BIN)/python -m pytest tests/corpus

test-windows: $(VENV)/dev.stamp build/shim/index.js $(PAGE) ## the tests in the Windows lab (Debian 12; as root where its packages are missing)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/windows_lab

lint: $(VENV)/dev.stamp $(SHIM)/node_modules/.stamp $(UI)/node_modules/.stamp ## style, types, import direction, for Python and TypeScript
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy && $(BIN)/mypy --platform win32 python/kspsign
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/write_settings_page.py --check
	cd $(SHIM) && npm run --silent lint && npm run --silent typecheck
	cd $(UI) && npm run --silent lint && npm run --silent typecheck

package: $(VENV)/dev.stamp build/shim/index.js $(PAGE) ## the extension: dist/*.vsix (PUBLISHER=NAME: your own private build)
	$(BIN)/python tools/package.py $(if $(PUBLISHER),--publisher $(PUBLISHER))
	$(BIN)/python tools/write_package_page.py --check

wheel: $(VENV)/demo.stamp $(PAGE) ## the command line: dist/*.whl
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

page: $(PAGE) ## what --html writes, the tab and the hub, from task/ui (Node 20)

docs: $(VENV)/docs.stamp ## the browsable site: build/site; fails at a dead link
	$(BIN)/python tools/build_site.py build/site

bench: $(VENV)/dev.stamp ## times and memory, beside peers in the same run (a quarter of an hour; BENCH='--only local' for a part)
	$(BIN)/python tests/bench/benchmark.py $(BENCH)

faults: $(VENV)/dev.stamp ## fifty of each fault at random moments (a quarter of an hour)
	KSPSIGN_FAULTS=50 $(BIN)/python -m pytest -q tests/integration/path/test_faults.py tests/integration/path/test_inside_faults.py tests/integration/path/test_clickonce_faults.py
	KSPSIGN_KILL_FILES=1000 KSPSIGN_KILL_ROTATE=50 KSPSIGN_KILL_SECONDS=1 KSPSIGN_KILLS=20 \
		$(BIN)/python -m pytest -q -s tests/integration/keys/test_artifact_signing_kill.py

fuzz: $(VENV)/dev.stamp ## every parser under atheris, 30 minutes in all, and changed signatures for 10 (FUZZ='--minutes 5 msi')
	$(PIP) install --require-hashes --requirement tests/fuzz/atheris.txt
	$(BIN)/python tests/fuzz/run.py $(FUZZ)
	$(BIN)/python tests/generative/run.py $(GENERATIVE)

lock: $(VENV)/dev.stamp ## renew python/lock/*.txt from pyproject.toml
	for name in run azure demo dev docs; do \
	  extra=$$([ $$name = run ] || echo --extra $$name); \
	  [ $$name != docs ] || extra+=" --constraint python/lock/dev.txt"; \
	  $(BIN)/uv pip compile pyproject.toml $$extra --universal --python-version 3.11 --generate-hashes \
	    --no-annotate --no-header --no-emit-index-url --quiet --output-file python/lock/$$name.txt; \
	done

clean: ## everything that was made here
	rm -rf $(VENV) build dist demo $(SHIM)/node_modules $(UI)/node_modules $(PAGE)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "kspsign needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.stamp: python/lock/%.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes --requirement python/lock/$*.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

build/shim/index.js: $(wildcard $(SHIM)/src/*) task/KspSign/task.json $(SHIM)/node_modules/.stamp
	cd $(SHIM) && npm run --silent build

$(PAGE): $(shell find $(UI)/src -type f) $(UI)/esbuild.mjs $(UI)/node_modules/.stamp
	cd $(UI) && npm run --silent build

build/agent/.stamp: tests/support/agent/npm/package-lock.json
	mkdir -p build/agent
	cp tests/support/agent/npm/package*.json tests/support/agent/npm/.npmrc build/agent
	cd build/agent && npm ci --silent
	touch $@

$(SHIM)/node_modules/.stamp $(UI)/node_modules/.stamp: %/node_modules/.stamp: %/package.json %/package-lock.json
	cd $* && npm ci --ignore-scripts --no-audit --no-fund --silent
	touch $@
