# The commands of this repository; `make` lists them.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# Where the package `lab` is.
export PYTHONPATH := examples

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: root python ## Show a container on a CNI network, on a private engine (root, Debian 12)
	@$(PYTHON) -m lab.setup demo
	@$(MAKE) --no-print-directory $(READY)
	@$(BIN)/python examples/demo/demo.py

.PHONY: demo-kubernetes
demo-kubernetes: root python ## Show one logical network of Kubernetes on two nodes (root, Debian 12)
	@$(PYTHON) -m lab.setup demo-kubernetes
	@$(MAKE) --no-print-directory $(READY)
	@$(BIN)/python examples/demo/demo_kubernetes.py

.PHONY: test
test: root python ## Run everything: lint, unit, integration, and both engines (root, Debian 12)
	@$(PYTHON) -m lab.setup test
	@$(MAKE) --no-print-directory lint test-unit
	unshare --net --mount --propagation private $(BIN)/pytest tests/integration --numprocesses=2
	$(BIN)/pytest tests/e2e --numprocesses=2

.PHONY: test-unit
test-unit: $(READY) ## Run the tests that need neither root nor an engine
	$(BIN)/pytest tests/unit tests/conformance --numprocesses=2

.PHONY: test-matrix
test-matrix: root python ## Run every chain of plugins on both engines (root, Debian 12; a part of `test`)
	@$(PYTHON) -m lab.setup test
	@$(MAKE) --no-print-directory $(READY)
	$(BIN)/pytest tests/e2e/matrix --numprocesses=2

.PHONY: lint
lint: $(READY) ## Check style, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy shim examples tests
	$(BIN)/lint-imports

.PHONY: bench
bench: root python ## Measure what the shim adds to `docker run` (root, Debian 12)
	@$(PYTHON) -m lab.setup test
	@$(MAKE) --no-print-directory $(READY)
	@PYTHONPATH=examples:. $(BIN)/python tests/bench/bench.py
	@PYTHONPATH=examples:. $(BIN)/python tests/bench/bench_kubernetes.py
	@PYTHONPATH=examples:. $(BIN)/python tests/bench/bench_modes.py

.PHONY: experiments experiments-quick
experiments: root python ## Try the claims about CNM and CNI on real engines, and write a report; ONLY=E10 for one
	@$(PYTHON) -m lab.setup test
	@$(MAKE) --no-print-directory $(READY)
	@$(BIN)/python -m experiments $(if $(ONLY),--only "$(ONLY)")

experiments-quick: root python ## A subset of the experiments, in a few minutes
	@$(PYTHON) -m lab.setup test
	@$(MAKE) --no-print-directory $(READY)
	@$(BIN)/python -m experiments --quick

.PHONY: clean
clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml | python
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(PYTHON) -m lab.setup venv
	@echo "  Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install -qq --upgrade 'pip>=25.1'
	@$(BIN)/pip install -qq --group dev --editable .
	@touch $@

.PHONY: root
root:
	@test "$$(id -u)" = 0 || { echo "error: this needs root, for network namespaces: try 'sudo make $(MAKECMDGOALS)'" >&2; exit 1; }

.PHONY: python
python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "  Installing python3 ..."; \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get -qq install --no-install-recommends python3 >/dev/null; \
	} || { echo "error: $(PYTHON) is missing: install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": set PYTHON=..." if sys.version_info < (3, 11) else 0)'
