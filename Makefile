# Every target makes its own virtual environment first; nothing has to be installed by hand but Python 3.11,
# and Go and Rust for the embedded lab.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/complete

# Processes that run tests. Most tests of the lab wait, so five keep two cores busy. WORKERS=0 runs the tests one by one.
WORKERS ?= 5
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: help up down probe view preview bench reliability drift test test-all mutants lint format unit golden pictures reference dashboards lab-up lab-down requirements

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

up: $(READY) ## cluster, stack, twenty requests found as traces
	@$(BIN)/python -m tools up

down: $(READY) ## remove the stack, and the cluster if `make up` made it
	@$(BIN)/python -m tools down

probe: $(READY) ## send requests and find each as a trace; ARGS="--requests 100"
	@$(BIN)/python -m tools probe --quickstart $(ARGS)

view: $(READY) ## show the traces in a browser, until Ctrl-C; ARGS="--port 9412"
	@$(BIN)/python -m tools view --quickstart $(ARGS)

preview: $(READY) ## preview what STACK=dev makes on an ephemeral cluster; ARGS="--diff"
	@$(BIN)/python -m tools preview $(or $(STACK),dev) $(ARGS)

bench: $(READY) ## measure what the program and tracing cost, on the running lab; its --help has the minutes; ARGS="--only growth"
	@$(BIN)/python -m tools measure bench $(ARGS)

reliability: $(READY) ## measure what faults and load lose, on the running lab; its --help has the minutes; ARGS="--only killed"
	@$(BIN)/python -m tools measure reliability $(ARGS)

drift: $(READY) ## name what was changed in the cluster since the last `pulumi up`; STACK=name, else the selected one
	@$(BIN)/python -m tools drift $(if $(STACK),--stack $(STACK))

test: lint ## lint, then unit tests, the NGINX module, real readers and the stack on the lab; WORKERS=0: one by one
	$(PYTEST) -m "not deep"

test-all: lint ## all that `make test` runs, the deeper tests, and all tests of the lab on Kubernetes 1.36 too
	LAB_KUBERNETES=1.32 $(PYTEST)
	LAB_KUBERNETES=1.36 $(PYTEST) tests/lab

mutants: $(READY) ## break the program in one place at a time, and name the breakages that no unit test notices
	@$(BIN)/python -m tests.mutants $(ARGS)

lint: $(READY) ## formatting, types, the Dockerfile and the workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/hadolint docker/nginx-plus/Dockerfile
	$(BIN)/zizmor --offline --pedantic --no-progress --quiet .github

format: $(READY) ## fix formatting
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

unit: $(READY) ## the tests that need no cluster
	$(PYTEST) tests/unit

golden: $(READY) ## regenerate tests/golden from the program, and the expected comments on previews
	$(BIN)/pytest --quiet tests/unit/test_golden.py tests/unit/pull_request/test_golden.py --write-golden

pictures: $(READY) ## take the pictures in docs/how-to again, in a real browser (root on Debian)
	$(BIN)/pytest --quiet tests/readers/test_view.py --write-golden

reference: $(READY) ## regenerate docs/reference and Pulumi.yaml from the models, the parsers and the policy pack
	$(BIN)/python -m tools.reference

dashboards: $(READY) ## regenerate monitoring/dashboards from tools/dashboards
	$(BIN)/python -m tools.dashboards

lab-up: $(READY) ## start the embedded cluster, building what is missing (Linux, root)
	@$(BIN)/python -m lab up

lab-down: $(READY) ## remove the embedded cluster; the cache stays
	@$(BIN)/python -m lab down

# Renovate repeats this command from the files' heads, and knows these options alone: a machine's own places are left out by PIP_FIND_LINKS.
requirements: $(READY) ## recompile requirements.txt and requirements-dev.txt from their .in files
	$(BIN)/pip install --quiet pip-tools==7.6.2
	PIP_FIND_LINKS= $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --output-file=requirements.txt requirements.in
	PIP_FIND_LINKS= $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --output-file=requirements-dev.txt requirements-dev.in

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name one: make PYTHON=python3.11 …")'
	@echo "Python libraries into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@
