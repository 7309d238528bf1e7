# `make` alone prints the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
ARGS ?=
FUZZTIME ?= 20s
FAULT_ROUNDS ?= 100
FAULT_BACKLOG ?= 3000000
RACE := ./internal/token ./internal/geofile ./internal/daykey ./internal/limit ./internal/suppress ./internal/spool/... ./internal/loader/... ./aggregator/feature/... ./aggregator/decision/...

.PHONY: tag-size help run test race fuzz fault privacy-proof e2e bench bench-collector bench-decision bench-aggregator bench-path bench-backtest bench-stats bench-tag lint tag schema pictures clean build setup

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## start ClickHouse, collector, aggregator and the demo shop; options: make run ARGS="--help"
	@exec bin/beckon-dev $(ARGS)

test: setup lint ## set up what is missing and run every test
	cd pixel-js && npm test
	cd platforms && npm test
	go test -count=1 -timeout 20m ./...
	$(MAKE) --no-print-directory race

race: ## the race detector over what has locks and atomics of its own
	go test -race -short -count=1 -timeout 10m $(RACE)

fuzz: ## every fuzz target for FUZZTIME (20s) each
	@set -e; for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for target in $$(grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' $$pkg/*_test.go | awk '{print $$2}'); do \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; done; done

fault: ## kill -9 (FAULT_ROUNDS times, 100), torn bytes, full disks, power loss, faults of ClickHouse, outages
	@set -o pipefail; BECKON_FAULT_ROUNDS=$(FAULT_ROUNDS) go test -count=1 -timeout 20m -v ./internal/spool | grep -E '^ *--- |rounds: |^(ok|FAIL|panic)|_test.go'
	@set -o pipefail; go test -count=1 -timeout 20m -v ./internal/loader | grep -E '^ *--- |fault_test.go|^(ok|FAIL|panic)|_test.go'
	@set -o pipefail; BECKON_FAULT_ROUNDS=$(FAULT_ROUNDS) BECKON_FAULT_BACKLOG=$(FAULT_BACKLOG) go test -count=1 -timeout 60m -v -run 'KilledInTurns|Backlog' ./internal/e2e | grep -E '^ *--- |_test.go|^(ok|FAIL|panic)'
	go test -count=1 -timeout 20m -run 'Crash|Torn|Power|Full|Fault|Kill|Every|Outage|Lost|Silent' ./internal/chlocal/... ./internal/e2e/...

privacy-proof: ## what names a person, sent through every route and the import and sought in all that is kept
	go test -count=1 -v -timeout 10m -run 'PrivacyProof' ./internal/e2e

e2e: setup ## both binaries, a real ClickHouse, a real browser
	go test -count=1 -v -timeout 15m ./internal/e2e/...

bench: ## microbenchmarks of the hot paths; bench/README.md has the load test
	go test -run '^$$' -bench . -benchmem ./internal/spool ./internal/event ./internal/privacy ./collector/ingest ./aggregator/...

bench-collector: ## the collector beside bare fasthttp and nginx, one core each; needs wrk and nginx-light; ARGS="--help"
	go build -o bin/bench-collector ./bench/collector
	bin/bench-collector $(ARGS)

bench-decision: ## the decision endpoint beside bare fasthttp, OPA, and webdis with Redis, one core each; needs wrk, webdis, redis-server; ARGS="--help"
	go build -o bin/bench-decision ./bench/decision
	bin/bench-decision $(ARGS)

bench-aggregator: build ## reads over 1 to 100 million events, and how soon and how fast decisions follow 5,000 events/s; needs 30 GB; ARGS="--help"
	go build -o bin/bench-aggregator ./bench/aggregator
	bin/bench-aggregator $(ARGS)

bench-path: build ## from request to row on this machine: sustained rate, loader beside a bare insert, bytes per event; ARGS="--help"
	go build -o bin/bench-path ./bench/path
	bin/bench-path $(ARGS)

bench-backtest: ## a backtest over ten million generated events: time and memory; ARGS="--help"
	go build -o bin/bench-backtest ./bench/backtest
	bin/bench-backtest $(ARGS)

bench-stats: ## the statistics of experiments on shops whose truth is known: false alarms, coverage, broken draws; ARGS="--help"
	go run ./bench/stats $(ARGS)

bench-tag: build ## what the tag loses in 10,000 visits of a real browser, and what it costs a page; ARGS="--help"
	go build -o bin/bench-tag ./bench/tag
	bin/bench-tag $(ARGS)

lint: setup ## gofumpt, go vet, staticcheck, tsc
	@test -z "$$(go tool gofumpt -l $$(git ls-files '*.go'))" || { echo "run: go tool gofumpt -w ."; go tool gofumpt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go tool staticcheck ./...
	cd pixel-js && npm run --silent check
	cd platforms && npm run --silent check

tag: ## bundle the tag into pixel-js/dist
	go run ./pixel-js/build --root pixel-js

tag-size: tag ## print what the tag weighs beside its peers, and fail when a script is over its budget
	go test -count=1 -run 'Budget|Sizes' ./pixel-js/build

schema: ## write schema/current.sql as a server dumps it, and deploy/dbt/sources.yml from its comments
	go test ./schema -run 'TestCurrentSQL|TestSources' -update

pictures: build ## take the pictures of the demo shop that docs/pictures shows
	go run ./deploy/dev/pictures

clean: ## remove binaries, local state and node_modules; the download cache stays
	rm -rf bin .beckon pixel-js/node_modules platforms/node_modules internal/e2e/openfeature/node_modules verify/rust/target

build: tag ## build the binaries into bin/
	go build -o bin/beckon-collector ./collector
	go build -o bin/beckon-aggregator ./aggregator
	go build -o bin/beckon-dev ./deploy/dev

setup:
	@deploy/dev/setup.sh
