# Running and building need Go and nothing else. The tests also run the examples in other languages and start PostgreSQL
# and PgBouncer: .ci/tools and .ci/postgres find or install what these need. A C compiler adds the race detector. Tools
# are built from pinned modules.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BUF := go tool -modfile=tools/go.mod buf
GOLANGCI := go tool -modfile=tools/golangci-lint/go.mod golangci-lint
VULNCHECK := go tool -modfile=tools/go.mod govulncheck
# The packages that start goroutines, as far as they are there.
CONCURRENT = $(strip $(foreach d,statestore engine server notify telemetry node simulate clients/go,$(if $(wildcard $(d)),./$(d)/...)))
FUZZTIME ?= 5s
# How long the robustness suite goes on, and what it draws from: another day, other mutants.
LENGTH ?= 10m
SEED ?= $(shell date +%Y%m%d)

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

.PHONY: setup
setup: ## fetch what the service and its tests need
	@.ci/tools
	@.ci/postgres
	go mod download

.PHONY: run
run: ## start the service on this machine
	go run ./cmd/resilienced serve

.PHONY: test
test: ## run the tests
	@.ci/tools
	@.ci/postgres
	go test -timeout 20m ./...

.PHONY: race
race: ## run the tests of the concurrent packages under the race detector
	$(if $(CONCURRENT),go test -race -timeout 20m $(CONCURRENT),@echo "no concurrent package yet")

.PHONY: check
check: generated lint breaking test race ## everything that a change must pass, but drills, benchmarks and fuzzing

.PHONY: lint
lint: ## check style, the import rule and the proto files
	$(BUF) lint
	$(BUF) format --diff --exit-code
	$(GOLANGCI) run

.PHONY: generate
generate: ## write gen/ anew from proto/
	$(BUF) generate

.PHONY: docs
docs: ## write the generated pages under docs/ anew
	go test -count=1 -run 'Page|SchemaFile' . ./telemetry ./policy -update

.PHONY: generated
generated: ## fail unless gen/ is what proto/ gives
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(BUF) generate --output "$$tmp" && \
	diff -r gen "$$tmp/gen" || { echo "gen/ is stale: run 'make generate' and commit it" >&2; exit 1; }

.PHONY: breaking
breaking: ## compare the API with the last landed version and the last release
	@.ci/breaking $(BUF)

.PHONY: bench
bench: ## measure against the limits and write docs/PERFORMANCE.md
	go run ./bench

.PHONY: robustness
robustness: ## press three replicas for LENGTH while things break, and write docs/RELIABILITY.md
	@.ci/postgres >/dev/null
	go run ./test/robustness -for $(LENGTH) -seed $(SEED) -out docs/RELIABILITY.md

.PHONY: robustness-short
robustness-short: ## the same for a few minutes, with three mutants and no page
	@.ci/postgres >/dev/null
	go run ./test/robustness -short -seed $(SEED)

.PHONY: drill
drill: ## run the scenarios against a server of their own
	go run ./cmd/resilienced drill

.PHONY: alerts
alerts: ## test the alert rules, the dashboard and a scrape with promtool
	@tool=$$(.ci/promtool) && cd deploy/prometheus && \
	"$$tool" check config prometheus.yaml && "$$tool" test rules rules_test.yaml && \
	PROMTOOL="$$tool" go test -count=1 -tags promtool -run Promtool ../../telemetry

.PHONY: fuzz
fuzz: ## fuzz each fuzz target for FUZZTIME (5s)
	@.ci/fuzz $(FUZZTIME)

.PHONY: vuln
vuln: ## look for known vulnerabilities (needs the network)
	$(VULNCHECK) ./...

.PHONY: build
build: ## build bin/resilienced
	CGO_ENABLED=0 go build -trimpath -o bin/resilienced ./cmd/resilienced
