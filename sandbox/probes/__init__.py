"""The self-check: quick attacks on a sandbox from within, to see that each is contained."""

from sandbox.probes.catalog import LAYERS, PROBES, Layer, Probe, unknown_names
from sandbox.probes.check import check
from sandbox.probes.checked import Checked
from sandbox.probes.report import Finding, Level, Report

__all__ = [
    "LAYERS",
    "PROBES",
    "Checked",
    "Finding",
    "Layer",
    "Level",
    "Probe",
    "Report",
    "check",
    "unknown_names",
]
