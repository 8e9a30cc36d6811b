#!/usr/bin/env bash
# Builds Sotto's image from a program that was built before (SOTTO_BINARY), without any registry and without a daemon, and writes an oci-archive.
# Usage: image.sh [ARCHIVE [NAME]]      default, for the tests: $CARGO_TARGET_DIR/image/sotto.tar, localhost/sotto:e2e
# Any builder can do the last step on the staged folder: podman build -f Containerfile $CARGO_TARGET_DIR/image/root
set -euo pipefail
repo=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$repo/target}
work=$target/image
archive=${1:-$work/sotto.tar}
name=${2:-localhost/sotto:e2e}
program=${SOTTO_BINARY:-$target/release/sotto}
root=$work/root
[ -x "$program" ] || { echo "image: error: $program: no such program; run 'cargo build --release' first" >&2; exit 1; }
command -v buildah >/dev/null || { echo "image: error: buildah is not installed; run e2e/cluster/debian.sh" >&2; exit 1; }
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$repo/Cargo.toml")

rm -rf "$root"
mkdir -p "$root/etc/ssl/certs"
install -d -m 1777 "$root/tmp"
install -m 0755 "$program" "$root/sotto"
# Each shared library at the very path where the loader looks for it: lines are "NAME => PATH (…)" or "PATH (…)".
libraries=$(ldd "$program" 2>&1) || true
case $libraries in
  *"not found"*) printf 'image: error: a shared library is missing:\n%s\n' "$libraries" >&2; exit 1 ;;
  *"not a dynamic executable"* | *"statically linked"*) ;;
  *)
    sed -nE 's#^.*[[:space:]](/[^ ]+) \(.*$#\1#p' <<<"$libraries" | sort -u | while read -r library; do
      install -D -m 0755 "$(realpath "$library")" "$root$library"
    done
    ;;
esac
printf 'passwd: files\ngroup: files\nhosts: files dns\n' > "$root/etc/nsswitch.conf"
printf 'root:x:0:0:root:/:/sbin/nologin\nsotto:x:65532:65532:sotto:/tmp:/sbin/nologin\n' > "$root/etc/passwd"
printf 'root:x:0:\nsotto:x:65532:\n' > "$root/etc/group"
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"

# vfs and chroot isolation work everywhere, also inside a container; the store is thrown away afterwards.
store=$(mktemp -d "$work/store.XXXXXX")
trap 'rm -rf "$store"' EXIT
storage=(--root "$store/root" --runroot "$store/run" --storage-driver vfs)
buildah "${storage[@]}" build --isolation chroot --timestamp 0 --quiet --build-arg "VERSION=$version" \
  --file "$repo/Containerfile" --tag "$name" "$root" > /dev/null
rm -f "$archive"
buildah "${storage[@]}" push --quiet "$name" "oci-archive:$archive:$name"
echo "image: $name in $archive"
echo "image: $(du -k "$archive" | cut -f1) KiB compressed, $(du -ks "$root" | cut -f1) KiB unpacked, of it $(du -k "$root/sotto" | cut -f1) KiB the program"
