# The plain forms of everything here are in README.md; these targets only spare the typing.
.POSIX:
BIN = .venv/bin
WHEEL_VENV = .venv-wheel

.PHONY: up test check lint types fast wheel-test bench bench-sync system browser-tools clean

up: .venv/installed
	$(BIN)/devpod-rp up --cloud local --yes

test: .venv/installed-dev .venv-outside/ready system browser-tools
	$(BIN)/python -m pytest -n 2 --dist loadscope tests

check: lint types fast

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/vermin --quiet --no-tips --eval-annotations --violations -t=3.8- devpod_rp/agent

types: .venv/installed-dev
	$(BIN)/mypy

fast: .venv/installed-dev
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not sandbox" tests

# The same end-to-end tests against what a user installs, away from the checkout: templates, agent and data files must
# be in the wheel.
wheel-test: .venv/installed-dev system browser-tools
	rm -rf dist $(WHEEL_VENV)
	$(BIN)/python -m build --wheel --outdir dist .
	.ci/venv $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/python -m pip install -q -c constraints.txt dist/*.whl --group dev
	rm -rf build/wheel-test && mkdir -p build/wheel-test && cp -r tests pyproject.toml build/wheel-test
	cd build/wheel-test && ../../$(WHEEL_VENV)/bin/python -m pytest -n 2 --dist loadscope -m sandbox tests

# RunPod's own package, in an environment of its own: it is an outside check of the local cloud.
.venv-outside/ready: .ci/venv
	.ci/venv .venv-outside
	.venv-outside/bin/python -m pip install -q "runpod>=1.12,<2"
	touch $@

bench: .venv/installed-dev system
	$(BIN)/python -m tests.bench

# The synchronisation beside rsync, Unison and lsyncd, near and far; about 20 minutes. Results: docs/sync-benchmarks.md.
bench-sync: .venv/installed-dev system
	.ci/bench-tools
	$(BIN)/python -m tests.bench.sync

# What the tests need from the system; a no-op where it is there already or where we are not root.
system:
	.ci/system-packages

# What the tests of editors in a browser need, some hundred megabytes of it; likewise.
browser-tools:
	.ci/browser-tools

.venv/python: .ci/venv
	.ci/venv .venv
	touch $@

.venv/installed: .venv/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install -q -c constraints.txt -e . --group dev
	touch $@

clean:
	rm -rf .venv .venv-outside $(WHEEL_VENV) dist build
