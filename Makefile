# Every target that has a comment after "##" is listed by `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PYTHON

# `make up set-up` means one after the other, whatever MAKEFLAGS says.
.NOTPARALLEL:

# Where pip fetches from is the user's affair; where it installs to, and how, is ours.
export PIP_USER := 0
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_CONSTRAINT PIP_REQUIREMENT \
    PIP_EDITABLE PIP_NO_BINARY PIP_ONLY_BINARY PIP_REQUIRE_HASHES PIP_DRY_RUN \
    PIP_NO_DEPS PIP_PRE PYTHONHOME PYTHONPATH

# -- the Python environment -----------------------------------------------------------
# In CI it is made from nothing; elsewhere only when it is not of this Python. What runs
# the platform comes first: what else checks it takes three times as long.
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check

$(VENV)/.local: requirements-local.lock
	@local/prerequisites python
	@if [ -n "$(CI)" ] || [ "$$($(PY) -V 2>&1)" != "$$($(PYTHON) -V)" ]; then \
	    $(PYTHON) -m venv --clear $(VENV); fi
	@echo "installing Python packages into $(VENV) ..." >&2
	@$(PIP_INSTALL) --require-hashes -r requirements-local.lock
	@touch $@

$(VENV)/.installed: $(VENV)/.local requirements.lock pyproject.toml
	@echo "installing what checks the code into $(VENV) ..." >&2
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# What a user needs, group by group; all other targets come behind them.
HELP := Try it: doctor try demo; \
    The local stack: up set-up bank serve store status down; \
    Look: audit peek psql quarantine kafka-... token certs; \
    Kubernetes: environment kind-up kind-env kind-push kind-pay kind-psql kind-peek kind-kafka-... kind-audit \
        kind-demo kind-loadtest kind-down kind-images; \
    Measure: loadtest

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z%-]+):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' -v groups='$(HELP)' ' \
	    function show(name) { sub(/%/, "...", name); printf "  %-15s %s\n", name, said[name] } \
	    { sub(/%/, "...", $$1); said[$$1] = $$2; order[NR] = $$1 } \
	    END { for (n = split(groups, group, /; */); at < n;) { \
	            split(group[++at], part, ":"); print part[1]; \
	            for (each = 1; each <= split(part[2], names, " "); each++) { \
	                show(names[each]); listed[names[each]] } } \
	        print "Develop"; \
	        for (at = 1; at <= NR; at++) if (!(order[at] in listed)) show(order[at]) }'

.PHONY: doctor
doctor: ## what this machine lacks; then whether a stack that runs can keep the promise
	@local/prerequisites --check python
	@status=0; \
	$(PYTHON) -m local.machine $(ARGS) || status=$$?; \
	if [ -e $(VENV)/.local ] && $(LOCAL) running; then \
	    $(RUN) once doctor $(ARGS) || status=$$?; fi; \
	exit $$status

# Says nothing where all is well.
.PHONY: machine
machine:
	@local/prerequisites python
	@$(PYTHON) -m local.machine --only-lacking

.PHONY: prerequisites
prerequisites: ## install what a Debian machine lacks (Java, Maven, Postgres, etcd)
	@local/prerequisites

.PHONY: parts
parts: machine prerequisites $(VENV)/.local ## fetch Kafka, the registry and their Java
	@$(LOCAL) fetch

.PHONY: lock
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m piptools compile --quiet \
    --allow-unsafe --generate-hashes --strip-extras --no-emit-find-links \
    --no-emit-index-url --no-emit-options --no-emit-trusted-host
lock: $(VENV)/.installed ## re-make the locks from pyproject.toml (ARGS=--upgrade)
	$(COMPILE) --extra=dev --extra=local --output-file=requirements.lock $(ARGS) \
	    pyproject.toml
	$(COMPILE) --constraint=requirements.lock --extra=local \
	    --output-file=requirements-local.lock pyproject.toml
	$(COMPILE) --constraint=requirements.lock \
	    --output-file=requirements-runtime.lock pyproject.toml

# -- checks ---------------------------------------------------------------------------
SOURCES := once producers consumers loadtest local examples tests
ACTIONLINT_VERSION := 1.7.12
ACTIONLINT := .cache/bin/actionlint-$(ACTIONLINT_VERSION)

.PHONY: format
format: $(VENV)/.installed ## format the code
	$(PY) -m isort --quiet $(SOURCES)
	$(PY) -m black --quiet $(SOURCES)

.PHONY: lint
lint: $(VENV)/.installed ## black, isort, flake8, mypy, import contracts
	@{ $(PY) -m isort --check --quiet $(SOURCES) && \
	    $(PY) -m black --check --quiet $(SOURCES); } || \
	    { echo "lint: not formatted; 'make format' does it." >&2; exit 1; }
	$(PY) -m flake8
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo

.PHONY: lint-workflows
lint-workflows: $(ACTIONLINT) ## the workflows of .github, by actionlint (needs Go)
	@$(ACTIONLINT)

$(ACTIONLINT):
	@local/prerequisites go
	@mkdir -p $(@D)
	GOBIN="$(CURDIR)/$(@D)" go install \
	    github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT_VERSION)
	mv $(@D)/actionlint $@

# In this order, so that a mistake shows before a stack is started.
FAST_TESTS := $(wildcard tests/house tests/unit tests/property tests/contract)
STACK_TESTS := $(wildcard tests/browser tests/integration tests/stack)
# Most of them wait most of the time, so two go on at once, each with its own stack.
TEST_JOBS ?= 2
PARALLEL := -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: test
test: machine prerequisites lint ## what a push needs: lint, and all tests without a cluster
	@local/prerequisites browser
	@$(LOCAL) fetch
	$(PY) -m pytest -m "not nightly" $(PARALLEL) $(FAST_TESTS) $(STACK_TESTS) $(ARGS)

.PHONY: test-nightly
test-nightly: prerequisites $(VENV)/.installed ## what is too long for every day: alarms, a restore, further ways, an hour of fuzzing
	@local/prerequisites monitoring backups
	$(PY) -m pytest -m nightly $(STACK_TESTS) $(ARGS)
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=3600

.PHONY: test-fast
test-fast: $(VENV)/.installed ## the tests that need no service (ARGS="-k word")
	$(PY) -m pytest $(FAST_TESTS) $(ARGS)

# Built before the tests, which have little time each.
JUDGES := etcd kube-apiserver kubectl

.PHONY: kube-programs
kube-programs: $(VENV)/.local ## build an API server, etcd and kubectl (needs Go; 10 min at first)
	@local/prerequisites go
	@$(KIND) programs $(JUDGES)

.PHONY: test-kube
test-kube: lint-workflows kube-programs $(VENV)/.installed ## every manifest against a real API server, our policies, the alerts
	@local/prerequisites alerts
	$(PY) -m pytest tests/manifests $(ARGS)

.PHONY: test-kind
test-kind: export KIND_OFFLINE := 1
test-kind: prerequisites $(VENV)/.installed ## images, and the platform on a real cluster (30 min at first)
	@local/prerequisites kube
	@$(KIND) images
	$(PY) -m pytest --timeout 1200 tests/images $(ARGS)
	$(PY) -m pytest --timeout 1200 -m "not nightly" tests/kind $(ARGS)

.PHONY: test-kind-long
test-kind-long: export KIND_OFFLINE := 1
test-kind-long: prerequisites $(VENV)/.installed ## what else happens to the cluster, nightly (1 h at first)
	@local/prerequisites kube
	@$(KIND) images
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
DBNAME ?= ledger
LOCAL := $(PY) -m local

.PHONY: up
up: machine $(VENV)/.local ## start Kafka, registry and Postgres here (smaller: BROKERS=1 POSTGRES=1; with alerts: MONITORING=1)
	@$(if $(MONITORING),local/prerequisites monitoring)
	@$(LOCAL) up --brokers $(BROKERS) --postgres $(POSTGRES) $(if $(MONITORING),--monitoring) \
	    $(if $(ALERTS_TO),--alerts-to "$(ALERTS_TO)")

.PHONY: down
down: $(VENV)/.local ## stop them; the data stays (WIPE=1 removes it)
	@$(LOCAL) down $(if $(WIPE),--wipe)

.PHONY: status
status: $(VENV)/.local ## show what runs, who leads, who lags
	@$(LOCAL) status

.PHONY: env
env: $(VENV)/.local ## where Kafka and the registry are, as a shell takes it
	@$(LOCAL) env

.PHONY: pid
pid: $(VENV)/.local ## the process of a part, to kill it (PART=kafka-2|primary|bank)
	@$(LOCAL) pid $(PART)

.PHONY: conninfo
conninfo: $(VENV)/.local ## how to reach Postgres, with the password (ROLE=, DBNAME=ledger)
	@$(LOCAL) conninfo --role $(ROLE) --dbname $(DBNAME)

.PHONY: psql
psql: $(VENV)/.local ## open psql on the primary (ROLE=bank|audit|migrator, ARGS="-c ...")
	@$(LOCAL) psql --role $(ROLE) -- $(ARGS)

kafka-%: bin/kafka-% $(VENV)/.local ## a Kafka tool of bin/: kafka-topics ARGS="--list"
	@$< $(ARGS)

# -- the platform on the local stack ------------------------------------------------------
RUN := $(LOCAL) run
DURATION ?= 30
WORKERS ?= 2
TOPIC ?= transfers
SCENARIO ?= drain
SUBJECTS := transfers-value=avro/transfer.avsc \
    transfers-once.payments.AccountChange=avro/account-change.avsc \
    transfer-results-value=avro/transfer-results.avsc \
    transfer-receipts-value=avro/transfer-receipts.avsc

.PHONY: demo
demo: machine prerequisites $(VENV)/.local ## the whole platform under load, a kill, the audit (KEEP=1 leaves it running; DURATION=30)
	@$(LOCAL) demo --seconds $(DURATION) $(if $(KEEP),--keep)

.PHONY: restore-drill
restore-drill: machine prerequisites $(VENV)/.local ## lose the ledger, restore it by pgBackRest and Kafka, compare (a minute)
	@local/prerequisites backups
	@$(LOCAL) restore-drill --brokers $(BROKERS) --postgres $(POSTGRES) $(ARGS)

.PHONY: replay
replay: $(VENV)/.local ## a second ledger from the log alone, compared row by row and hash by hash (ARGS=--anew: what would be decided otherwise)
	@$(LOCAL) replay $(if $(KEEP),--keep) -- $(ARGS)

.PHONY: record
record: machine prerequisites $(VENV)/.local ## the demo as the picture in README (docs/demo.svg)
	@$(LOCAL) demo --seconds $(DURATION) --recording docs/demo.svg

.PHONY: try
try: machine prerequisites $(VENV)/.local ## all of it in this terminal, to send payments to, until Ctrl-C (STORE_PORT=8081)
	@$(LOCAL) try --brokers $(BROKERS) --postgres $(POSTGRES)

.PHONY: set-up
set-up: $(VENV)/.local ## ledger, schemas, topics and accounts on the running stack; then bank, serve
	@$(LOCAL) set-up

.PHONY: migrate
migrate: $(VENV)/.local ## apply the ledger's migrations
	@$(RUN) once migrate

.PHONY: register
register: $(VENV)/.local ## register the schemas; an incompatible one is refused
	@$(RUN) once register $(SUBJECTS)

.PHONY: bank
bank: $(VENV)/.local ## run the Bank until Ctrl-C (WORKERS=2 unless said)
	@$(RUN) consumers.bank run --workers $(WORKERS)

.PHONY: store
store: $(VENV)/.local ## emit transfers (ARGS="--count 1000", or ARGS=file.ndjson)
	@$(RUN) producers.store emit $(ARGS)

.PHONY: serve
serve: $(VENV)/.local ## the Store's HTTP API until Ctrl-C (TLS=1: with TLS and tokens)
	@$(LOCAL) serve $(if $(TLS),--tls)

.PHONY: certs
certs: $(VENV)/.local ## a local authority and the Store's certificate
	@$(LOCAL) certs

.PHONY: token
token: $(VENV)/.local ## print a token of a client (ARGS="--client me --scopes ...")
	@$(LOCAL) token $(ARGS)

.PHONY: audit
audit: $(VENV)/.local ## check all eleven invariants now (ARGS="--ack-log FILE")
	@$(RUN) consumers.bank.audit $(ARGS)

.PHONY: quarantine
quarantine: $(VENV)/.local ## what was set aside, and put back (ARGS="list|show P O|redrive P O")
	@$(RUN) consumers.bank quarantine $(or $(ARGS),list)

.PHONY: peek
peek: $(VENV)/.local ## a topic, decoded, as it comes; or its newest (TOPIC=transfers ARGS="--count 5")
	@$(RUN) consumers.console peek $(TOPIC) $(ARGS)

# -- the platform on a local Kubernetes ----------------------------------------------------
KIND := $(PY) -m local kind
export KIND_OFFLINE

.PHONY: kind-up
kind-up: $(VENV)/.installed ## a cluster that Argo CD fills from this working tree (KIND_OFFLINE=1)
	@local/prerequisites kube
	@$(KIND) up

.PHONY: environment
environment: $(VENV)/.local ## overlays of your own (NAME=eu ARGS="--domain ... --account ... --region ... --repository ...")
	@$(LOCAL) environment $(NAME) $(ARGS)

.PHONY: kind-push
kind-push: $(VENV)/.installed ## deploy this working tree: a commit to the cluster's git remote
	@$(KIND) push

.PHONY: kind-env
kind-env: $(VENV)/.installed ## where the cluster is, as a shell takes it
	@$(KIND) env

.PHONY: kind-demo
kind-demo: $(VENV)/.installed ## payments while nodes die and a zone is cut off, and the audit
	@$(KIND) demo

.PHONY: kind-loadtest
kind-loadtest: $(VENV)/.installed ## PUTs at a steady rate to the cluster's Store (ARGS="--rate 100 --seconds 20")
	@$(PY) -m loadtest cluster $(ARGS)

.PHONY: kind-pay
kind-pay: $(VENV)/.installed ## one payment through the cluster's Store, and every state it has
	@$(KIND) pay $(ARGS)

.PHONY: kind-psql
kind-psql: $(VENV)/.installed ## psql on the cluster's ledger, as a reader (ARGS="-c ...")
	@$(KIND) psql $(ARGS)

.PHONY: kind-peek
kind-peek: $(VENV)/.installed ## a topic of the cluster, decoded (TOPIC=transfers ARGS="--count 5")
	@$(KIND) peek $(if $(TOPIC),--topic $(TOPIC)) $(ARGS)

kind-kafka-%: $(VENV)/.installed ## a tool of Kafka's in the cluster: kind-kafka-topics ARGS=--list
	@$(KIND) kafka kafka-$* $(ARGS)

.PHONY: kind-audit
kind-audit: $(VENV)/.installed ## the audit, as a Job of the cluster
	@$(KIND) audit

.PHONY: kind-down
kind-down: $(VENV)/.installed ## delete the cluster; nothing is left but the cache
	@$(KIND) down

.PHONY: kind-images
kind-images: $(VENV)/.installed ## build what kind-up would build or pull
	@local/prerequisites kube
	@$(KIND) images

.PHONY: image-context
image-context: $(VENV)/.installed ## build/image: what our images are built from
	@$(KIND) image-context

.PHONY: reference
reference: $(VENV)/.installed ## make the tables of docs/reference anew, from the code
	@$(PY) -m local reference

.PHONY: loadtest
loadtest: prerequisites $(VENV)/.local ## measure (SCENARIO=drain|stream|telemetry|http|audit)
	@local/prerequisites load
	@$(PY) -m loadtest $(SCENARIO) $(ARGS)
