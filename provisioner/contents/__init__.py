"""Reading a baked image's contents from its files, without root and without mounting: every byte read is verified."""
