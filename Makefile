# `make demo` and `make test` are each enough on a fresh machine: they make the environment first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: env demo test test-upstream lint docs dist clean-demo

env:
	@PYTHON="$(PYTHON)" bash tools/make_env.sh

demo: env
	$(BIN)/python tools/demo.py

clean-demo:
	rm -rf work_dirs/demo

TESTS := -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
GPU_TESTS := -m pytest -m gpu tests/test_gpu.py

# On a CPU, then on a GPU, where there is one.
test: env
	OMP_NUM_THREADS=1 $(BIN)/python $(TESTS) -m 'not gpu'
	$(BIN)/python $(GPU_TESTS)

# The same tests on the original OpenMMLab packages, in an environment of their own.
test-upstream:
	@STACK=upstream PYTHON="$(PYTHON)" bash tools/make_env.sh
	OMP_NUM_THREADS=1 .venv-upstream/bin/python $(TESTS) -m 'not gpu'
	.venv-upstream/bin/python $(GPU_TESTS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/mypy

# Warnings are errors. No network is needed.
docs: env
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'make docs: Sphinx needs Python 3.11 or newer: make docs PYTHON=python3.11' >&2; exit 1; }
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo 'make docs: see docs/_build/html/index.html'

# A source archive and a wheel in dist/, checked.
dist: env
	$(BIN)/python .dev_scripts/build_dist.py
