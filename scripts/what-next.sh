#!/bin/sh
# Printed at the end of `make deploy`: what-next.sh ORIGIN NAME.
name=""
[ "$2" = local ] || name=" NAME=$2 PORT=${1##*:}"
if grep -qw vitrine.mode=DEBUG "build/$2/image/cmdline"; then
  echo "DEBUG: this image has a root shell; whoever reaches build/$2/vms/$2/console.sock reads every prompt"
fi
cat <<TEXT
The VM goes on running at $1
  talk to it     make ask QUESTION="..."$name     or the Python in README.md
  verify it      make verify$name
  look at it     build/$2/vms/$2/console.log (firmware and two marker lines: it says nothing more, by design)
                 build/$2/release.json, build/$2/manifest.json (what it must be, what is in it)
  stop it        make destroy$name
TEXT
