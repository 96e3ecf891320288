#!/bin/sh
# Deletes what was built. What cannot be built again stays: the publisher's and the issuer's keys, what clients were given
# with them, and where in a cloud a deployment is.
# It stops nothing: while there is a VM's folder it refuses, because a VM without its folder is hard to find.
set -eu

[ -d build ] || exit 0

left=""
for folder in build/*/vms/*/; do
    [ -d "$folder" ] || continue
    root=${folder%/vms/*}
    left="$left
  ${folder%/}: make destroy NAME=${root#build/}"
done
if [ -n "$left" ]; then
    echo "error: nothing is deleted while there are VMs:$left" >&2
    exit 1
fi

kept='build/[^/]*/\(publisher\.key\|publisher\.pub\|issuer\.key\|issuer\.pub\|release\.json\|release\.number\|manifest\.json\|place\.json\|releases/[^/]*\.json\|manifests/[^/]*\.json\|secure-boot/keys/[^/]*\)'
# From the inside out, so that a folder is empty when its turn comes, unless something in it stays.
find build -depth -mindepth 1 \( ! -type d ! -regex "$kept" -o -type d -empty \) -delete
rmdir build 2>/dev/null || { echo "kept, because no build brings it back:"; find build -type f; }
