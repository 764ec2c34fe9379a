# Every target makes its own .venv first; nothing else on the machine is needed but Python 3.11 or newer.
PYTHON ?= python3
UV_VERSION := 0.13.8
BIN := .venv/bin

.PHONY: demo test test-slow lint chromium screenshots docs bench constraints clean

demo: .venv
	$(BIN)/atlas demo

test: .venv chromium lint
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not gpu"

test-slow: .venv chromium
	$(BIN)/pytest -n 2 --dist loadfile -m "slow and not gpu"

lint: .venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The browser tests look at pages in the system's Chromium; CHROMIUM=PATH names another one.
chromium:
	@test -n "$$CHROMIUM" || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  { command -v apt-get >/dev/null && test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qq -y chromium >/dev/null; } || \
	  { echo "the browser tests need Chromium: install the package chromium, or set CHROMIUM to its path" >&2; exit 1; }

# The README's pictures, of the atlas that `make demo` made.
screenshots: .venv chromium
	$(BIN)/python -m tests.browser.screenshots

docs: .venv
	$(BIN)/python -m atlas.cli.reference

bench: .venv
	$(BIN)/python -m benchmarks all --write

# Rewrites the pins; addresses and index settings stay out of the file.
constraints: .venv
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --all-extras --group dev --quiet pyproject.toml -o constraints.txt

.venv: .venv/.ready

.venv/.ready: constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "circuit-atlas needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q atlas ingest
	touch $@

clean:
	rm -rf .venv build dist artefacts .pytest_cache .mypy_cache .ruff_cache
