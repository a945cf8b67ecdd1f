# Two targets for people: `make demo` and `make test`. Both set everything up on a machine that has Python 3.11, git and make.
#   make demo PYTHON=python3.12            another interpreter
#   make demo PIP_ARGS="--index-url URL"   another package index, for instance PyTorch's own for CPU builds (see README)

PYTHON   ?= $(firstword $(foreach name,python3.11 python3 python,$(if $(shell command -v $(name)),$(name))))
PIP_ARGS ?=
WORKERS  ?= 2
BIN      := .venv/bin
INSTALL   = $(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_ARGS) -c constraints.txt -e

.PHONY: portable demo test docs mutants kills clean help
.DELETE_ON_ERROR:
unexport PYTHONDONTWRITEBYTECODE # tests start Python hundreds of times, and would compile the package each time

help:
	@echo "make demo    install, then train, pack, prove and report on the packaged corpus"
	@echo "make test    install the development extras and run every check"
	@echo "make docs    build the pages of docs/ as a site, and check their links"
	@echo "make mutants change the coders, the container and the verdict at random, and see whether the tests notice"
	@echo "make portable  golden streams with other threads and instructions, and on an emulated 64-bit Arm"
	@echo "make kills   kill training 50 times at random moments, and compare what it comes to"

demo: .venv/.installed-demo
	$(BIN)/regrow demo

# One thread a worker: on two cores, threads that wait for each other cost more than they bring. A file stays with one
# worker, so that what its tests share is made once.
test: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell src benchmarks tests docs dev .github .ci *.md *.toml *.yml Makefile
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow and not long"

docs: .venv/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# A stamp is younger than what it was made from, so nothing is installed twice and a changed requirement is picked up.
.venv/.installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing regrow and what it needs into .venv (once, a few minutes)"
	$(INSTALL) ".[demo]"
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing regrow and its development tools into .venv (once, a few minutes)"
	$(INSTALL) ".[dev]"
	@touch $@ .venv/.installed-demo

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python was found; install Python 3.11 or say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than Python 3.11; say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; echo "make: this Python cannot make a virtual environment; install its venv module" >&2; exit 2; }

mutants: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children $(WORKERS)
	$(BIN)/mutmut results

# Training killed with SIGKILL at random moments, 50 by default, and resumed each time: a few minutes.
KILLS ?= 50
kills: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.e2e.kills $(KILLS)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage* mutants site

# Golden streams, and streams of the demo's artifact where there is one, written and read with one and two threads, with the
# oldest instructions and on an emulated 64-bit Arm: about a quarter of an hour at first, for the emulated compiler.
ARM ?= .venv/arm64
portable: .venv/.installed-demo
	PYTHON=$(BIN)/python dev/arm64 $(ARM)
	PYTHON=$(BIN)/python dev/portable.sh tests/golden/streams $(ARM)
	PYTHON=$(BIN)/python dev/portable.sh tests/golden/memory_input $(ARM)
	PYTHON=$(BIN)/python dev/portable.sh tests/golden/format_2 $(ARM)
	PYTHON=$(BIN)/python dev/portable.sh tests/golden/recent_input $(ARM)
	if [ -f runs/demo/artifact.safetensors ]; then \
	  mkdir -p $(ARM)/demo && cp runs/demo/artifact.safetensors $(ARM)/demo && \
	  head -c 1000 runs/demo/data/val.txt > $(ARM)/demo/text && \
	  PYTHONPATH=src $(BIN)/python tests/portable.py $(ARM)/demo --write && \
	  PYTHON=$(BIN)/python dev/portable.sh $(ARM)/demo $(ARM); \
	fi
