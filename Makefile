# Vitrine: `make deploy` and `make test` do all the set-up; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
INVENTORY ?= inventories/local
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo "sudo -E")
NAME ?= local
PORT ?= 8443
LOCAL := build/$(NAME)
ORIGIN := https://127.0.0.1:$(PORT)
# More for ansible-playbook, for example VARS="-e bake_mode=release".
VARS ?=
DEPLOYMENT := -i $(INVENTORY) -e deploy_name=$(NAME) -e deploy_port=$(PORT) $(VARS)
VERIFY := --release $(LOCAL)/release.json --publisher $(LOCAL)/publisher.pub --simulated $(LOCAL)/tpm-ca.pem
QUESTION ?= What is the capital of Japan?

export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help setup system-packages deploy destroy verify ask bake lock wheels-lock lint type unit roles serving e2e test test-slow mutants reproduce bench pcr-table clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | column -t -s $$'\t'

setup: system-packages $(VENV)/.complete ## install system packages and the virtual environment

system-packages:
	@scripts/system-packages.sh

# Built beside and renamed at the end: an interrupted set-up starts over instead of being half there.
$(VENV)/.complete: requirements/dev.lock pyproject.toml
	@echo "== virtual environment in $(VENV) (wheels from requirements/dev.lock, by hash)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0] + "; set PYTHON=")'
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

deploy: setup ## bake, boot, verify, ask one question; leaves the VM running
	@mkdir -p $(LOCAL)
	@if [ -n "$(SUDO)" ]; then echo "== bake, as root: a root file system has other users' files"; \
	  $(SUDO) $(BIN)/ansible-playbook playbooks/bake.yml $(DEPLOYMENT); fi
	@$(BIN)/ansible-playbook playbooks/deploy.yml $(DEPLOYMENT)
	@$(BIN)/vitrine verify $(ORIGIN) $(VERIFY) --wait 300
	@echo; echo "Q: $(QUESTION)"
	@$(BIN)/vitrine ask $(ORIGIN) "$(QUESTION)" $(VERIFY) --wait 300
	@echo; scripts/what-next.sh $(ORIGIN) $(NAME)

destroy: $(VENV)/.complete ## stop the VM and forget it
	@$(BIN)/ansible-playbook playbooks/destroy.yml $(DEPLOYMENT)

verify: ## verify the running VM, as a client does
	@$(BIN)/vitrine verify $(ORIGIN) $(VERIFY)

ask: ## ask the running VM: make ask QUESTION="..."
	@$(BIN)/vitrine ask $(ORIGIN) "$(QUESTION)" $(VERIFY)

bake: setup ## bake the image only
	@$(SUDO) $(BIN)/ansible-playbook playbooks/bake.yml $(DEPLOYMENT)

lock: setup ## refresh the package lock from the mirror
	@$(SUDO) $(BIN)/python -m provisioner.image.lock

wheels-lock: setup ## refresh requirements/dev.lock from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --universal --generate-hashes --no-header --python-version 3.11 --extra dev pyproject.toml -o requirements/dev.lock

lint: setup
	@echo "== lint"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/ansible-lint --offline --strict

type: setup
	@echo "== types"
	@$(BIN)/mypy

unit: setup
	@echo "== unit"
	@$(SUDO) $(BIN)/python -m pytest -m "not e2e and not slow" tests

e2e: setup
	@echo "== end to end"
	@$(SUDO) $(BIN)/python -m pytest -m "e2e and not slow" tests

test: lint type unit e2e ## everything that CI runs

test-slow: setup ## the whole of the slow suites (hours are not needed: about half of one)
	@$(SUDO) $(BIN)/python -m pytest -m slow tests

mutants: setup ## change the verifier in every way that matters, and see that a vector or a test notices (minutes)
	@$(BIN)/python -m tests.mutants

reproduce: setup ## bake twice, differently, and compare the disks
	@$(SUDO) $(BIN)/python -m provisioner.image.reproduce

bench: setup ## print the figures of docs/performance.md
	@$(SUDO) $(BIN)/python -m tests.bench

pcr-table: setup ## print predicted and quoted PCRs of the running VM as docs/pcrs.md has them
	@$(BIN)/python -m tests.pcr_table $(ORIGIN) $(LOCAL)

clean: ## delete everything that was built (stops nothing: run destroy first)
	$(SUDO) rm -rf build
