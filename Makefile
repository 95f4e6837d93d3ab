# Needs python3 (3.11 or newer), pip and make. The first call makes .venv, which takes a few minutes.

PYTHON ?= python3
VENV ?= .venv
SEEDS ?= 0
JOBS ?= 2
MINUTES ?= 20
N ?= 1000
SEED ?=
ARGS ?=

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --disable-pip-version-check --quiet
# All options are given, because accelerate prints a note for each default. `--quiet` hides its traceback.
LAUNCH = $(BIN)/accelerate launch --quiet --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no
# Tests start some hundred programs: each would compile our modules again without their bytecode.
TESTS = env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
RUNS = $(SEEDS:%=runs/demo/seed-%)
# A small job, so that the demo answers in about a minute on two cores: 2,000 scenes, half as wide an encoder as the recipe's.
DEMO = --data scenes:2000 --width 0.5 --epochs 60 --knn_every 30 --objective.draw all

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-lowest torture kills lint types docs bench bench-bank bench-data bench-draws \
  bench-embed bench-lightly bench-objectives bench-step bench-trifeature evidence wall-time wheel clean

help: ## list the targets
	@echo "usage: make TARGET [PYTHON=$(PYTHON)] [VENV=$(VENV)]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1: \2/p' Makefile

demo: $(VENV)/.demo ## train and evaluate CMC on the embedded scenes (SEEDS="0 1 2": once per seed, and compare)
	@start=$$(date +%s); \
	for seed in $(SEEDS); do \
	  $(LAUNCH) recipes/cmc_lab.py $(DEMO) --seed $$seed --out runs/demo/seed-$$seed --overwrite $(ARGS) || exit $$?; \
	done; \
	if [ $(words $(SEEDS)) -gt 1 ]; then $(BIN)/multiview compare $(RUNS) || exit $$?; fi; \
	echo; \
	echo "demo: $$(($$(date +%s) - start)) s after the set-up"; \
	echo "  the page of the run:  $(firstword $(RUNS))/report.html  (open it in a browser)"; \
	echo "  the portable model:   $(firstword $(RUNS))/model  (mv.load reads it without data and recipe)"; \
	echo "try next:"; \
	echo "  $(BIN)/multiview train auto --data YOUR_FOLDER"; \
	echo "  $(BIN)/multiview embed $(firstword $(RUNS))/model YOUR_FOLDER vectors.parquet"; \
	echo "  $(BIN)/multiview search vectors.parquet YOUR_FOLDER/ONE_FILE --model $(firstword $(RUNS))/model --sheet found.png"; \
	echo "  make demo SEEDS=\"0 1 2\"   three seeds in one table"

test: $(VENV)/.dev ## run the tests in JOBS=2 processes (ARGS="-k name" selects some)
	@$(TESTS) $(ARGS)

test-slow: $(VENV)/.dev ## run all tests, also those that take minutes
	@$(TESTS) --runslow $(ARGS)

test-lowest: ## run the fast tests on the lowest versions that pyproject.toml declares, in .venv-lowest (ARGS)
	@$(PYTHON) -m venv .venv-lowest
	@.venv-lowest/bin/python -m pip install --disable-pip-version-check --quiet $$($(PYTHON) tests/lowest.py) \
	  pytest pytest-xdist hypothesis jaxtyping beartype scikit-image types-PyYAML transformers 'setuptools>=77'
	@.venv-lowest/bin/python -m pip install --disable-pip-version-check --quiet --no-deps -e .
	@env -u PYTHONDONTWRITEBYTECODE .venv-lowest/bin/python -m pytest -W default -n $(JOBS) --dist worksteal $(ARGS)

torture: $(VENV)/.dev ## kill runs, damage files, limit memory and disk for MINUTES=20 (SEED=N repeats a campaign, ARGS="--only run")
	@PYTHONPATH=tests $(BIN)/python -m torture --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

kills: $(VENV)/.dev ## kill N=1000 trainings at chosen moments, continue each, compare the end bit for bit (SEED=N repeats)
	@PYTHONPATH=tests $(BIN)/python -m torture.aimed --kills $(N) $(if $(SEED),--seed $(SEED)) $(ARGS)

lint: $(VENV)/.dev types ## run ruff (rules and format) and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev ## run mypy only
	$(BIN)/mypy

docs: $(VENV)/.docs ## build the documentation site into build/site; a broken link fails
	@$(BIN)/python docs/make_site.py
	@$(BIN)/zensical build --strict --clean

bench: $(VENV)/.dev ## run every benchmark, each with ARGS
	@set -e; count=0; \
	for file in $(filter-out benchmarks/_% benchmarks/evidence.py benchmarks/trifeature.py benchmarks/wall_time.py \
	    benchmarks/lightly_speed.py benchmarks/auto_on_data.py benchmarks/sweet_spot.py,$(wildcard benchmarks/*.py)); do \
	  [ -e "$$file" ] || continue; \
	  count=$$((count + 1)); echo "== $$file"; $(BIN)/python "$$file" $(ARGS); \
	done; \
	echo "$$count benchmarks ran"

bench-data: $(VENV)/.dev ## measure how fast pictures are loaded; fails when a target is missed (ARGS)
	@$(BIN)/python benchmarks/data.py $(ARGS)

bench-objectives: $(VENV)/.dev ## compare objectives with the originals: time, peak bytes, accuracy (ARGS="cmc moco" selects)
	@$(BIN)/python benchmarks/objectives.py $(ARGS)

bench-embed: $(VENV)/.dev ## measure `multiview embed` of 20,000 files beside its encoders alone (ARGS="PICTURES --kills 10")
	@$(BIN)/python benchmarks/embed.py $(ARGS)

bench-step: $(VENV)/.dev ## compare a training step with its bare encoders and a plain loop (ARGS="cmc_lab --samples 20000")
	@$(BIN)/python benchmarks/step.py $(ARGS)

bench-lightly: $(VENV)/.dev ## compare whole SimCLR runs with lightly, which must be installed (ARGS="--sizes 32")
	@$(BIN)/python benchmarks/lightly_speed.py $(ARGS)

bench-bank: $(VENV)/.dev ## compare a bank split over 1, 2 and 4 processes with a whole one: time, bytes, error (ARGS)
	@$(BIN)/python benchmarks/bank.py $(ARGS)

bench-draws: $(VENV)/.dev ## train CMC with each way to draw negatives, 5 seeds, and compare (ARGS="--data STORE")
	@$(BIN)/python benchmarks/_compare_draws.py $(ARGS)

evidence: $(VENV)/.dev ## test every claim of docs/evidence/claims.yaml, write docs/evidence.md (ARGS="--sets FOLDER", ARGS="draws --plan")
	@$(BIN)/python benchmarks/evidence.py $(ARGS)

bench-trifeature: $(VENV)/.dev ## what Cross, Cross + Self and CoMM keep of two pictures, 5 seeds (ARGS="--seconds 150")
	@$(BIN)/python benchmarks/trifeature.py $(ARGS)

wall-time: $(VENV)/.dev ## print where the wall time of the demo's run goes (ARGS="graph.yaml --steps 100" measures another run)
	@$(BIN)/python benchmarks/wall_time.py $(ARGS)

# Built from a copy: a build in the checkout leaves a folder *.egg-info, whose list of plugins grows old unnoticed.
wheel: $(VENV)/.dev ## build wheel and sdist into dist/ and check them
	@$(PIP) build twine
	@copy=$$(mktemp -d) && git ls-files -z | xargs -0 cp --parents --no-dereference -t $$copy && \
	  $(BIN)/python -m build --no-isolation --outdir dist $$copy && rm -rf $$copy
	@$(BIN)/twine check --strict dist/*

clean: ## remove .venv, caches and build output; keeps runs/ and data/
	rm -rf $(VENV) .venv-lowest build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Some systems have python3 without ensurepip (Debian without python3-venv). There, the installed pip installs pip.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "multiview needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@rm -f $(BIN)/python*
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null && $(PYTHON) -m venv $(VENV) || { \
	  $(PYTHON) -m venv --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $@ --disable-pip-version-check --quiet install pip; } || { \
	  echo "cannot make a virtual environment in $(VENV): see above;" \
	    "on Debian and Ubuntu: apt-get install python3-venv"; exit 1; } >&2

# Installs again when pyproject.toml or the interpreter is newer than the stamp file. `dev` includes what `demo` needs.
$(VENV)/.demo: pyproject.toml $(BIN)/python
	@$(call install,tensorboard)
	@touch $@

$(VENV)/.dev: pyproject.toml $(BIN)/python
	@$(call install,dev)
	@touch $(VENV)/.demo $@

$(VENV)/.docs: pyproject.toml $(BIN)/python
	@$(call install,docs)
	@touch $@

define install
start=$$(date +%s); \
echo "set-up: installing multiview-cmc[$(1)] into $(VENV); torch is large, the first time takes minutes ..."; \
$(PIP) -e '.[$(1)]' || exit $$?; \
echo "set-up: $$(($$(date +%s) - start)) s"
endef
