# SPDX-License-Identifier: MIT
"""Counts of weights and multiply-accumulates, dense and kept."""

import torch

from .rules import prunable


def count(model, input_shape):
    """Rows (name, weights, kept weights, MACs, kept MACs) of every Conv2d and Linear
    for one input [C, H, W]; biases and batch norms are not counted."""
    sizes, hooks = {}, []
    for name, module in prunable(model).items():
        def note(_module, _inputs, output, name=name):
            sizes[name] = output[0, 0].numel() if output.dim() == 4 else 1
        hooks.append(module.register_forward_hook(note))
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, *input_shape))
    for hook in hooks:
        hook.remove()
    rows = []
    for name, module in prunable(model).items():
        weights, kept = module.weight.numel(), int(module.weight.count_nonzero())
        rows.append((name, weights, kept, weights * sizes[name], kept * sizes[name]))
    return rows


def totals(rows):
    """Column sums of count(): [weights, kept, MACs, kept MACs]."""
    return [sum(row[i] for row in rows) for i in range(1, 5)]


def table(rows):
    """count() as text, one line a layer, with the totals at the end."""
    lines = [f"{'layer':24}{'weights':>9}{'kept':>8}{'MACs':>11}{'kept':>10}{'ratio':>7}"]
    for name, weights, kept, macs, kept_macs in rows + [("total", *totals(rows))]:
        ratio = weights / kept if kept else float("inf")
        lines.append(f"{name:24}{weights:9}{kept:8}{macs:11}{kept_macs:10}{ratio:7.2f}")
    return "\n".join(lines)
