PYTHON ?= python3
# Every target installs the versions that constraints.txt pins. With NEWEST=1 it installs the newest ones that
# pyproject.toml allows, in an environment of their own: make demo NEWEST=1.
NEWEST ?=
VENV := $(if $(NEWEST),.venv-newest,.venv)
BIN := $(VENV)/bin
GATEWAYS := .venv-gateways
# The variables reach the isolated environment of the build, too: the first one up to pip 25.2, the second one later.
PINS := $(if $(NEWEST),,PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt)
PIP := $(PINS) $(BIN)/python -m pip install --quiet --disable-pip-version-check

# If the environment forbids bytecode files, as in many containers, each of the suite's processes compiles its modules
# anew: 5 s of 9.6 s CPU to collect the tests, in each of five processes, and up to 0.07 s for each start of llmstress.
export PYTHONDONTWRITEBYTECODE :=

# pin: the versions of environment $(1) into file $(2), whose comments stay
define pin
{ grep '^#' $(2); $(1)/bin/python -m pip list --disable-pip-version-check --format=freeze --exclude pip --exclude llmstress; } \
	> $(1)/pins && mv $(1)/pins $(2)
endef

.PHONY: demo test coverage test-slow test-pythons test-newest test-gateways gateways check constraints bench bench-scale \
	bench-soak fuzz clean

demo: $(VENV)/installed  ## run llmstress against its built-in mock LLM
	$(BIN)/llmstress

test: $(VENV)/installed-dev  ## the test suite
	$(BIN)/python -m pytest -m "not slow and not gateway" -n 4

# Whether tests pass is what `make test` says; tracing makes all processes slower, and this target judges the coverage.
coverage: $(VENV)/installed-dev  ## the test suite with coverage of all its processes; fails below fail_under
	rm -rf .coverage-data
	mkdir .coverage-data
	-$(BIN)/python -m coverage run -m pytest -m "not slow and not gateway and not untraced" -n 4
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

# Runs of llmstress as a process measure, so each has the machine by itself. The other slow tests only take long; property
# tests draw all of their examples here.
test-slow: $(VENV)/installed-dev  ## the tests that take long or much of the machine; property tests with all examples
	$(BIN)/python -m pytest -m "slow or hypothesis" --hypothesis-profile=full --ignore=tests/runs -n 4
	$(BIN)/python -m pytest -m slow tests/runs

test-pythons:  ## the test suite on each other Python from 3.11 to 3.13 that this machine has
	.ci/test-pythons $(PYTHON)

test-newest:  ## demo and test suite with the newest versions that pyproject.toml allows, in a fresh environment
	rm -rf .venv-newest
	$(MAKE) NEWEST=1 demo
	$(MAKE) NEWEST=1 test

test-gateways: $(VENV)/installed-dev gateways  ## the tests behind a real LiteLLM
	LITELLM_COMMAND=$(CURDIR)/$(GATEWAYS)/bin/litellm $(BIN)/python -m pytest -m gateway

gateways: $(GATEWAYS)/installed  ## installs LiteLLM in an environment of its own: a minute, 750 MB

check: $(VENV)/installed-dev  ## lint, format, types (of tests and benchmarks, too)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

constraints:  ## pin the newest versions that pyproject.toml and tests/gateways.txt allow
	rm -rf .venv-newest $(GATEWAYS)
	$(MAKE) NEWEST=1 .venv-newest/installed-dev gateways
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check hatchling editables
	$(call pin,.venv-newest,constraints.txt)
	$(call pin,$(GATEWAYS),tests/gateways-constraints.txt)

bench: $(VENV)/installed-dev  ## what llmstress costs, against a floor client; takes minutes, wants a quiet machine
	$(BIN)/python benchmarks/cost.py

bench-scale: $(VENV)/installed-dev  ## 64,000 streams against the mock; takes two minutes and 2 GB
	$(BIN)/python benchmarks/scale.py

bench-soak: $(VENV)/installed-dev  ## ten minutes at 60,000 events/s: does memory grow, do figures stay true?
	$(BIN)/python benchmarks/soak.py

fuzz: $(VENV)/installed-dev  ## look for answers that break the parsers: make fuzz FUZZ=-max_total_time=600
	$(PIP) --editable '.[fuzz]'
	$(BIN)/python benchmarks/fuzz.py $(FUZZ)

clean:
	rm -rf .venv .venv-newest .venv-3.* $(GATEWAYS) .fuzz .coverage-data

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("llmstress needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	touch $@

$(GATEWAYS)/installed: tests/gateways.txt tests/gateways-constraints.txt
	test -x $(GATEWAYS)/bin/python || $(PYTHON) -m venv $(GATEWAYS)
	$(GATEWAYS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/gateways.txt \
		$(if $(NEWEST),,--constraint tests/gateways-constraints.txt)
	LITELLM_LOCAL_MODEL_COST_MAP=True $(GATEWAYS)/bin/python -W ignore -c 'import litellm.proxy.proxy_server'
	touch $@
