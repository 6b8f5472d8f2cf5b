# `make demo` and `make test` are each enough on a fresh machine: they make the environment first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: env demo test lint clean-demo

env:
	@PYTHON="$(PYTHON)" bash tools/make_env.sh

demo: env
	$(BIN)/python tools/demo.py

clean-demo:
	rm -rf work_dirs/demo

test: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: env
	$(BIN)/ruff check .
	$(BIN)/mypy
