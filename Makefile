# Two commands do everything: `make demo` and `make test`. The rest is for the inner loop.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LINK := .cache/collections/ansible_collections/slipway/ops
TWO := --no-print-directory --jobs=2 --output-sync=target
LAB := $(BIN)/python tests/lab/lab.py
export ANSIBLE_FORCE_COLOR ?= $(if $(CI),0,1)

.PHONY: help setup demo demo-down test test-fast lint ansible-lint unit sanity wrong-input lab lab-up lockout proofs corpus molecule systems hosts site chms clean prove-stories prove-releases prove-kills prove-failures prove-nodes bench-deploy prove-lockout prove-exposure prove-engine prove-upgrade prove-corpus prove-points prove-faults prove-restore-kills prove-rebuild bench-backup bench-ufw bench-hardening bench-converge

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.ready $(LINK) ## Install what the collection is developed and tested with, pinned, into .venv

$(VENV)/.ready: requirements.txt
	@echo "==> Python environment (.venv)"
	@tests/setup_venv.sh $(PYTHON) $(VENV)
	@touch $@

$(LINK):
	@mkdir -p $(dir $(LINK)) && ln -sfn ../../../.. $(LINK)

demo: setup ## A bare Debian host becomes Marine Maroc's production server, over real SSH
	@echo "==> Lab: engine, images, services, hosts"
	@$(LAB) up
	@echo "==> ansible-playbook -i inventories/lab site.yml"
	@$(BIN)/ansible-playbook -i inventories/lab site.yml
	@$(LAB) guide

demo-down: setup ## Remove all that the demo made, and nothing else
	@$(LAB) down

test: setup ## Everything: lint, unit, sanity, every role's scenario, the whole system with its restore
	@$(MAKE) $(TWO) lint unit ansible-lint sanity wrong-input lab-up
	@$(MAKE) $(TWO) lab lockout hosts
	@$(MAKE) --no-print-directory proofs systems
	@echo "==> all tests passed"

test-fast: setup lint unit ## The inner loop: lint, types and unit tests, some minutes

lint: setup
	@echo "==> ruff and mypy"
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@tests/types.sh

ansible-lint: setup
	@echo "==> ansible-lint, profile production"
	@tests/lint.sh

unit: setup
	@echo "==> unit tests"
	@$(BIN)/python -m pytest -q -n 2 tests/unit

sanity: setup
	@echo "==> ansible-test sanity"
	@tests/sanity.sh

wrong-input: setup
	@echo "==> wrong input stops before anything is touched"
	@$(BIN)/python -m pytest -q tests/integration/wrong_input

lab-up: setup
	@echo "==> the lab: images and services"
	@$(LAB) up --services --all

lab: setup
	@echo "==> the lab's own stand-ins, for real"
	@$(LAB) up --services
	@$(BIN)/python -m pytest -q tests/lab

lockout: setup
	@echo "==> lockout trials, one of each kind"
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/lockout/prove.py --quick

corpus: setup
	@echo "==> three systems of the corpus, deployed twice on a host and on a Swarm"
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/corpus/prove.py --quick

molecule: setup
	@echo "==> a scenario for every role"
	@$(LAB) up --services
	@$(BIN)/python tests/scenarios.py

hosts: setup
	@echo "==> all host roles on one bare host: check mode, first and second run"
	@$(LAB) up --services
	@$(BIN)/python -m pytest -q -s tests/integration/hosts

site: setup
	@echo "==> the whole system: bare host, second run, backup, loss, restore, audit"
	@$(BIN)/python -m pytest -q -s --durations=8 tests/integration/site

systems: setup
	@echo "==> a scenario for every role; the whole system: bare host, second run, backup, loss, restore, audit"
	@$(LAB) up --services
	@$(BIN)/python tests/scenarios.py --with-site

chms: setup ## ChMS on five hosts: a Swarm of application nodes and edges, data nodes on Compose
	@echo "==> ChMS: bare hosts, second run, a release, a proven backup"
	@$(LAB) up --services --all
	@$(BIN)/python -m pytest -q -s --durations=8 tests/integration/chms

proofs: setup
	@echo "==> releases under load, killed, and broken on one host; backups and restores broken, to a moment; the corpus: a slice"
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/slice.py

prove-stories: setup ## Every story of the scenarios with long ones: strategies under many clients, a Swarm whose nodes fall, both releases
	@$(LAB) up --services
	@PYTEST_ADDOPTS="-m 'long or not long'" $(BIN)/python tests/scenarios.py strategies swarm_stack stack base upgrade restore backup

prove-releases: setup ## Release a hundred times under load, on Compose and on a Swarm: nothing is lost
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/releases/prove.py

prove-kills: setup ## Kill a release at each of its steps in each way: the site answers, the next run mends it
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/kills/prove.py

prove-failures: setup ## Break a release on one host of three in each way, and let two deploy at once
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/failures/prove.py

prove-nodes: setup ## Cut the power of a Swarm's nodes under load: what fails, and for how long
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/nodes/prove.py

bench-deploy: setup ## Time a release beside docker compose and a rollout script, and count what each loses
	@$(LAB) up --services
	@$(BIN)/python tests/bench/deploy/bench.py

prove-lockout: setup ## Try to lock the operator out in every way we know, on both Debian releases
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/lockout/prove.py

prove-exposure: setup ## Try every way to a port from two networks, through all that touches a firewall, on both Debian releases
	@$(BIN)/python tests/proofs/exposure/prove.py

prove-engine: setup ## Take the engine from a signed repository: wrong keys and versions, holds, an upgrade under running containers
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/engine/prove.py

bench-ufw: setup ## Time a firewall policy of 1 to 1000 rules inside a host, beside one module call for each rule
	@$(LAB) up --services
	@$(BIN)/python tests/bench/ufw.py

prove-upgrade: setup ## Upgrade three hosts, of which the second breaks: real packages, a real reboot
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/upgrade/prove.py

prove-corpus: setup ## Deploy every accepted file of the corpus twice, on a Compose host and on a Swarm
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/corpus/prove.py

prove-points: setup ## Drop tables under writes and restore to the transaction before; lose a host under load: what is lost
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/recovery/prove_points.py

prove-faults: setup ## Break backups in fifty ways: each is noticed, none costs the last good point
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/recovery/prove_faults.py

prove-restore-kills: setup ## Strike a restore at each of its steps: the old data stays usable, one command mends it
	@$(LAB) up --services
	@$(BIN)/python tests/proofs/recovery/prove_restore_kills.py

prove-rebuild: setup ## Lose a host with all its disks, and bring it back with a gigabyte of data: on MySQL, on PostgreSQL
	@$(BIN)/python tests/proofs/recovery/prove_rebuild.py

bench-backup: setup ## Back 1 GB databases and 20,000 files up: ours, dumps with gzip, and restic used bare
	@$(LAB) up --services
	@$(BIN)/python tests/bench/backup/bench.py

bench-hardening: setup ## Ask ssh-audit, Lynis and OpenSCAP about fresh hosts before and after, with workloads that go on, on both Debian releases
	@$(LAB) up --services
	@$(BIN)/python tests/bench/hardening/bench.py

bench-converge: setup ## Bring one host state about by our roles, pyinfra, a plain playbook and a script, in turns: calls, CPU and wall seconds
	@$(LAB) up --services
	@$(BIN)/python tests/bench/converge/bench.py

clean: demo-down ## Remove the lab, the environment and the caches
	@rm -rf $(VENV) .cache
