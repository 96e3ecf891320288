"""Releases by a publisher of several keys: made unsigned, signed by each holder on a machine of his own, published.

A deployment signs its own release with the key that lies beside it (``provisioner/publish.py``), and that is what is
accepted from outside. What is accepted so is what becomes a publisher's release here: the same measurements under the
publisher's own number, dates and signatures.
"""
