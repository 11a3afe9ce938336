# Makes the environment and calls Python; `dmlteach --help` does everything else, on Windows too.
#   make course                      own environment in .venv
#   make test PYTHON=/path/to/python an existing environment; nothing is installed into it

SYSTEM_PYTHON ?= python3
JOBS ?= 2
EXTRAS := all dev
PACKAGE := .[all,dev]

ifdef PYTHON
  READY := existing-environment
else
  override PYTHON := .venv/bin/python
  READY := .venv/.installed
endif

# The lock file is for Linux on x86-64; elsewhere pip chooses by pyproject.toml.
ifeq ($(shell uname -sm),Linux x86_64)
  REQUIREMENTS := -r requirements.lock
else
  REQUIREMENTS := -e "$(PACKAGE)"
endif

# Python compiles what it imports; compiling all 17,000 files of the packages first would take a minute more.
PIP_OPTIONS := --quiet --disable-pip-version-check --no-compile

.PHONY: help course test lab figures report bundle bench clean existing-environment
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

course: $(READY)  ## execute all notebooks, render the site: build/course/index.html
	$(PYTHON) -m dmlteach course

test: $(READY)  ## all tests, two at a time, one thread each
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n $(JOBS) --dist worksteal

lab: $(READY)  ## JupyterLab at notebooks/start_here.ipynb
	$(PYTHON) -m dmlteach lab

figures: $(READY)  ## redraw the figures whose code or input changed
	$(PYTHON) -m dmlteach figures

report: $(READY)  ## an executed report; e.g. make report ARGS="--dataset cub200 --root DIR"
	$(PYTHON) -m dmlteach report $(ARGS)

bundle: $(READY)  ## one archive for rooms without a network; tells its size and asks first
	$(PYTHON) -m dmlteach bundle $(ARGS)

bench: $(READY)  ## speed, as ratios, on this machine
	$(PYTHON) -m benchmarks $(ARGS)

clean:  ## remove what was built; keeps .venv and runs/
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/.installed: pyproject.toml requirements.lock
	@$(SYSTEM_PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	  echo "dmlteach needs Python 3.11 or newer and its venv module; name one: make SYSTEM_PYTHON=python3.12 …" >&2; \
	  exit 1; }
	@test -x .venv/bin/pip || $(SYSTEM_PYTHON) -m venv .venv || { \
	  echo "no environment could be made; on Debian and Ubuntu: apt install python3-venv" >&2; rm -rf .venv; exit 1; }
	$(PYTHON) -m pip install $(PIP_OPTIONS) $(REQUIREMENTS)
	$(PYTHON) -m pip install $(PIP_OPTIONS) --no-deps -e .
	@touch $@

existing-environment:
	@$(PYTHON) -m dmlteach.doctor $(EXTRAS)
