# Weir's commands. `make` alone lists them; `make demo` and `make test` install what they need first.
# One cargo profile for everything, so nothing is compiled twice; CARGO_TARGET_DIR is honoured.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

target := $(or $(CARGO_TARGET_DIR),target)
weir   := $(target)/release/weir
cargo  := cargo
export PATH := $(CURDIR)/.node/node_modules/.bin:$(PATH)
web_sources := $(shell find web -type f -not -path '*/node_modules/*' -not -path 'web/dist/*' 2>/dev/null)

.PHONY: help prerequisites packages packages-test web build demo demo-failover run test check accept bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

prerequisites:
	@scripts/prerequisites.sh

packages: prerequisites
	@scripts/install-packages.sh build run
	@scripts/install-node.sh

packages-test: prerequisites
	@scripts/install-packages.sh build run test
	@scripts/install-node.sh

# npm writes its own lock file into node_modules last: a whole installation is newer than the wish.
%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --no-audit --no-fund
	touch $@

web/dist/player.html: web/node_modules/.package-lock.json $(web_sources)
	cd web && npm run build
	touch $@

web: web/dist/player.html ## the pages (panel, player, going live), into web/dist

build: packages web ## the binary, into target/release
	$(cargo) build --release --locked

demo: ## everything: install, build, serve, push a test stream, print the URLs to watch
	@$(MAKE) --no-print-directory build
	@WEIR=$(weir) scripts/demo.sh

demo-failover: packages-test build tests/browser/node_modules/.package-lock.json ## the primary encoder killed and restarted: the timing, measured by a player
	@WEIR=$(weir) scripts/demo-failover.sh

run: build ## serve with config.toml
	$(weir) serve --config config.toml

test: packages-test web tests/browser/node_modules/.package-lock.json tests/parsers/node_modules/.package-lock.json ## install what is missing, run every test
	cd web && npm run lint
	scripts/check-links.py
	$(cargo) build --release --locked --workspace
	$(weir) check-config --config config.toml
	python3 tests/accept/accept.py --short
	$(cargo) test --release --locked --workspace

check: packages web ## format, lints, dependency policy, what is generated, the unit, links of the documents
	$(cargo) fmt --all --check
	$(cargo) clippy --release --locked --workspace --all-targets -- -D warnings
	scripts/check-dependencies.py
	scripts/third-party.py --check
	scripts/api-reference.py --check
	scripts/check-service.py
	scripts/check-links.py
	cd web && npm run lint

accept: packages-test build tests/browser/node_modules/.package-lock.json ## measure the goals; make accept ONLY=name[,name] runs some again
	python3 tests/accept/accept.py $(if $(ONLY),--only $(ONLY))

bench: build ## measure beside other servers, into docs/performance.md; ONLY=name[,name] some again, ROUNDS=n more rounds
	@scripts/install-packages.sh bench
	@scripts/bench-peers.sh
	python3 tests/bench/bench.py $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

clean: ## remove what was built and measured
	$(cargo) clean
	rm -rf web/dist web/node_modules tests/browser/node_modules tests/parsers/node_modules .accept .bench .venv .node
