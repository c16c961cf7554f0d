# The commands that every checkout has. CONTRIBUTING.md says more about each.

GO ?= go
BIN := bin/centrifugo
# Kept for the development server; `make run ARGS="-p 9000"` adds flags.
ARGS ?=
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@latest

.PHONY: run build test unit e2e cross soak check lint vuln bench docs admin clean

run: build ## builds and starts a development server with a page to try it
	./$(BIN) --dev $(ARGS)

build: ## a static binary
	CGO_ENABLED=0 $(GO) build -o $(BIN) ./cmd/centrifugo

test: unit e2e ## all tests: unit, race, fuzz seeds, model, examples, and real SDKs
	@echo "test: unit, race, fuzz-seed, model and example tests (go test -race), SDK and browser tests (e2e) have passed"

unit: ## tests in Go, under the race detector; they include fuzz seeds, the model test and the rules of the repository
	./internal/redistest/setup.sh
	./internal/pgtest/setup.sh
	./internal/proxytest/setup.sh
	./examples/backend/setup.sh
	./internal/sqstest/setup.sh
	./internal/asbtest/setup.sh
	./internal/promtest/setup.sh
	$(GO) vet ./...
	$(GO) test -race -timeout=40m ./...
	$(GO) test -timeout=40m -run 'Alloc|Memory' ./... # these count what the race detector adds to
	cd examples && $(GO) vet ./... && $(GO) test -race ./...

e2e: build ## real SDKs in Node.js and Chromium against the real binary; installs what it needs
	./internal/redistest/setup.sh
	./e2e/setup.sh
	cd e2e && CENTRIFUGO_BIN=$(CURDIR)/$(BIN) npm test

# Systems for which releases are built, beside linux/amd64. int has 32 bits on those that are
# vetted, tests included; the others are built.
VET32 := 386 arm
CROSS := linux/arm64 darwin/arm64 windows/amd64 freebsd/amd64

cross: ## vets 32-bit systems and builds for the others; two minutes at first, seconds when nothing has changed
	@for arch in $(VET32); do echo "$(GO) vet: linux/$$arch"; GOARCH=$$arch $(GO) vet ./... || exit 1; done
	@for target in $(CROSS); do echo "$(GO) build: $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -o /dev/null ./cmd/centrifugo || exit 1; done

soak: ## the random tests, ten times as long as in unit; each run has seeds of its own and prints them
	$(GO) test -race -count=10 -timeout=2h -run '^(TestStress|TestModel|TestSlowModel|TestStreamReaderModel)$$' ./centrifuge/...

check: lint vuln unit cross ## what a change must pass before it is proposed

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || (gofmt -l $$(git ls-files '*.go'); echo "gofmt: the files above are not formatted"; exit 1)
	$(GO) vet ./...
	$(GO) run $(GOLANGCI) run ./...

vuln: ## needs the vulnerability database; without a way to it this is said and not held against the change
	@$(GO) run $(GOVULNCHECK) ./... || { code=$$?; [ $$code -eq 3 ] && exit 3; echo "vuln: govulncheck could not run here (exit $$code)"; }

bench: build ## the measurements, 25 minutes; writes bench/RESULTS.md, bench/growth.svg and bench/costs.json
	./internal/redistest/setup.sh
	$(GO) run ./bench/cmd/measure -binary ./$(BIN) -out bench/RESULTS.md -costs bench/costs.json

admin: ## builds the page of the admin interface; needs Node.js
	cd web/admin && npm ci && npm run check && npm run build

docs: ## regenerates what is generated
	$(GO) run ./cmd/centrifugo configdoc -m > docs/config.md
	$(GO) generate ./server/internal/openapi

TOOLS := $(CURDIR)/bin/tools

release-tools: ## GoReleaser and what it calls; two minutes at first. They are modules of their own in tools/
	cd tools/release && $(GO) build -o $(TOOLS)/ github.com/goreleaser/goreleaser/v2 github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

release-snapshot: release-tools ## archives, deb, rpm, apk, bills of materials and checksums of the present commit, in bin/dist; needs no container engine
	PATH="$(TOOLS):$$PATH" goreleaser release --snapshot --clean --skip=docker

release-repeat: release-tools ## makes the release of the present commit twice, in different places, and compares the bytes
	PATH="$(TOOLS):$$PATH" ./deploy/test-reproducible.sh

release-test: ## what release-snapshot has made: the deb is installed, upgraded and removed in a chroot, the others are opened; needs root, Debian and its packages
	./deploy/test-packages.sh bin/dist

chart: build ## checks the Helm chart, with Helm as a module of its own in tools/
	cd tools/helm && $(GO) build -o $(TOOLS)/ helm.sh/helm/v3/cmd/helm
	./deploy/test-chart.sh $(TOOLS)/helm $(CURDIR)/$(BIN)

clean:
	rm -rf bin
