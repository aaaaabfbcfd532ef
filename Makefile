# Two commands: `make run` starts the service, `make test` checks everything; `make quick` does so in a minute, without
# what takes long, `make soak` at length, `make machines` on other machines.
# They need Python 3.11+ and make; uv is used when it is there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run quick test soak machines lock clean

# Without a .env, a Dify key and a model the service answers from docs/, so that it can be tried at once.
ifeq ($(wildcard .env),)
run: export RAG_PROVIDER ?= $(if $(DIFY_API_KEY),dify,$(if $(OPENAI_BASE_URL),openai,local))
run: export KNOWLEDGE_DIR ?= docs
run: export DEBUG_PAGES ?= true
endif
run: $(VENV)/.runtime
	@$(BIN)/python -m app

# While one works: no browser, no soak, no processes, few random examples.
quick: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/pytest -q -n 3 --dist worksteal -m "not slow and not machines" --hypothesis-profile quick

# Dozens of processes start in the tests: what is compiled once need not be compiled by each. Types are looked at beside the
# tests, on what these leave of the machine, and what is wrong with them is told at the end: by then there is little to do.
quick test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo "$(BIN)/mypy, beside the tests"; $(BIN)/mypy >/dev/null 2>&1 &
	$(BIN)/pytest --cov -n 4 --dist loadfile --no-loadscope-reorder
	@$(BIN)/mypy --no-error-summary

# Half an hour of mixed traffic, faults, lost sockets and nonsense; `make test` runs the same for seconds.
soak: $(VENV)/.dev
	WHOLE_MATRIX=1 $(BIN)/pytest -q -n 4 tests/wire/test_fault_matrix.py tests/wire/test_direct.py \
		tests/services/test_dify_events.py tests/models/test_bounds.py
	$(BIN)/pytest -q -n 4 -m hypothesis --hypothesis-profile searching
	$(BIN)/python -m tests.soak

# Before a release: both locks with an old pip, the image, a fresh clone on other Pythons, a busy machine. What it takes is
# in CONTRIBUTING.md; without it a part is skipped, and says why. PYTHON_IMAGE names the base of the image.
machines: $(VENV)/.dev
	$(BIN)/pytest -v -s -m machines tests/machines

# The lock files hold hashes and no addresses; what the image installs takes signed tokens, traces, PDF and Redis, too. Needs uv.
lock:
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--no-emit-index-url --extra jwt --extra otel --extra pdf --extra redis -o requirements.txt pyproject.toml
	uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--no-emit-index-url --group dev -o requirements-dev.txt pyproject.toml

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

$(BIN)/python:
	@if command -v uv >/dev/null; then uv venv -q --python $(PYTHON) $(VENV); else $(PYTHON) -m venv $(VENV); fi

# A stamp each: what a lock file lists is installed once, and again when the lock changes. The lock is complete:
# with --no-deps nothing that was released since can change what is installed.
$(VENV)/.runtime: requirements.txt | $(BIN)/python
	@echo "Installing what requirements.txt lists into $(VENV) ..."
	@if command -v uv >/dev/null; then uv pip install -q --python $(BIN)/python --no-deps --require-hashes -r $<; \
		else $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<; fi
	@touch $@

$(VENV)/.dev: requirements-dev.txt | $(BIN)/python
	@echo "Installing what requirements-dev.txt lists into $(VENV) ..."
	@if command -v uv >/dev/null; then uv pip install -q --python $(BIN)/python --no-deps --require-hashes -r $<; \
		else $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r $<; fi
	@touch $@
