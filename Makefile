# The commands that every checkout has. CONTRIBUTING.md says more about each.

GO ?= go
BIN := bin/centrifugo
# Kept for the development server; `make run ARGS="-p 9000"` adds flags.
ARGS ?=
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@latest

.PHONY: run build test unit e2e cross check lint vuln bench docs clean

run: build ## builds and starts a development server with a page to try it
	./$(BIN) --dev $(ARGS)

build: ## a static binary
	CGO_ENABLED=0 $(GO) build -o $(BIN) ./cmd/centrifugo

test: unit e2e ## all tests: unit, race, fuzz seeds, model, examples, and real SDKs
	@echo "test: unit, race, fuzz-seed, model and example tests (go test -race), SDK and browser tests (e2e) have passed"

unit: ## tests in Go, under the race detector; they include fuzz seeds, the model test and the rules of the repository
	$(GO) vet ./...
	$(GO) test -race ./...
	$(GO) test -run 'Alloc|Memory' ./... # these count what the race detector adds to
	cd examples && $(GO) vet ./... && $(GO) test -race ./...

e2e: build ## real SDKs in Node.js and Chromium against the real binary; installs what it needs
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

check: lint vuln unit cross ## what a change must pass before it is proposed

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || (gofmt -l $$(git ls-files '*.go'); echo "gofmt: the files above are not formatted"; exit 1)
	$(GO) vet ./...
	$(GO) run $(GOLANGCI) run ./...

vuln: ## needs the vulnerability database; without a way to it this is said and not held against the change
	@$(GO) run $(GOVULNCHECK) ./... || { code=$$?; [ $$code -eq 3 ] && exit 3; echo "vuln: govulncheck could not run here (exit $$code)"; }

bench: build ## the measurements, 20 minutes; writes bench/RESULTS.md and bench/growth.svg
	$(GO) run ./bench/cmd/measure -binary ./$(BIN) -out bench/RESULTS.md

docs: ## regenerates what is generated
	$(GO) run ./cmd/centrifugo configdoc -m > docs/config.md
	$(GO) generate ./server/internal/openapi

clean:
	rm -rf bin
