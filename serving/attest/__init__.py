"""The attester: seals the boot, then answers nonces with quotes. Nothing else may reach the TPM."""
