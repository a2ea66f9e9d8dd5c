# Everything a developer types. `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DOCS   ?=
EXTRAS := documents,mcp,ui,postgres,llm,http,docs,dev

.DEFAULT_GOAL := help
.PHONY: help install demo test check docs bench campaign screenshots clean

help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Set up .venv with the pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (a minute or two the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $(STAMP)

demo: export DOCS := $(DOCS)
demo: $(STAMP) ## Briefs of real documents, healed and explained (DOCS="a b.pdf c.html" for yours)
	@$(BIN)/python examples/demo.py

test: $(STAMP) ## The test suite (under five minutes)
	@$(BIN)/python -m pytest -n auto

check: $(STAMP) ## Lint, types and documentation: ruff, mypy strict, pyright strict, mkdocs strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/basedpyright --level error
	@$(BIN)/mkdocs build --quiet

docs: $(STAMP) ## The documentation as a site in build/site (a broken link fails)
	@$(BIN)/mkdocs build --quiet

bench: $(STAMP) ## Benchmarks, as ratios against peers in the same run
	@for f in benchmarks/[a-z]*.py; do echo "== $$f"; $(BIN)/python $$f || exit 1; done

campaign: $(STAMP) ## Long fault, crash and comparison runs
	@$(BIN)/python -m pytest -n auto -m campaign --timeout 3600

screenshots: $(STAMP) ## Remake the pictures in docs/
	@$(BIN)/python docs/screenshots.py

clean: ## Remove what the commands above made
	rm -rf $(VENV) .orchestrator build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
