# Every target sets up what it needs; `make help` lists them. Nothing outside this folder changes.

PYTHON ?= $(shell for python in python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)
JOBS ?= 2

BIN := .venv/bin
READY := .venv/.ready
DEMO := demo/redy_acas.redy
LOWEST_TESTS := tests/unit tests/conformance tests/property/test_roundtrip.py \
	tests/property/test_phase_exact.py tests/integration/test_api.py tests/faults/test_bad_edits.py \
	tests/faults/test_bad_input.py tests/faults/test_hostile_files.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long measure-faults test-lowest lint types format hooks clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' Makefile

setup: $(READY)  ## make .venv and install redy in it

# The stamp is written last, so an interrupted set-up is taken up again. A Python without its own
# pip (Debian without python3-venv) lends its pip to the new environment.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "redy needs Python 3.11 or later: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 \
		|| "$(PYTHON)" -m venv --clear .venv >/dev/null 2>&1 \
		|| { "$(PYTHON)" -m venv --clear --without-pip .venv \
			&& "$(PYTHON)" -m pip --python $(BIN)/python install --quiet pip; }
	@echo "installing redy and its tools into .venv (once; minutes on a slow line)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)  ## simplify the project's own ACAS Xu network, and show what was removed
	@mkdir -p demo
	@rm -rf $(basename $(DEMO)).*
	$(BIN)/redy simplify acasxu_nets/redy_acas.onnx --domain acasxu --slices 1024 \
		--guarantee exact --jobs $(JOBS) --out $(DEMO) >/dev/null
	$(BIN)/redy show $(DEMO)

test: $(READY)  ## check format, lint and types, then run the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

test-long: $(READY)  ## run the tests that take minutes
	$(BIN)/python -m pytest -m long

test-lowest: .venv-lowest/.ready  ## run telling tests with the lowest versions that are accepted
	.venv-lowest/bin/python -m pytest -o filterwarnings=default -p no:cacheprovider $(LOWEST_TESTS)

# Warnings of old libraries about still newer ones are no defects of redy's.
.venv-lowest/.ready: pyproject.toml constraints-lowest.txt
	"$(PYTHON)" -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints-lowest.txt -e . hypothesis pytest
	@touch $@

# The long versions of what `make test` does in short; NET is a network, by default the project's own.
NET ?= acasxu_nets/redy_acas.onnx
FAULTS ?= faults
measure-faults: $(READY)  ## hours: backends agree, kills, damaged files, memory (NET=, FAULTS=folder)
	@mkdir -p $(FAULTS)
	$(BIN)/python -m experiments.cluster_overhead $(NET) --slices 2048 --jobs $(JOBS) --shards 8
	for backend in loky dask ray; do \
		$(BIN)/python -m experiments.kill_workers $(NET) --backend $$backend --kills 50 || exit 1; done
	$(BIN)/python -m experiments.kill_runs --kills 100 --seed 1 --out $(FAULTS)/killed
	$(BIN)/python -m experiments.fuzz
	$(BIN)/python -m experiments.memory_curve $(NET) --out $(FAULTS)/memory \
		--picture $(FAULTS)/memory.png

lint: $(READY)  ## check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)  ## check the types of redy/ (mypy, strict)
	$(BIN)/mypy

format: $(READY)  ## reformat, and fix what ruff can fix
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

hooks: $(READY)  ## run the quick checks at every git commit
	$(BIN)/pre-commit install

clean:  ## remove .venv, the demo's result and every cache
	rm -rf .venv .venv-lowest demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find redy tests acasxu_nets -name __pycache__ -prune -exec rm -rf {} +
