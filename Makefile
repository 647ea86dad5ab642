# Two commands set everything up: `make demo` and `make test`. Both install into .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A file per set of extras says that it is installed; a change of what is needed installs again.
NEEDS := pyproject.toml setup.cfg constraints.txt

.PHONY: help demo demo-quick test coverage lint docs notebooks scatter clean

help:
	@echo 'make demo        install, train on real data, write report/index.html (under 5 minutes after the install)'
	@echo 'make test        install, check style, run all tests'
	@echo 'make demo-quick  the demo with one epoch of everything: does it run?'
	@echo 'make coverage    the tests, and which lines of the package they leave out'
	@echo 'make docs        install, build docs/_build/index.html; needs no network after the install'
	@echo 'make notebooks   install, execute examples/notebooks in place (a few minutes)'
	@echo 'make scatter     compile the optional torch_scatter (5 to 9 minutes)'
	@echo 'make clean       remove .venv, reports and caches of this folder'

$(VENV)/.demo: $(NEEDS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[demo]'
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test]'
	touch $@

demo: $(VENV)/.demo
	$(BIN)/drin-pyg demo --out report
	@echo
	@echo 'A mention of your own: the text alone would say "bird", the picture decides.'
	$(BIN)/drin-pyg link report/best --sentence 'A white bird with a long neck swam on the lake.' \
		--mention bird --image examples/swan.png -q

demo-quick: $(VENV)/.demo
	$(BIN)/drin-pyg demo --out report --quick -q

lint: $(VENV)/.test
	$(BIN)/ruff check .

test: lint
	$(BIN)/python -m pytest -n auto

coverage: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --cov --cov-report=term-missing:skip-covered

$(VENV)/.docs: $(VENV)/.demo
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	touch $@

# -E: what the pages are made of (the commands, what is public) is not in the files that Sphinx watches.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -E -W --keep-going -b html docs docs/_build
	@echo 'Written: docs/_build/index.html'

notebooks: $(VENV)/.test
	$(BIN)/python examples/notebooks/execute.py

scatter: $(VENV)/.demo
	$(BIN)/python -m pip install -c constraints.txt setuptools wheel
	$(BIN)/python -m pip install --no-build-isolation -c constraints.txt '.[scatter]'

clean:
	rm -rf $(VENV) report docs/_build docs/notebooks docs/jupyter_execute build dist .pytest_cache .ruff_cache *.egg-info
