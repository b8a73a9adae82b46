# The two commands that everyone needs are `make run` and `make test`; each sets up what it needs, and is quick the second time.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test fuzz stress soak chaos chaos-report swap check python-check clients-check unit clients-test browser wheel bench sim docs clean build setup-run setup-dev system

VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps
SEEDS ?= 200
CLIENT_FILES := src/clarion/realtime/client_dist
WEB_SOURCES := $(shell find clients -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s "$$(printf '\t')"

run: setup-run build ## Set up, build and serve on http://127.0.0.1:8000, with two demo accounts
	@CLARION_DELIVERY=$${CLARION_DELIVERY:-capture} exec $(BIN)/clarion serve --demo

test: setup-dev system build ## Set up and pass every test
	@tools/test

check: setup-dev $(STAMPS)/node ## Lint, types and import contracts (under a minute)
	@tools/check

bench: setup-dev ## Measure beside Node socket.io, its kin and a C loop, print ratios and budgets: 15 minutes (ARGS=--quick: 2; ARGS=--help)
	@$(BIN)/python -m benchmarks $(ARGS)

sim: setup-dev ## Run the simulator over SEEDS seeds (SEEDS=1000; SEED=17 SCENARIO=inbox replays one; ARGS=--trace prints the faults)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(if $(SEED),--seed $(SEED)) $(if $(SCENARIO),--scenario $(SCENARIO)) $(ARGS)

fuzz: setup-dev ## Anything against the decoders and a whole server for minutes (SEED=7 replays; FUZZ=fuzz-long: hours)
	@$(BIN)/python -m pytest -q tests/fuzz --hypothesis-profile=$(or $(FUZZ),fuzz) --hypothesis-seed=$(or $(SEED),$$RANDOM) $(ARGS)

stress: setup-dev ## Clients that do everything wrong, and counts that must come out exactly, under a minute (SEED=7 ARGS="--scenario races" replays)
	@$(BIN)/python -m tests.stress $(if $(SEED),--seed $(SEED)) $(ARGS)

soak: setup-dev ## Churn for MINUTES (60 before a release); fails if memory, tasks, timers, files or rooms grow (ARGS=--draw draws it)
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),3) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos: setup-dev ## Hurt two nodes, Redis and PostgreSQL under load, and kill a server during a bulk send to 10,000, then count every row: minutes (SEED=7 replays; ARGS=--help)
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos-report: setup-dev ## Do it with three seeds, and write docs/explanation/chaos.md: many minutes
	@$(BIN)/python -m tests.chaos.report $(ARGS)

docs: setup-dev ## Write the generated reference pages
	@$(BIN)/python -m tools.reference

swap: setup-dev $(STAMPS)/node ## Replace servers of Node by Clarion under load, one at a time, and put them back: a minute (ARGS=--help)
	@$(BIN)/python -m tests.swap $(ARGS)

wheel: setup-dev build ## Build the wheel and the source distribution into dist/
	@rm -rf dist && $(BIN)/python -m build --no-isolation --outdir dist .

clean: ## Remove everything that was built or installed here; data/ stays
	rm -rf $(VENV) $(STAMPS) dist build src/clarion/api/web $(CLIENT_FILES) clients/node_modules clients/*/dist benchmarks/bin benchmarks/servers/node/node_modules benchmarks/.venv
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*

build: $(STAMPS)/web
setup-run: $(STAMPS)/run
setup-dev: $(STAMPS)/dev

# Debian packages that the tests use by themselves: PostgreSQL, Redis, Chromium, Firefox, a C compiler.
system:
	@tools/system-packages

$(STAMPS)/venv:
	@echo "Setting up Python in $(VENV) …"
	mkdir -p $(STAMPS)
	python3 -c 'import sys; sys.exit(f"Clarion needs Python 3.11 or newer, this is {sys.version.split()[0]}" if sys.version_info < (3, 11) else 0)'
	python3 -m venv $(VENV)
	touch $@

$(STAMPS)/run: $(STAMPS)/venv requirements.txt pyproject.toml
	@echo "Installing what the server runs on …"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(STAMPS)/dev: $(STAMPS)/run requirements-dev.txt
	@echo "Installing what the tests need …"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(STAMPS)/node: clients/package-lock.json
	@echo "Installing what the page is built with …"
	mkdir -p $(STAMPS)
	cd clients && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch ../$@

$(STAMPS)/web: $(STAMPS)/node $(WEB_SOURCES)
	@echo "Building the page …"
	mkdir -p $(CLIENT_FILES)
	cp clients/node_modules/socket.io-client/dist/socket.io*.js* $(CLIENT_FILES)/
	cd clients && npm run --silent build
	touch ../$@
