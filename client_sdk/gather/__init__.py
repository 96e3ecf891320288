"""Collateral for operators: what vendors publish about the hardware in some evidence, gathered into one folder.

``plan`` (pure) says what is wanted, ``web`` asks for it, ``folder`` writes it. Clients never run this: they read the
folder, and verify the signature of everything in it.
"""
