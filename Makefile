# `make` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile
.DEFAULT_GOAL := help
.PHONY: help install demo test test-all bench scores strategies adaptation tables quality

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# Made again when pyproject.toml changes; the stamp is written last, so a broken install is done again.
$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,test,quality]'
	touch $@

install: $(VENV)/.installed  ## make .venv and install this package with its demo and test extras

demo: $(VENV)/.installed  ## train a BiLSTM on a frozen encoder on the SMS Spam Collection, offline
	$(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no scripts/run_recipe.py text/lstm_frozen --demo

test: $(VENV)/.installed  ## the default test tier, ten to thirteen minutes on two cores
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow and not distributed and not hub and not gpu"

test-all: $(VENV)/.installed  ## every test this machine can run
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not gpu"

bench: $(VENV)/.installed  ## speed against the usual way, 40 minutes to an hour, into benchmarks/results/ and README
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/readme_table.py

scores: $(VENV)/.installed  ## scores of the demos, start-up time and memory, half an hour, into the same places
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/demo_scores.py
	$(BIN)/python benchmarks/readme_table.py

strategies: $(VENV)/.installed  ## which strategy wins with how many labels, hours, into docs/strategies.md
	$(BIN)/python benchmarks/strategies.py

adaptation: $(VENV)/.installed  ## which method helps across domains, hours, into docs/adaptation.md; needs npm for e-mails
	$(BIN)/python benchmarks/adaptation.py
	$(BIN)/python benchmarks/reweighting.py

tables: $(VENV)/.installed  ## measure precision, batch budgets and workers of this device, which the package holds, and profiles
	$(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/precision_extras.py
	$(BIN)/python benchmarks/budgets.py
	$(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/training_steps.py
	$(BIN)/python benchmarks/cpu_kernels.py
	$(BIN)/python benchmarks/profiles.py

quality: $(VENV)/.installed  ## lint and check the format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
