# `make demo` and `make test` are the two commands of the README; both make the environment they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test lint pytest install contracts clean

demo: install
	$(BIN)/prov demo --out demo-output

test: install lint pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pytest: install contracts/node_modules/.installed
	$(BIN)/python -m pytest

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

clean:
	rm -rf $(VENV) contracts/node_modules demo-output build *.egg-info
