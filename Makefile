# Targets, each of which works in a new clone:
#
# - `make demo` trains and compares a small model.
# - `make test` runs all checks and tests.
# - `make quick` runs the checks and the fast tests, while you edit.
# - `make lowest` runs the fast tests with the lowest allowed versions, after a change of requirements.
# - `make docs` builds the pages in `site`, and `make page` adds the web page that upscales photos in a browser.
# - `make release` builds the files of a release.
# - `make keys` writes the meanings of configuration keys, which the code has, into config.yaml and its page.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet -c constraints.txt
STATED := pyproject.toml constraints.txt
# Test files that train nothing, load no large network, and take less than ten seconds each by `pytest --durations=0`.
QUICK := @tests/quick.txt
LOWEST := .venv-lowest

.PHONY: demo test quick lowest style types docs page release keys clean

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

# LiteRT.js for the web page. Without npm the page's tests are skipped, and `make page` fails with a message.
web/node_modules: web/package-lock.json
	if command -v npm > /dev/null; then npm ci --silent --prefix web && touch $@; fi

# The environment is updated after each change of the requirements.
$(VENV)/.demo: $(STATED)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(PIP) -e '.[demo]'
	touch $@

$(VENV)/.docs: $(VENV)/.demo
	$(PIP) -e '.[docs]'
	touch $@

# spandrel requires torchvision, which the tests do not need and which does not exist for every version of PyTorch.
$(VENV)/.dev: $(VENV)/.demo
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps spandrel
	touch $@

# The lowest versions of direct requirements in pyproject.toml, resolved by uv, on the lowest version of Python.
$(LOWEST)/.quick: $(STATED)
	rm -rf $(LOWEST)
	python3.11 -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet -c constraints.txt uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -e '.[quick]'
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) site release web/node_modules
