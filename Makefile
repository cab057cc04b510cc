# Two commands matter: `make demo` and `make test`. Both set up what they need first.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-from-lock
BENCH_STAMP := $(VENV)/.made-from-bench-lock
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help setup demo test lint types format unit sim fuzz faults bench reference site pictures lock release pythons clean

help:
	@echo 'make demo    a day of events through a real broker: expiry, archive, restore, checked'
	@echo 'make test    lint, types and every test'
	@echo 'make unit    only the tests that need no broker'
	@echo 'make sim     10,000 simulated histories (SEEDS=from:to for others), see docs/simulation.md'
	@echo 'make lint    ruff, without changing anything; make format changes'
	@echo 'make types   mypy'
	@echo 'make fuzz    each reader of bytes from outside, 2 minutes each: SECONDS_EACH=120 SEED=1'
	@echo 'make faults  every fault on real workers and brokers: ROUNDS=3 SEED=1'
	@echo 'make bench   the benchmarks, with the programs they compare with'
	@echo 'make setup   .venv with the locked packages (the others do this by themselves)'
	@echo 'make reference  write docs/reference from the code'
	@echo 'make site    the documentation as a site, in build/site'
	@echo 'make pictures  make the pictures of the README from the tests of the page'
	@echo 'make lock    choose package versions anew'
	@echo 'make release wheel, sdist and image context in dist, each tried: from a clean work tree'
	@echo 'make pythons the tests without broker, but the long ones, on each Python that is here'

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@./.ci/venv $(VENV)
	@./.ci/install $(BIN)/python requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	@$(BIN)/emberline demo

test: lint types
	@./.ci/test $(BIN)/pytest

unit: $(STAMP)
	@$(BIN)/pytest -m 'not connected'

SEEDS ?= 0:10000
sim: $(STAMP)
	@$(BIN)/python -m tests.sim --seeds $(SEEDS)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(STAMP)
	@$(BIN)/mypy

fuzz: $(STAMP)
	@$(BIN)/pytest -q -s tests/hostile/test_fuzz_readers.py --fuzz-seconds $(or $(SECONDS_EACH),120) \
	  --seed $(or $(SEED),$(shell date +%s))

faults: $(STAMP)
	@EMBERLINE_FAULT_KILLS=$$((30 * $(or $(ROUNDS),3))) EMBERLINE_FAULT_SEED=$(or $(SEED),1) \
	  $(BIN)/pytest -q -s -p no:cacheprovider tests/faults --rounds $(or $(ROUNDS),3) --seed $(or $(SEED),1)

bench: $(BENCH_STAMP)
	@for one in ingest lifecycle latency recovery query events page; do $(BIN)/emberline bench $$one || exit; done

$(BENCH_STAMP): $(STAMP) requirements-bench.lock
	@$(PIP) install --quiet --require-hashes -r requirements-bench.lock
	@touch $@

reference: $(STAMP)
	@$(BIN)/python -m agents.cli.reference

site: $(STAMP)
	@$(BIN)/python -m tests.rigs.documentation

pictures: $(STAMP)
	@$(BIN)/pytest -q tests/agents/web/test_page_source.py tests/agents/web/test_page_audience_connected.py \
	  tests/agents/web/test_page_sources.py
	@mkdir -p docs/images
	@cp build/page/readme-*.png docs/images/ && cd docs/images && for one in readme-*; do mv $$one $${one#readme-}; done

# needs uv, which this project uses for nothing else
UV := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header --quiet
LOCKS := requirements.lock requirements-bench.lock requirements-run.lock requirements-build.lock
lock:
	@$(UV) pyproject.toml --extra dev -o requirements.lock
	@$(UV) pyproject.toml --extra dev --extra bench -c requirements.lock -o requirements-bench.lock
	@$(UV) pyproject.toml -c requirements.lock -o requirements-run.lock
	@$(UV) --group build -c requirements.lock -o requirements-build.lock
	@$(UV) examples/python/requirements.in -c requirements.lock -o examples/python/requirements.txt
	@for lock in $(LOCKS); do \
	  { git show HEAD:$$lock | grep '^#'; cat $$lock; } > $$lock.new && mv $$lock.new $$lock; done

release: $(STAMP)
	@$(BIN)/python -m tests.rigs.release

pythons:
	@./.ci/pythons

clean:
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
