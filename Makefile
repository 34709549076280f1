# Set-up, demo, tests and checks. Settings: VENV=, STACK=stock|onedl, PYTHON=,
# METHOD= and DATA= for the demo, and ARGS= for it or pytest, also for the number of
# its processes (make test ARGS='-n 1 -k recorder').
SHELL := /bin/bash
STACK ?= stock
VENV ?= $(if $(filter stock,$(STACK)),.venv,.venv-$(STACK))
PYTHON ?= python3
BIN := $(VENV)/bin
PYTEST := '$(BIN)/python' -m pytest -n logical --maxprocesses 4

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-docs test-all lint format docs wheel clean

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/\1\t\2/p' Makefile | expand -t 12

setup:  ## install the pinned stack and the package into VENV
	@VENV='$(VENV)' STACK='$(STACK)' PYTHON='$(PYTHON)' bash tools/dev/setup.sh

demo: setup  ## train and distil; METHOD=cwd|maskd|pcd, DATA=<CamVid>
	'$(BIN)/python' tools/demo.py $(if $(METHOD),--method '$(METHOD)') \
		$(if $(DATA),--data '$(DATA)') $(ARGS)

test: setup  ## the quick tests, a process for each core
	$(PYTEST) --dist loadfile -m 'not slow' $(ARGS)

test-docs: setup  ## what the pages say to run, and their reference
	$(PYTEST) --dist worksteal -m slow tests/test_docs $(ARGS)

test-all: setup  ## every test
	$(PYTEST) --dist loadfile $(ARGS)

lint: setup  ## style, spelling and types, changing nothing
	'$(BIN)/ruff' check .
	'$(BIN)/ruff' format --check .
	'$(BIN)/codespell'
	'$(BIN)/mypy'

format: setup  ## let ruff repair what it can
	'$(BIN)/ruff' check --fix .
	'$(BIN)/ruff' format .

docs: setup  ## build docs/_build/html; warnings are errors
	'$(BIN)/python' -m sphinx -W --keep-going -q \
		-b html -c docs . docs/_build/html

wheel: setup  ## build dist/*.whl
	'$(BIN)/python' -m pip wheel --no-deps --no-build-isolation -w dist .

clean:  ## remove what builds and checks leave, not VENV
	rm -rf build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find mmdistill_dense tools configs tests -name __pycache__ -prune \
		-exec rm -rf {} +
