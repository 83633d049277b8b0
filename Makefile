# make demo    train LORS-AdaMixer on a synthetic set, evaluate it, draw pictures
# make test    lint, format check, types and tests
# make lint    the first three alone
# make setup   the environment .venv, which the others make once too: about three minutes, 5 GB
# make clean   remove .venv, the demo's work and caches
#
# To use an environment of your own instead: make test PY=/path/to/python
# (see "Your own environment" in README.md).

PYTHON ?= python3
VENV ?= .venv
export OMP_NUM_THREADS ?= $(shell nproc 2>/dev/null || echo 2)

ifdef PY
READY :=
else
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
endif

.PHONY: help demo test lint setup clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' $(firstword $(MAKEFILE_LIST))

setup: $(READY)

demo: $(READY)
	$(PY) tools/demo.py

# tensors are tiny, and as many processes run as there are cores
test: export OMP_NUM_THREADS = 1
test: lint
	$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' || \
		{ echo "error: the pinned set is for Python 3.10 to 3.12; name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV) (about three minutes, 5 GB) ..."
	$(PYTHON) -m venv $(VENV)
	@# not quiet: PyTorch alone takes minutes
	$(VENV)/bin/python -m pip install --disable-pip-version-check -r requirements.txt
	@# a machine without a display may lack OpenCV's window libraries; the headless build needs none
	$(VENV)/bin/python -c 'import cv2' 2>/dev/null || $(VENV)/bin/python -m pip install --quiet \
		--disable-pip-version-check --no-deps --force-reinstall \
		$$(sed -n 's/^opencv-python==/opencv-python-headless==/p' requirements.txt)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf $(VENV) work_dirs/demo data/shapes .pytest_cache .ruff_cache
