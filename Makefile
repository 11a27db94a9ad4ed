# `make` lists the targets. Each sets up what it needs; a second call does not set up again.

PYTHON ?= python3
ARGS ?=
VENV = .venv/bin
comma = ,
SOURCES = pyproject.toml constraints.txt Makefile

.PHONY: help compare quick test test-slow soak fuzz check docs mutants bench data browser clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile | awk -F': ' '{ printf "make %-10s %s\n", $$1, $$2 }'
	@echo 'Options are passed on as ARGS: make compare ARGS="original --seeds 0 1 2".'

compare: .venv/.run data  ## train the models, one after another, and print one table
	$(VENV)/aelab compare $(ARGS)

quick: .venv/.run data  ## the same table from a tenth of the training
	$(VENV)/aelab compare --quick $(ARGS)

test: .venv/.test data browser  ## run the tests, two files at a time
	$(VENV)/pytest -n 2 --dist loadfile $(ARGS)

test-slow: .venv/.test data  ## run the tests that take minutes
	$(VENV)/pytest -m slow $(ARGS)

soak: .venv/.test  ## kill trainings, studies and searches 200 times, and compare what they end in
	PYTHONPATH=tests $(VENV)/python tests/kills.py $$(mktemp -d)/soak 19 $${SEED:-0} $(ARGS)

check: .venv/.test  ## check format, lint and types
	$(VENV)/ruff format --check
	$(VENV)/ruff check
	$(VENV)/mypy

docs: .venv/.docs  ## build the documentation into build/docs
	$(VENV)/sphinx-build -W --keep-going -q -b html docs build/docs $(ARGS)
	@echo build/docs/index.html

mutants: .venv/.mutants data  ## put mistakes into a copy of the source, and see if the tests fail
	PYTHONPATH=tests $(VENV)/python -m mutants $(ARGS)

fuzz: .venv/.test  ## open mutated files of every format that is read
	PYTHONPATH=tests $(VENV)/python -m fuzz $(ARGS)

bench: .venv/.bench data  ## time training against the original's way, peers and the machine
	$(VENV)/python benchmarks/speed $(ARGS)

# Where the files are nowhere and no package manager is at hand, aelab itself downloads them, or
# says how to get them. A folder named in ARGS is aelab's business alone.
data: .venv/.run  ## install FashionMNIST where it is missing, as root on Debian
	@$(if $(findstring --data-dir,$(ARGS)),exit 0;) \
	$(VENV)/python -c 'from aelab.data.idx_files import FASHION_MNIST; FASHION_MNIST.locate(download=False)' \
		2>/dev/null && exit 0; \
	[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0; \
	echo 'Installing FashionMNIST: apt-get install dataset-fashion-mnist'; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -qq -y dataset-fashion-mnist \
		|| echo 'apt-get could not install it; aelab will try to download it.'

# Where there is none, the tests of the report's page are skipped.
browser:  ## install Chromium, which the report is tested in, where it is missing, as root on Debian
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null && exit 0; \
	[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0; \
	echo 'Installing Chromium: apt-get install chromium chromium-driver'; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get update -qq && apt-get install -qq -y --no-install-recommends \
		chromium chromium-driver >/dev/null; } \
		|| echo 'apt-get could not install it; the tests of the page are skipped.'

clean:  ## remove what was set up and built; runs stay
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.run: $(SOURCES)
	$(call set-up,.)
	@touch $@

.venv/.test: $(SOURCES)
	$(call set-up,.[test])
	@touch .venv/.run $@

.venv/.docs: $(SOURCES)
	$(call set-up,.[docs$(comma)test])
	@touch .venv/.run .venv/.test $@

.venv/.bench: $(SOURCES)
	$(call set-up,.[bench])
	@touch .venv/.run $@

.venv/.mutants: $(SOURCES)
	$(call set-up,.[mutants])
	@touch .venv/.run .venv/.test $@

# A set-up that was cut short leaves its mark, .venv/.unfinished, and the next begins from nothing.
define set-up
	@$(PYTHON) -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'aelab needs Python 3.11 or newer with its venv module; $(PYTHON) is not that. On Debian:' \
			'apt-get install python3-venv. To name another: make PYTHON=/path/to/python3' >&2; exit 1; }
	@test ! -e .venv/.unfinished || rm -rf .venv
	@mkdir -p .venv && rm -f .venv/.run .venv/.test .venv/.docs .venv/.bench .venv/.mutants && touch .venv/.unfinished
	@test -x $(VENV)/pip || $(PYTHON) -m venv .venv
	@echo 'Installing aelab and what it needs into .venv'
	@$(VENV)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '$(1)'
	@rm .venv/.unfinished
endef
