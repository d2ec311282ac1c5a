# The one door. `make help` lists the targets; each does its own set-up, so any of them works in a fresh clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.ready-bench
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
BENCHMARKS := $(filter-out %/__init__.py,$(wildcard benchmarks/*.py))
# Peers whose own requirements are large and not needed for what is measured.
PEERS := simulusion==1.1.0 vector-quantize-pytorch==1.32.0 einops einx torch-einops-utils frozendict stable-worldmodel==0.1.1 loguru
ARGS ?=

export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help setup browser compare test check format bench docs clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(READY)  ## make .venv and install everything into it (done once; the other targets call it)

compare: $(READY)  ## the main job: train the three routes on one world and compare them; ARGS="--budget 2m" for more flags
	$(BIN)/threeworlds compare --world arena --out runs/compare $(ARGS)

test: $(READY) browser  ## all tests; ARGS="tests/train -x" for a part
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 $(ARGS)

check: $(READY)  ## format, lint, types, import arrows: changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_arrows.py

format: $(READY)  ## rewrite the files as `make check` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BENCH_READY)  ## speed of worlds, storage, the routes and planning against peers; writes results/benchmark-*.json
	@for file in $(BENCHMARKS); do \
	  name=$$(basename $$file .py); echo "== $$name"; \
	  $(BIN)/python $$file --out results/benchmark-$$name.json $(ARGS) || exit 1; \
	done
	@$(BIN)/python docs/figures.py --benchmarks

docs: $(READY)  ## build the documentation into site/; a broken link is an error
	$(BIN)/mkdocs build --strict --quiet

clean:  ## remove caches and the built documentation; keeps .venv and runs/
	rm -rf site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks experiments -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------------------------- set-up

$(BIN)/pip:  # the last file that venv makes: an interrupted one is made again
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "threeworlds needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing)."; \
	  echo "Name another one: make PYTHON=python3.12 <target>"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "'$(PYTHON) -m venv' failed: install the venv module (Debian: apt-get install python3-venv)."; exit 1; }

$(READY): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing into $(VENV): about a gigabyte, a minute or two the first time."
	$(PIP) torch==2.13.0 --editable '.[dev]'
	@touch $@

$(BENCH_READY): $(READY)
	$(PIP) --editable '.[bench]'
	$(PIP) --no-deps $(PEERS)
	@touch $@

# One test looks at the report in a real browser. Without one it is skipped, and says so.
browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "No browser found: installing Debian's chromium for the report's test."; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } </dev/null >/dev/null 2>&1 && exit 0; \
	fi; \
	echo "No browser, and none could be installed: the test that opens the report in one is skipped." \
	     "Install chromium by hand to run it."
