# Two commands on a machine with Python >= 3.11 and make: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint types check-imports unit verify clean

help:  ## what there is to make
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

.venv/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the pinned dependencies into .venv (a few minutes the first time)"
	@$(PIP) -e .
	@touch $@

.venv/.dev: .venv/.installed
	@$(PIP) -e '.[dev]'
	@touch $@

demo: .venv/.installed  ## map an unseen simulated earthquake end to end
	@$(BIN)/coslide demo --out runs

test: .venv/.dev  ## format, lint, types, import contracts, the whole test suite
	@$(MAKE) --no-print-directory lint types check-imports unit

lint: .venv/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: .venv/.dev
	@$(BIN)/mypy

check-imports: .venv/.dev
	@$(BIN)/lint-imports

unit: .venv/.dev
	@$(BIN)/pytest -n 2 --dist loadfile

clean:  ## remove the environment and all runs
	rm -rf .venv runs
