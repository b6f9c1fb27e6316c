# From a bare clone: `make demo` and `make test`, as the README has them; `make quick` for those who edit; `make lowest`
# for those who change what is required; `make docs` builds the pages, and `make page` beside them the one that enlarges
# in a browser; `make release` builds what is published; `make keys` writes what the annotations of the configuration's
# keys say into config.yaml and the page on it.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet -c constraints.txt
STATED := pyproject.toml constraints.txt
# By `pytest --durations=0`: files that train nothing, open no large network, and take less than ten seconds each.
QUICK := @tests/quick.txt
LOWEST := .venv-lowest

.PHONY: demo test quick lowest style prose types docs page release keys clean

demo: $(VENV)/.demo
	$(VENV)/bin/python examples/demo.py

test: style types web/node_modules
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

quick: style types
	$(VENV)/bin/python -m pytest -q $(QUICK)

lowest: $(LOWEST)/.quick
	$(LOWEST)/bin/python -m pytest -q $(QUICK)

style: $(VENV)/.dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

prose: $(VENV)/.dev
	$(VENV)/bin/python docs/prose.py

types: $(VENV)/.dev
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy --platform darwin
	$(VENV)/bin/mypy --platform win32

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

page: $(VENV)/.dev web/node_modules
	rm -rf site/try
	TF_CPP_MIN_LOG_LEVEL=3 $(VENV)/bin/python -m esrgan_tf.web.browser_page site/try web/node_modules

release: $(VENV)/.dev
	rm -rf release
	$(VENV)/bin/python -m pip wheel --quiet --no-deps -w release .
	TF_CPP_MIN_LOG_LEVEL=3 $(VENV)/bin/python -m esrgan_tf.publish.release release

keys: $(VENV)/.demo
	$(VENV)/bin/python docs/keys.py

# LiteRT.js for the page. Without npm its tests are skipped, and `make page` says what is lacking.
web/node_modules: web/package-lock.json
	if command -v npm > /dev/null; then npm ci --silent --prefix web && touch $@; fi

# Reinstalled whenever what is to be installed changes.
$(VENV)/.demo: $(STATED)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(PIP) -e '.[demo]'
	touch $@

$(VENV)/.docs: $(VENV)/.demo
	$(PIP) -e '.[docs]'
	touch $@

# spandrel asks for torchvision too, which no network of ours needs and which is not built for every PyTorch.
$(VENV)/.dev: $(VENV)/.demo
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps spandrel
	touch $@

# The lowest versions of direct requirements that pyproject.toml allows, resolved by uv, on the lowest Python.
$(LOWEST)/.quick: $(STATED)
	rm -rf $(LOWEST)
	python3.11 -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet -c constraints.txt uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -e '.[quick]'
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) site release web/node_modules
