# Every target that has a comment after "##" is listed by `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PYTHON

# -- the Python environment -----------------------------------------------------------
# In CI it is made from nothing; elsewhere only when it is not of this Python.
$(VENV)/.installed: requirements.lock pyproject.toml
	@local/prerequisites python
	@if [ -n "$(CI)" ] || [ "$$($(PY) -V 2>&1)" != "$$($(PYTHON) -V)" ]; then \
	    $(PYTHON) -m venv --clear $(VENV); fi
	@$(PY) -m pip install --quiet --disable-pip-version-check \
	    --require-hashes -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check \
	    --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z%-]+):.*## /\1\t/' | expand -t 16

.PHONY: prerequisites
prerequisites: ## install what a Debian machine lacks (Java, Maven, Postgres, etcd)
	@local/prerequisites

.PHONY: lock
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m piptools compile --quiet \
    --allow-unsafe --generate-hashes --strip-extras --no-emit-find-links \
    --no-emit-index-url --no-emit-options --no-emit-trusted-host
lock: $(VENV)/.installed ## re-make both locks from pyproject.toml (ARGS=--upgrade)
	$(COMPILE) --extra=dev --extra=local --output-file=requirements.lock $(ARGS) \
	    pyproject.toml
	$(COMPILE) --constraint=requirements.lock \
	    --output-file=requirements-runtime.lock pyproject.toml

# -- checks ---------------------------------------------------------------------------
SOURCES := once producers consumers loadtest local tests
ACTIONLINT_VERSION := 1.7.12
ACTIONLINT := .cache/bin/actionlint-$(ACTIONLINT_VERSION)

.PHONY: format
format: $(VENV)/.installed ## format the code
	$(PY) -m black --quiet $(SOURCES)

.PHONY: lint
lint: $(VENV)/.installed lint-workflows ## black, flake8, mypy, import contracts, actionlint
	@$(PY) -m black --check --quiet $(SOURCES) || \
	    { echo "lint: not formatted; 'make format' does it." >&2; exit 1; }
	$(PY) -m flake8
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

.PHONY: lint-workflows
ifneq ($(shell command -v go),)
lint-workflows: $(ACTIONLINT)
	@$(ACTIONLINT)

$(ACTIONLINT):
	@mkdir -p $(@D)
	GOBIN=$(CURDIR)/$(@D) go install \
	    github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT_VERSION)
	mv $(@D)/actionlint $@
else
lint-workflows:
	@echo "lint: workflows not checked by actionlint: it needs Go." >&2
endif

# In this order, so that a mistake shows before the stack is started.
FAST_TESTS := $(wildcard tests/house tests/unit tests/property tests/contract)
KIND_TESTS := $(wildcard tests/images tests/kind)
SLOW_TESTS := $(filter-out $(FAST_TESTS) $(KIND_TESTS) tests/__pycache__,$(patsubst %/,%,$(wildcard tests/*/)))

.PHONY: test
test: prerequisites lint ## lint, then all tests but test-kind's, the fast ones first
	@local/prerequisites browser go
	@$(PY) -m local.kube.programs $(JUDGES)
	$(PY) -m pytest -m "not nightly" $(FAST_TESTS) $(SLOW_TESTS) $(ARGS)

.PHONY: test-nightly
test-nightly: $(VENV)/.installed ## what is too long for every day: further ways, an hour of fuzzing
	$(PY) -m pytest -m nightly $(SLOW_TESTS) $(ARGS)
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=3600

.PHONY: test-fast
test-fast: $(VENV)/.installed ## the tests that need no service (ARGS="-k word")
	$(PY) -m pytest $(FAST_TESTS) $(ARGS)

# Built before the tests, which have little time each.
JUDGES := etcd kube-apiserver kubectl

.PHONY: test-manifests
test-manifests: $(VENV)/.installed ## every manifest against a real API server, and our policies
	@local/prerequisites go
	@$(PY) -m local.kube.programs $(JUDGES)
	$(PY) -m pytest tests/manifests $(ARGS)

.PHONY: test-kind
test-kind: export KIND_OFFLINE := 1
test-kind: prerequisites $(VENV)/.installed ## images, and the platform on a real cluster (30 min at first)
	@local/prerequisites kube
	@$(KIND) images
	$(PY) -m pytest --timeout 1200 tests/images $(ARGS)
	$(PY) -m pytest --timeout 1200 tests/kind $(ARGS)

FUZZ_SECONDS ?= 60
# The fuzzer itself never gives back memory: 4 KB for each input.
export FUZZ_ROUND := 300

.PHONY: fuzz
fuzz: $(VENV)/.installed ## strange schemas and bytes, guided by coverage (FUZZ_SECONDS=60)
	@$(PY) -m pip install --quiet --disable-pip-version-check --only-binary :all: \
	    --require-hashes -r requirements-fuzz.lock || \
	    { echo "fuzz: left out, there is no atheris for this Python." >&2; exit 0; }; \
	mkdir -p build/fuzz; left=$(FUZZ_SECONDS); \
	while [ $$left -gt 0 ]; do \
	    round=$$((left < FUZZ_ROUND ? left : FUZZ_ROUND)); \
	    $(PY) -m tests.fuzz.fuzz_codec -max_total_time=$$round \
	        -artifact_prefix=build/fuzz/ -print_final_stats=1 build/fuzz || exit; \
	    left=$$((left - round)); \
	done

.PHONY: clean
clean: ## remove what was built (not .venv, not the state in .local)
	rm -rf build .cache .mypy_cache .pytest_cache .hypothesis .import_linter_cache
	find $(SOURCES) -name __pycache__ -prune -exec rm -rf {} +

# -- the local stack ------------------------------------------------------------------
BROKERS ?= 3
POSTGRES ?= 3
ROLE ?= postgres
STACK := $(PY) -m local

.PHONY: up
up: $(VENV)/.installed ## start Kafka, registry and Postgres here (BROKERS=1 POSTGRES=1)
	@$(STACK) up --brokers $(BROKERS) --postgres $(POSTGRES)

.PHONY: down
down: $(VENV)/.installed ## stop them; the data stays (WIPE=1 removes it)
	@$(STACK) down $(if $(WIPE),--wipe)

.PHONY: status
status: $(VENV)/.installed ## show what runs, who leads, who lags
	@$(STACK) status

.PHONY: psql
psql: $(VENV)/.installed ## open psql on the primary (ROLE=bank|audit|migrator, ARGS="-c ...")
	@$(STACK) psql --role $(ROLE) -- $(ARGS)

kafka-%: bin/kafka-% $(VENV)/.installed ## a Kafka tool of bin/: kafka-topics ARGS="--list"
	@$< $(ARGS)

# -- the platform on the local stack ------------------------------------------------------
RUN := $(PY) -m local.run
DURATION ?= 30
WORKERS ?= 2
TOPIC ?= transfers
SCENARIO ?= drain
SUBJECTS := transfers-value=avro/transfer.avsc \
    transfer-results-value=avro/transfer-results.avsc \
    transfer-receipts-value=avro/transfer-receipts.avsc

.PHONY: demo
demo: prerequisites $(VENV)/.installed ## the whole platform under load, a kill, the audit (DURATION=30 KEEP=1)
	@$(PY) -m local.demo --seconds $(DURATION) $(if $(KEEP),--keep)

.PHONY: set-up
set-up: $(VENV)/.installed ## ledger, schemas, topics and accounts on the running stack
	@$(RUN) set-up

.PHONY: migrate
migrate: $(VENV)/.installed ## apply the ledger's migrations
	@$(RUN) once migrate

.PHONY: register
register: $(VENV)/.installed ## register the schemas; an incompatible one is refused
	@$(RUN) once register $(SUBJECTS)

.PHONY: doctor
doctor: $(VENV)/.installed ## whether Kafka, registry and Postgres can keep the promise (ARGS=--json)
	@$(RUN) once doctor $(ARGS)

.PHONY: bank
bank: $(VENV)/.installed ## run the Bank until Ctrl-C (WORKERS=2)
	@$(RUN) consumers.bank run --workers $(WORKERS)

.PHONY: store
store: $(VENV)/.installed ## emit transfers (ARGS="--count 1000", or ARGS=file.ndjson)
	@$(RUN) producers.store emit $(ARGS)

.PHONY: serve
serve: $(VENV)/.installed ## the Store's HTTP API until Ctrl-C (TLS=1: with TLS and tokens)
	@$(RUN) serve $(if $(TLS),--tls)

.PHONY: certs
certs: $(VENV)/.installed ## a local authority and the Store's certificate
	@$(PY) -m local.credentials certs

.PHONY: token
token: $(VENV)/.installed ## print a token of a client (ARGS="--client me --scopes ...")
	@$(PY) -m local.credentials token $(ARGS)

.PHONY: audit
audit: $(VENV)/.installed ## check all ten invariants now (ARGS="--ack-log FILE")
	@$(RUN) consumers.bank.audit $(ARGS)

.PHONY: quarantine
quarantine: $(VENV)/.installed ## what was set aside, and put back (ARGS="list|show P O|redrive P O")
	@$(RUN) consumers.bank quarantine $(or $(ARGS),list)

.PHONY: peek
peek: $(VENV)/.installed ## tail a topic, decoded (TOPIC=transfers ARGS="--count 5")
	@$(RUN) consumers.console peek $(TOPIC) $(ARGS)

# -- the platform on a local Kubernetes ----------------------------------------------------
KIND := $(PY) -m local.kube.kind
export KIND_OFFLINE

.PHONY: kind-up
kind-up: prerequisites $(VENV)/.installed ## a cluster that Argo CD fills from this working tree
	@local/prerequisites kube
	@$(KIND) up

.PHONY: kind-push
kind-push: $(VENV)/.installed ## deploy this working tree: a commit to the cluster's git remote
	@$(KIND) push

.PHONY: kind-demo
kind-demo: $(VENV)/.installed ## payments, the death of a node, the audit (KIND_OFFLINE=1)
	@$(KIND) demo

.PHONY: kind-down
kind-down: $(VENV)/.installed ## delete the cluster; nothing is left but the cache
	@$(KIND) down

.PHONY: kind-images
kind-images: prerequisites $(VENV)/.installed ## build what kind-up would build or pull
	@local/prerequisites kube
	@$(KIND) images

.PHONY: image-context
image-context: $(VENV)/.installed ## build/image: what our images are built from
	@$(PY) -m local.kube.own_images context

.PHONY: loadtest
loadtest: prerequisites $(VENV)/.installed ## measure (SCENARIO=drain|stream|telemetry|http)
	@local/prerequisites load
	@$(PY) -m loadtest $(SCENARIO) $(ARGS)
