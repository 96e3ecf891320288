"""What differs between platforms: whose TPM it is, which firmware logs, and whether a CPU's report binds it all."""
