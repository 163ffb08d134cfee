# Everything happens in .venv, made from requirements.lock; nothing is installed twice.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SHARED := --numprocesses auto --maxprocesses 4 --dist loadfile  # tests of a file stay together

.DEFAULT_GOAL := help
.PHONY: help setup run test check test-all bench study lock clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## make the environment

$(READY): requirements.lock setup.cfg pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

run: setup  ## evolve handwritten digits on Ray workers: a few minutes on two cores
	$(BIN)/python run_evolution.py train digits

check: setup  ## formatting, lint, types
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy

test: check  ## check, then the fast tests
	$(BIN)/python -m pytest -m "not long" $(SHARED)

test-all: check  ## check, then every test: tens of minutes
	$(BIN)/python -m pytest $(SHARED)

bench: setup  ## time generations, workers, the driver and start-up: an hour or more on two cores
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/driver.py
	$(BIN)/python benchmarks/startup.py

study: setup  ## compare five strategies on 25 Gaussians: about 15 minutes on two cores
	$(BIN)/python run_evolution.py study gaussians25

lock:  ## pin what the environment holds now
	$(BIN)/python -m pip freeze --all --exclude-editable | grep -v '^pip==' | sed 's/^\(torch==[0-9.]*\)+.*/\1/' > requirements.lock

clean:  ## remove the environment and caches; outputs stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
