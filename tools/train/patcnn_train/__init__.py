# SPDX-License-Identifier: MIT
"""Training CNNs into the sparse structures that PatCNN runs: see admm.py."""

from .admm import Pruner
from .export import export_onnx
from .rules import Rule, plan

__all__ = ["Pruner", "Rule", "plan", "export_onnx"]
