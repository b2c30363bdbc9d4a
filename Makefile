# Start with `make demo` or `make test`. They need Python >= 3.11, git and make.
.DEFAULT_GOAL := help
.PHONY: help demo smoke test test-pythons torture check bench docs site demo-site night live lock dist audit witness chromium clean run-env dev-env docs-env release-env

N ?= 3
ARGS ?=
PY := .venv/bin/python
# The tests start hundreds of Python processes; without bytecode files each of them would compile the sources.
unexport PYTHONDONTWRITEBYTECODE
WITNESSES := hf-2.0 hf-2 hf-1

# The Python that makes the environments: PYTHON if given, else that of .venv, else the first that is found.
BOOTSTRAP = python=$$(if [ -z "$(PYTHON)" ] && [ -x $(PY) ]; then echo $(PY); else PYTHON="$(PYTHON)" sh tools/find-python.sh; fi) \
	&& "$$python" tools/bootstrap.py

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: run-env ## start a local Hub with invented people and make the first decisions; no token, no network
	@.venv/bin/hf-gate demo

smoke: run-env ## run the demo without a person; exits 0 when it succeeds
	@.venv/bin/hf-gate demo --script

# worksteal: a process gets neighbouring tests, so fixtures of a module are seldom made twice.
test: dev-env witness chromium ## run all tests; ARGS="-k ledger" runs a part, N=4 uses more processes than 3
	@HF_GATE_TEST_PROFILE=ci $(PY) -m pytest -n $(N) --dist worksteal $(ARGS)

test-pythons: dev-env ## test the wheel on the oldest 3.11, 3.12 and 3.13 of this machine; ONLY=3.12 tests one, WHOLE=1 all with both sets
	@$(PY) tools/pythons.py -n $(N) $(addprefix --only ,$(ONLY)) $(if $(WHOLE),--whole) -- $(ARGS)

torture: dev-env witness chromium ## run the property tests with larger numbers; PART=kills runs one part (tools/torture.py)
	@$(PY) tools/torture.py -n $(N) $(if $(PART),--part $(PART)) -- $(ARGS)

check: dev-env docs-env ## check format, lint, types, rooms, house rules and the site of the documentation
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy $(wildcard src tests tools bench)
	@$(PY) -m mypy --platform win32 --cache-dir .mypy_cache/win32 src
	@.venv/bin/lint-imports
	@$(PY) -m pytest -q tests/house
	@.venv-docs/bin/python tools/site/build.py

bench: dev-env witness ## measure, and compare with huggingface_hub on the local Hub
	@if [ -d bench ]; then $(PY) -m bench $(ARGS); else echo "make: this checkout has no bench/" >&2; exit 2; fi

docs: dev-env ## regenerate pages and tables
	@if [ -f tools/docs.py ]; then $(PY) tools/docs.py $(ARGS); else echo "make: this checkout has no tools/docs.py" >&2; exit 2; fi

site: docs-env ## build the web site of the documentation into build/site; a warning is an error
	@.venv-docs/bin/python tools/site/build.py

demo-site: dev-env ## write the desk of the demo into build/demo-site, as pages for a static host that can only be read
	@$(PY) tools/site/demo.py

night: dev-env ## play the bad nights of docs/messages.md and docs/more-machines.md, and write what arrives
	@$(PY) tools/night.py
	@$(PY) tools/machines_night.py

live: run-env ## test against your own sandbox on the real Hub: make live REPO=datasets/you/sandbox
	@if [ -z "$(REPO)" ]; then echo "make: name a gated repo of your own that may be changed: make live REPO=datasets/you/sandbox" >&2; exit 2; fi
	@if [ -f tools/live.py ]; then $(PY) tools/live.py "$(REPO)" $(ARGS); else echo "make: this checkout has no tools/live.py" >&2; exit 2; fi

lock: ## regenerate requirements/*.txt (ARGS=--upgrade for the newest versions); installs uv if needed
	@sh tools/lock.sh $(ARGS)

dist: dev-env release-env ## build wheel and sdist twice, compare them, and list the packages, into dist/
	@$(PY) tools/release.py

# --strict: a package that cannot be looked up fails the audit.
audit: release-env ## look up the locked packages in the database of known vulnerabilities; needs the network
	@for file in run image docs dev; do .venv-release/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/$$file.txt || exit 1; done

witness: dev-env ## make environments with huggingface_hub 2.0.0, the newest 2.x and the newest 1.x
	@for name in $(WITNESSES); do $(PY) tools/bootstrap.py .venv-witness/$$name requirements/witness-$$name.txt || exit 1; done

chromium:
	@sh tools/chromium.sh

clean: ## remove everything that make made
	rm -rf .venv .venv-docs .venv-release .venv-witness .venv-pythons build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

run-env:
	@$(BOOTSTRAP) .venv requirements/run.txt --with-checkout

dev-env:
	@$(BOOTSTRAP) .venv requirements/dev.txt --with-checkout

docs-env:
	@$(BOOTSTRAP) .venv-docs requirements/docs.txt --with-checkout

release-env:
	@$(BOOTSTRAP) .venv-release requirements/release.txt
