# `make demo` and `make test` are each enough on a fresh machine: they make the environment first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: env demo test test-upstream lint clean-demo

env:
	@PYTHON="$(PYTHON)" bash tools/make_env.sh

demo: env
	$(BIN)/python tools/demo.py

clean-demo:
	rm -rf work_dirs/demo

TESTS := -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test: env
	OMP_NUM_THREADS=1 $(BIN)/python $(TESTS)

# The same tests on the original OpenMMLab packages, in an environment of their own.
test-upstream:
	@STACK=upstream PYTHON="$(PYTHON)" bash tools/make_env.sh
	OMP_NUM_THREADS=1 .venv-upstream/bin/python $(TESTS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/mypy
