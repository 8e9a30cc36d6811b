# How what `make test` needs of Go is built; sourced, not run. One set of flags, so that Go compiles each package once. Nobody debugs
# these programs, so what debuggers read is left out.
# shellcheck shell=bash
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:-} -trimpath -gcflags=all=-dwarf=false"
