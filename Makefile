# Everything that contributors run. Go, git, and make are enough; each target downloads the tools that it needs.

GO ?= go
# These tools have their own modules, which keeps their many dependencies out of the other modules.
LINT = $(CURDIR)/bin/golangci-lint
GREMLINS = $(CURDIR)/bin/gremlins

.PHONY: demo sandbox test unit e2e stress bench fuzz mutation lint vuln version release notes fmt clean help

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

demo: ## run the Step against the local cloud and show what the next Step sees
	@cd e2e && $(GO) run ./cmd/demo

sandbox: ## run the local cloud until Ctrl-C and print the variables that point an AWS client at it
	@cd e2e && $(GO) run ./cmd/sandbox

# Coverage data of the unit tests, and of the program that the e2e tests run.
COVERAGE = $(CURDIR)/coverage.data

test: unit e2e ## run all tests of both modules with the race detector and print the coverage of each package
	@echo; echo "Coverage of the Step by all tests together:"
	@$(GO) tool covdata percent -i=$(COVERAGE)/unit,$(COVERAGE)/e2e | sed 's|^.*/bitrise-step-authenticate-with-aws|.|'

# Far more than a slow machine needs. A test that hangs ends here, with what each goroutine was doing.
TIMEOUT = 60m

unit: ## run the unit tests
	@rm -rf $(COVERAGE)/unit && mkdir -p $(COVERAGE)/unit
	$(GO) test -race -timeout $(TIMEOUT) -cover ./... -args -test.gocoverdir=$(COVERAGE)/unit

# -count=1, because the test cache does not notice changes in the Step. Most of these tests wait for processes and retries
# rather than compute, so more of them run in parallel than there are CPUs.
e2e: ## run the tests that run the Step as a program
	@rm -rf $(COVERAGE)/e2e && mkdir -p $(COVERAGE)/e2e
	cd e2e && GOCOVERDIR=$(COVERAGE)/e2e $(GO) test -race -timeout $(TIMEOUT) -count=1 -parallel 8 ./...

STRESS ?= $(MAKE) test

stress: ## run make test, or the command STRESS, three times, two of them while other programs use all CPUs, and print the times
	.ci/stress $(STRESS)

BENCHFLAGS ?=

bench: ## measure round trips, CPU, and memory over a link of 100 ms; BENCHFLAGS=-cold adds cold builds, which take minutes
	cd e2e && $(GO) test -timeout $(TIMEOUT) -bench . -benchtime 10s -run '^$$' . $(BENCHFLAGS)

FUZZTIME ?= 20s

fuzz: ## run each fuzz test for FUZZTIME
	@for file in $$(grep -rlE --include='*_test.go' --exclude-dir=e2e '^func Fuzz' .); do \
		for test in $$(grep -oE '^func Fuzz[A-Za-z0-9]+' $$file | cut -c6-); do \
			echo "$$(dirname $$file): $$test"; \
			$(GO) test -run '^$$' -fuzz "^$$test\$$" -fuzztime $(FUZZTIME) $$(dirname $$file) || exit 1; \
		done; \
	done

MUTATE ?= .

mutation: $(GREMLINS) ## list changes to the code that no unit test notices, in the folder MUTATE or everywhere, which takes an hour
	$(GREMLINS) unleash --exclude-files '^e2e/' $(MUTATE)

$(GREMLINS): e2e/mutation/go.mod
	cd e2e/mutation && $(GO) build -o $(GREMLINS) github.com/go-gremlins/gremlins/cmd/gremlins

lint: $(LINT) ## check the style and the import rules of both modules
	$(LINT) run ./...
	cd e2e && $(LINT) run ./...

$(LINT): e2e/lint/go.mod
	cd e2e/lint && $(GO) build -o $(LINT) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

vuln: ## look for known vulnerabilities; skipped if the database cannot be reached
	.ci/vuln

DIST ?= dist
# The tag of this commit. Without one, or with changes that are not committed, it is not a version.
RELEASE_VERSION ?= $(shell git describe --tags --exact-match --dirty 2>/dev/null)
RELEASE_PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

version:
	@echo '$(RELEASE_VERSION)' | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+' || \
		{ echo "check out a tag such as 1.0.0, without changes, or set RELEASE_VERSION; got '$(RELEASE_VERSION)'" >&2; exit 1; }

# The build flags are those in .goreleaser.yaml, so that a release can be verified without GoReleaser.
release: version ## build a tag's programs, reproducibly, with the step.yml for the StepLib, and print what it says about them
	@mkdir -p $(DIST)
	@{ cat step.yml; echo executables:; for platform in $(RELEASE_PLATFORMS); do \
		key=$${platform%/*}-$${platform#*/}; name=authenticate-with-aws-$$key; \
		GOFLAGS= CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0 GOOS=$${platform%/*} GOARCH=$${platform#*/} \
		$(GO) build -trimpath -buildvcs=false -tags=nethttpomithttp2 -ldflags='-s -w -X github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report.version=$(RELEASE_VERSION)' \
		-o $(DIST)/$$name . || exit 1; \
		digest=$$({ sha256sum $(DIST)/$$name || shasum -a 256 $(DIST)/$$name; } 2>/dev/null | cut -d ' ' -f 1); \
		echo "  $$key:"; \
		echo "    storage_uri: steps/authenticate-with-aws/$(RELEASE_VERSION)/bin/$$name"; \
		echo "    hash: sha256-$$digest"; \
	done; } > $(DIST)/step.yml
	@sed -n '/^executables:/,$$p' $(DIST)/step.yml

notes: version ## print a tag's section of the changelog
	@awk -v version='[$(RELEASE_VERSION)]' '/^## / { isIt = $$2 == version; found = found || isIt; next } isIt; END { exit !found }' \
		CHANGELOG.md || { echo "CHANGELOG.md has no section [$(RELEASE_VERSION)]" >&2; exit 1; }

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

clean: ## remove everything that these targets create
	rm -rf bin dist coverage.data
