# Tidemill. `make` alone prints this list; `make run` and `make test` need Python 3.11+ and nothing else.

# Programs tried in turn; the first that is new enough makes .venv. To choose one: make PYTHON=/path/to/python3 setup
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
BIN := .venv/bin
AT_ONCE := 2
BENCHMARKS := main_job host replay planner catalog
BENCH ?= $(BENCHMARKS)
CODE := tidemill orchestrators activities devhost tools pipelines durable_quick_replay.py function_app.py

.DEFAULT_GOAL := help
.PHONY: help setup run test check types scan conformance chaos differential proof bench pictures fmt lock clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  make run DETACH=1         run the main job, print its summary, stop"
	@echo "  make run PORT=8080        on a port of your choice (else 7071, or a free one)"
	@echo "  make run HOST=func        on Azure Functions Core Tools instead of the host in this checkout"
	@echo "  make run JOB='flights/gold.*'   another selection of assets"
	@echo "  make test ARGS='-k plan'  only some tests; ARGS go to pytest"
	@echo "  make test AT_ONCE=4       on so many processes (else 2)"
	@echo "  make bench BENCH=host     only one benchmark: $(BENCHMARKS)"

setup: ## Install everything, pinned and hashed; does nothing when nothing changed
	@for python in $(PYTHON); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then exec $$python -m tools.bootstrap; fi; \
	done; \
	echo "Tidemill needs Python 3.11 or newer; none of these is: $(PYTHON). Install one, or name it: make PYTHON=/path/to/python3 ..." >&2; exit 1

run: setup ## Start Azurite and the local host, run the main job, stay until Ctrl-C
	@$(BIN)/python -m tools.stack $(if $(DETACH),--detach) $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT)) $(if $(JOB),--job '$(JOB)')

# Hundreds of short processes are started, so what Python compiles is kept, even where that is switched off.
test: check scan ## Run the static checks and the scan, then the whole test-suite
	@seed=$${PYTHONHASHSEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; \
	echo "PYTHONHASHSEED=$$seed (set it to repeat this run)"; \
	PYTHONDONTWRITEBYTECODE= PYTHONHASHSEED=$$seed $(BIN)/python -m pytest -m "not conformance and not proof" -n $(AT_ONCE) --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup ## Lint, format, types, import rules, lock files: seconds
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory types
	@$(BIN)/lint-imports
	@$(BIN)/python -m tools.locks check

types: setup ## Check the types
	@$(BIN)/mypy --strict $(CODE) tests benchmarks

scan: setup ## Scan infra/ with checkov, offline
	@$(BIN)/python -m tools.scan

conformance: setup ## Hold the local host, or the one at HOST_URL, to what the real one does
	@HOST_URL=$(HOST_URL) $(BIN)/python -m pytest tests/conformance $(ARGS)

chaos: setup ## Kill host and workers 200 times, make storage fail, and check every history
	@$(BIN)/python -m pytest tests/chaos tests/devhost/durable/test_storage_faults.py -m proof -s $(ARGS)

differential: setup ## Compare the local host with durabletask's engine on thousands of generated orchestrations
	@$(BIN)/python -m pytest tests/differential -m proof -s $(ARGS)

proof: setup ## Every proof that takes minutes: chaos, differential, damage, readers during kills, laws on many examples
	@$(BIN)/python -m pytest -m proof -s $(ARGS)
	@TIDEMILL_TEST_FULL=1 $(BIN)/python -m pytest tests/property -m "not proof" -n $(AT_ONCE) $(ARGS)

bench: setup ## Measure speed and size, with a plain Python loop or a peer beside each figure
	@for each in $(BENCH); do echo "== $$each"; $(BIN)/python -m benchmarks.$$each $(ARGS) || exit 1; done

pictures: setup ## Draw the pictures of docs/concepts again, from real commands
	@$(BIN)/python -m tools.pictures

fmt: setup ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

lock: setup ## Resolve the dependencies again; pins that still fit stay
	@$(BIN)/python -m tools.locks update

clean: ## Remove state and set-up: .tidemill, .venv, Azurite, caches
	@for python in $(PYTHON); do if command -v $$python >/dev/null 2>&1; then exec $$python -m tools.clean; fi; done; \
	echo "Cleaning needs Python; none of these was found: $(PYTHON)." >&2; exit 1
