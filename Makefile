# Two commands set everything up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
WHEELS ?=
EXTRAS ?= test
OLDEST_PYTHON ?= python3.10
BIN := $(VENV)/bin
OLDEST := $(VENV)-oldest
FRESH := $(VENV)-fresh
# A test has one thread, and each core its own tests: two processes of two threads are slower.
PYTEST := -m pytest --numprocesses logical --dist worksteal
COVERED := $(if $(COVERAGE),--cov --cov-report term:skip-covered)
# Every layer of the package, in the time that a second environment is worth.
OLDEST_TESTS := tests/noise tests/transforms tests/models tests/experiment \
	tests/nn/test_node.py tests/nn/test_exact.py tests/nn/isolation/test_model_state.py \
	tests/nn/isolation/test_private_copy.py tests/nn/isolation/test_determinism.py \
	tests/certificates/test_certificate.py tests/certificates/test_storage.py \
	tests/cli/test_table.py tests/test_random.py tests/test_selection.py

# PyTorch's own index has builds without CUDA's gigabytes, which neither a demo nor a test needs.
CPU_TORCH := -m pip install --quiet --retries 0 torch \
	--extra-index-url https://download.pytorch.org/whl/cpu --constraint

CERTIFY := $(BIN)/hiersmooth certify --dataset CitationSBM --lr 0.01 --num-draws 4 --consistency 1

.DEFAULT_GOAL := help

help:  ## Lists the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

demo: $(VENV)/.installed-plot,report  ## Trains, samples, certifies and draws, on the embedded dataset.
	rm -rf runs/demo runs/demo-exact runs/demo-collective
	$(CERTIFY) --model appnp --noise flips --p 0.9 --p-plus 0.0005 --p-minus 0.8 \
		--n0 1000 --n 4000 --out runs/demo
	$(CERTIFY) --model appnp --noise ablation --selection partition --out runs/demo-exact
	$(CERTIFY) --model gcn --noise ablation --selection partition --collective --method lp \
		--out runs/demo-collective
	$(BIN)/hiersmooth report runs/demo runs/demo-exact runs/demo-collective --out runs/demo.html

test: $(VENV)/.installed-$(EXTRAS)  ## Runs the tests; HIERSMOOTH_DATA names a folder of real data.
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) -m "not slow" $(COVERED)

test-slow: $(VENV)/.installed-$(EXTRAS)  ## Runs the tests that take longest.
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) -m slow $(if $(COVERED),$(COVERED) --cov-append)

test-oldest: $(OLDEST)/.installed  ## Runs a part of the tests on the oldest versions that are allowed.
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python $(PYTEST) $(OLDEST_TESTS)

test-install: release  ## Installs the wheel elsewhere, and runs the README's example.
	rm -rf $(FRESH)
	$(PYTHON) -m venv $(FRESH)
	$(FRESH)/bin/python $(CPU_TORCH) constraints.txt
	$(FRESH)/bin/python -m pip install --quiet --constraint constraints.txt pytest \
		"$$(ls dist/*.whl)[plot]"
	cd dist && $(abspath $(FRESH))/bin/pytest ../tests/test_readme.py

lint: $(VENV)/.installed-dev  ## Checks style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-docs  ## Builds the documentation into docs/_build/html.
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W -q docs docs/_build/html

release: $(VENV)/.installed-release  ## Builds and checks a release, and says what it would upload.
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	! tar --list --file dist/*.tar.gz | grep /tests/
	$(BIN)/python -m twine check --strict dist/*
	@echo "Nothing was uploaded. A release would upload:"
	@ls -s --human-readable dist
	@echo "with this section of CHANGELOG.md: $$(grep --max-count 1 '^## ' CHANGELOG.md)"

clean:  ## Removes environments and build products.
	rm -rf $(VENV) $(OLDEST) $(FRESH) build dist *.egg-info docs/_build

# Each set of extras is installed once, and again when the packaging changes.
$(VENV)/.installed-%: setup.cfg pyproject.toml constraints.txt | $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		$(if $(WHEELS),--find-links $(WHEELS)) --editable ".[$*]"
	touch $@

$(OLDEST)/.installed: setup.cfg pyproject.toml constraints-oldest.txt
	$(OLDEST_PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python $(CPU_TORCH) constraints-oldest.txt
	$(OLDEST)/bin/python -m pip install --quiet --constraint constraints-oldest.txt \
		--editable ".[test]"
	touch $@

$(VENV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python $(CPU_TORCH) constraints.txt

.PHONY: help demo test test-slow test-oldest test-install lint docs release clean
