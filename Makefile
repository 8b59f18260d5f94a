# Two commands need nothing before them: `make run` and `make test`. `make check` is everything that CI runs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test admission rotation unit check lint format types bench lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(VENV)/.run: requirements/run.txt pyproject.toml .ci/setup
	@PYTHON=$(PYTHON) .ci/setup $(VENV) requirements/run.txt
	@touch $@

$(VENV)/.test: requirements/test.txt pyproject.toml .ci/setup
	@PYTHON=$(PYTHON) .ci/setup $(VENV) requirements/test.txt
	@touch $@ $(VENV)/.run

run: $(VENV)/.run ## a gateway with its own Redis and five sandbox venues; the first cancels are shown
	@exec $(BIN)/cancel-gateway demo $(DEMO)

test: $(VENV)/.test ## the whole test suite
	@echo "not in it: make admission (three gateways under load and faults, judged by arrival times; wants a quiet machine)"
	@echo "nor: make soak-check (three gateways under random faults, every account squared; 40 s, likewise)"
	@echo "nor: make ops-check (a real Prometheus and Alertmanager beside a gateway)"
	@.ci/suite $(BIN) $(TESTS)

admission: $(VENV)/.test ## limits held by three gateways through faults, counted at the venue; 150 s, wants a quiet machine
	@$(BIN)/python -m pytest -q tests/admission

rotation: $(VENV)/.test ## keys rotated and stores lost under 200 cancels/s, for every secret store; 3 min
	@CANCEL_GATEWAY_ROTATION_S=10 $(BIN)/python -m pytest -q --timeout 180 tests/service/test_service_rotation.py

.PHONY: soak soak-check
SOAK_S ?= 1800
SOAK ?=
soak: $(VENV)/.test ## SOAK_S=1800 seconds of load and random faults on three gateways, then every account squared; SOAK="--seed 7" replays
	@PYTHONPATH=. $(BIN)/python -m bench.soak --seconds $(SOAK_S) $(SOAK)

soak-check: $(VENV)/.test ## the same in short, 40 s; wants a machine that is not starved
	@$(BIN)/python -m pytest -q tests/soak

.PHONY: outage
OUTAGE_S ?= 600
outage: $(VENV)/.test ## a real OpenBao away for OUTAGE_S=600 seconds under 40 cancels/s, and a new key in it when it is back
	@CANCEL_GATEWAY_OUTAGE_S=$(OUTAGE_S) $(BIN)/python -m pytest -q -s --timeout 3600 \
	  tests/service/test_service_rotation.py -k away_for_long

.PHONY: schedules truth
SCHEDULES ?= 10000
schedules: $(VENV)/.test ## SCHEDULES random fault schedules (10,000) on virtual time, each held against the venue's book; 15 min
	@CANCEL_GATEWAY_SCHEDULES=$(SCHEDULES) $(BIN)/python -m pytest -q tests/truth/test_schedules.py

truth: schedules ## the above, and real processes killed at every point, and the crowds in full; 20 min
	@CANCEL_GATEWAY_TRUTH=full $(BIN)/python -m pytest -q --timeout 600 tests/truth --deselect tests/truth/test_schedules.py

unit: $(VENV)/.test ## the part without processes and sockets
	@$(BIN)/python -m pytest -q tests/core tests/venues tests/test_architecture.py

check: lint types coverage test ## everything that CI runs

lint: $(VENV)/.test ## style, every rule on
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(VENV)/.test ## repair what lint says about layout
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

types: $(VENV)/.test ## mypy, strict
	@$(BIN)/mypy

.PHONY: coverage
coverage: $(VENV)/.test ## the pure parts have every branch tested
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q -p no:cacheprovider tests/core tests/venues tests/settings tests/test_architecture.py
	@$(BIN)/coverage report --include='gateway/core/*,gateway/venues/*' --fail-under=100

.PHONY: fuzz fuzz-long fuzz-api
REQUESTS ?= 100000
EXAMPLES ?= 2000
SECONDS ?= 300
fuzz: $(VENV)/.test ## made-up input at every rim; REQUESTS=100000 and EXAMPLES=2000 say how much
	@FUZZ_REQUESTS=$(REQUESTS) FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -q --timeout=3600 -m "fuzz or hypothesis" \
	  tests/core tests/venues tests/settings tests/issuer tests/web tests/credentials

MINUTES ?= 10
TARGET ?=
fuzz-long: $(VENV)/.test ## each reader fed made-up input for MINUTES=10; TARGET="stores tokens" takes only these
	@.ci/fuzz-long $(abspath $(BIN)/python) $(MINUTES) $(TARGET)

.venv-fuzz/.fuzz: requirements/fuzz.txt .ci/setup
	@PYTHON=$(PYTHON) .ci/setup .venv-fuzz requirements/fuzz.txt
	@touch $@

fuzz-api: $(VENV)/.run .venv-fuzz/.fuzz ## schemathesis against a demo gateway and its /openapi.json for SECONDS=300
	@.ci/fuzz $(abspath $(BIN)/python) $(abspath .venv-fuzz/bin/schemathesis) $(SECONDS) $(FUZZ)

.PHONY: browser
.venv-browser/.browser: requirements/browser.txt pyproject.toml .ci/setup
	@PYTHON=$(PYTHON) .ci/setup .venv-browser requirements/browser.txt
	@touch $@

browser: .venv-browser/.browser ## the console in a real Chromium, which must be there (CHROMIUM=path)
	@.venv-browser/bin/python -m pytest -q tests/web/test_console_browser.py

.PHONY: drill drill-check
drill: $(VENV)/.run ## one venue of a running demo is broken, under load: which, and why? N=1 to 5 says how (docs/drill.md)
	@$(BIN)/python -m ops.drill $(N)

drill-check: .venv-browser/.browser ## the drill done in all five ways, by a real Chromium and a real Prometheus; 6 min
	@.venv-browser/bin/python -m pytest -q tests/ops_live/test_drill.py

.venv-bench/.bench: requirements/bench.txt pyproject.toml .ci/setup
	@PYTHON=$(PYTHON) .ci/setup .venv-bench requirements/bench.txt
	@touch $@

bench: .venv-bench/.bench ## the gateway beside the limit and what one would pick instead; 8 min; writes docs/performance.md
	@PYTHONPATH=. .venv-bench/bin/python -m bench.side_by_side $(BENCH)

.PHONY: scale
scale: $(VENV)/.test ## more accounts, processes, shards and waiting callers, and a simulated storm; 5 min; writes docs/scale.md
	@PYTHONPATH=. $(BIN)/python -m bench.scale $(SCALE)

.PHONY: bench-check
bench-check: $(VENV)/.test ## what a cancel executes, counted, against the committed figures; WRITE=--write keeps new ones
	@$(BIN)/python -m bench.guard $(WRITE)

.PHONY: ops-check dashboards-check pictures
ops-check: $(VENV)/.test ## every panel asked of a real Prometheus under load, and one page for one cause; 60 s
	@for turn in first second; do \
	  $(BIN)/python -m pytest -q --timeout 120 --ignore=tests/ops_live/test_drill.py tests/ops_live && exit 0; \
	  echo "$$turn turn failed: half a minute of load can leave a panel empty where the machine had no time"; \
	done; exit 1

dashboards-check: ## the dashboards against Grafana's own types, from npm; skipped with a reason without it
	@ops/grafana/check_types

pictures: $(VENV)/.test ## the dashboards' pictures in docs/img anew, from a load of 100 s
	@CANCEL_GATEWAY_STORY_S=100 CANCEL_GATEWAY_PICTURES=docs/img $(BIN)/python -m pytest -q --timeout 200 \
	  tests/ops_live/test_panels.py

.PHONY: policy
policy: $(VENV)/.test ## hold the chart and the image's recipe against checkov's rules
	@[ -x .venv-policy/bin/python ] || $(PYTHON) -m venv .venv-policy
	@.venv-policy/bin/pip install -qq --disable-pip-version-check --require-hashes -r requirements/policy.txt
	@ops/chart/policy

.PHONY: image-check
image-check: ## build the image without a daemon, and run it confined; skipped with a reason where a tool is missing
	@ops/image/check --twice

lock: $(VENV)/.test ## write the hash-pinned requirements anew
	@.ci/lock $(BIN)

clean: ## remove what the commands made
	rm -rf $(VENV) .run build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
