"""Stage ``binding``: whether a quote's ``extraData`` answers a nonce at its place in a tree, and names a TLS key.

Fields are in ``docs/conformance/binding.md``.
"""

from __future__ import annotations

from typing import Any

from client_sdk.binding import Place, merkle_root
from client_sdk.conformance.request import Request
from client_sdk.report import Ledger
from client_sdk.verify.binding import verify_binding

FIELDS = ("extra_data_hex", "nonce_hex", "index", "tree_size", "path_hex", "spki_hex", "gpu_hex")


def binding(request: Request, ledger: Ledger) -> dict[str, Any]:
    """Judge it; a signature over ``extraData`` is the business of ``tpm-quote``."""
    request.only(*FIELDS)
    nonce = request.hexadecimal("nonce_hex")
    place = Place(request.number("index"), request.number("tree_size"), request.hex_list("path_hex", size=32))
    spki = request.hexadecimal("spki_hex", size=32)
    gpu = request.hexadecimal("gpu_hex", size=32) if request.has("gpu_hex") else b""
    verify_binding(request.hexadecimal("extra_data_hex"), place, nonce=nonce, spki=spki, gpu=gpu, ledger=ledger)
    return {"root": merkle_root(nonce, place).hex()}
