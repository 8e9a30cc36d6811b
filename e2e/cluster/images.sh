#!/usr/bin/env bash
# Builds the images of the test cluster that are not Sotto's own: pause and CoreDNS, each one static program on scratch.
# No registry is asked. Result: oci-archives in the tool cache.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# image NAME PROGRAM: an image localhost/NAME:e2e that runs PROGRAM
image() {
  local name=$1 program=$2 archive=$images/$1.tar stage
  if [ -f "$archive" ] && [ "$archive" -nt "$program" ]; then
    echo "images: $name is up to date"
    return
  fi
  stage=$(mktemp -d)
  # --storage-driver vfs and chroot isolation work everywhere, also inside a container.
  printf 'FROM scratch\nCOPY program /%s\nUSER 65532\nENTRYPOINT ["/%s"]\n' "$name" "$name" > "$stage/Containerfile"
  cp "$program" "$stage/program"
  buildah --root "$stage/storage" --runroot "$stage/run" --storage-driver vfs build --isolation chroot --timestamp 0 --quiet \
    --tag "localhost/$name:e2e" "$stage" > /dev/null
  rm -f "$archive"
  buildah --root "$stage/storage" --runroot "$stage/run" --storage-driver vfs push --quiet "localhost/$name:e2e" \
    "oci-archive:$archive:localhost/$name:e2e"
  rm -rf "$stage"
  echo "images: $name, $(du -h "$archive" | cut -f1)"
}

mkdir -p "$images"
image pause "$bin/pause"
image coredns "$bin/coredns"
