"""What runs inside the VM: attester, gateway and engine."""
