# Sotto's development tasks. `make help` lists them; `make test` runs everything.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# One cache for what is built from other projects (Kubernetes, Helm, cargo-deny, moto): downloads and compiles once.
export SOTTO_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sotto
export CARGO_TARGET_DIR ?= $(CURDIR)/target
export PATH := $(SOTTO_CACHE)/cargo/bin:$(PATH)
export CARGO_TERM_COLOR ?= auto
# As rust-toolchain.toml says. Set for build scripts of crates that bring such a file of their own.
export RUSTUP_TOOLCHAIN ?= stable

# The test cluster's folder: logs, volumes, kubeconfig.
export SOTTO_E2E_STATE ?= $(SOTTO_CACHE)/cluster
CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.2
BIN := $(CARGO_TARGET_DIR)/release/sotto
CHART_CRDS := charts/sotto/files/crds

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## Everything: format, lints, licences, generated files, unit tests, end to end locally and on a real Kubernetes
	@e2e/run.sh

# --- single stages of `make test` -------------------------------------------------------------------------------------

fmt: ## Format check
	cargo fmt --all --check

lint: ## Clippy, warnings denied
	cargo clippy --release --workspace --all-targets --locked -- -D warnings

deny: cargo-deny ## Licences, sources, banned crates; advisories where the database can be had
	@e2e/tools/deny.sh

generate: ## Writes the files that are made: crds/*.yaml, the chart's copies and values.schema.json, the Kustomize base, examples/cdk's types, Argo CD's health checks
	cargo run --release --locked --quiet -p sotto-crds --example generate
	mkdir -p $(CHART_CRDS)
	rm -f $(CHART_CRDS)/*.yaml
	cp crds/*.yaml $(CHART_CRDS)/
	cargo run --release --locked --quiet -p sotto-e2e --example generate-chart
	e2e/tools/argocd-cm.sh > integrations/argocd/argocd-cm.yaml

check-generated: ## Fails when a generated file is not what the code makes
	@e2e/tools/check-generated.sh

wasm: wasm-tools ## What is to run in a browser (crypto, wire, client): builds for wasm32-unknown-unknown, and runs under Node 20
	@e2e/wasm/run.sh

unit: ## Unit and integration tests of every crate
	cargo test --release --locked --workspace

interop: ## The library against an independent Python implementation, foreign HPKE receivers, and its own other primitives
	@e2e/interop/run.sh

# Everything at once: what one package alone asks of its dependencies is less, and would build them a second time. What `make unit`
# builds, so that after it there is nothing left to build.
build: ## The sotto program and all tests, release build
	cargo test --release --locked --workspace --no-run

e2e-local: build ## End to end on the embedded default: sotto up
	cargo test --release --locked --workspace --test local -- --ignored --nocapture

screens: build ## Writes docs/screens/*.txt: pictures of sotto chat, from the test that drives it in a real terminal
	cargo test --release --locked --workspace --test local -- --ignored --nocapture chat
	mkdir -p docs/screens
	cp $(CARGO_TARGET_DIR)/e2e/screens/*.txt docs/screens/

chart: tools ## Helm lint, and what the chart renders under many values
	cargo test --release --locked --workspace --test chart -- --ignored --nocapture

api: tools build ## The operator against a real API server without nodes: leader election, faults, access, admission
	cargo test --release --locked --workspace --test api -- --ignored --nocapture

gitops: tools build ## What Argo CD, Flux, kustomize and the AWS CDK make of our objects and examples; needs Node 20
	@e2e/gitops/run.sh

image: ## The container image as an oci-archive, without a registry; optimised throughout
	cargo build --profile dist --locked
	SOTTO_BINARY=$(CARGO_TARGET_DIR)/dist/sotto e2e/tools/image.sh $(CARGO_TARGET_DIR)/image/sotto-dist.tar localhost/sotto:dist

e2e-cluster: ## End to end on a real Kubernetes, started for it and ended after it
	@e2e/cluster/test.sh

# --- longer than a test may take --------------------------------------------------------------------------------------

bench: ## Measures: sealing, opening, attachments beside the bare operations; the client and its whole commands against a relay (SOTTO_BENCH_MESSAGES=1000 SOTTO_BENCH_HISTORY=3000 for a quick run); tables, and target/bench/*.json
	cargo bench --profile dist --locked -p sotto-crypto --bench sealing
	cargo bench --profile dist --locked -p sotto-client --bench client
	cargo bench --profile dist --locked -p sotto-cli --bench commands

bench-operator: tools ## The operator with thousands of objects on a real API server: table, and target/bench/operator.json (SOTTO_BENCH_NETWORKS=50 for a small one)
	cargo build --profile dist --locked --workspace --bins
	cargo bench --profile dist --locked --workspace --bench operator

faults: tools build ## What goes wrong around an operator, in full: the leader dies at every place several times, two minutes without an API server
	SOTTO_LONG_FAULTS=1 cargo test --release --locked --workspace --test api -- --ignored --nocapture faults crashes secrets lease

fuzz: cargo-fuzz ## libFuzzer over every decoder, a minute each (SOTTO_FUZZ_SECONDS); needs the nightly toolchain
	@fuzz/run.sh

model: ## Proves docs/model, a symbolic model of the protocol; needs ProVerif (PROVERIF=…)
	@docs/model/run.sh

# --- the test cluster by hand -----------------------------------------------------------------------------------------

cluster-up: debian tools ## A real one-node Kubernetes on this machine (root, Debian); then e2e/cluster/in-cluster STATE kubectl …
	@e2e/cluster/images.sh
	@e2e/aws/install.sh
	@e2e/cluster/cluster.sh up $(SOTTO_E2E_STATE)

cluster-down: ## Ends it
	@e2e/cluster/cluster.sh down $(SOTTO_E2E_STATE)

clean-state: ## Ends the test cluster and removes its folder and .sotto; keeps what was compiled
	@e2e/cluster/cluster.sh down $(SOTTO_E2E_STATE)
	rm -rf $(SOTTO_E2E_STATE) .sotto

# --- what the stages need ---------------------------------------------------------------------------------------------

debian: ## Installs the Debian packages that the cluster needs, when missing (root)
	@e2e/cluster/debian.sh

tools: ## Builds Kubernetes, etcd, CoreDNS and Helm with Go into the tool cache (once, minutes)
	@e2e/tools/build.sh

# Each step is timed for the summary of `make test`.
# The compiler for WebAssembly first: seconds, and the first of them that a stage needs.
PREPARE := wasm-tools tools cargo-deny gitops-deps moto
prepare: ## All that the tests need of other projects, in one go (`make test` does it beside its first stages)
	@for step in $(PREPARE); do \
	  at=$$SECONDS; $(MAKE) $$step; \
	  printf '%-46s %4d s\n' "make $$step" $$((SECONDS - at)) >> "$${SOTTO_PREPARED:-/dev/null}"; \
	done

wasm-tools: ## Downloads a compiler for WebAssembly, from Debian, into the tool cache (once)
	@e2e/tools/wasm.sh

gitops-deps: ## Compiles the parts of Argo CD and Flux that `make gitops` runs (once, minutes)
	@e2e/gitops/run.sh prepare

moto: ## Installs the AWS stand-in into the tool cache (once)
	@e2e/aws/install.sh

# Programs that run for seconds are not worth minutes of optimisation, as their authors' release profiles ask for.
QUICK := CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0

# $(call install,CRATE,VERSION): one at a time, as they share a build folder.
define install
@mkdir -p "$(SOTTO_CACHE)"; exec 9> "$(SOTTO_CACHE)/.install-lock"; flock 9; \
  "$(SOTTO_CACHE)/cargo/bin/$(1)" --version 2>/dev/null | grep -qF ' $(2)' || { \
  echo "tools: installing $(1) $(2) from crates.io into $(SOTTO_CACHE)/cargo"; \
  $(QUICK) CARGO_TARGET_DIR="$(SOTTO_CACHE)/target-tools" cargo install --locked --quiet --root "$(SOTTO_CACHE)/cargo" --version $(2) $(1); \
  rm -rf "$(SOTTO_CACHE)/target-tools"; }
endef

cargo-deny: ## Installs cargo-deny into the tool cache (once)
	$(call install,cargo-deny,$(CARGO_DENY_VERSION))

cargo-fuzz: ## Installs cargo-fuzz into the tool cache (once)
	$(call install,cargo-fuzz,$(CARGO_FUZZ_VERSION))

.PHONY: help test screens fmt lint deny generate check-generated wasm unit interop build e2e-local chart gitops api image e2e-cluster cluster-up cluster-down clean-state debian tools prepare wasm-tools gitops-deps moto bench bench-operator faults fuzz cargo-deny cargo-fuzz
