# Everything happens in .venv, made from requirements.lock; nothing is installed twice.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist worksteal
unexport PYTHONDONTWRITEBYTECODE  # compiled once, not by each of the many processes that tests start

.DEFAULT_GOAL := help
.PHONY: help setup run check unit test test-all bench study lock clean

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

# Units start no other process, and use neither Ray nor MLflow (tests/guard.py).
unit: setup  ## tests of parts, in this process alone: about a minute on two cores
	$(PYTEST) --numprocesses auto --maxprocesses 4 --hypothesis-profile=quick \
	  -m "not (process or ray or mlflow or whole or long)"

# Three workers on two cores, too: tests of processes, Ray and MLflow mostly wait.
test: check  ## check, unit, whole runs, tests with processes, Ray and MLflow: about 7 minutes
	$(PYTEST) --numprocesses 3 -m "not long"

test-all: test  ## test, then what takes long: tens of minutes
	$(PYTEST) --numprocesses auto --maxprocesses 4 -m long

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
