# Every target sets up what it needs. Python parts go into .venv; system packages come through apt
# where that is possible, else a message says what to install.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test lint bench certificates dev clean system system-test

demo: $(STAMP) system
	$(BIN)/opjudge demo $(if $(EXIT),--exit)

test: $(STAMP) system-test lint
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) system
	$(BIN)/python -m tests.bench all $(if $(QUICK),--quick)

# After an edit of a bundled problem's operator, timed workloads, tolerance or reference.
certificates: $(STAMP) system
	for problem in problems/*/; do $(BIN)/opjudge problem verify $$problem || exit 1; done

dev: $(STAMP) system
	$(BIN)/opjudge up

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "opjudge needs Python 3.11 or newer; set PYTHON=python3.x"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# The CPU build of torch first: a looser request would pull gigabytes of CUDA.
	$(BIN)/pip install --quiet torch==$$(sed -n 's/^torch==//p' constraints.txt)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

# What pip cannot bring: a C++ compiler, and PostgreSQL for the tests.
system:
	@sh .ci/system g++ postgresql

# The tests of the docker back end need an engine and make their own image; nothing else does.
system-test: system
	@sh .ci/system docker.io docker-compose iproute2 redis-server runsc debootstrap systemd

clean:
	rm -rf $(VENV) .opjudge .pytest_cache .mypy_cache .ruff_cache
