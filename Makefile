# `make demo` and `make test` are the two commands of the README; both make the environment they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test lint pytest install test-contracts test-contracts-deep forge-test forge-coverage slither halmos clean

demo: install
	$(BIN)/prov demo --out demo-output

test: install lint pytest test-contracts

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Whole files to a process: what a file's tests share is then made once. One thread each, or they wait for one another.
pytest: install contracts/node_modules/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "prov needs Python 3.11 or newer: try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# The Solidity compiler and anvil, for the tests marked `node` and `anvil`; without npm those are skipped, saying so.
# Not `npm ci`: it refuses a lock file that lacks anvil's optional packages for other systems.
contracts/node_modules/.installed: contracts/package.json contracts/package-lock.json
	mkdir -p contracts/node_modules
	if command -v npm >/dev/null; then cd contracts && npm install --no-save --no-audit --no-fund --silent; \
	else echo 'npm is not here: the tests of the Solidity compiler and of anvil will be skipped'; fi
	mkdir -p contracts/node_modules && touch $@

# The contract's own tests. Slither and Halmos have an environment apart, because Slither wants an older web3.
ANALYSIS := $(CURDIR)/contracts/.work/analysis
FORGE    := tools/forge
LCOV     := .work/forge/lcov.info
FINDINGS := .work/forge/slither.json

test-contracts: install contracts/node_modules/.installed
	@if command -v node >/dev/null && contracts/$(FORGE) --version >/dev/null; then \
	$(MAKE) --no-print-directory -j1 forge-test forge-coverage slither halmos; \
	else echo 'Node or forge is not here: SKIPPED forge, its coverage, Slither and Halmos'; \
	[ -z "$$CONTRACT_TESTS_REQUIRED" ]; fi

forge-test:
	cd contracts && $(FORGE) fmt --check src test
	cd contracts && FOUNDRY_PROFILE=release $(FORGE) build src
	$(BIN)/python -m contracts.tools.artefact contracts/.work/forge/release
	cd contracts && $(FORGE) test

# Hours, for a night: 200,000 runs of every fuzz test and 10^6 steps of the histories.
test-contracts-deep: forge-test
	cd contracts && FOUNDRY_PROFILE=deep $(FORGE) test

# Fewer runs than above: a line that only a lucky run reaches should not count as tested.
forge-coverage:
	cd contracts && mkdir -p .work/forge && FOUNDRY_PROFILE=coverage LEDGER_CODE=ProvLedger.sol:ProvLedger \
	$(FORGE) coverage --report lcov --report-file $(LCOV) >.work/forge/coverage.log 2>&1 \
	|| { tail -n 50 .work/forge/coverage.log; exit 1; }
	$(BIN)/python -m contracts.tools.coverage contracts/$(LCOV)

slither: $(ANALYSIS)/.installed
	mkdir -p contracts/.work/forge && rm -f contracts/$(FINDINGS)
	cd contracts && PATH="$(ANALYSIS)/bin:$$PWD/tools:$$PATH" FOUNDRY_PROFILE=slither \
	slither . --config-file slither.config.json --json $(FINDINGS) >.work/forge/slither.log 2>&1 \
	|| { [ -s $(FINDINGS) ] || { cat .work/forge/slither.log; exit 1; }; }
	$(BIN)/python -m contracts.tools.findings contracts/$(FINDINGS)

halmos: $(ANALYSIS)/.installed
	cd contracts && PATH="$(ANALYSIS)/bin:$$PWD/tools:$$PATH" FOUNDRY_PROFILE=halmos halmos

$(ANALYSIS)/.installed: contracts/tools/requirements.txt
	$(PYTHON) -m venv $(ANALYSIS)
	$(ANALYSIS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement contracts/tools/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) contracts/node_modules contracts/.work demo-output build *.egg-info
