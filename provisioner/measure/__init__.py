"""Prediction of measurements from baked artefacts; no machine, network or secret is involved."""

from __future__ import annotations

from provisioner.measure.boot import Boot
from provisioner.measure.prediction import LOCAL_BOOT, PHASES, PREDICTED_PCRS, Prediction, explain, predict

__all__ = ["LOCAL_BOOT", "PHASES", "PREDICTED_PCRS", "Boot", "Prediction", "explain", "predict"]
