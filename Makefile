# `make` alone prints this list.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11; do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
PY := $(VENV)/bin/python
ARGS ?=
RUNS ?=
.DEFAULT_GOAL := help
.PHONY: help setup train test test-extras soak mutants lint smoke tables figures report rde gpu-check benchmarks docs lock clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# The lock is the only input: an environment newer than it is used as it is.
$(VENV)/.ready: requirements.lock
	@test -n "$(PYTHON)" || { echo "stepbench needs Python 3.11 to 3.13, and found none: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check uv
	@$(PY) -m uv pip install --quiet --require-hashes -r requirements.lock
	@touch $@

setup: $(VENV)/.ready ## make .venv from requirements.lock

train: setup ## one run: make train ARGS="optimizer=adamw data=fashion_mnist"
	@$(PY) train.py $(if $(ARGS),$(ARGS),optimizer=sing model=resnet18)

lint: setup ## ruff and mypy
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy

test: lint ## lint and the whole test suite, under 15 minutes on 2 cores
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist worksteal -m "not soak and not extras and not gpu"

test-extras: setup ## tests of the optional extras (installs them)
	@$(PY) -m uv pip install --quiet --python $(PY) tensorboard "submitit>=1.5.4" "ray>=2.50" "optuna>=5" hydra-joblib-launcher \
		adamp pytorch-optimizer schedulefree lightning accelerate transformers expecttest adabelief-pytorch
	@$(PY) -m pytest -q -m extras

soak: setup ## hours: every optimizer resumed everywhere, a hundred kills
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -s -m soak

mutants: setup ## plant bugs in optim/ and see that the suite catches each
	@$(PY) -m tests.optim.mutations

smoke: setup ## run a few tables on synthetic data in the real formats
	@for table in rmsgd_1a adamsrt_2; do $(PY) -m sweep run $$table --scale smoke --jobs 2 || exit $$?; done

tables: setup ## every table that the store can fill: CSV, Markdown, LaTeX, HTML
	@$(PY) -m reports tables $(ARGS)

figures: setup ## every figure that the store can fill, and the papers' analyses
	@$(PY) -m reports analyse all || [ $$? -eq 2 ] # 2: a number of a paper was missed, which is said, and no reason to stop
	@$(PY) -m reports figures $(ARGS)

report: setup ## tables, figures and one HTML page in build/
	@$(PY) -m reports report $(ARGS)

rde: setup ## RDE's samples and targets, and the predictions of runs: make rde RUNS="runs/..."
	@$(PY) -m reports analyse rde_sheet --scale paper $(RUNS:%=--run %)

gpu-check: setup ## does the suite work on this GPU? one table: make gpu-check ARGS="--device cpu" tries the command
	@$(PY) -m benchmarks.gpu $(ARGS)

benchmarks: setup ## speed, side by side with peers, and how cost grows: JSON, figures and a page in build/benchmarks
	@for name in optimizers input train start growth page; do $(PY) -m benchmarks.$$name || exit $$?; done

# An environment of its own: the pages need neither torch nor the rest of .venv.
DOCS := build/docs-env
$(DOCS)/.ready: requirements-docs.lock
	@test -n "$(PYTHON)" || { echo "stepbench needs Python 3.11 to 3.13, and found none: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	@touch $@

docs: $(DOCS)/.ready ## the documentation site, in build/site
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --quiet --strict --site-dir build/site
	@echo build/site/index.html

LOCK := -m uv pip compile --quiet --universal --generate-hashes --no-header
lock: setup ## requirements*.lock from pyproject.toml; what is pinned stays where it can
	@$(PY) $(LOCK) --extra suite --extra dev pyproject.toml --output-file requirements.lock
	@$(PY) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*p["optional-dependencies"]["docs"], sep="\n")' \
		| $(PY) $(LOCK) --python-version 3.11 --constraint requirements.lock - --output-file requirements-docs.lock

clean: ## remove what can be made again: build/, caches (runs/ and datasets/ stay)
	@rm -rf build .pytest_cache .ruff_cache .mypy_cache
