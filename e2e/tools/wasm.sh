#!/usr/bin/env bash
# Gets a compiler for WebAssembly into the tool cache: the Rust of Debian's security archive with the source of its standard library,
# unpacked into a folder of its own, not installed, as it conflicts with other Rusts. A machine's own Rust has no standard library for
# wasm32-unknown-unknown, and rustup's server is not to be had everywhere; here `make wasm` compiles the library, driven by any cargo.
# With it clang, of the same LLVM, for what is C: SQLite.
# Usage: e2e/tools/wasm.sh          (SOTTO_CACHE names the cache, default ~/.cache/sotto); then $SOTTO_CACHE/wasm/{rustc,clang,llvm-ar}
# The first run downloads 185 MB and keeps 590; a second one ends at once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${SOTTO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sotto}
folder=$cache/wasm
die() { echo "wasm: error: $*" >&2; exit 1; }

# What our crates ask for at least.
minimum=$(sed -nE 's/^rust-version = "(.*)"$/\1/p' "$here/../../Cargo.toml")
[ -n "$minimum" ] || die "no rust-version in Cargo.toml"
stamp=$( (cat "$here/wasm.sh"; echo "$minimum") | sha256sum | cut -c1-16)
mkdir -p "$cache"
# One download at a time: `make prepare` may be at it.
exec 9> "$cache/.wasm-lock"
flock 9
if [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ] && "$folder/rustc" --version > /dev/null 2>&1; then
  echo "wasm: $("$folder/rustc" --version) is up to date in $folder"
  exit 0
fi
if ! command -v apt-get > /dev/null || ! command -v dpkg > /dev/null; then
  die "the compiler for WebAssembly comes from Debian's security archive, and this is not Debian"
fi

# dependency PACKAGE PATTERN: the one that its newest version names.
dependency() { apt-cache depends --important "$1" 2>/dev/null | sed -nE "s/^ *Depends: ($2)\$/\1/p" | head -n 1; }

# Into the folder that this runs in. Some packages have their version in their names.
download() {
  local std llvm version
  version=$(apt-cache show --no-all-versions rustc-web 2>/dev/null | sed -n 's/^Version: //p')
  dpkg --compare-versions "${version:-0}" ge "$minimum" || { echo "rustc-web is known here as '$version'; $minimum is needed"; return 1; }
  std=$(dependency libstd-rust-web-dev 'libstd-rust-web-[0-9.]+')
  llvm=$(dependency "${std:-none}" 'libllvm[0-9]+')
  [ -n "$llvm" ] || return 1
  llvm=${llvm#libllvm}
  # Not as another user, who could not write here.
  apt-get download -q -o APT::Sandbox::User=root \
    rustc-web "$std" libstd-rust-web-dev rust-web-src rust-web-llvm "libllvm$llvm" "lld-$llvm" libz3-4 \
    "clang-$llvm" "libclang-cpp$llvm" "libclang-common-$llvm-dev" "llvm-$llvm"
}

echo "wasm: downloading Debian's rustc-web, its source and LLVM into $folder (once, 185 MB)"
rm -rf "$folder.new"
mkdir -p "$folder.new/packages" "$folder.new/root"
cd "$folder.new/packages"
# Lists that are missing or out of date are the one reason to ask for new ones, which only root can.
if ! download > log 2>&1; then
  if [ "$(id -u)" = 0 ]; then apt-get update -q > log 2>&1 || true; fi
  download >> log 2>&1 || {
    tail -n 20 log >&2
    die "Debian's packages of rustc-web cannot be had: is the archive reachable, is bookworm-security among the sources, are the lists of today (apt-get update, as root)?"
  }
fi
for package in *.deb; do
  # Of LLVM's tools, 90 MB, only the archiver.
  only=()
  case $package in llvm-*) only=('./usr/lib/*/bin/llvm-ar') ;; esac
  # Of the source, 400 MB, only the standard library.
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder.new/root" --no-same-owner \
    --no-wildcards-match-slash --exclude='./usr/src/*/compiler' --exclude='./usr/src/*/src' --exclude='./usr/src/*/debian' --exclude='./usr/share' \
    --wildcards "${only[@]}"
done
cd "$cache"
rm -rf "$folder.new/packages"
# Its libraries are found by it alone: no other program of a build is to meet them.
cat > "$folder.new/rustc" <<'SCRIPT'
#!/bin/sh
root=$(dirname "$0")/root/usr
for libraries in "$root"/lib/*-linux-gnu*; do
  LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} PATH=$root/bin:$(echo "$root"/lib/llvm-*/bin):$PATH exec "${0##*/}" "$@"
done
SCRIPT
chmod +x "$folder.new/rustc"
for program in rustc clang llvm-ar; do
  [ "$program" = rustc ] || cp "$folder.new/rustc" "$folder.new/$program"
  "$folder.new/$program" --version > /dev/null || die "Debian's $program does not run on this machine"
done
echo "$stamp" > "$folder.new/.stamp"
rm -rf "$folder"
mv "$folder.new" "$folder"
echo "wasm: done: $("$folder/rustc" --version) in $folder"
