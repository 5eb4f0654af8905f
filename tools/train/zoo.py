# SPDX-License-Identifier: MIT
"""Well-known networks with fixed random weights, as ONNX: zoo.py OUT [NAME...].

Definitions are equivalent to torchvision's (same layers, same shapes, same way of being
exported), so that a compiler is tested on the graphs people have without
downloading anything. Weights are seeded by the name; batch-norm statistics are
set as if the network had been trained, so that activations keep their size.
"""

import argparse
import math
import pathlib
import zlib

import torch
from torch import nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.down = None
        if stride != 1 or cin != cout:
            self.down = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False),
                                      nn.BatchNorm2d(cout))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (self.down(x) if self.down else x))


class Bottleneck(nn.Module):
    def __init__(self, cin, mid, stride):
        super().__init__()
        cout = mid * 4
        self.conv1 = nn.Conv2d(cin, mid, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(mid)
        self.conv2 = nn.Conv2d(mid, mid, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(mid)
        self.conv3 = nn.Conv2d(mid, cout, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(cout)
        self.down = None
        if stride != 1 or cin != cout:
            self.down = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False),
                                      nn.BatchNorm2d(cout))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (self.down(x) if self.down else x))


class ResNet(nn.Module):
    def __init__(self, bottleneck, depths):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64),
                                  nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        layers, cin = [], 64
        for stage, depth in enumerate(depths):
            width = 64 << stage
            for i in range(depth):
                stride = 2 if stage and not i else 1
                layers.append((Bottleneck if bottleneck else BasicBlock)(cin, width, stride))
                cin = width * (4 if bottleneck else 1)
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(cin, 1000)

    def forward(self, x):
        return self.fc(torch.flatten(self.pool(self.layers(self.stem(x))), 1))


class Vgg16(nn.Module):
    def __init__(self):
        super().__init__()
        layers, cin = [], 3
        for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
            if width:
                layers += [nn.Conv2d(cin, width, 3, padding=1), nn.ReLU()]
                cin = width
            else:
                layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096),
            nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000))

    def forward(self, x):
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


def conv_bn(cin, cout, kernel=1, stride=1, groups=1, act=nn.ReLU6):
    layers = [nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
              nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, *([act()] if act else []))


class InvertedResidual(nn.Module):
    def __init__(self, cin, cout, stride, expand):
        super().__init__()
        mid = cin * expand
        self.skip = stride == 1 and cin == cout
        self.body = nn.Sequential(*([conv_bn(cin, mid)] if expand != 1 else []),
                                  conv_bn(mid, mid, 3, stride, mid), conv_bn(mid, cout, act=None))

    def forward(self, x):
        return x + self.body(x) if self.skip else self.body(x)


class MobileNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        layers, cin = [conv_bn(3, 32, 3, 2)], 32
        for expand, width, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2),
                                             (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                                             (6, 320, 1, 1)):
            for i in range(count):
                layers.append(InvertedResidual(cin, width, 1 if i else stride, expand))
                cin = width
        self.features = nn.Sequential(*layers, conv_bn(cin, 1280))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x):
        x = F.adaptive_avg_pool2d(self.features(x), 1)
        return self.classifier(torch.flatten(x, 1))


class Fire(nn.Module):
    def __init__(self, cin, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(cin, squeeze, 1)
        self.expand1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1(x)), F.relu(self.expand3(x))], 1)


class SqueezeNet(nn.Module):
    def __init__(self):
        super().__init__()
        pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), Fire(64, 16, 64), Fire(128, 16, 64),
            pool(), Fire(128, 32, 128), Fire(256, 32, 128), pool(), Fire(256, 48, 192),
            Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256))
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU(),
                                        nn.AdaptiveAvgPool2d(1))

    def forward(self, x):
        return torch.flatten(self.classifier(self.features(x)), 1)


class UNet(nn.Module):
    """Three levels, one up by transposed convolution, one by bilinear interpolation, one nearest."""

    def __init__(self):
        super().__init__()
        double = lambda i, o: nn.Sequential(conv_bn(i, o, 3, act=nn.ReLU),
                                            conv_bn(o, o, 3, act=nn.ReLU))
        self.down = nn.ModuleList([double(3, 32), double(32, 64), double(64, 128)])
        self.bottom = double(128, 256)
        self.up = nn.ConvTranspose2d(256, 128, 2, 2)
        self.join = nn.ModuleList([double(256, 128), double(192, 64), double(96, 32)])
        self.head = nn.Conv2d(32, 2, 1)

    def forward(self, x):
        skips = []
        for level in self.down:
            skips.append(level(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.join[0](torch.cat([skips[2], self.up(self.bottom(x))], 1))
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = self.join[1](torch.cat([skips[1], x], 1))
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        return torch.sigmoid(self.head(self.join[2](torch.cat([skips[0], x], 1))))


class Csp(nn.Module):
    def __init__(self, cin, cout, count):
        super().__init__()
        mid = cout // 2
        self.left = conv_bn(cin, mid, act=nn.SiLU)
        self.right = conv_bn(cin, mid, act=nn.SiLU)
        self.body = nn.ModuleList([nn.Sequential(conv_bn(mid, mid, act=nn.SiLU),
                                                 conv_bn(mid, mid, 3, act=nn.SiLU))
                                   for _ in range(count)])
        self.out = conv_bn(2 * mid, cout, act=nn.SiLU)

    def forward(self, x):
        y = self.left(x)
        for b in self.body:
            y = y + b(y)
        return self.out(torch.cat([y, self.right(x)], 1))


class Yolo(nn.Module):
    """A small detector in the manner of YOLOv5: CSP blocks, SPPF, upsampling, anchors decoded."""

    def __init__(self, classes=80):
        super().__init__()
        silu = dict(act=nn.SiLU)
        self.stem = conv_bn(3, 16, 6, 2, **silu)
        self.stem[0].padding = (2, 2)
        self.s2 = nn.Sequential(conv_bn(16, 32, 3, 2, **silu), Csp(32, 32, 1))
        self.s3 = nn.Sequential(conv_bn(32, 64, 3, 2, **silu), Csp(64, 64, 2))
        self.s4 = nn.Sequential(conv_bn(64, 128, 3, 2, **silu), Csp(128, 128, 1))
        self.sppf_in, self.sppf_out = conv_bn(128, 64, **silu), conv_bn(256, 128, **silu)
        self.lateral = conv_bn(128, 64, **silu)
        self.join = Csp(128, 64, 1)
        self.heads = nn.ModuleList([nn.Conv2d(64, 3 * (classes + 5), 1),
                                    nn.Conv2d(128, 3 * (classes + 5), 1)])
        self.anchors = torch.tensor([[[10., 13], [16, 30], [33, 23]],
                                     [[30., 61], [62, 45], [59, 119]]])
        self.strides = (8, 16)

    def forward(self, x):
        p3 = self.s3(self.s2(self.stem(x)))
        p4 = self.sppf_in(self.s4(p3))
        pools = [p4]
        for _ in range(3):
            pools.append(F.max_pool2d(pools[-1], 5, 1, 2))
        p4 = self.sppf_out(torch.cat(pools, 1))
        up = F.interpolate(self.lateral(p4), scale_factor=2, mode="nearest")
        outs = []
        for i, feature in enumerate((self.join(torch.cat([up, p3], 1)), p4)):
            y = self.heads[i](feature)
            n, _, h, w = y.shape
            y = y.view(n, 3, -1, h, w).permute(0, 1, 3, 4, 2).contiguous()
            gy, gx = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            grid = torch.stack((gx, gy), 2).view(1, 1, h, w, 2).float()
            s = y.sigmoid()
            xy = (s[..., 0:2] * 2 - 0.5 + grid) * self.strides[i]
            wh = (s[..., 2:4] * 2) ** 2 * self.anchors[i].view(1, 3, 1, 1, 2)
            outs.append(torch.cat([xy, wh, s[..., 4:]], -1).view(n, -1, s.shape[-1]))
        return torch.cat(outs, 1)


class Ssd(nn.Module):
    """Depthwise backbone, heads on three maps: boxes, and scores by softmax."""

    def __init__(self, classes=21, anchors=4):
        super().__init__()
        sep = lambda i, o, s: nn.Sequential(conv_bn(i, i, 3, s, i), conv_bn(i, o))
        self.stages = nn.ModuleList([
            nn.Sequential(conv_bn(3, 16, 3, 2), sep(16, 32, 2), sep(32, 64, 2)),
            sep(64, 128, 2), sep(128, 256, 2)])
        self.classes = classes
        self.boxes = nn.ModuleList([nn.Conv2d(c, anchors * 4, 3, padding=1)
                                    for c in (64, 128, 256)])
        self.scores = nn.ModuleList([nn.Conv2d(c, anchors * classes, 3, padding=1)
                                     for c in (64, 128, 256)])

    def forward(self, x):
        boxes, scores = [], []
        for stage, box, score in zip(self.stages, self.boxes, self.scores):
            x = stage(x)
            boxes.append(box(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4))
            scores.append(score(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.classes))
        return torch.cat(boxes, 1), torch.softmax(torch.cat(scores, 1), -1)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, c // self.heads) \
            .permute(2, 0, 3, 1, 4).unbind(0)
        a = (q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5).softmax(-1)
        x = x + self.proj((a @ v).transpose(1, 2).reshape(n, t, c))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    """Vision transformer: patches of 16, four blocks, a class token."""

    def __init__(self, dim=96, size=96):
        super().__init__()
        self.patch = nn.Conv2d(3, dim, 16, 16)
        self.token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.position = nn.Parameter(torch.randn(1, (size // 16) ** 2 + 1, dim) * 0.02)
        self.blocks = nn.Sequential(*[Attention(dim, 3) for _ in range(4)])
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 100)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


# Constructor, input size, operator set.
ZOO = {
    "resnet18": (lambda: ResNet(False, (2, 2, 2, 2)), 224, 13),
    "resnet50": (lambda: ResNet(True, (3, 4, 6, 3)), 224, 13),
    "vgg16": (Vgg16, 224, 11),
    "mobilenet_v2": (MobileNetV2, 224, 13),
    "squeezenet1_1": (SqueezeNet, 224, 13),
    "unet": (UNet, 128, 14),
    "yolo": (Yolo, 192, 12),
    "ssd": (Ssd, 160, 17),
    "vit": (Vit, 96, 14),
}


def initialise(model, name):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            fan = module.weight[0].numel()
            module.weight.data.normal_(0, math.sqrt(2 / fan), generator=generator)
            if module.bias is not None:
                module.bias.data.uniform_(-0.1, 0.1, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.0, generator=generator)
            module.bias.data.uniform_(-0.2, 0.2, generator=generator)
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)
            module.running_var.uniform_(0.8, 1.5, generator=generator)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ZOO)}; all if none")
    parser.add_argument("--raw", action="store_true",
                        help="export as written: batch norm and constants not folded")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or ZOO:
        build, size, opset = ZOO[name]
        torch.manual_seed(zlib.crc32(name.encode()))
        model = build().eval()
        initialise(model, name)
        x = torch.zeros(1, 3, size, size)
        mode = torch.onnx.TrainingMode
        torch.onnx.export(model, x, str(args.out / f"{name}.onnx"), opset_version=opset,
                          do_constant_folding=not args.raw, input_names=["input"],
                          training=mode.PRESERVE if args.raw else mode.EVAL)
        print(args.out / f"{name}.onnx", flush=True)


if __name__ == "__main__":
    main()
