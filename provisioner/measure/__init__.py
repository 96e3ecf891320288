"""Prediction of measurements from baked artefacts; no machine, network or secret is involved."""

from __future__ import annotations

from provisioner.measure.prediction import PHASES, PREDICTED_PCRS, Prediction, explain, predict

__all__ = ["PHASES", "PREDICTED_PCRS", "Prediction", "explain", "predict"]
