# Two commands matter: `make demo` and `make test`. Both set themselves up in .venv first.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: help demo test check bench bench-quick clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@echo "Setting up .venv (once; takes a minute) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Threadline needs Python 3.11 or newer.")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[server]' --group dev
	@touch $@

demo: $(READY) ## Start a server with a believable log in it
	@$(BIN)/threadline demo --data .demo

test: $(READY) ## Run all tests
	@echo "Running all tests against real servers on free ports ..."
	@$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

check: $(READY) ## Lint, formatting, types, imports
	@echo "ruff ..." && $(BIN)/ruff check && $(BIN)/ruff format --check --quiet
	@echo "mypy --strict ..." && $(BIN)/mypy
	@echo "import rules ..." && $(BIN)/lint-imports --no-logo > .venv/imports.txt || (cat .venv/imports.txt; false)

bench: $(READY) ## Measure what benchmarks/RESULTS.md shows (takes half an hour)
	@$(BIN)/python -m benchmarks.stitching --events 1000000
	@$(BIN)/python -m benchmarks.stitching --events 10000000
	@$(BIN)/python -m benchmarks.classifying
	@$(BIN)/python -m benchmarks.ingest

bench-quick: $(READY) ## The same in small, for correctness
	@$(BIN)/python -m benchmarks.stitching --events 20000 --runs 2
	@$(BIN)/python -m benchmarks.classifying --visits 20000 --runs 1
	@$(BIN)/python -m benchmarks.ingest --seconds 1

clean: ## Remove everything that was made
	rm -rf .venv .demo benchmarks/out .mypy_cache .ruff_cache .pytest_cache .hypothesis
