# SPDX-License-Identifier: MIT
"""ONNX export: opset 13, batch 1, constants and batch norms folded by the exporter."""

import copy

import torch

from .rules import prunable


def export_onnx(model, path, input_shape):
    """Write `model` for one input fp32 [1, *input_shape] ("input" -> "logits").

    Raises ValueError if the file is invalid or a zero of a pruned layer is not a zero in
    it: the compiler recognises structures by their zeros.
    """
    import onnx
    from onnx import numpy_helper
    model = copy.deepcopy(model).to(memory_format=torch.contiguous_format).eval()
    torch.onnx.export(model, torch.zeros(1, *input_shape), str(path), opset_version=13,
                      do_constant_folding=True, input_names=["input"], output_names=["logits"])
    graph = onnx.load(str(path))
    onnx.checker.check_model(graph)
    zeros = sum(int((m.weight == 0).sum()) for m in prunable(model).values())
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
    kept = sum(int((tensors[name] == 0).sum()) for node in graph.graph.node
               if node.op_type in ("Conv", "Gemm") for name in node.input[1:2])
    if kept < zeros:
        raise ValueError(f"{path}: {kept} zero weights, the model has {zeros}")
