# Commands for newcomers; each sets up its own .venv.
#   make demo   run the main job on the embedded default, fully offline after the set-up
#   make test   run the tests; make test-quick leaves out the slow ones, make test-all leaves out none
#   make fuzz   try thousands of strange study and data files (FUZZ="--inputs 50000 --seed 7")
#   make docs   build the documentation as a site that needs no network, into build/site
#   make bench  measure speed and memory beside the usual way (BENCH=--quick: does it all run?)
.PHONY: demo test test-quick test-all fuzz bench docs docs-serve lint format tables fault-test
PYTHON ?= python3
BIN := .venv/bin

demo: .venv/.installed
	$(BIN)/outshine demo --out outshine-demo

# two at once, a file's tests together; TESTS="tests/learn/losses -x" runs a part
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: .venv/.installed-dev
	$(PYTEST) -m "not exhaustive" $(TESTS)

# about three minutes on two cores: no browser, no Ray, no S3 server
test-quick: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(PYTEST) -m "not slow" $(TESTS)

# with what is tried at full size in few tests, and smaller in `make test`
test-all: .venv/.installed-dev
	$(PYTEST) $(TESTS)

fuzz: .venv/.installed-dev
	$(BIN)/python tests/safety/fuzzing.py $(FUZZ)

bench: .venv/.installed-dev
	$(BIN)/python -m benchmarks.bench $(BENCH)

docs: .venv/.installed-docs
	$(BIN)/python website/build.py

docs-serve: docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site

lint: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

format: .venv/.installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# what is made from the code and kept: the documentation's tables and samples, digests of recipes that are new
tables: .venv/.installed-dev
	$(BIN)/python tests/docs/doc_tables.py
	$(BIN)/python tests/docs/doc_samples.py
	$(BIN)/python tests/data/test_recipes.py

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("outshine needs Python 3.11 or newer; say PYTHON=python3.12 make ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch .venv/.installed .venv/.installed-docs $@  # the others are parts of it

.venv/.installed-docs: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

# faults injected into real processes of a small study (FAULTS="--kills 20 --only local": fewer)
fault-test: .venv/.installed-dev
	$(BIN)/python -m faults $(FAULTS)
