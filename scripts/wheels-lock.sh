#!/bin/sh
# Refreshes requirements/{dev,compat,docs}.lock from pyproject.toml; versions that still fit stay: wheels-lock.sh PYTHON.
# uv lives in a folder of its own and goes with it: what resolves the lock is no part of what is locked.
set -eu

uv=0.13.9
folder=$(mktemp -d)
trap 'rm -rf "$folder" requirements/*.lock.new' EXIT
trap 'exit 1' INT TERM

"$1" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv"
for extra in dev compat docs; do
    lock=requirements/$extra.lock
    [ ! -f "$lock" ] || cp "$lock" "$lock.new"
    "$folder/bin/uv" pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
        --no-emit-package crypt-r --extra "$extra" pyproject.toml -o "$lock.new"
    mv "$lock.new" "$lock"
done
