# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make setup       everything a fresh Debian 12 machine lacks: packages, .venv, the C build
#   make test        every check there is
#   make test-fast   what to run before every commit
#   make test-debug  tests of guests on a kernel with its own checks, which is built for it
#   make kernel      kernels and modules of the guests: minutes at first, then they are in the user's cache
#   make model       the protocol's models
#   make demo        two guests, with and without tmem: what is saved, in minutes
#   make bench       what operations cost; BENCH=service: over a socket. BENCH_ARGS: arguments of the command
#   make format      formats C and Python
#   make clean       removes what was built; .venv stays

PYTHON ?= python3
JOBS ?= 2
FUZZ_RUNS ?= 3000
VARIANTS ?= release debug asan tsan swap
PYTEST_ARGS ?=
BENCH ?= engine
BENCH_ARGS ?=

BIN := .venv/bin
# The name that CPython gives an extension of the stable ABI.
EXTENSIONS := host/tmem_host/native/_engine.abi3.so shim/tmem_shim/_shim.abi3.so
STUBS := $(EXTENSIONS:.abi3.so=.pyi)

HEADERS := $(shell find c -name '*.h')
SOURCES := $(shell find c -name '*.c' ! -path '*/kernel/*' ! -path 'c/kmod/*')
BINDINGS := $(wildcard scripts/bindings/*.py)

# What git knows or would add; the checks look at these.
FILES := git ls-files --cached --others --exclude-standard --deduplicate
# (the headers of the models are Promela)
C_FILES = $(FILES) -- '*.c' '*.h' ':!tests/model'
SHELL_FILES = $(FILES) | xargs grep -lsE '^\#!.*\b(ba)?sh\b'

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: setup debian-packages test test-vm test-provision test-clusters test-host test-fast test-debug lint test-c test-fuzz model kernel demo bench format clean

define heading
@printf '\n== %s\n' '$(1)'
endef

# ---- setup ---------------------------------------------------------------------------------

setup: debian-packages .venv/.installed $(EXTENSIONS) $(STUBS)

debian-packages:
	@scripts/setup-debian

# Python compiles what is imported when it is; all of it would take a quarter of the time.
.venv/.installed: pyproject.toml | debian-packages
	@echo 'setup: .venv'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "setup: Python 3.11 or newer is needed; name it with PYTHON=...")'
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check --no-compile --editable '.[test,dev]'
	@touch $@

$(EXTENSIONS) &: setup.py c/cflags $(HEADERS) $(SOURCES) $(BINDINGS) | .venv/.installed
	@echo 'setup: $(notdir $(EXTENSIONS))'
	@$(BIN)/python setup.py --quiet build_clib build_ext --inplace
	@touch $(EXTENSIONS)

host/%.pyi: $(HEADERS) $(BINDINGS) | .venv/.installed
	@PYTHONPATH=scripts $(BIN)/python -m bindings.stub host $@

shim/%.pyi: $(HEADERS) $(BINDINGS) | .venv/.installed
	@PYTHONPATH=scripts $(BIN)/python -m bindings.stub shim $@

# ---- checks --------------------------------------------------------------------------------

# Guests have one processor each, and often wait for clocks, so two halves run at the same time; they
# take about as long as each other where the kernels have to be built first.
test: setup lint
	@$(BIN)/python scripts/side_by_side.py \
		'$(MAKE) --no-print-directory test-vm' \
		'$(MAKE) --no-print-directory --keep-going test-c test-fuzz model test-host test-provision test-clusters'

# What boots guests or builds what they are made of; test-vm has the rest of tests/vm.
CLUSTER_TESTS := tests/vm/torture $(wildcard tests/vm/test_experiment*.py) tests/vm/test_ocfs2.py
PROVISION_TESTS := tests/kmod tests/provision/image tests/provision/kernel \
	$(patsubst %,tests/vm/test_%.py,cleaning inside life network)
ELSEWHERE := $(filter tests/vm/%,$(CLUSTER_TESTS) $(PROVISION_TESTS))
test-vm: kernel
	$(call heading,guests)
	@$(BIN)/pytest $(PYTEST_ARGS) tests/vm $(ELSEWHERE:%=--ignore=%)

test-provision: kernel
	$(call heading,guests: what they are made of and provisioned with)
	@$(BIN)/pytest $(PYTEST_ARGS) $(PROVISION_TESTS)

test-clusters: kernel
	$(call heading,guests: clusters and experiments)
	@$(BIN)/pytest $(PYTEST_ARGS) $(CLUSTER_TESTS)

test-host: setup
	$(call heading,Python tests)
	@$(BIN)/pytest $(PYTEST_ARGS) --ignore=tests/vm $(PROVISION_TESTS:%=--ignore=%)

# Without guests, the tests that say that they are slow, and with one variant of the C tests; at most
# eight minutes on two processors.
test-fast: FUZZ_RUNS := 1000
test-fast: VARIANTS := asan
test-fast: PYTEST_ARGS += -m "not slow"
test-fast: setup lint test-c test-fuzz test-host

# In smaller sizes (tests/vm/flavour.py); no part of `test`, as the kernel takes as long to build as
# two others.
DEBUG_TESTS := guest_kernel_served file_systems kernel_life frontswap cleancache transport \
	failures_of_one_guest falls_silent lost_swap through_the_service
DEBUG_TIMEOUT_S := 1800
test-debug: setup
	$(call heading,guests with the debug kernel)
	@$(BIN)/tmem kernel build --jobs $(JOBS) --debug
	@TMEM_TEST_KERNEL=debug $(BIN)/pytest --timeout $(DEBUG_TIMEOUT_S) $(PYTEST_ARGS) \
		$(DEBUG_TESTS:%=tests/vm/test_%.py)

lint:
	$(call heading,format and lint)
	@$(C_FILES) | xargs -r clang-format-14 --dry-run -Werror
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/ruff check --quiet .
	@$(FILES) | xargs $(BIN)/codespell
	@$(SHELL_FILES) | xargs -r shellcheck
	@$(BIN)/mypy --no-error-summary

test-c:
	$(call heading,C tests)
	@for variant in $(VARIANTS); do \
		$(MAKE) --no-print-directory -C c -j$(JOBS) check VARIANT=$$variant || exit; \
	done

test-fuzz:
	$(call heading,fuzz targets: $(FUZZ_RUNS) runs each)
	@$(MAKE) --no-print-directory -C c -j$(JOBS) fuzz RUNS=$(FUZZ_RUNS)

model:
	$(call heading,models)
	@$(BIN)/python tests/model/run

# With the cures, and without them, to show what they cure.
kernel: setup
	$(call heading,kernels of the guests)
	@$(BIN)/tmem kernel build --jobs $(JOBS)
	@$(BIN)/tmem kernel build --jobs $(JOBS) --unpatched
	@$(BIN)/tmem kernel modules --jobs $(JOBS)

demo: setup
	@$(BIN)/tmem experiment run shared-pool-demo --report

bench: setup
	@$(BIN)/tmem bench $(BENCH) $(BENCH_ARGS)

format:
	@$(C_FILES) | xargs -r clang-format-14 -i
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix-only .

clean:
	rm -rf build $(EXTENSIONS) $(STUBS) .hypothesis .mypy_cache .pytest_cache .ruff_cache
