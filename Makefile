# Two commands set everything up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
WHEELS ?=
EXTRAS ?= test
BIN := $(VENV)/bin

.DEFAULT_GOAL := help

help:  ## Lists the targets.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

demo: $(VENV)/.installed-plot  ## Trains, samples, certifies and draws, on the embedded dataset.
	rm -rf runs/demo
	$(BIN)/hiersmooth certify --dataset CitationSBM --model gcn --noise flips \
		--p-plus 0.01 --p-minus 0.8 --n0 1000 --n 4000 --out runs/demo

test: $(VENV)/.installed-$(EXTRAS)  ## Runs the tests; HIERSMOOTH_DATA names a folder of real data.
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev  ## Checks style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-docs  ## Builds the documentation into docs/_build.
	$(BIN)/python -m sphinx -W -q docs docs/_build

clean:  ## Removes environments and build products.
	rm -rf $(VENV) build dist *.egg-info docs/_build

# Each set of extras is installed once, and again when the packaging changes.
$(VENV)/.installed-%: setup.cfg pyproject.toml constraints.txt | $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		$(if $(WHEELS),--find-links $(WHEELS)) --editable ".[$*]"
	touch $@

$(VENV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

.PHONY: help demo test lint docs clean
