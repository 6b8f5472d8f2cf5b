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
	$(BIN)/python -m pytest

lint: env
	$(BIN)/ruff check .
	$(BIN)/mypy
