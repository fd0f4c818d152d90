# Everything that is done with a checkout, by name. `make` alone says what there is.
# ARGS= goes to the command behind: make train ARGS='--model mlp', make test ARGS='-k softmax -x'.

# The first that runs and is new enough; only asked for when there is no environment yet.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo $$python && break; \
	done)
VENV := .venv
BIN := $(VENV)/bin
# The stamp is touched when an installation went through, so that a second call is instant, a changed
# list of packages installs again, and an installation that broke off is never taken for a good one.
STAMP := $(VENV)/.installed
# The models are checked with transformers, which nothing else needs: it has a stamp of its own.
MODELS_STAMP := $(VENV)/.installed-models
# So do the libraries that the benchmark compares with.
PEERS_STAMP := $(VENV)/.installed-peers
WORKERS ?= 2
# How many random graphs a property is checked on, and which.
EXAMPLES ?= 2000
SEED := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))
ARGS ?=

.DEFAULT_GOAL := help
# Every command says what it is for behind two number signs.
.PHONY: $(shell awk -F: '/^[a-z]+:.*\#\# / { print $$1 }' $(firstword $(MAKEFILE_LIST)))

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Create the environment and install the package in it, to be edited in place

# pip comes last when an environment is made: with it, the environment is whole.
$(BIN)/pip:
	@test -n '$(PYTHON)' || { echo 'adjoint needs Python 3.11 or newer, and none was found.' \
		'Name one: make PYTHON=/path/to/python3.11'; exit 1; }
	@echo 'Creating the environment in $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'Installing the packages (the first time takes minutes: torch is large) ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	@touch $(STAMP)

$(MODELS_STAMP): $(STAMP)
	@echo 'Installing transformers ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev,models]'
	@touch $(MODELS_STAMP)

$(PEERS_STAMP): $(STAMP)
	@echo 'Installing JAX and PyTensor ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev,peers]'
	@touch $(PEERS_STAMP)

train: $(STAMP) ## Train a transformer on handwritten digits (ARGS='--model mlp', ARGS=--help)
	$(BIN)/adjoint train $(ARGS)

test: $(STAMP) ## Run the tests, with all examples of the package, the README and the guide
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: $(STAMP) ## Check style, format and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

fuzz: $(STAMP) ## Check thousands of random graphs (ARGS='-k budget', EXAMPLES=10000, SEED=7 for the same ones)
	@echo 'SEED=$(SEED)'
	EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n $(WORKERS) --hypothesis-profile=fuzz --hypothesis-seed=$(SEED) \
		tests/execute/test_graph_properties.py tests/transform/test_program_properties.py $(ARGS)

types: $(STAMP) ## Check the types (pyright, strict)
	$(BIN)/pyright

check: lint types test ## All three: what has to be green before a change goes in

format: $(STAMP) ## Put the files in shape: format, sort imports, apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

mutate: $(STAMP) ## Break every rule of ours, one at a time; the tests have to notice each
	$(BIN)/python -m tests.mutate $(ARGS)

opinfo: $(STAMP) ## Import and differentiate every operator that torch has samples of (ARGS='--only matmul')
	$(BIN)/python -m tests.opinfo $(ARGS)

models: $(MODELS_STAMP) ## The same for architectures of transformers (ARGS='--only gpt2', ARGS=--list)
	$(BIN)/python -m tests.models $(ARGS)

seeds: $(STAMP) ## Train with five seeds: mean test accuracy and its spread
	$(BIN)/python benchmarks/seeds.py $(ARGS)

loops: $(STAMP) ## What the derivative of a loop of 100,000 steps keeps and computes again
	$(BIN)/python benchmarks/loop_memory.py $(ARGS)

memory: $(STAMP) ## Compare the memory told before a run with what it takes, and time with memory budgets
	$(BIN)/python -m benchmarks.memory $(ARGS)

scale: $(STAMP) ## Measure how planning grows with the graph, and what a call of a plan costs
	$(BIN)/python -m benchmarks.scale $(ARGS)

fresh: $(STAMP) ## Measure what a new process waits for: imports, the graph, the first runs
	$(BIN)/python -m benchmarks.fresh $(ARGS)

speed: $(STAMP) ## Measure nodes per second, and the time of a run against eager PyTorch
	$(BIN)/python benchmarks/speed.py $(ARGS)

sparse: $(STAMP) ## Print products and times of sparse derivatives of 100,000 variables
	$(BIN)/python benchmarks/sparse.py $(ARGS)

gpt: $(MODELS_STAMP) ## Measure how long GPT-2 takes to import, to differentiate and to plan
	$(BIN)/python -m benchmarks.import_gpt2 $(ARGS)

counts: $(STAMP) ## Count the ops of higher derivatives (ARGS=--peers counts those of torch and JAX too)
	$(BIN)/python benchmarks/op_counts.py $(ARGS)

bench: $(PEERS_STAMP) ## Measure the workloads against eager PyTorch and others (ARGS='--only W3 --compile')
	$(BIN)/python -m benchmarks.bench $(ARGS)

gpu: $(STAMP) ## Check all ops and executors on a GPU, where there is one
	$(BIN)/python -m pytest -n $(WORKERS) tests/gpu $(ARGS)

kernels: $(STAMP) ## Show which kernels the time of a workload goes to, ours and eager PyTorch's (ARGS='W5 W8')
	$(BIN)/python -m benchmarks.kernels $(ARGS)

laplacian: $(STAMP) ## Measure the Laplacian of a network by Taylor mode against traces of Hessians
	$(BIN)/python -W ignore benchmarks/laplacian.py $(ARGS)

compiled: $(STAMP) ## Compile every op with its gradients, and random graphs; compare with the reference
	$(BIN)/python -W ignore -m tests.execute.compiled_sweep $(ARGS)

clean: ## Remove caches and builds (not the environment, not the runs)
	rm -rf build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find adjoint benchmarks docs tests -name __pycache__ -type d -prune -exec rm -rf {} +
