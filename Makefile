# `make` sets up and runs the main job; `make help` lists the rest. Only python3 (3.11 or newer) with pip is needed.
PYTHON ?= python3
BIN := .venv/bin
FOLDERS := compiler runtime verifier grammar

.DEFAULT_GOAL := demo
.PHONY: demo test mutants fuzz check bench kinks torch-table prelude links format clean cvc5 coq help

demo: .venv/.run ## prove the examples, show a refusal, train the digits
	@printf '\n== The examples: every claim proved, for all sizes ==\n'
	$(BIN)/gradproof verify examples/digits.gproof examples/attention.gproof examples/right
	@printf '\n== A gradient that a widely used library shipped for years: refused ==\n'
	@echo '$(BIN)/gradproof verify examples/wrong/cosh_sign.gproof'
	@$(BIN)/gradproof verify examples/wrong/cosh_sign.gproof; test $$? -eq 1
	@printf '\n== Handwritten digits, trained with the proved gradient ==\n'
	$(BIN)/python examples/train_digits.py

test: .venv/.test ## every test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

mutants: .venv/.test ## every mutant of every rule, not only a sample (an hour or two; goes on where it was stopped)
	$(BIN)/python tests/every_mutant.py

fuzz: .venv/.test ## a million odd texts and certificates (hours); coverage guides where the extra [fuzz] is installed
	$(BIN)/python benchmarks/fuzz.py

check: .venv/.dev links ## lint, format, strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.test ## the figures of this machine
	@over=0; for script in benchmarks/bench_*.py; do printf '\n== %s ==\n' $$script; \
	  $(BIN)/python $$script || over=1; done; exit $$over

cvc5: .venv/.test ## put every question of the prelude and the examples to cvc5 too, and count
	$(BIN)/python benchmarks/second_opinions.py

coq: .venv/.run ## the ring, field and integer obligations of the prelude as theorems, checked by coqc (Debian: coq)
	@command -v coqc > /dev/null || apt-get install -y --no-install-recommends coq || \
	  { echo 'coqc is missing: install Coq 8.16 or newer' >&2; exit 1; }
	@rm -rf build/coq && mkdir -p build/coq
	$(BIN)/gradproof export-coq build/coq/Prelude.v --prelude --parts 16
	cd build/coq && ls *.v | xargs -P 2 -n 1 nice coqc -q -w none
	@echo "coqc accepts $$(cat build/coq/*.v | grep -c '^Theorem') theorems"

kinks: .venv/.test ## write docs/kinks.md: what is used at kinks here, in PyTorch and in JAX (jax must be installed too)
	$(BIN)/python tests/conventions.py

torch-table: .venv/.test ## judge PyTorch's own table of derivatives, and write docs/torch_table.md
	$(BIN)/python -m pip install --quiet -e .[torch]
	$(BIN)/python benchmarks/torch_table.py --write

prelude: .venv/.test ## write the prelude's certificates again (minutes)
	$(BIN)/gradproof build --prelude

format: .venv/.dev ## rewrite to the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

links: ## .dev/gradproof, the view that type checkers and editors read
	@mkdir -p .dev/gradproof
	@find .dev/gradproof -xtype l -delete
	@ln -sfn $(addprefix ../../,$(FOLDERS) $(filter-out %/__pycache__,$(wildcard driver/*))) .dev/gradproof/

clean: ## remove what the other targets made
	rm -rf .venv .dev build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

.venv/.run: EXTRA :=
.venv/.test: EXTRA := [test]
.venv/.dev: EXTRA := [dev]
.venv/.run .venv/.test .venv/.dev: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'gradproof needs Python 3.11 or newer: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.$(EXTRA)'
	@touch $@
