# Everything here sets itself up first: `make demo` and `make test` are all that a new machine needs.
.PHONY: help setup demo test truth check bench crash fuzz samples lock wheel-test
python := .venv/bin/python
atheris := atheris==3.0.0  # nothing but `make fuzz` needs it

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/make \1	\2/p' Makefile | expand -t 18

setup:  ## make .venv with the locked packages, and install bcc where that is allowed
	@scripts/setup

demo: setup  ## record samples/client-tcp and read the capture
	@$(python) scripts/demo.py

test: setup  ## run every test; those that record need root
	$(python) -m pytest --numprocesses auto --dist loadgroup $(TESTS)

truth: setup  ## compare what real programs write with what strace sees; takes minutes
	@scripts/install-programs
	PYTHONPATH=tests $(python) -m truth --rounds $(or $(ROUNDS),1) $(TRUTH)

crash: setup  ## kill recorders at MOMENTS=100 random moments under load, and read what they leave
	PYTHONPATH=tests $(python) -m crash --moments $(or $(MOMENTS),100) --seed $(or $(SEED),1)

check: setup  ## formatting, lint, types and layers
	$(python) -m ruff format --check
	$(python) -m ruff check
	$(python) -m mypy
	.venv/bin/lint-imports

bench: setup  ## measure recording and reading beside other tools; takes twenty minutes, with BENCH=--quick three
	@scripts/install-programs peers
	$(python) -m benchmarks $(BENCH)

fuzz: setup  ## read mutated captures for SECONDS=600 and look for what a reader must not do
	$(python) -m pip install --quiet --disable-pip-version-check $(atheris)
	nice -n 10 $(python) -m fuzz $(or $(SECONDS),600)

wheel-test: setup  ## build the wheel, and run the tests against it alone
	@scripts/wheel-test

samples: setup  ## write the captures in samples/ and the test vectors again
	$(python) samples/make.py
	$(python) samples/make_vectors.py

lock: setup  ## write requirements.lock again; with LOCK=--upgrade, the newest versions
	@scripts/lock $(LOCK)
