# The whole project in a few words. Needs Python 3.11 or newer and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
DEMO := painted

.PHONY: demo test check bench-norm bench-gpu clean

demo: $(READY)
	$(BIN)/stylize apply woodblock samples/photos --output $(DEMO) --overwrite
	@echo "The pictures are in $(CURDIR)/$(DEMO)"

test: $(READY)
	$(BIN)/python -m pytest --numprocesses logical --durations 20

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-norm: $(READY)
	$(BIN)/python bench/instance_norm.py

bench-gpu: $(READY)
	$(BIN)/python bench/gpu.py --minutes 8

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[dev,test]"
	touch $@
