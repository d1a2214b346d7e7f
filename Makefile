# Everything that a person does here. Each target fetches what it needs by itself; Go, git and make are enough.

GO ?= go
# The linter has a module of its own, so that its hundreds of dependencies stay out of both others.
LINT = $(CURDIR)/bin/golangci-lint

.PHONY: demo sandbox test unit e2e bench fuzz lint vuln release fmt clean help

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

demo: ## run the Step against the local cloud and show what the next Step sees
	@cd e2e && $(GO) run ./cmd/demo

sandbox: ## run the local cloud until Ctrl-C; it prints the variables that point an AWS client at it
	@cd e2e && $(GO) run ./cmd/sandbox

# Where the tests note what of the Step's code has run: those beside it, and the program that e2e runs.
COVERAGE = $(CURDIR)/coverage.data

test: unit e2e ## run every test of both modules, with the race detector, and print the coverage of each package
	@echo; echo "Coverage of the Step by all tests together:"
	@$(GO) tool covdata percent -i=$(COVERAGE)/unit,$(COVERAGE)/e2e | sed 's|^.*/bitrise-step-authenticate-with-aws|.|'

unit: ## run the tests beside the Step's code
	@rm -rf $(COVERAGE)/unit && mkdir -p $(COVERAGE)/unit
	$(GO) test -race -cover ./... -args -test.gocoverdir=$(COVERAGE)/unit

# Not from go's cache of results, which does not know that the tests build the Step.
e2e: ## run the tests that run the Step as a program
	@rm -rf $(COVERAGE)/e2e && mkdir -p $(COVERAGE)/e2e
	cd e2e && GOCOVERDIR=$(COVERAGE)/e2e $(GO) test -race -count=1 ./...

BENCHFLAGS ?=

bench: ## measure round trips, CPU and memory on a link of 100 ms; BENCHFLAGS=-cold for cold builds too, which take minutes
	cd e2e && $(GO) test -bench . -benchtime 10s -run '^$$' . $(BENCHFLAGS)

FUZZTIME ?= 20s

fuzz: ## run each fuzz test for FUZZTIME
	@for file in $$(grep -rlE --include='*_test.go' --exclude-dir=e2e '^func Fuzz' .); do \
		for test in $$(grep -oE '^func Fuzz[A-Za-z0-9]+' $$file | cut -c6-); do \
			echo "$$(dirname $$file): $$test"; \
			$(GO) test -run '^$$' -fuzz "^$$test\$$" -fuzztime $(FUZZTIME) $$(dirname $$file) || exit 1; \
		done; \
	done

lint: $(LINT) ## check the style and the import rules of both modules
	$(LINT) run ./...
	cd e2e && $(LINT) run ./...

$(LINT): e2e/lint/go.mod
	cd e2e/lint && $(GO) build -o $(LINT) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

vuln: ## search for known vulnerabilities, where their database answers
	.ci/vuln

RELEASE_PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

# The flags are those of .goreleaser.yaml, so that a release can be checked without GoReleaser.
release: ## build the programs of a release into dist/: the same bytes from the same commit, wherever it is built
	@mkdir -p dist
	@for platform in $(RELEASE_PLATFORMS); do \
		name=authenticate-with-aws_$$(echo $$platform | tr / _); echo dist/$$name; \
		GOFLAGS= CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0 GOOS=$${platform%/*} GOARCH=$${platform#*/} \
		$(GO) build -trimpath -buildvcs=false -ldflags='-s -w' -o dist/$$name . || exit 1; \
	done

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

clean: ## remove what these targets made
	rm -rf bin dist coverage.data
