# The two commands of the README, each from a bare clone: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet -c constraints.txt
STATED := pyproject.toml constraints.txt

.PHONY: demo test clean

demo: $(VENV)/.demo
	$(VENV)/bin/python examples/demo.py

test: $(VENV)/.dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Reinstalled whenever what is to be installed changes.
$(VENV)/.demo: $(STATED)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(PIP) -e '.[demo]'
	touch $@

# spandrel asks for torchvision too, which no network of ours needs and which is not built for every PyTorch.
$(VENV)/.dev: $(VENV)/.demo
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps spandrel
	touch $@

clean:
	rm -rf $(VENV)
