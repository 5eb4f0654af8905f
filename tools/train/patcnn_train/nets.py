# SPDX-License-Identifier: MIT
"""The two nets of the examples.

Both take fp32 NCHW tensors and return logits [N, classes].  They are built from
plain Conv2d, BatchNorm2d, ReLU, pooling and Linear, so that the ONNX file after
batch-norm folding holds only Conv, Relu, MaxPool, Add, pooling and Gemm.
"""

import torch
from torch import nn
import torch.nn.functional as F


def conv_bn(inputs, outputs, stride=1):
    """A 3x3 convolution without bias (the batch norm has one), padding 1."""
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)]


class DigitsNet(nn.Module):
    """Four 3x3 convolutions and a linear layer for [N, 1, 8, 8] scans, 10 classes.

    1->32, 32->32, pool to 4x4, 32->64, 64->64, pool to 2x2, linear 256->10.
    """

    input_shape = (1, 8, 8)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *conv_bn(1, 32), nn.ReLU(),
            *conv_bn(32, 32), nn.ReLU(), nn.MaxPool2d(2),
            *conv_bn(32, 64), nn.ReLU(),
            *conv_bn(64, 64), nn.ReLU(), nn.MaxPool2d(2),
        )
        self.classifier = nn.Linear(64 * 2 * 2, 10)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; a strided block uses a 1x1 projection
    (option B of He et al. 2016, section 3.3), which exports as one convolution."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = conv_bn(inputs, outputs, stride)
        self.conv2, self.bn2 = conv_bn(outputs, outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet20(nn.Module):
    """ResNet-20 for [N, 3, 32, 32] images, 10 classes (He et al. 2016, section 4.2).

    16, 32 and 64 filters in three stages of three blocks; 0.27 M weights, 41 M MACs.
    """

    input_shape = (3, 32, 32)

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv_bn(3, 16)
        blocks, inputs = [], 16
        for outputs in (16, 32, 64):
            for index in range(3):
                blocks.append(BasicBlock(inputs, outputs, 2 if index == 0 and outputs > 16 else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def initialise(model):
    """He initialisation of every convolution (fan out, ReLU); returns the model."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model
