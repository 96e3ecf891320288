#!/bin/sh
# Refreshes requirements/vllm-gpu.lock: vLLM for the GPU image and all that it needs, one wheel each, by hash:
# vllm-lock.sh PYTHON. A new vLLM is a new version and a new date here; the date keeps its dependencies of its own time,
# since vLLM bounds few of them.
set -eu

uv=0.13.9
vllm=0.19.1
before=2026-05-15T00:00:00Z
lock=requirements/vllm-gpu.lock
folder=$(mktemp -d)
trap 'rm -rf "$folder" "$lock.new"' EXIT
trap 'exit 1' INT TERM

"$1" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv"
# uv knows the image's Python and C library where pip's markers would be this machine's: it chooses the versions.
printf 'vllm==%s\n' "$vllm" >"$folder/wanted"
"$folder/venv/bin/uv" pip compile --quiet --generate-hashes --no-header --no-annotate --only-binary :all: \
    --python-version 3.13 --python-platform x86_64-manylinux_2_40 --exclude-newer "$before" \
    "$folder/wanted" -o "$folder/versions"
# pip knows which file of a version fits best: it chooses the wheels, and writes them down without installing any.
"$1" -m provisioner.image.closure pip-options | xargs "$folder/venv/bin/python" -m pip install --quiet \
    --disable-pip-version-check --dry-run --ignore-installed --no-deps --require-hashes --target "$folder/none" \
    --report "$folder/report" --requirement "$folder/versions"
"$1" -m provisioner.image.closure lock "$folder/report" >"$lock.new"
mv "$lock.new" "$lock"
