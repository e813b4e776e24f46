# Every target sets up .venv itself, and again whenever pyproject.toml or constraints.txt changed.

# A python3.11 that only pretends (a version manager's shim) fails the call and is passed over.
PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
BENCHMARKS ?= house
ARGS ?=

BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo up test test-system lint audit bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## Run the main job on the sample collections, end to end
	$(BIN)/pinflow demo

up: $(READY) ## Serve the Dagster UI on port 3000 and the app on port 8000 until Ctrl-C
	$(BIN)/pinflow up

test: $(READY) ## Run the fast tests
	$(BIN)/python -m pytest $(ARGS)

test-system: $(READY) ## Run the tests that need real servers, a browser or kills
	$(BIN)/python -m pytest -m system $(ARGS)

lint: $(READY) ## Check format, style, types and the rules between rooms
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(READY) ## Look every installed package up among the known advisories
	$(BIN)/python .ci/audit.py

bench: $(READY) ## Run benchmarks, e.g. make bench BENCHMARKS="house" ARGS=--quick
	@set -e; for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name $(ARGS); done

clean: ## Remove .venv, builds and caches; collected data under .pinflow stays
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv resolves the whole set in seconds where pip needs minutes and settles on old versions.
$(READY): pyproject.toml constraints.txt
	@echo "Setting up .venv (a few minutes the first time)"
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt uv
	@$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@
