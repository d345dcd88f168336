# Two commands for everyone: `make demo` and `make test`. Each check of `make test` can be run alone: `make check-clippy`.
# `make help` lists everything.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The emulator wants a UTF-8 locale, which a bare machine has not set; rustup's folder is not in everyone's PATH.
ifeq ($(shell uname -s),Linux)
export LC_ALL := C.UTF-8
endif
export ELIXIR_ERL_OPTIONS := +fnu
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
SUITE ?= trixie
ROOTS := $(or $(ELIXIR_SCOPE_ROOTS),/var/tmp/elixir_scope-roots)

STEP := scripts/step
CHECKS := lockfile rustfmt clippy rust-tests rust-docs loom mix-format mix-compile xref ex-tests consumer shop perfetto \
  dialyzer bench-rust bench-elixir

.PHONY: help setup demo test matrix programs clean $(addprefix check-,$(CHECKS))

help:
	@echo "make demo      set up, then record the example shop and question the tape"
	@echo "make test      set up, then every check: $(CHECKS)"
	@echo "make matrix    the Elixir tests on a newer Debian (SUITE=trixie, or SUITE=sid), as root"
	@echo "make programs  RabbitMQ, jose, luerl, yaws and others, plain and fully recorded (bookworm)"
	@echo "make setup     install or check Elixir, Erlang and Rust"
	@echo "make check-X   one check alone"
	@echo "make clean     remove what was built, cargo's caches excepted"

setup:
	@scripts/setup

demo: setup
	cd examples/shop && mix shop.demo

test: setup
	@scripts/step --start
	@$(MAKE) --no-print-directory $(addprefix check-,$(CHECKS))
	@scripts/step --finish $(words $(CHECKS))

matrix:
	@scripts/matrix $(SUITE) $(ROOTS)

programs:
	@scripts/programs

clean:
	mix clean
	rm -rf _build examples/*/_build test/fixtures/*/_build

## Rust

check-lockfile:
	@$(STEP) "Cargo.lock is current, crates fetched" cargo fetch --locked --quiet

check-rustfmt:
	@$(STEP) "rustfmt" cargo fmt --all --check

check-clippy:
	@$(STEP) "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings

check-rust-tests:
	@$(STEP) "Rust tests" cargo test --locked --workspace

check-rust-docs:
	@RUSTDOCFLAGS="-D warnings" $(STEP) "rustdoc" cargo doc --locked --workspace --no-deps

# loom takes the place of the atomics, so everything is built anew: in a folder of its own, to keep the other caches
check-loom:
	@$(STEP) "loom" scripts/loom $(TARGET)/loom

## Elixir

check-mix-format:
	@$(STEP) "mix format" mix format --check-formatted

check-mix-compile:
	@$(STEP) "mix compile without warnings" mix compile --force --warnings-as-errors

check-xref:
	@$(STEP) "no cycles between modules" mix xref graph --format cycles --fail-above 0

check-ex-tests:
	@$(STEP) "ExUnit" mix test --warnings-as-errors

check-consumer:
	@$(STEP) "a project that depends on the library" scripts/consumer

check-shop:
	@$(STEP) "the example shop" scripts/in examples/shop bash -ec "mix format --check-formatted; mix test --warnings-as-errors"

check-perfetto:
	@$(STEP) "Perfetto files by the public definitions" scripts/perfetto/check

check-dialyzer:
	@$(STEP) "dialyzer" scripts/dialyzer

## Benchmarks: their answers, not their times

check-bench-rust:
	@$(STEP) "Rust benchmarks, smoke run" cargo bench --locked -p elixir_scope_engine --bench '*' -- --test

check-bench-elixir:
	@$(STEP) "Elixir benchmarks, smoke run" scripts/bench_smoke
