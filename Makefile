# Two commands on a fresh machine: make demo, make test. Python >= 3.11, git and make are all they need to find there.
.DEFAULT_GOAL := help
.PHONY: help demo smoke test torture check bench docs live lock witness chromium clean run-env dev-env

N ?= 2
ARGS ?=
PY := .venv/bin/python
# The suite starts hundreds of Python processes; without bytecode files each would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE
WITNESSES := hf-2.0 hf-2 hf-1

# The Python that looks after the environments: the one in .venv, unless another is named or none is there yet.
BOOTSTRAP = python=$$(if [ -z "$(PYTHON)" ] && [ -x $(PY) ]; then echo $(PY); else PYTHON="$(PYTHON)" sh tools/find-python.sh; fi) \
	&& "$$python" tools/bootstrap.py

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

demo: run-env ## a local Hub with invented people, and the first decisions: no token, no network
	@.venv/bin/hf-gate demo

smoke: run-env ## the same story, played by itself; exit 0 when it ends as it should
	@.venv/bin/hf-gate demo --script

# worksteal: a process gets tests that stand side by side, and seldom makes a fixture of a module that another made.
test: dev-env witness chromium ## the whole suite; ARGS="-k ledger" for a part, N=4 for more processes
	@HF_GATE_TEST_PROFILE=ci $(PY) -m pytest -n $(N) --dist worksteal $(ARGS)

torture: dev-env witness chromium ## the same properties with larger numbers; PART=kills for one part (tools/torture.py)
	@$(PY) tools/torture.py -n $(N) $(if $(PART),--part $(PART)) -- $(ARGS)

check: dev-env ## format, lint, types, layers, house tests
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy $(wildcard src tests tools bench)
	@$(PY) -m mypy --platform win32 --cache-dir .mypy_cache/win32 src
	@.venv/bin/lint-imports
	@$(PY) -m pytest -q tests/house

bench: dev-env witness ## side by side with huggingface_hub on the local Hub
	@if [ -d bench ]; then $(PY) -m bench $(ARGS); else echo "make: there is no bench/ in this checkout yet" >&2; exit 2; fi

docs: dev-env ## write the generated pages and tables anew
	@if [ -f tools/docs.py ]; then $(PY) tools/docs.py $(ARGS); else echo "make: there is no tools/docs.py in this checkout yet" >&2; exit 2; fi

live: run-env ## opt-in, against your own sandbox on the real Hub: make live REPO=datasets/you/sandbox
	@if [ -z "$(REPO)" ]; then echo "make: name a gated repo of your own that may be changed: make live REPO=datasets/you/sandbox" >&2; exit 2; fi
	@if [ -f tools/live.py ]; then $(PY) tools/live.py "$(REPO)" $(ARGS); else echo "make: there is no tools/live.py in this checkout yet" >&2; exit 2; fi

lock: ## write requirements/*.txt anew (ARGS=--upgrade for the newest of everything); needs uv, or fetches it
	@sh tools/lock.sh $(ARGS)

witness: dev-env ## the environments with huggingface_hub 2.0.0, the newest 2.x and the newest 1.x
	@for name in $(WITNESSES); do $(PY) tools/bootstrap.py .venv-witness/$$name requirements/witness-$$name.txt || exit 1; done

chromium:
	@sh tools/chromium.sh

clean: ## remove what make made
	rm -rf .venv .venv-witness build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

run-env:
	@$(BOOTSTRAP) .venv requirements/run.txt --with-checkout

dev-env:
	@$(BOOTSTRAP) .venv requirements/dev.txt --with-checkout
