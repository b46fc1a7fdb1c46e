# Needs make and Python 3.11 or newer with venv; nothing else.
#   make demo                       the embedded example, from nothing to masks
#   make demo BIDS=/data OUT=/out   the same for your own dataset
#   make test                       style, types, tests
#   make audit                      known holes of the pinned packages (needs PyPI's advisories)
# PYTHON=python3.12 picks the interpreter, EXTRAS=dev leaves torch and the training tests out;
# pip's own PIP_* variables are honoured.
.POSIX:
.SUFFIXES:

PYTHON = python3
EXTRAS = dev,train
BIDS =
OUT =
VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --disable-pip-version-check --quiet
RAW = demo/raw
TRUTH = $(RAW)/derivatives/truth

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/package
	@bids='$(BIDS)'; out='$(OUT)'; \
	if [ -z "$$bids" ]; then \
	    bids=$(RAW); \
	    if [ ! -e $(RAW)/.complete ]; then \
	        echo 'drawing the example into $(RAW)'; \
	        rm -rf $(RAW) && $(BIN)/python -m bids_strip.example $(RAW) && : > $(RAW)/.complete; \
	    fi || exit 1; \
	fi; \
	out=$${out:-demo/out}; \
	$(BIN)/bids_strip "$$bids" "$$out" participant && \
	$(BIN)/bids_strip "$$bids" "$$out" group || exit 1; \
	if [ "$$bids" = $(RAW) ]; then \
	    $(BIN)/python -m benchmarks.accuracy "$$out" --truth $(TRUTH) --minimum-dice 0.95 || exit 1; \
	fi; \
	echo; echo 'Open:'; \
	find "$$out" -maxdepth 1 -name '*.html' | sort; \
	find "$$out" -name '*_desc-brain*_mask.nii.gz' | sort

test: $(VENV)/development
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest

# Dependency not found: no advisories could be had, the pin is not audited
audit: $(VENV)/created
	$(PIP) pip-audit
	$(BIN)/python -m pip_audit --strict --no-deps --disable-pip --requirement constraints.txt

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .pytest_cache .ruff_cache

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo 'make: $(PYTHON) is absent or older than 3.11; give PYTHON=python3.11 or newer' >&2; \
	    exit 1; }
	$(PYTHON) -m venv $(VENV)
	@: > $@

# installed anew only when a source is newer than the installation
$(VENV)/package: $(VENV)/created always
	@if [ ! -e $@ ] || [ -n "$$(find bids_strip pyproject.toml constraints.txt \
	        -type f ! -name '*.pyc' -newer $@)" ]; then \
	    echo 'installing bids_strip into $(VENV)'; \
	    $(PIP) --constraint constraints.txt . && : > $@; \
	fi

$(VENV)/development: $(VENV)/package pyproject.toml constraints.txt tests/readers.txt
	@if [ ! -e $@ ] || [ -n "$$(find pyproject.toml constraints.txt tests/readers.txt Makefile \
	        -newer $@)" ]; then \
	    echo 'installing the tools of $(EXTRAS) into $(VENV)'; \
	    $(PIP) --constraint constraints.txt '.[$(EXTRAS)]' \
	        && $(PIP) --no-deps --requirement tests/readers.txt && : > $@; \
	fi

always:

.PHONY: help demo test audit clean always
