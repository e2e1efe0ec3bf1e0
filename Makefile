# The project's front doors; each starts with `make setup`, which takes a blink when nothing changed.

PYTEST_ARGS ?= -n 2 --dist worksteal
UP_ARGS ?=
BENCH_ARGS ?=

# what the shell has for another project is not meant for this one
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help setup ready up down test check generate bench

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## get uv if it is missing, install the locked packages into .venv
	@scripts/setup

ready:
	@scripts/setup --quiet

up: ready ## run TaskFlow here; Ctrl-C ends it (DETACH=1: in the background)
	@exec .venv/bin/taskflow up $(if $(DETACH),--detach) $(UP_ARGS)

down: ready ## end what `make up DETACH=1` started
	@exec .venv/bin/taskflow down

test: ready ## all tests that this machine can run (PYTEST_ARGS="-n 2")
	@exec .venv/bin/python -m pytest $(PYTEST_ARGS)

check: ready ## format, lint, types, import contracts, generated files, workflows, scripts
	@exec .venv/bin/python scripts/check.py

generate: ready ## write the generated files under docs/ again
	@exec .venv/bin/python scripts/check.py --generate

bench: ready ## how fast the queue is on this machine (BENCH_ARGS="--json FILE")
	@exec .venv/bin/taskflow bench queue $(BENCH_ARGS)
