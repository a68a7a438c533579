# Everything here works on a fresh machine with Python 3.11 or later and make.

PYTHON ?= python3
BIN := .venv/bin
CONFIG ?=
TESTS ?= tests
FLAGS ?=

.PHONY: docs serve test lint format explore mutants bench fuzz packages clean

serve: .venv/installed
	exec $(BIN)/distcache serve $(CONFIG)

# All of it: two halves at the same time, and the core is measured while its tests run.
test: .venv/tools packages lint
ifeq ($(TESTS)$(FLAGS),tests)
	$(BIN)/python -m tests.halves
else
	$(BIN)/pytest -q -rfEs --durations=10 $(FLAGS) $(TESTS)
endif

lint: .venv/tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/tools
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

explore: .venv/tools
	@if [ -e tests/model/explore.py ]; then exec $(BIN)/python -m tests.model.explore $(FLAGS); \
	else echo "explore: nothing to run" >&2; exit 2; fi

mutants: .venv/tools
	$(BIN)/python -m tests.mutation $(FLAGS)

bench: .venv/tools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m bench.compare $(FLAGS)

docs: .venv/tools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

SECONDS ?= 60
fuzz: .venv/tools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python -m fuzz.run $(SECONDS)

# Client programs for the interoperability tests.
packages: .venv/tools
	@sh tests/interop/install.sh
	@$(BIN)/python -m tests.interop.fetch_helm

clean:
	rm -rf .venv .coverage .mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/tools: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
