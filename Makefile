# Everything here needs Go and a POSIX shell. What a target does is said behind
# its name; `make help` lists it.

GO          ?= go
FUZZTIME    ?= 30s
TESTFLAGS   ?=
BENCHFLAGS  ?=
SCREENSHOTS ?= $(or $(TMPDIR),/tmp)/usher-screenshots
STATICCHECK  = honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Tests that need a browser look here. Without it they are skipped.
BROWSER = USHER_CHROMIUM="$${USHER_CHROMIUM-$$(command -v chromium || true)}"

.PHONY: all run build deps test race fuzz bench microbench soak screenshots lint fmt help

all: fmt lint test ## format, check and test

run: build ## start a server for development on 127.0.0.1:7880
	@exec ./usher serve --dev

build: ## build ./usher
	$(GO) build -o usher ./cmd/usher

deps: ## install what the tests need, where that is possible
	@.ci/deps

test: deps ## run all tests, the long ones at a tenth of their size
	$(BROWSER) $(GO) test -timeout 20m $(TESTFLAGS) ./...
	@.ci/deps --check || true

race: ## run the tests of the server again under the race detector, the long ones shorter still
	$(BROWSER) $(GO) test -timeout 30m -short -race $(TESTFLAGS) $$($(GO) list ./... | grep -v -e /web/sdk -e /web/demo -e /web/console)

fuzz: ## run each fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

bench: build ## measure against two yardsticks, for ten minutes, and write docs/performance.md
	@exec ./usher loadtest bench --out docs/performance.md $(BENCHFLAGS)

microbench: ## run the benchmarks of single packages and print what they measure
	$(GO) test -run '^$$' -bench . -benchmem $(TESTFLAGS) ./...

soak: deps ## run all tests at full size; takes long
	USHER_SOAK=1 $(BROWSER) $(GO) test -count 1 -timeout 0 -v $(TESTFLAGS) ./...

screenshots: deps ## make docs/demo.png anew, and more pictures of the pages in SCREENSHOTS
	$(BROWSER) USHER_SCREENSHOTS="$(abspath $(SCREENSHOTS))" $(GO) test -count 1 -run Screenshots $(TESTFLAGS) ./web/...
	cp "$(SCREENSHOTS)/demo-desktop-light.png" docs/demo.png

lint: ## check format and code
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change:" $$unformatted; exit 1; }
	$(GO) vet ./...
	@$(GO) run $(STATICCHECK) -version >/dev/null || { echo "cannot run staticcheck: is the Go module proxy reachable? it comes from $(STATICCHECK)"; exit 1; }
	$(GO) run $(STATICCHECK) ./...

fmt: ## format the code
	$(GO) fmt ./...

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
