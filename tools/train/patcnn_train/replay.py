# SPDX-License-Identifier: MIT
"""Runs an exported ONNX file with PyTorch's operators, node by node.

Delivered weights are judged by the file that is delivered, not by the model it was
made from: accuracy, weights and MACs of the reports come from here.
"""

import onnx
from onnx import helper, numpy_helper
import torch
import torch.nn.functional as F


def conv(node, x, weight, bias=None):
    """Conv with explicit symmetric pads, as PyTorch exports it."""
    top, left, bottom, right = node.get("pads", [0, 0, 0, 0])
    if (top, left) != (bottom, right) or node.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise ValueError("Conv: only explicit symmetric pads are read here")
    return F.conv2d(x, weight, bias, node.get("strides", 1), (top, left),
                    node.get("dilations", 1), node.get("group", 1))


def max_pool(node, x):
    if any(node.get("pads", [0])) or node.get("ceil_mode", 0):
        raise ValueError("MaxPool: only without pads and ceil_mode")
    return F.max_pool2d(x, node["kernel_shape"], node.get("strides", 1))


def gemm(node, x, weight, bias=0.0):
    if node.get("transA", 0) or node.get("alpha", 1.0) != 1.0 or node.get("beta", 1.0) != 1.0:
        raise ValueError("Gemm: only x W + b")
    return x @ (weight.T if node.get("transB", 0) else weight) + bias


OPERATORS = {
    "Conv": conv,
    "Gemm": gemm,
    "MaxPool": max_pool,
    "Relu": lambda node, x: F.relu(x),
    "Add": lambda node, x, y: x + y,
    "Flatten": lambda node, x: torch.flatten(x, node.get("axis", 1)),
    "GlobalAveragePool": lambda node, x: x.mean((2, 3), keepdim=True),
    "Identity": lambda node, x: x,
}


class Replay:
    """A callable net from an ONNX file: fp32 [N, C, H, W] -> first output.

    Raises ValueError naming an operator that is not known here.  After a call `rows`
    holds (name, weights, kept weights, MACs, kept MACs) of each Conv and Gemm, the
    MACs for one image, as report.count() gives them.
    """

    def __init__(self, path):
        graph = onnx.load(str(path)).graph
        self.constants = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy())
                          for t in graph.initializer}
        self.nodes = [(n, {a.name: helper.get_attribute_value(a) for a in n.attribute})
                      for n in graph.node]
        self.input, self.output = graph.input[0].name, graph.output[0].name
        unknown = {n.op_type for n, _ in self.nodes} - set(OPERATORS)
        if unknown:
            raise ValueError(f"{path}: no replay for {', '.join(sorted(unknown))}")
        self.rows = []

    def eval(self):
        """For use where a torch module is expected; there is no training mode."""
        return self

    def __call__(self, x):
        values, self.rows = {**self.constants, self.input: x}, []
        for node, attributes in self.nodes:
            inputs = [values[name] for name in node.input]
            result = OPERATORS[node.op_type](attributes, *inputs)
            values[node.output[0]] = result
            if node.op_type in ("Conv", "Gemm"):
                size = result[0, 0].numel() if result.dim() == 4 else 1
                weights, kept = inputs[1].numel(), int(inputs[1].count_nonzero())
                self.rows.append((node.name, weights, kept, weights * size, kept * size))
        return values[self.output]

    def weights(self):
        """The weight tensors of Conv and Gemm in graph order."""
        return [self.constants[n.input[1]] for n, _ in self.nodes
                if n.op_type in ("Conv", "Gemm")]
