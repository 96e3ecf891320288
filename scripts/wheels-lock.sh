#!/bin/sh
# Refreshes requirements/dev.lock from pyproject.toml; versions that still fit stay: wheels-lock.sh PYTHON.
# uv lives in a folder of its own and goes with it: what resolves the lock is no part of what is locked.
set -eu

uv=0.13.9
lock=requirements/dev.lock
folder=$(mktemp -d)
trap 'rm -rf "$folder" "$lock.new"' EXIT
trap 'exit 1' INT TERM

"$1" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv"
cp "$lock" "$lock.new"
"$folder/bin/uv" pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
    --no-emit-package crypt-r --extra dev pyproject.toml -o "$lock.new"
mv "$lock.new" "$lock"
