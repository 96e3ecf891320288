#!/bin/sh
# Printed at the end of `make deploy`.
cat <<TEXT
The VM goes on running at $1
  talk to it     make ask QUESTION="..."     or the Python in README.md
  verify it      make verify
  look at it     build/local/vms/local/console.log (firmware and two marker lines: it says nothing more, by design)
                 build/local/release.json, build/local/manifest.json (what it must be, what is in it)
  stop it        make destroy
TEXT
