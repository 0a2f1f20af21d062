# Every target works in a fresh clone and needs nothing before it but python3 (3.10 or newer), venv and make.

PYTHON ?= python3
VENV ?= .venv
OUT ?= .
ARGS ?=
# Of the device that `wheelhouse` is for.
MACHINE ?= aarch64
PYTHON_VERSION ?= 3.10
EXTRA ?= jetson

PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
REQUIREMENTS = pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo install test test-gpu lint format docs cards wheel-test sbom audit bench wheelhouse clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo "  Variables: PYTHON=$(PYTHON) VENV=$(VENV) OUT=folder of the demo's files, ARGS=more words for pytest or bench"

demo: $(VENV)/.dayshift-demo ## turn the bundled day clip to night: writes demo.mp4, demo.png, demo.json (no torch)
	@$(VENV)/bin/dayshift demo --out $(OUT)

install: $(VENV)/.dayshift-dev ## install everything for development, PyTorch included

test: $(VENV)/.dayshift-dev ## run the tests
	@$(VENV)/bin/python -m pytest $(ARGS)

test-gpu: $(VENV)/.dayshift-dev ## run the tests that need an NVIDIA GPU, with TensorRT from the extra or from JetPack
	@$(VENV)/bin/python -c 'import tensorrt, cuda.bindings' 2>/dev/null || $(PIP) --editable '.[tensorrt]'
	@$(VENV)/bin/python -m pytest -m gpu $(ARGS)

lint: $(VENV)/.dayshift-dev ## check format, style and types
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy --explicit-package-bases tests

format: $(VENV)/.dayshift-dev ## bring all files into shape
	$(VENV)/bin/ruff format
	$(VENV)/bin/ruff check --fix

docs: $(VENV)/bin/python ## build the site of docs/ into build/site; a broken link fails
	@$(VENV)/bin/python -c 'import material, mkdocstrings_handlers.python' 2>/dev/null || $(PIP) --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --quiet
	@echo "build/site/index.html" >&2

cards: $(VENV)/.dayshift-dev ## make models/README.md of what stands in the folders beside it
	@mkdir -p build && $(VENV)/bin/dayshift models --card > build/cards.md
	@mv build/cards.md models/README.md

wheel-test: ## build sdist and wheel, try the wheel alone in fresh environments of every Python that is here
	@.ci/wheel

sbom: $(VENV)/.dayshift-dev ## list what dayshift[headless,onnxruntime,provenance,update] brings along: sbom.json (CycloneDX)
	@rm -rf build/sbom && $(PYTHON) -m venv --without-pip build/sbom
	@$(VENV)/bin/python -m pip --python build/sbom/bin/python install --quiet --disable-pip-version-check \
		--constraint constraints.txt '.[headless,onnxruntime,provenance,update]'
	@$(VENV)/bin/cyclonedx-py environment build/sbom/bin/python --pyproject pyproject.toml \
		--mc-type application --output-reproducible --output-file $(OUT)/sbom.json

audit: $(VENV)/.dayshift-dev ## look the installed versions up among known vulnerabilities
	@$(VENV)/bin/pip-audit --skip-editable --progress-spinner off

bench: $(VENV)/.dayshift-dev ## measure day2night and CycleGAN's network here (minutes): bench.json, .html, .md
	@$(VENV)/bin/dayshift bench day2night day2night-lite resnet_9blocks --json bench.json --plot bench.html \
		--markdown bench.md $(ARGS)

wheelhouse: $(VENV)/bin/python ## collect all wheels for a device without a network: MACHINE, PYTHON_VERSION, EXTRA
	@deploy/wheelhouse.sh $(VENV)/bin/python wheelhouse $(MACHINE) $(PYTHON_VERSION) $(EXTRA)

clean: ## remove builds, caches and the demo's files; keeps the virtual environment
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	rm -f $(OUT)/demo.mp4 $(OUT)/demo.png $(OUT)/demo.json
	rm -f bench.json bench.html bench.md $(OUT)/sbom.json
	find benchmarks dayshift export models runtime tests train -name __pycache__ -prune -exec rm -rf {} +

# One environment serves both stamps: the development install contains all of the demo's.
$(VENV)/.dayshift-demo: $(REQUIREMENTS) | $(VENV)/bin/python
	@echo "installing dayshift into $(VENV) (once, without PyTorch)" >&2
	@$(PIP) --editable '.[headless]'
	@touch $@

$(VENV)/.dayshift-dev: $(REQUIREMENTS) | $(VENV)/bin/python
	@echo "installing dayshift with PyTorch and the development tools into $(VENV) (once, minutes)" >&2
	@$(PIP) --editable '.[headless,onnxruntime,webrtc,provenance,serving,train,export,dev]'
	@touch $(VENV)/.dayshift-demo $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "error: $(PYTHON) is missing or older than 3.10: install Python 3.10 or newer, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: $(PYTHON) cannot make a virtual environment: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
