"""An audit by anybody: rebuild a release from its source, compare, predict, and hold the running service against it."""
